package websocket

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
)

// join concatenates frames.
func join(frames ...[]byte) (b []byte) {
	for _, f := range frames {
		b = append(b, f...)
	}
	return b
}

const (
	finText   = bitFin | opText
	finBinary = bitFin | opBinary
	finCont   = bitFin | opContinuation
	finPing   = bitFin | opPing
	finPong   = bitFin | opPong
	finClose  = bitFin | opClose
)

// rfcCases are the rules of RFC 6455 (and RFC 7692 where deflate is set): what
// comes in, and what follows.
var rfcCases = []struct {
	name     string
	in       []byte
	deflate  bool
	messages []string
	pongs    []string // answers to pings
	native   int      // calls of Pong
	code     uint16   // the close frame that follows; none when zero
	late     bool     // something follows the end, so that the kernel may reset the connection
}{
	{name: "text", in: frame(finText, "hello"), messages: []string{"hello"}},
	{name: "binary", in: frame(finBinary, "he\xffllo"), messages: []string{"he\xffllo"}},
	{name: "empty message", in: frame(finText, ""), messages: []string{""}},
	{name: "several in a row", in: join(frame(finText, "a"), frame(finText, "b"), frame(finBinary, "c")), messages: []string{"a", "b", "c"}},
	{name: "length 125", in: frame(finText, strings.Repeat("x", 125)), messages: []string{strings.Repeat("x", 125)}},
	{name: "length 126", in: frame(finText, strings.Repeat("x", 126)), messages: []string{strings.Repeat("x", 126)}},
	{name: "length 65535", in: frame(finText, strings.Repeat("x", 65535)), messages: []string{strings.Repeat("x", 65535)}},
	{name: "length 65536", in: frame(finText, strings.Repeat("x", 65536)), messages: []string{strings.Repeat("x", 65536)}},
	{name: "length 65537", in: frame(finText, strings.Repeat("x", 65537)), code: 1009},
	{name: "oversize is refused by the header", in: frame(finText, strings.Repeat("x", 1<<20))[:14], code: 1009},
	{name: "oversize in fragments", in: join(frame(opText, strings.Repeat("x", 65536)), frame(finCont, "x")), code: 1009},
	{name: "limit in fragments", in: join(frame(opText, strings.Repeat("x", 65535)), frame(finCont, "y")), messages: []string{strings.Repeat("x", 65535) + "y"}},
	{name: "length that wraps in fragments", in: join(frame(opText, "{"), declared(opContinuation, math.MaxInt64)), code: 1009},
	{name: "length that wraps in the last fragment", in: join(frame(opText, "{"), declared(finCont, math.MaxInt64)), code: 1009},
	{name: "length that wraps behind many", in: join(frame(opBinary, strings.Repeat("x", 1000)), frame(opContinuation, strings.Repeat("x", 1000)), declared(opContinuation, math.MaxInt64-1999)), code: 1009},
	{name: "length that nearly wraps", in: join(frame(opText, "{"), declared(opContinuation, math.MaxInt64-1)), code: 1009},
	{name: "largest length", in: declared(finText, math.MaxInt64), code: 1009},
	{name: "largest length, compressed", in: join(frame(opText|0x40, "\xf2"), declared(finCont, math.MaxInt64)), deflate: true, code: 1009},
	{name: "largest length behind a ping", in: join(frame(opText, "{"), frame(finPing, "1"), declared(opContinuation, math.MaxInt64)), pongs: []string{"1"}, code: 1009},
	{name: "one byte more than is left", in: join(frame(opText, "{"), declared(finCont, 65536)), code: 1009},
	{name: "fragments", in: join(frame(opText, "a"), frame(opContinuation, "b"), frame(finCont, "c")), messages: []string{"abc"}},
	{name: "empty fragments", in: join(frame(opText, ""), frame(opContinuation, ""), frame(finCont, "")), messages: []string{""}},
	{name: "ping", in: frame(finPing, "hi"), pongs: []string{"hi"}},
	{name: "empty ping", in: frame(finPing, ""), pongs: []string{""}},
	{name: "long ping", in: frame(finPing, strings.Repeat("p", 125)), pongs: []string{strings.Repeat("p", 125)}},
	{name: "pong", in: frame(finPong, "unasked"), native: 1},
	{
		name: "control between fragments", messages: []string{"abcd"}, pongs: []string{"1", "2"}, native: 1,
		in: join(frame(opText, "ab"), frame(finPing, "1"), frame(opContinuation, "c"), frame(finPong, ""), frame(finPing, "2"), frame(finCont, "d")),
	},
	{name: "message after a fragmented one", in: join(frame(opText, "a"), frame(finCont, "b"), frame(finText, "c")), messages: []string{"ab", "c"}},
	{name: "rune over two fragments", in: join(frame(opText, "\xc3"), frame(finCont, "\xa4")), messages: []string{"ä"}},
	{name: "text is not UTF-8", in: frame(finText, "\xff"), code: 1007},
	{name: "text ends within a rune", in: frame(finText, "a\xc3"), code: 1007},
	{name: "surrogate", in: frame(finText, "\xed\xa0\x80"), code: 1007},
	{name: "fragmented text is not UTF-8", in: join(frame(opText, "a"), frame(finCont, "\xff")), code: 1007},
	{name: "not masked", in: []byte{finText, 2, 'h', 'i'}, code: 1002},
	{name: "RSV1 without compression", in: frame(finText|0x40, "x"), code: 1002},
	{name: "RSV2", in: frame(finText|0x20, "x"), code: 1002},
	{name: "RSV3", in: frame(finText|0x10, "x"), code: 1002},
	{name: "RSV2 with compression", in: frame(finText|0x20, "x"), deflate: true, code: 1002},
	{name: "RSV1 on a control frame", in: frame(finPing|0x40, ""), deflate: true, code: 1002},
	{name: "RSV1 on a continuation", in: join(frame(opText, "a"), frame(finCont|0x40, "b")), deflate: true, code: 1002},
	{name: "opcode 3", in: frame(bitFin|0x3, ""), code: 1002},
	{name: "opcode 7", in: frame(bitFin|0x7, ""), code: 1002},
	{name: "opcode 11", in: frame(bitFin|0xB, ""), code: 1002},
	{name: "opcode 15", in: frame(bitFin|0xF, ""), code: 1002},
	{name: "fragmented ping", in: frame(opPing, ""), code: 1002},
	{name: "fragmented close", in: frame(opClose, ""), code: 1002},
	{name: "ping of 126", in: frame(finPing, strings.Repeat("p", 126)), code: 1002},
	{name: "close of 126", in: frame(finClose, "\x03\xe8"+strings.Repeat("p", 124)), code: 1002},
	{name: "continuation of nothing", in: frame(finCont, "x"), code: 1002},
	{name: "continuation after a whole message", in: join(frame(finText, "a"), frame(finCont, "x")), messages: []string{"a"}, code: 1002},
	{name: "message within a message", in: join(frame(opText, "a"), frame(finText, "b")), code: 1002},
	{name: "16-bit length is not minimal", in: []byte{finText, bitMask | 126, 0, 125, 0, 0, 0, 0}, code: 1002},
	{name: "64-bit length is not minimal", in: []byte{finText, bitMask | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, code: 1002},
	{name: "64-bit length is negative", in: []byte{finText, bitMask | 127, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, code: 1002},
	{name: "messages before an error count", in: join(frame(finText, "a"), frame(finText|0x20, "x")), messages: []string{"a"}, code: 1002},
	{name: "nothing counts after an error", in: join(frame(finText|0x20, "x"), frame(finText, "a")), code: 1002},
	{name: "close", in: frame(finClose, "\x03\xe8bye"), code: 1000},
	{name: "close 4999", in: frame(finClose, "\x13\x87"), code: 4999},
	{name: "close with the longest reason", in: frame(finClose, "\x0b\xb8"+strings.Repeat("r", 123)), code: 3000},
	{name: "close without code", in: frame(finClose, ""), code: 1},
	{name: "close with half a code", in: frame(finClose, "\x03"), code: 1002},
	{name: "close 999", in: frame(finClose, "\x03\xe7"), code: 1002},
	{name: "close 1004", in: frame(finClose, "\x03\xec"), code: 1002},
	{name: "close 1005", in: frame(finClose, "\x03\xed"), code: 1002},
	{name: "close 1006", in: frame(finClose, "\x03\xee"), code: 1002},
	{name: "close 1015", in: frame(finClose, "\x03\xf7"), code: 1002},
	{name: "close 2999", in: frame(finClose, "\x0b\xb7"), code: 1002},
	{name: "close 5000", in: frame(finClose, "\x13\x88"), code: 1002},
	{name: "close reason is not UTF-8", in: frame(finClose, "\x03\xe8\xff"), code: 1007},
	{name: "data after close is ignored", in: join(frame(finText, "a"), frame(finClose, "\x03\xe8"), frame(finText, "b"), frame(finPing, "c")), messages: []string{"a"}, code: 1000, late: true},
	{name: "close within a message", in: join(frame(opText, "a"), frame(finClose, "\x03\xe8")), code: 1000},
	{name: "compressed", in: frame(finText|0x40, "\xf2\x48\xcd\xc9\xc9\x07\x00"), deflate: true, messages: []string{"Hello"}},
	{name: "compressed in fragments", in: join(frame(opText|0x40, "\xf2\x48\xcd"), frame(finPing, "p"), frame(finCont, "\xc9\xc9\x07\x00")), deflate: true, messages: []string{"Hello"}, pongs: []string{"p"}},
	{name: "compressed in a stored block", in: frame(finText|0x40, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), deflate: true, messages: []string{"Hello"}},
	{name: "compressed with a final block", in: frame(finText|0x40, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), deflate: true, messages: []string{"Hello"}},
	{name: "compressed in two blocks", in: frame(finText|0x40, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), deflate: true, messages: []string{"Hello"}},
	{name: "compressed and empty", in: frame(finText|0x40, "\x00"), deflate: true, messages: []string{""}},
	{name: "not compressed though it may be", in: frame(finText, "Hello"), deflate: true, messages: []string{"Hello"}},
	{name: "compressed invalid data", in: frame(finText|0x40, "\xff\xff\xff"), deflate: true, code: 1007},
	{name: "compressed text is not UTF-8", in: frame(finText|0x40, "\x00\x01\x00\xfe\xff\xff\x00"), deflate: true, code: 1007},
	{name: "contexts do not outlive a message", in: join(frame(finText|0x40, "\xf2\x48\xcd\xc9\xc9\x07\x00"), frame(finText|0x40, "\xf2\x00\x11\x00\x00")), deflate: true, messages: []string{"Hello"}, code: 1007},
}

// declared is the header of a frame that declares length, and a few bytes of it.
func declared(first byte, length uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{first, bitMask | 127}, length)
	return append(b, 0, 0, 0, 0, 'x', 'x', 'x')
}

func TestRFC(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{Compression: true}, wire)
		for _, c := range rfcCases {
			for name, size := range map[string]int{"whole": 1 << 20, "bytes": 1} {
				if size == 1 && len(c.in) > 1000 {
					size = 777 // the point is made without a system call for each byte
				}
				t.Run(c.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					var extra []string
					if c.deflate {
						extra = append(extra, "Sec-WebSocket-Extensions: permessage-deflate")
					}
					p := s.dial(t, "/", extra...)
					for rest := c.in; len(rest) > 0; {
						n := min(size, len(rest))
						if _, err := p.Write(rest[:n]); err != nil {
							break // the server has made up its mind
						}
						rest = rest[n:]
					}
					for _, pong := range c.pongs {
						p.expect(finPong, pong)
					}
					if c.late {
						p.expectClose(c.code)
						p.session.expectGone(t, &CloseError{Code: c.code})
					} else {
						checkEnd(t, p, c.code)
					}
					p.session.expect(t, c.messages...)
					for range c.native {
						await.Receive(t, p.session.pongs, "pong")
					}
					if len(p.session.messages) != 0 {
						t.Fatalf("got message %q; want none", <-p.session.messages)
					}
				})
			}
		}
	})
}

// checkEnd checks that the connection ends as code says: lives for 0, a close
// frame without code for 1.
func checkEnd(t *testing.T, p *peer, code uint16) {
	t.Helper()
	switch code {
	case 0:
		p.send(frame(finPing, "alive"))
		p.expect(finPong, "alive")
		return
	case 1:
		p.expect(finClose, "")
		p.expectEnd()
		p.session.expectGone(t, &CloseError{Code: closeNoStatus})
		return
	}
	p.expectClose(code)
	p.expectEnd()
	if code == closeProtocolError || code == closeInvalidData || code == closeTooBig {
		if d := await.Receive(t, p.session.disconnects, "Disconnect"); d.Code != uint32(code) || d.Reason == "" {
			t.Fatalf("Disconnect %v; want Code %v", d, uint32(code))
		}
		_ = p.Close()
		p.session.expectGone(t, nil)
		return
	}
	p.session.expectGone(t, &CloseError{Code: code})
}

// A peer that goes on sending after an error still gets the close frame, and
// the connection ends in time: sooner the more is sent.
func TestCloseFrameReachesAStubbornPeer(t *testing.T) {
	for _, test := range []struct {
		chunks  int
		timeout time.Duration
		want    error
	}{
		{0, testCloseTimeout, errCloseTimeout},
		{maxDiscarded>>16 - 2, testCloseTimeout, errCloseTimeout},
		{maxDiscarded >> 10, time.Hour, errSendsOn},
	} {
		polledWires(t, func(t *testing.T, wire wire) {
			s := newServerOn(t, Config{CloseTimeout: test.timeout}, wire)
			p := s.dial(t, "/")
			p.send(frame(finText, strings.Repeat("x", 70000)))
			p.expectClose(closeTooBig)
			p.expectEnd() // of what the server sends; it still reads
			chunk := make([]byte, 64<<10)
			for range test.chunks {
				if _, err := p.Write(chunk); err != nil {
					break
				}
			}
			p.session.expectGone(t, test.want)
		})
	}
}

func TestFrameHelpers(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536} {
		b := frame(finText, strings.Repeat("x", n))
		h, size, bad := parseHeader(b)
		if bad != nil || size == 0 || h.length != int64(n) || len(b) != size+n {
			t.Fatalf("%d: %+v %d %v; want nil, more than 0, length %v and len(b) %v", n, h, size, bad, int64(n), size+n)
		}
		plain := appendHeader(nil, finText, n)
		plain = append(plain, make([]byte, n)...)
		if len(serverPayload(plain)) != n {
			t.Fatalf("the payload has %d bytes; want %d", len(serverPayload(plain)), n)
		}
	}
	long := strings.Repeat("x", 122) + "äöü"
	b := appendClose(nil, 3000, long)
	if len(b) != 2+2+122 || string(b[4:]) != long[:122] {
		t.Fatalf("reason was cut to %q; want len(b) %v and %v", b[4:], 2+2+122, long[:122])
	}
}

package loadtest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"centrifugo/internal/wsframe"
	"centrifugo/protocol"
)

// tape is a link that keeps what is written; it takes at most capacity bytes, unless that is negative.
type tape struct {
	written  bytes.Buffer
	capacity int
	closed   bool
	watched  bool
}

func (t *tape) write(b []byte) (int, error) {
	if t.closed {
		return 0, errors.New("closed")
	}
	if t.capacity >= 0 && len(b) > t.capacity {
		b = b[:t.capacity]
	}
	t.written.Write(b)
	return len(b), nil
}

func (t *tape) watch(writable bool) { t.watched = writable }
func (t *tape) close()              { t.closed = true }

// newTestFleet has one client, which has sent its handshake.
func newTestFleet(t testing.TB, change func(*Options)) (*fleet, *client, *tape) {
	t.Helper()
	o := valid()
	o.Clients, o.Rate = 1, 1
	if change != nil {
		change(&o)
	}
	o.complete()
	f, err := newFleet(&Share{Options: o, Run: 1, Clients: 1, Workers: 1, SampleEvery: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.shut)
	c, l := f.clients[0], &tape{capacity: -1}
	c.link, c.pending, c.state = l, len(c.positions), stateDialing
	f.opened(c)
	return f, c, l
}

func (f *fleet) switched(extra string) []byte {
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + f.handshake.accept + "\r\n" + extra + "\r\n")
}

func serverFrame(first byte, payload string) []byte {
	return wsframe.Append(nil, first, []byte(payload))
}

func publication(f *fleet, publisher uint32, number uint64) string {
	return fmt.Sprintf(`{"push":{"channel":"bench","pub":{"data":%s}}}`, f.payloads.append(nil, stamp{publisher, number, 1}))
}

// hello is everything up to being subscribed.
func hello(f *fleet) []byte { return greeting(f, `{}`) }

// deltaHello grants deltas.
func deltaHello(f *fleet) []byte { return greeting(f, `{"delta":true}`) }

func greeting(f *fleet, subscribed string) []byte {
	return append(f.switched(""), serverFrame(wsframe.Fin|wsframe.Text, `{"id":1,"connect":{"client":"x","ping":25,"pong":true}}`+"\n"+`{"id":2,"subscribe":`+subscribed+`}`)...)
}

func TestConversation(t *testing.T) {
	for _, step := range []int{1, 2, 3, 7, 50, 1 << 20} { // bytes in each read
		f, c, l := newTestFleet(t, nil)
		script := hello(f)
		script = append(script, serverFrame(wsframe.Fin|wsframe.Text, publication(f, 0, 1)+"\n{}\n"+publication(f, 1, 1))...)
		long := publication(f, 0, 2)
		script = append(script, serverFrame(wsframe.Text, long[:40])...)
		script = append(script, serverFrame(wsframe.Fin|wsframe.Ping, "are you there")...) // between fragments
		script = append(script, serverFrame(wsframe.Continuation, long[40:60])...)
		script = append(script, serverFrame(wsframe.Fin|wsframe.Continuation, long[60:])...)
		script = append(script, serverFrame(wsframe.Fin|wsframe.Text, `{"push":{"channel":"bench","join":{"info":{"user":"","client":"y"}}}}`)...)
		script = append(script, serverFrame(wsframe.Fin|wsframe.Text, `{"push":{"channel":"bench","pub":{"data":{"of":"another client"}}}}`)...)
		script = append(script, serverFrame(wsframe.Fin|wsframe.Text, `{"push":{"channel":"bench","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`)...)
		script = append(script, serverFrame(wsframe.Fin|wsframe.Close, "\x0b\xc0slow")...)
		var rest []byte
		for len(script) > 0 {
			n := min(step, len(script))
			rest = append([]byte(nil), f.feed(c, append(rest, script[:n]...))...)
			script = script[n:]
		}
		s := f.tally
		if s.Connects != 1 || s.Ready != 0 || s.Received != 3 || s.Pings != 2 || s.Foreign != 1 || s.Gaps+s.Duplicates+s.Disorder != 0 {
			t.Errorf("step %d: %+v; want s.Connects 1, s.Ready 0, s.Received 3, s.Pings 2, s.Foreign 1 and s.Gaps+s.Duplicates+s.Disorder 0",
				step, s.Causes)
		}
		for _, want := range []Cause{{causeDisconnect, 3008, "slow"}, {causeUnsub, 2500, "insufficient state"}} {
			if s.Causes[want] != 1 || len(s.Causes) != 2 {
				t.Errorf("step %d: causes %v; want %v", step, s.Causes, want)
			}
		}
		written := l.written.String()
		for _, want := range []string{`{"id":1,"connect":{"name":"bench"}}` + "\n" + `{"id":2,"subscribe":{"channel":"bench"}}`, string(f.pongFrame), "are you there", "\x0b\xc0"} {
			if !strings.Contains(written, want) {
				t.Errorf("step %d: written %q; want %q in it", step, written, want)
			}
		}
		if !l.closed {
			t.Errorf("step %d: the connection is open; want it closed", step)
		}
	}
}

// TestBadServers: whatever a server does wrong has a name, and ends the client.
func TestBadServers(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Options)
		bytes  func(*fleet) []byte
		want   Cause
	}{
		"refused": {nil, func(*fleet) []byte { return []byte("HTTP/1.1 503 Service Unavailable\r\n\r\n") }, Cause{causeConnect, 0, "handshake: answered with 503 Service Unavailable"}},
		"no WebSocket": {nil, func(*fleet) []byte {
			return []byte("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n")
		}, Cause{causeConnect, 0, "handshake: the server does not speak WebSocket"}},
		"no HTTP":       {nil, func(*fleet) []byte { return []byte("SSH-2.0\r\n\r\n") }, Cause{causeConnect, 0, `handshake: malformed HTTP response "SSH-2.0"`}},
		"endless":       {nil, func(*fleet) []byte { return bytes.Repeat([]byte("x"), maxHandshake+1) }, Cause{causeConnect, 0, "handshake: answer too long"}},
		"no deflate":    {func(o *Options) { o.Deflate = true }, func(f *fleet) []byte { return f.switched("") }, Cause{causeConnect, 0, "handshake: the server has no permessage-deflate"}},
		"context":       {func(o *Options) { o.Deflate = true }, func(f *fleet) []byte { return f.switched("Sec-WebSocket-Extensions: permessage-deflate\r\n") }, Cause{causeConnect, 0, `handshake: the server insists on "permessage-deflate"`}},
		"uninvited":     {nil, func(f *fleet) []byte { return f.switched("Sec-WebSocket-Extensions: x\r\n") }, Cause{causeConnect, 0, `handshake: the server insists on "x"`}},
		"reserved bits": {nil, func(f *fleet) []byte { return append(hello(f), 0xb1, 0) }, Cause{causeTransport, 0, errFrame.Error()}},
		"masked":        {nil, func(f *fleet) []byte { return append(hello(f), 0x81, 0x80) }, Cause{causeTransport, 0, errFrame.Error()}},
		"opcode":        {nil, func(f *fleet) []byte { return append(hello(f), 0x83, 0) }, Cause{causeTransport, 0, errFrame.Error()}},
		"long ping":     {nil, func(f *fleet) []byte { return append(hello(f), 0x89, 126, 0, 200) }, Cause{causeTransport, 0, errFrame.Error()}},
		"continuation":  {nil, func(f *fleet) []byte { return append(hello(f), 0x80, 0) }, Cause{causeTransport, 0, errFrame.Error()}},
		"huge":          {nil, func(f *fleet) []byte { return append(hello(f), 0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0) }, Cause{causeTransport, 0, errTooLarge.Error()}},
		"bad deflate": {nil, func(f *fleet) []byte {
			return append(hello(f), serverFrame(wsframe.Fin|wsframe.Compressed|wsframe.Text, "\xff\xff")...)
		}, Cause{causeTransport, 0, "inflating: flate: corrupt input before offset 1"}},
		"bad reply": {nil, func(f *fleet) []byte { return append(hello(f), serverFrame(wsframe.Fin|wsframe.Text, `{"id":"x"}`)...) }, Cause{causeTransport, 0, ""}},
		"other reply": {nil, func(f *fleet) []byte {
			return append(hello(f), serverFrame(wsframe.Fin|wsframe.Text, `{"id":77,"rpc":{}}`)...)
		}, Cause{causeTransport, 0, "reply to command 77, which was not sent"}},
		"unasked ack": {func(o *Options) { o.Scenario = Echo }, func(f *fleet) []byte {
			return append(hello(f), serverFrame(wsframe.Fin|wsframe.Text, `{"id":3,"publish":{}}`)...)
		}, Cause{causeTransport, 0, "reply to command 3, which was not sent"}},
		"error": {nil, func(f *fleet) []byte {
			return append(f.switched(""), serverFrame(wsframe.Fin|wsframe.Text, `{"id":1,"error":{"code":109,"message":"token`+"\x01"+` expired"}}`)...)
		}, Cause{causeTransport, 0, ""}},
		"refused token": {nil, func(f *fleet) []byte {
			return append(f.switched(""), serverFrame(wsframe.Fin|wsframe.Text, `{"id":1,"error":{"code":109,"message":"token expired"}}`)...)
		}, Cause{causeReply, 109, "token expired"}},
		"closed": {nil, func(f *fleet) []byte { return append(hello(f), serverFrame(wsframe.Fin|wsframe.Close, "")...) }, Cause{causeDisconnect, 1005, ""}},
		"short Protobuf": {func(o *Options) { o.Protobuf = true }, func(f *fleet) []byte {
			return append(f.switched(""), serverFrame(wsframe.Fin|wsframe.Binary, "\x05\x08")...)
		}, Cause{causeTransport, 0, "malformed Protobuf message"}},
		"no deltas": {func(o *Options) { o.Delta = true }, hello, Cause{causeDelta, 0, "the channel has no deltas"}},
		"no JSON string": {func(o *Options) { o.Delta = true }, func(f *fleet) []byte {
			return append(deltaHello(f), serverFrame(wsframe.Fin|wsframe.Text, `{"push":{"channel":"bench","pub":{"data":{}}}}`)...)
		}, Cause{causeDelta, 0, "the payload is no JSON string"}},
		"no delta": {func(o *Options) { o.Delta = true }, func(f *fleet) []byte {
			return append(deltaHello(f), serverFrame(wsframe.Fin|wsframe.Text, `{"push":{"channel":"bench","pub":{"data":"x","delta":true}}}`)...)
		}, Cause{causeDelta, 0, ""}},
		"no recovery": {func(o *Options) { o.Scenario = Recover }, hello, Cause{causeRecover, 0, "the channel has no recovery"}},
	} {
		f, c, l := newTestFleet(t, tt.change)
		f.feed(c, tt.bytes(f))
		found := f.tally.Causes[tt.want] == 1
		for cause := range f.tally.Causes {
			found = found || tt.want.Reason == "" && cause.Kind == tt.want.Kind && cause.Code == tt.want.Code
		}
		if !found || !l.closed || c.state != stateClosed {
			t.Errorf("%s: %v, closed %v; want %v", name, f.tally.Causes, l.closed, tt.want)
		}
	}
}

func TestHeldBack(t *testing.T) {
	f, c, l := newTestFleet(t, nil)
	f.feed(c, hello(f))
	before := l.written.String()
	l.capacity = 3
	f.send(c, []byte("abcdef"))
	f.send(c, []byte("ghi"))
	if !l.watched || string(c.out) != "defghi" {
		t.Fatalf("watched %v, kept %q; want true, \"defghi\"", l.watched, c.out)
	}
	l.capacity = -1
	f.flush(c)
	if l.watched || len(c.out) != 0 || l.written.String() != before+"abcdefghi" {
		t.Errorf("watched %v, kept %q, written %q; want false, \"\", \"abcdefghi\"", l.watched, c.out, l.written.String()[len(before):])
	}
	l.capacity = 0
	for c.state == stateReady {
		f.send(c, make([]byte, 1<<20))
	}
	if f.tally.Causes[Cause{causeTransport, 0, "the server does not read"}] != 1 {
		t.Errorf("causes %v; want 1", f.tally.Causes)
	}
}

func TestInflate(t *testing.T) {
	var i inflater
	const messages = 300 // more than are kept
	var packed [messages][]byte
	for round := range 3 {
		for n := range messages {
			message := strings.Repeat(fmt.Sprintf("message %d. ", n), 1+n%7)
			if round == 0 {
				packed[n] = deflated(t, message)
			}
			got, err := i.unpack(packed[n])
			if err != nil || string(got) != message {
				t.Fatalf("round %d: %q, %v; want %q", round, got, err, message)
			}
		}
		if _, err := i.unpack([]byte{0xff, 0xff, 0xff}); err == nil {
			t.Fatal("nonsense was unpacked; want an error")
		}
	}
}

// deflated is a message as RFC 7692, section 7.2.1, makes it.
func deflated(t testing.TB, message string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// TestDeliveryAllocatesNothing, in either encoding, packed or not.
func TestDeliveryAllocatesNothing(t *testing.T) {
	for _, protobuf := range []bool{false, true} {
		f, c, _ := newTestFleet(t, func(o *Options) { o.Protobuf = protobuf })
		c.state = stateReady
		f.tally.Latency.Record(1)
		var message []byte
		if protobuf {
			reply := &protocol.Reply{Push: &protocol.Push{Channel: "bench", Pub: &protocol.Publication{Data: f.payloads.append(nil, stamp{0, 1, 1})}}}
			encoded, err := protocol.AppendReply(nil, protocol.FormatProtobuf, reply)
			if err != nil {
				t.Fatal(err)
			}
			message = append([]byte{byte(len(encoded))&0x7f | 0x80, byte(len(encoded) >> 7)}, encoded...)
		} else {
			message = []byte(publication(f, 0, 1))
		}
		frame := serverFrame(wsframe.Fin|wsframe.Binary, string(message))
		frame = append(frame, serverFrame(wsframe.Fin|wsframe.Compressed|wsframe.Binary, string(deflated(t, string(message))))...)
		f.feed(c, frame)
		allocations := testing.AllocsPerRun(100, func() { f.feed(c, frame) })
		if allocations > 0 || f.tally.Deliveries != 204 || f.tally.Causes != nil {
			t.Errorf("protobuf %v: %v allocations, %d deliveries, %v; want 0, 204 and nil",
				protobuf, allocations, f.tally.Deliveries, f.tally.Causes)
		}
	}
}

// FuzzFeed: nothing that a server sends may do more than end the client.
func FuzzFeed(f *testing.F) {
	fl, _, _ := newTestFleet(f, nil)
	f.Add(hello(fl), false)
	f.Add(append(hello(fl), serverFrame(wsframe.Fin|wsframe.Text, publication(fl, 0, 1))...), false)
	f.Add(append(hello(fl), serverFrame(wsframe.Fin|wsframe.Compressed|wsframe.Text, string(deflated(f, "{}")))...), false)
	f.Add(append(fl.switched(""), serverFrame(wsframe.Fin|wsframe.Binary, "\x04\x08\x01\x2a\x00")...), true)
	f.Fuzz(func(t *testing.T, b []byte, protobuf bool) {
		fl, c, l := newTestFleet(t, func(o *Options) { o.Protobuf = protobuf })
		fl.handshake.accept = fl.handshake.accept[:0] // no peer can guess it
		b = bytes.ReplaceAll(b, []byte("Sec-WebSocket-Accept"), []byte("X"))
		rest := fl.feed(c, append([]byte(nil), b...))
		if len(rest) > len(b) || (c.state == stateClosed) != l.closed {
			t.Errorf("%d bytes left of %d, state %d, closed %v; want no more than before, and one state", len(rest), len(b), c.state, l.closed)
		}
	})
}

// BenchmarkDelivery is what one delivery costs beside the system call.
func BenchmarkDelivery(b *testing.B) {
	f, c, _ := newTestFleet(b, nil)
	c.state, f.sampleEvery = stateReady, 7
	frame := serverFrame(wsframe.Fin|wsframe.Text, publication(f, 0, 1))
	b.ReportAllocs()
	for b.Loop() {
		f.feed(c, frame)
	}
}

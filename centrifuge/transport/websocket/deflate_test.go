package websocket

import (
	"bytes"
	"crypto/rand"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"centrifugo/internal/await"
	"centrifugo/protocol"
)

// inflated is what a client makes of a compressed payload.
func inflated(t *testing.T, payload []byte) string {
	t.Helper()
	r := flate.NewReader(strings.NewReader(string(payload) + inflateTail))
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func deflate(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), deflateTail)
}

const deflateOfferLine = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

func TestOutgoingCompression(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{Compression: true, CompressionMinSize: 100}, wire)
		long := strings.Repeat("compress me ", 50)
		random := make([]byte, 500)
		_, _ = rand.Read(random)
		for _, path := range []string{"/", "/?format=protobuf"} {
			p := s.dial(t, path, deflateOfferLine)
			plain := s.dial(t, path)
			join := func(batch []*protocol.Encoded) string {
				joined := appendJoined(nil, batch, path != "/")
				return string(serverPayload(joined))
			}
			first := firstByte(path != "/")

			one := frames(long)
			write(t, p, one)
			gotFirst, got, err := p.message()
			if err != nil || gotFirst != first|bitRSV1 || len(got) > 100 || inflated(t, got) != join(one) {
				t.Fatalf("%x %q %v; want at most 100 bytes, deflated, of %q", gotFirst, got, err, join(one))
			}
			write(t, plain, one)
			plain.expect(first, join(one))

			for _, same := range [][]*protocol.Encoded{frames("small"), frames(string(random))} {
				write(t, p, same) // too small, and not smaller
				p.expect(first, join(same))
			}

			mixed := frames("a", "b", long, string(random), "c", long)
			write(t, p, mixed)
			p.expect(first, join(mixed[:2]))
			if _, got, _ := p.message(); inflated(t, got) != join(mixed[2:3]) {
				t.Fatalf("got %q; want %q", inflated(t, got), join(mixed[2:3]))
			}
			p.expect(first, join(mixed[3:5]))
			if _, got, _ := p.message(); inflated(t, got) != join(mixed[5:]) {
				t.Fatalf("got %q; want %q", inflated(t, got), join(mixed[5:]))
			}
		}
	})
}

// A broadcast is compressed once, whoever reads it and whatever is beside it.
func TestCompressedOnce(t *testing.T) {
	s := newServer(t, Config{Compression: true}, false)
	f := frames(strings.Repeat("compress me ", 50))
	var message []byte
	for range 5 {
		p := s.dial(t, "/", deflateOfferLine)
		write(t, p, f)
		write(t, p, append(frames("x"), f...))
		for range 3 {
			if _, _, err := p.message(); err != nil {
				t.Fatal(err)
			}
		}
		again := s.handler.deflater.deflated(f[0], false)
		if message != nil && &again[0] != &message[0] {
			t.Fatal("compressed again; want the message of the first time")
		}
		message = again
	}
}

func TestIncomingCompression(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{Compression: true, MessageSizeLimit: 1000}, wire)
		p := s.dial(t, "/", deflateOfferLine)
		limit := strings.Repeat("x", 10000)
		p.send(frame(finText|bitRSV1, deflate(t, "short")), frame(finText|bitRSV1, deflate(t, limit)))
		p.session.expect(t, "short", limit)
		p.send(frame(finText|bitRSV1, deflate(t, limit+"x")))
		p.expectClose(closeTooBig)
		if d := await.Receive(t, p.session.disconnects, "Disconnect"); d.Code != closeTooBig {
			t.Fatalf("Disconnect(%+v); want the code %d", d, closeTooBig)
		}
	})
}

// A bomb of 64 MiB costs no more than the limit.
func TestDeflateBomb(t *testing.T) {
	bomb := []byte(deflate(t, strings.Repeat("\x00", 64<<20)))
	const limit = 100 << 10
	i := inflaters.New().(*inflater)
	out, bad := i.inflate(bomb, limit)
	if out != nil || bad == nil || bad.Code != closeTooBig {
		t.Fatalf("%d bytes, %v; want none, code %d", len(out), bad, closeTooBig)
	}
	if cap(i.out) > limit+1 {
		t.Fatalf("buffer grew to %d bytes; want at most %v", cap(i.out), limit+1)
	}
	if out, bad := i.inflate([]byte(deflate(t, strings.Repeat("y", limit))), limit); bad != nil || len(out) != limit {
		t.Fatalf("%d bytes, %v; want nil and %v", len(out), bad, limit)
	}
	s := newServer(t, Config{Compression: true}, false)
	p := s.dial(t, "/", deflateOfferLine)
	p.send(frame(finBinary|bitRSV1, string(bomb)))
	if len(bomb) > 65536 {
		t.Fatalf("bomb of %d bytes is refused for its own size; want at most 65536", len(bomb))
	}
	if reason := p.expectClose(closeTooBig); !strings.Contains(reason, "inflated") {
		t.Fatalf("reason %q; want one that says inflated", reason)
	}
}

func FuzzInflate(f *testing.F) {
	f.Add([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"))
	f.Add([]byte{})
	f.Add([]byte("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		i := inflaters.Get().(*inflater)
		defer i.release()
		const limit = 5000
		out, bad := i.inflate(payload, limit)
		if bad == nil && len(out) > limit {
			t.Fatalf("%d bytes; want at most %d", len(out), limit)
		}
		if bad == nil {
			again, bad := i.inflate([]byte(deflate(t, string(bytes.Clone(out)))), limit)
			if bad != nil || len(again) != len(out) {
				t.Fatalf("%d bytes became %d, %v; want the same number", len(out), len(again), bad)
			}
		}
	})
}

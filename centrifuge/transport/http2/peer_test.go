package http2

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer is a client that sends the frames that a test wants.
type peer struct {
	t     testing.TB
	tls   *tls.Conn
	frame *xhttp2.Framer
	block bytes.Buffer
	hpack *hpack.Encoder
}

// dial begins a connection: preface and settings.
func (s *server) dial(t testing.TB, settings ...xhttp2.Setting) *peer {
	t.Helper()
	p := s.dialSilent(t)
	if _, err := io.WriteString(p.tls, preface); err != nil {
		t.Fatal(err)
	}
	p.try(p.frame.WriteSettings(settings...))
	return p
}

// dialSilent sends nothing.
func (s *server) dialSilent(t testing.TB) *peer {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	trust := s.trust.Clone()
	trust.NextProtos = []string{"h2"}
	trust.ServerName = "example.com"
	p := &peer{t: t, tls: tls.Client(c, trust)}
	_ = p.tls.SetDeadline(time.Now().Add(waitLimit))
	t.Cleanup(func() { _ = c.Close() })
	if err := p.tls.Handshake(); err != nil {
		t.Fatal(err)
	}
	p.frame = xhttp2.NewFramer(p.tls, p.tls)
	p.frame.AllowIllegalWrites = true
	p.hpack = hpack.NewEncoder(&p.block)
	return p
}

// try fails the test if a frame could not be sent, unless the server has ended the connection.
func (p *peer) try(err error) {
	var ended *net.OpError
	if err != nil && !errors.As(err, &ended) {
		p.t.Helper()
		p.t.Fatal(err)
	}
}

// encode returns a header block; fields are names and values.
func (p *peer) encode(fields ...string) []byte {
	p.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.try(p.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return bytes.Clone(p.block.Bytes())
}

// get is the header of a request.
func (p *peer) get(more ...string) []byte {
	return p.encode(append([]string{":method", "GET", ":scheme", "https", ":authority", "example.com", ":path", "/"}, more...)...)
}

// request sends a request without a body.
func (p *peer) request(stream uint32) {
	p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: stream, BlockFragment: p.get(), EndHeaders: true, EndStream: true}))
}

// until reads frames until one is wanted, or returns nil at the end of the connection.
func (p *peer) until(wanted func(xhttp2.Frame) bool) xhttp2.Frame {
	p.t.Helper()
	for {
		f, err := p.frame.ReadFrame()
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			p.t.Fatalf("no such frame within %v", waitLimit)
		case err != nil:
			return nil
		case wanted(f):
			return f
		}
	}
}

// goAway returns the code with which the server ends the connection.
func (p *peer) goAway() xhttp2.ErrCode {
	p.t.Helper()
	f := p.until(func(f xhttp2.Frame) bool { _, ok := f.(*xhttp2.GoAwayFrame); return ok })
	if f == nil {
		p.t.Fatal("the connection ended without GOAWAY")
	}
	return f.(*xhttp2.GoAwayFrame).ErrCode
}

// ended waits for the end of the connection.
func (p *peer) ended() {
	p.t.Helper()
	p.until(func(xhttp2.Frame) bool { return false })
}

func newDecoder() *hpack.Decoder { return hpack.NewDecoder(tableSize, nil) }

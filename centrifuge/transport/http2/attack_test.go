package http2

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Each of these clients would make the server work or keep memory without end. Its connection
// is ended, and another one is served.
func TestAttacks(t *testing.T) {
	const frames = 20 * budgetBurst
	ping := func(p *peer) { p.try(p.frame.WritePing(false, [8]byte{})) }
	for _, test := range []struct {
		name  string
		frame func(p *peer, i int)
		code  xhttp2.ErrCode
	}{
		{"pings", func(p *peer, _ int) { ping(p) }, xhttp2.ErrCodeEnhanceYourCalm},
		{"settings", func(p *peer, _ int) { p.try(p.frame.WriteSettings()) }, xhttp2.ErrCodeEnhanceYourCalm},
		{"priorities", func(p *peer, i int) {
			p.try(p.frame.WritePriority(uint32(2*i+1), xhttp2.PriorityParam{}))
		}, xhttp2.ErrCodeEnhanceYourCalm},
		{"windows", func(p *peer, _ int) { p.try(p.frame.WriteWindowUpdate(0, 1)) }, xhttp2.ErrCodeEnhanceYourCalm},
		{"windows of a stream", func(p *peer, i int) {
			if i == 0 {
				p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.get(), EndHeaders: true}))
			}
			p.try(p.frame.WriteWindowUpdate(1, 1))
		}, xhttp2.ErrCodeEnhanceYourCalm},
		{"unknown frames", func(p *peer, _ int) { p.try(p.frame.WriteRawFrame(0xbe, 0, 0, nil)) }, xhttp2.ErrCodeEnhanceYourCalm},
		{"empty data", func(p *peer, i int) {
			if i == 0 {
				p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.get(), EndHeaders: true}))
			}
			p.try(p.frame.WriteData(1, false, nil))
		}, xhttp2.ErrCodeEnhanceYourCalm},
		// CVE-2023-44487.
		{"requests that are reset", func(p *peer, i int) {
			p.request(uint32(2*i + 1))
			p.try(p.frame.WriteRSTStream(uint32(2*i+1), xhttp2.ErrCodeCancel))
		}, xhttp2.ErrCodeEnhanceYourCalm},
		// CVE-2024-27316.
		{"continuations", func(p *peer, i int) {
			if i == 0 {
				p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.get(), EndStream: true}))
			}
			p.try(p.frame.WriteContinuation(1, false, p.encode("x-more", strings.Repeat("x", 1000))))
		}, xhttp2.ErrCodeEnhanceYourCalm},
		{"continuations of a long header", func(p *peer, i int) {
			if i == 0 {
				p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.get(), EndStream: true}))
			}
			p.try(p.frame.WriteContinuation(1, false, appendField(nil, "X-More", strings.Repeat("x", 10_000))))
		}, xhttp2.ErrCodeEnhanceYourCalm},
		{"empty continuations", func(p *peer, i int) {
			if i == 0 {
				p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.get(), EndStream: true}))
			}
			p.try(p.frame.WriteContinuation(1, false, nil))
		}, xhttp2.ErrCodeEnhanceYourCalm},
		{"data beyond the window", func(p *peer, i int) {
			if i == 0 {
				p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.get(), EndHeaders: true}))
			}
			p.try(p.frame.WriteData(1, false, make([]byte, maxFrame))) // the stream is reset first
		}, xhttp2.ErrCodeEnhanceYourCalm},
		{"a window that overflows", func(p *peer, _ int) { p.try(p.frame.WriteWindowUpdate(0, 1<<31-1)) }, xhttp2.ErrCodeFlowControl},
		{"initial windows that overflow", func(p *peer, i int) {
			if i == 0 {
				p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.get(), EndHeaders: true}))
				p.try(p.frame.WriteWindowUpdate(1, 1<<31-1-windowStream))
			}
			p.try(p.frame.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1<<31 - 1}))
		}, xhttp2.ErrCodeFlowControl},
		{"a table that does not exist", func(p *peer, i int) {
			p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}, EndHeaders: true}))
		}, xhttp2.ErrCodeCompression},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			s := polled(t, func(_ http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					select {
					case <-r.Context().Done():
					case <-release:
					}
				}
			})
			defer close(release)
			p := s.dial(t)
			codes := make(chan xhttp2.ErrCode, 1)
			go func() { codes <- p.goAway() }()
			var code *xhttp2.ErrCode
			for i := 0; i < frames && code == nil; i++ {
				test.frame(p, i)
				select {
				case c := <-codes:
					code = &c
				default:
				}
			}
			if code == nil {
				c := await.Receive(t, codes, "GOAWAY")
				code = &c
			}
			if *code != test.code {
				t.Errorf("GOAWAY with %v; want %v", *code, test.code)
			}
			if response, _ := do(t, s.client, http.MethodGet, s.url+"/good", nil); response.StatusCode != http.StatusOK {
				t.Errorf("another client: %s", response.Status)
			}
			await.Until(t, "OnRefused was called once", func() bool {
				_, refused := s.noted()
				return len(refused) == 1
			})
		})
	}
}

// A header that is larger than the limit when it is decoded, though it is small before, is
// answered 431, and the connection goes on.
func TestHeaderTooLarge(t *testing.T) {
	s := polled(t, echo)
	p := s.dial(t)
	block := p.get("x-large", strings.Repeat("x", 4000)) // 4032 bytes for each reference to the table
	for range 400 {
		block = append(block, p.encode("x-large", strings.Repeat("x", 4000))...)
	}
	if len(block) > maxFrame {
		t.Fatalf("%d bytes; the block must be small", len(block))
	}
	p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, EndStream: true}))
	p.request(3)
	p.frame.ReadMetaHeaders = newDecoder()
	f := p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameHeaders }).(*xhttp2.MetaHeadersFrame)
	if f.StreamID != 1 || f.PseudoValue("status") != "431" {
		t.Errorf("stream %d is answered %s; want 431 on stream 1", f.StreamID, f.PseudoValue("status"))
	}
	f = p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameHeaders }).(*xhttp2.MetaHeadersFrame)
	if f.StreamID != 3 || f.PseudoValue("status") != "200" {
		t.Errorf("stream %d is answered %s; want 200 on stream 3", f.StreamID, f.PseudoValue("status"))
	}
}

// More requests than MaxStreams are refused, so that the client knows that they were not
// processed. Handlers of requests that were reset count until they return.
func TestStreamLimit(t *testing.T) {
	release := make(chan struct{})
	running := make(chan struct{}, 10)
	s := serve(t, Config{MaxStreams: 2, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		running <- struct{}{}
		<-release
	})}, pollableListener)
	p := s.dial(t)
	p.request(1)
	p.request(3)
	await.Receive(t, running, "request")
	await.Receive(t, running, "request")
	p.try(p.frame.WriteRSTStream(1, xhttp2.ErrCodeCancel))
	p.request(5)
	f := p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameRSTStream }).(*xhttp2.RSTStreamFrame)
	if f.StreamID != 5 || f.ErrCode != xhttp2.ErrCodeRefusedStream {
		t.Errorf("stream %d is reset with %v; want 5 with REFUSED_STREAM", f.StreamID, f.ErrCode)
	}
	close(release)
	await.Until(t, "the handlers have returned", func() bool { return s.handlers() == 0 })
	p.request(7)
	await.Receive(t, running, "request after the others")
}

// A client that reads nothing of large responses is ended, and what is kept for it is bounded:
// the answer that waits, not all of them.
func TestReadsNothing(t *testing.T) {
	written := make(chan error, 10)
	s := serve(t, Config{IdleTimeout: 100 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		_, err := w.Write(make([]byte, 64<<20))
		written <- err
	})}, pollableListener)
	p := s.dial(t, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1<<31 - 1})
	p.try(p.frame.WriteWindowUpdate(0, 1<<30))
	for i := range 4 {
		p.request(uint32(2*i + 1))
	}
	await.Until(t, "the socket takes no more", func() bool { return s.backlog() > 0 })
	if n := s.backlog(); n > maxBacklog {
		t.Errorf("%d bytes wait for the client; want at most %d", n, maxBacklog)
	}
	for range 4 {
		if err := await.Receive(t, written, "end of a response"); err == nil {
			t.Error("a response that nothing reads was written")
		}
	}
	// closeTimeout later.
	await.Until(t, "the connection has ended", func() bool { return s.connections() == 0 })
}

// A server whose answers a client does not read stops reading, in the middle of what it has
// got, and goes on when the client reads.
func TestAnswersAreNotRead(t *testing.T) {
	c := newTestConn(nil)
	defer c.drop(io.EOF)
	socket := &transporttest.FullSocket{}
	c.writer.Socket = socket
	const requests = 3 * maxBacklog / 15 // which is the size of an answer
	var in, block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", "without-a-slash"}} { // is answered at once
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1], Sensitive: true})
	}
	in.WriteString(preface)
	framer := xhttp2.NewFramer(&in, nil)
	_ = framer.WriteSettings()
	for i := range requests {
		_ = framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	}
	rest := in.Bytes()
	for more := true; more && len(rest) > 0; {
		var n int
		n, more = c.Data(rest[:min(len(rest), 10_000)])
		rest = rest[n:]
	}
	if n := c.writer.Len(); len(rest) == 0 || n > maxBacklog+1000 {
		t.Errorf("%d bytes are not read, and %d wait for the client; want some, and at most %d and an answer", len(rest), n, maxBacklog)
	}
	socket.Accepts = true
	c.Writable()
	for len(rest) > 0 {
		n, more := c.Data(rest[:min(len(rest), 10_000)])
		if !more {
			t.Fatalf("%d bytes are not read though the client reads", len(rest))
		}
		rest = rest[n:]
	}
	if want := uint32(2*requests - 1); c.last != want || c.writer.Len() > 0 {
		t.Errorf("the last request is %d, and %d bytes wait; want %d and none", c.last, c.writer.Len(), want)
	}
}

// What is left of a body when the handler has answered without it, in however small parts, is
// no reason to end the connection.
func TestLateBody(t *testing.T) {
	s := polled(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	p := s.dial(t)
	p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.get(), EndHeaders: true}))
	p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameRSTStream })
	const size = 20
	for range windowStream / size {
		p.try(p.frame.WriteData(1, false, make([]byte, size)))
	}
	p.request(3)
	if f := p.until(func(f xhttp2.Frame) bool { return f.Header().StreamID == 3 || f.Header().Type == xhttp2.FrameGoAway }); f == nil || f.Header().Type != xhttp2.FrameHeaders {
		t.Errorf("the next request got %v; want an answer", f)
	}
	for range 5 * budgetBurst {
		p.try(p.frame.WriteData(1, false, make([]byte, size)))
	}
	if code := p.goAway(); code != xhttp2.ErrCodeEnhanceYourCalm {
		t.Errorf("GOAWAY with %v after more than the window; want ENHANCE_YOUR_CALM", code)
	}
}

// Requests that are refused because of MaxStreams cannot be sent without end.
func TestRefusedRequests(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, Config{MaxStreams: 1, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })}, pollableListener)
	defer close(release)
	p := s.dial(t)
	for i := range 5 * budgetBurst {
		p.request(uint32(2*i + 1))
	}
	if code := p.goAway(); code != xhttp2.ErrCodeEnhanceYourCalm {
		t.Errorf("GOAWAY with %v; want ENHANCE_YOUR_CALM", code)
	}
}

// Cookies in as many fields as the limit admits are joined once: 30 KB on the wire.
func TestManyCookies(t *testing.T) {
	seen := make(chan int, 1)
	s := polled(t, func(_ http.ResponseWriter, r *http.Request) { seen <- len(r.Header.Get("Cookie")) })
	p := s.dial(t)
	const cookies = 25_000
	var fields []string
	for range cookies {
		fields = append(fields, "cookie", "a")
	}
	block := p.get(fields...)
	first, rest := block[:maxFrame], block[maxFrame:]
	p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndStream: true}))
	for len(rest) > maxFrame {
		p.try(p.frame.WriteContinuation(1, false, rest[:maxFrame]))
		rest = rest[maxFrame:]
	}
	p.try(p.frame.WriteContinuation(1, true, rest))
	if n := await.Receive(t, seen, "request"); n != len("a; ")*cookies-len("; ") {
		t.Errorf("a Cookie of %d bytes; want all %d joined", n, cookies)
	}
}

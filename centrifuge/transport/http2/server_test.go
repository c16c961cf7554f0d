package http2

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"

	xhttp2 "golang.org/x/net/http2"
)

// Connections that are not HTTP/2, or cannot be polled, are served by net/http.
func TestOthersAreServedByNetHTTP(t *testing.T) {
	plain := func(l net.Listener) net.Listener { return l }
	for _, test := range []struct {
		name    string
		prepare func(net.Listener) net.Listener
		http1   bool
		want    string
	}{
		{"http/1.1", pollableListener, true, "net/http, HTTP/1.1"},
		{"not polled", plain, false, "net/http, HTTP/2.0"},
		{"http/1.1, not polled", plain, true, "net/http, HTTP/1.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, Config{Handler: http.NotFoundHandler()}, test.prepare)
			client := s.client
			if test.http1 {
				client = &http.Client{Transport: &http.Transport{TLSClientConfig: s.trust.Clone()}}
				defer client.CloseIdleConnections()
			}
			if _, body := do(t, client, http.MethodGet, s.url, nil); string(body) != test.want {
				t.Errorf("answer %q; want %q", body, test.want)
			}
		})
	}
}

// A client that sends something else than TLS is answered by net/http, and one that says
// nothing does not keep others waiting.
func TestHandshakes(t *testing.T) {
	s := serve(t, Config{Handler: http.HandlerFunc(echo), HandshakeTimeout: 200 * time.Millisecond}, pollableListener)
	silent, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	response, err := http.Get("http://" + s.address) //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("answer %s to a request without TLS; want 400", response.Status)
	}
	do(t, s.client, http.MethodGet, s.url, nil)
	_ = silent.SetReadDeadline(time.Now().Add(waitLimit))
	if _, err := io.ReadAll(silent); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent connection: %v; want it closed", err)
	}
}

// A shutdown answers what runs, ends the idle connections, and takes no more.
func TestShutdown(t *testing.T) {
	running, goOn := make(chan struct{}, 1), make(chan struct{})
	s := polled(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			running <- struct{}{}
			<-goOn
		}
		_, _ = io.WriteString(w, "done")
	})
	idle := s.dial(t)
	idle.request(1)
	idle.until(func(f xhttp2.Frame) bool {
		return f.Header().Flags.Has(xhttp2.FlagDataEndStream) && f.Header().Type == xhttp2.FrameData
	})
	answers := make(chan string, 1)
	go func() {
		response, err := s.client.Get(s.url + "/slow") //nolint:noctx // of a test
		if err != nil {
			answers <- err.Error()
			return
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			body = []byte(err.Error())
		}
		answers <- string(body)
	}()
	await.Receive(t, running, "request")
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if code := idle.goAway(); code != xhttp2.ErrCodeNo {
		t.Errorf("GOAWAY with %v; want NO_ERROR", code)
	}
	idle.ended()
	_ = idle.tls.Close()
	select {
	case err := <-done:
		t.Errorf("Shutdown() = %v; want it to wait for the request", err)
	default:
	}
	close(goOn)
	if answer := await.Receive(t, answers, "answer"); answer != "done" {
		t.Errorf("the request that ran got %q; want its answer", answer)
	}
	if err := await.Receive(t, done, "end of the shutdown"); err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	if response, err := s.newClient().Get(s.url); err == nil { //nolint:noctx // of a test
		_ = response.Body.Close()
		t.Error("a connection after the shutdown is served")
	}
}

// A shutdown that takes too long returns, and Close ends what is left.
func TestShutdownDeadline(t *testing.T) {
	running := make(chan struct{}, 1)
	ended := make(chan error, 1)
	s := polled(t, func(_ http.ResponseWriter, r *http.Request) {
		running <- struct{}{}
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	})
	p := s.dial(t)
	p.request(1)
	await.Receive(t, running, "request")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown() = %v; want that of the context", err)
	}
	s.Close()
	await.Receive(t, ended, "end of the request")
}

// A connection without streams is kept for IdleTimeout, one with a stream for as long as that
// lasts.
func TestIdleTimeout(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, Config{IdleTimeout: 50 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-release
	})}, pollableListener)
	p := s.dial(t)
	p.request(1)
	p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameHeaders })
	_ = p.tls.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	var timeout net.Error
	for {
		f, err := p.frame.ReadFrame()
		if errors.As(err, &timeout) && timeout.Timeout() {
			break
		}
		if err != nil || f.Header().Type == xhttp2.FrameGoAway {
			t.Fatalf("%v, %v; want a connection with a stream to be kept", f, err)
		}
	}
	close(release)
	await.Until(t, "the connection has ended", func() bool { return s.connections() == 0 })
	if failures, refused := s.noted(); len(failures)+len(refused) > 0 {
		t.Errorf("OnError(%v), OnRefused(%v)", failures, refused)
	}
}

// A connection that does not begin, or does not end its header, is ended.
func TestHeaderTimeout(t *testing.T) {
	s := serve(t, Config{HeaderTimeout: 50 * time.Millisecond, Handler: http.NotFoundHandler()}, pollableListener)
	s.dialSilent(t).ended()
	p := s.dial(t)
	p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: p.get(), EndStream: true}))
	if code := p.goAway(); code != xhttp2.ErrCodeEnhanceYourCalm {
		t.Errorf("GOAWAY with %v; want ENHANCE_YOUR_CALM", code)
	}
	await.Until(t, "OnRefused was told why", func() bool {
		_, refused := s.noted()
		return len(refused) == 1 && strings.Contains(refused[0].Error(), "header that does not end")
	})
}

// Without TLS, connections that begin with the preface are served here, whatever parts it comes
// in, and all others by net/http.
func TestCleartext(t *testing.T) {
	s := serve(t, Config{Cleartext: true, HeaderTimeout: 200 * time.Millisecond, Handler: http.HandlerFunc(echo)}, nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	defer client.CloseIdleConnections()
	response, body := do(t, client, http.MethodPost, "http://"+s.address, strings.NewReader("body"))
	if string(body) != "body" || response.ProtoMajor != 2 || s.connections() != 1 {
		t.Errorf("%s: %q, %d connections; want the body over HTTP/2, by the server", response.Proto, body, s.connections())
	}
	for _, test := range []struct {
		name  string
		parts []string
		want  string // what the answer begins with
	}{
		{"http/1.1", []string{"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"}, "HTTP/1.1 200 OK"},
		{"http/1.1 that begins alike", []string{"P", "RI / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"}, "HTTP/1.1 200 OK"},
		{"a preface in parts", []string{"PRI * HT", "TP/2.0\r\n\r\nSM\r", "\n\r\n"}, string(s.opening())},
		{"nothing", nil, ""},
		{"a part of the preface", []string{"PRI"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(waitLimit))
			for _, part := range test.parts {
				if _, err := io.WriteString(c, part); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, len(test.want))
			if _, err := io.ReadFull(c, got); string(got) != test.want || err != nil {
				t.Fatalf("answer %q, %v; want %q", got, err, test.want)
			}
			if test.want == "" {
				if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Read() = %d, %v; want the connection closed", n, err)
				}
			}
		})
	}
}

package http2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/internal/await"

	xhttp2 "golang.org/x/net/http2"
)

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %d %s", r.Method, r.RequestURI, r.Host, r.ContentLength, r.Header.Get("Cookie")))
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write(body)
}

func do(t *testing.T, client *http.Client, method, url string, body io.Reader, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("reading the body: %v", err)
	}
	return response, got
}

// Bodies of every size around the sizes of buffers, frames and windows come and go unchanged.
func TestBodies(t *testing.T) {
	s := polled(t, echo)
	for _, size := range []int{0, 1, bufferSize - 1, bufferSize, bufferSize + 1, maxFrame, maxFrame + 1, windowStream, windowStream + 1, windowConn + 1, 5 << 20} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d, length %v", size, known), func(t *testing.T) {
				sent := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
				var body io.Reader = bytes.NewReader(sent)
				length := strconv.Itoa(size)
				if !known {
					body, length = io.MultiReader(body), "-1"
				}
				response, got := do(t, s.client, http.MethodPost, s.url+"/a?b=c", body)
				if response.ProtoMajor != 2 || sha256.Sum256(got) != sha256.Sum256(sent) {
					t.Errorf("%s: %d bytes; want those that were sent, over HTTP/2", response.Proto, len(got))
				}
				if want := "POST /a?b=c " + s.address + " " + length + " "; response.Header.Get("X-Seen") != want {
					t.Errorf("the handler saw %q; want %q", response.Header.Get("X-Seen"), want)
				}
				if small := size <= bufferSize; small != (response.ContentLength == int64(size)) {
					t.Errorf("Content-Length %d; want it exactly for bodies that are kept whole", response.ContentLength)
				}
			})
		}
	}
	if _, refused := s.noted(); len(refused) > 0 {
		t.Errorf("OnRefused(%v)", refused)
	}
}

// What handlers do with the response is what net/http makes of it.
func TestResponses(t *testing.T) {
	for _, test := range []struct {
		name    string
		method  string
		handler http.HandlerFunc
		status  int
		header  map[string]string
		body    string
	}{
		{"nothing", "GET", func(http.ResponseWriter, *http.Request) {}, 200, map[string]string{"Content-Length": "0", "Content-Type": ""}, ""},
		{"detected", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, 200,
			map[string]string{"Content-Type": "text/html; charset=utf-8", "Content-Length": "6"}, "<html>"},
		{"encoded", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "x")
			_, _ = w.Write([]byte("<html>"))
		}, 200, map[string]string{"Content-Type": ""}, "<html>"},
		{"head", "HEAD", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("text")) }, 200,
			map[string]string{"Content-Length": "4", "Content-Type": "text/plain; charset=utf-8"}, ""},
		{"no content", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := w.Write([]byte("x")); err != http.ErrBodyNotAllowed { //nolint:errorlint // that one
				panic("Write() = " + fmt.Sprint(err))
			}
		}, 204, map[string]string{"Content-Length": "", "Content-Type": ""}, ""},
		{"status twice", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
		}, 418, nil, ""},
		{"fields", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X-Long"] = []string{strings.Repeat("x", 200)}
			w.Header().Set("Connection", "close")
			w.Header().Set("Transfer-Encoding", "chunked")
			w.Header()["X-Bad"] = []string{"a\r\nb"}
			w.Header()["bad name"] = []string{"x"}
			w.Header().Set("Date", "today")
		}, 200, map[string]string{"X-Long": strings.Repeat("x", 200), "Connection": "", "X-Bad": "", "Date": "today"}, ""},
		{"a long header", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("y", 3*maxFrame))
			_, _ = w.Write([]byte("body"))
		}, 200, map[string]string{"X-Long": strings.Repeat("y", 3*maxFrame)}, "body"},
		{"flushed", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "b")
		}, 200, map[string]string{"Content-Length": ""}, "ab"},
		{"hijacked", "GET", func(w http.ResponseWriter, _ *http.Request) {
			if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
				panic("Hijack() succeeded")
			}
			_, _ = io.WriteString(w, "no")
		}, 200, nil, "no"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := polled(t, test.handler)
			response, body := do(t, s.client, test.method, s.url, nil)
			if response.StatusCode != test.status || string(body) != test.body {
				t.Errorf("%d %q; want %d %q", response.StatusCode, body, test.status, test.body)
			}
			for name, want := range test.header {
				if got := response.Header.Get(name); got != want {
					t.Errorf("%s: %q; want %q", name, got, want)
				}
			}
			if failures, _ := s.noted(); len(failures) > 0 {
				t.Errorf("OnError(%v)", failures)
			}
		})
	}
}

// Trailers go both ways, as net/http has them.
func TestTrailers(t *testing.T) {
	s := polled(t, func(w http.ResponseWriter, r *http.Request) {
		_, announced := r.Trailer["X-Sum"]
		w.Header().Set("Trailer", "X-Announced")
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%v %s", announced, r.Trailer.Get("X-Sum"))
		w.Header().Set("X-Announced", "1")
		w.Header().Set(http.TrailerPrefix+"X-More", "2")
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{"X-Sum": {"7"}}
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err := io.ReadAll(response.Body); string(body) != "true 7" || err != nil {
		t.Errorf("the handler saw %q, %v; want %q", body, err, "true 7")
	}
	if response.Trailer.Get("X-Announced") != "1" || response.Trailer.Get("X-More") != "2" {
		t.Errorf("trailer %v; want X-Announced 1 and X-More 2", response.Trailer)
	}
}

// A client that waits for 100 Continue gets it when the handler reads; other informational
// headers come before the response.
func TestInformational(t *testing.T) {
	s := polled(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>")
		w.WriteHeader(http.StatusEarlyHints)
		echo(w, r)
	})
	var mu sync.Mutex
	var seen []int
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, code)
		return nil
	}})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Expect", "100-continue")
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	mu.Lock()
	defer mu.Unlock()
	if string(body) != "body" || err != nil || fmt.Sprint(seen) != "[103 100]" {
		t.Errorf("%q, %v after %v; want the body after 103 and 100", body, err, seen)
	}
}

// Cookies that come as several fields are one, and a request has what net/http gives it.
func TestRequestFields(t *testing.T) {
	seen := make(chan *http.Request, 1)
	s := polled(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r })
	do(t, s.client, http.MethodGet, s.url+"/path%20x?q", nil, "Cookie", "a=1; b=2", "X-Two", "1", "X-Two", "2")
	r := await.Receive(t, seen, "request")
	if r.Header.Get("Cookie") != "a=1; b=2" || fmt.Sprint(r.Header["X-Two"]) != "[1 2]" || r.URL.Path != "/path x" || r.URL.RawQuery != "q" {
		t.Errorf("header %v, URL %v", r.Header, r.URL)
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err != nil || host != "127.0.0.1" || r.TLS == nil || r.TLS.NegotiatedProtocol != "h2" {
		t.Errorf("RemoteAddr %q, TLS %+v; want the client's address, and h2", r.RemoteAddr, r.TLS)
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); !ok || local.String() != s.address {
		t.Errorf("local address %v; want %s", local, s.address)
	}
}

// Many requests on one connection at once do not disturb each other.
func TestManyAtOnce(t *testing.T) {
	s := polled(t, echo)
	do(t, s.client, http.MethodGet, s.url, nil)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			sent := strings.Repeat(strconv.Itoa(i)+",", 1+i*100)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, strings.NewReader(sent))
			if err != nil {
				t.Error(err)
				return
			}
			response, err := s.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = response.Body.Close() }()
			if got, err := io.ReadAll(response.Body); string(got) != sent || err != nil {
				t.Errorf("request %d: %d bytes, %v; want its own %d", i, len(got), err, len(sent))
			}
		})
	}
	all.Wait()
	if n := s.connections(); n != 1 {
		t.Errorf("%d connections; want the requests to share one", n)
	}
}

// A client that leaves ends the context of its request, and a write to it.
func TestClientLeaves(t *testing.T) {
	ended := make(chan error, 2)
	s := polled(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
		_, err := w.Write(make([]byte, 2*bufferSize))
		ended <- err
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = response.Body.Close()
	for _, what := range []string{"context", "write"} {
		if err := await.Receive(t, ended, what); err == nil || !strings.Contains(err.Error(), "reset the stream") {
			t.Errorf("%s: %v; want that the client has reset the stream", what, err)
		}
	}
}

// Deadlines end a read and a write that wait, whether they are set before or meanwhile.
func TestDeadlines(t *testing.T) {
	for _, early := range []bool{true, false} {
		for _, write := range []bool{true, false} {
			t.Run(fmt.Sprintf("write %v, before %v", write, early), func(t *testing.T) {
				ended := make(chan error, 1)
				s := polled(t, func(w http.ResponseWriter, r *http.Request) {
					control := http.NewResponseController(w)
					set, use := control.SetReadDeadline, func() error { _, err := r.Body.Read(make([]byte, 1)); return err }
					if write {
						set, use = control.SetWriteDeadline, func() error { _, err := w.Write(make([]byte, 64<<20)); return err }
					}
					if early {
						_ = set(time.Now().Add(20 * time.Millisecond))
					} else {
						time.AfterFunc(20*time.Millisecond, func() { _ = set(time.Now().Add(-time.Second)) })
					}
					ended <- use()
				})
				body, writer := io.Pipe()
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, body)
				if err != nil {
					t.Fatal(err)
				}
				answers := make(chan *http.Response, 1)
				go func() {
					response, _ := s.client.Do(r) // the server may reset the stream
					answers <- response
				}()
				if err := await.Receive(t, ended, "end of the wait"); err != os.ErrDeadlineExceeded { //nolint:errorlint // that one
					t.Errorf("%v; want %v", err, os.ErrDeadlineExceeded)
				}
				_ = writer.Close()
				if response := await.Receive(t, answers, "answer"); response != nil {
					_ = response.Body.Close()
				}
			})
		}
	}
}

// A handler that panics, or ends before its Content-Length, resets its stream and no other.
func TestHandlerFails(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		told    int // how often OnError is called
	}{
		{"panic", func(http.ResponseWriter, *http.Request) { panic("test") }, 1},
		{"abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0},
		{"too short", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("123"))
			_ = http.NewResponseController(w).Flush()
		}, 0},
		{"too long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1")
			if _, err := w.Write([]byte("123")); err != http.ErrContentLength { //nolint:errorlint // that one
				panic(err)
			}
		}, 0},
		{"wrong status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(1) }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := polled(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/good" {
					echo(w, r)
					return
				}
				test.handler(w, r)
			})
			do(t, s.client, http.MethodGet, s.url+"/good", nil)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := s.client.Do(r)
			if err == nil {
				_, err = io.ReadAll(response.Body)
				_ = response.Body.Close()
			}
			if err == nil {
				t.Error("the response is complete; want it reset")
			}
			if response, _ := do(t, s.client, http.MethodGet, s.url+"/good", nil); response.StatusCode != http.StatusOK {
				t.Errorf("another request: %s", response.Status)
			}
			if failures, _ := s.noted(); len(failures) != test.told {
				t.Errorf("OnError was called with %v; want %d calls", failures, test.told)
			}
			if n := s.connections(); n != 1 {
				t.Errorf("%d connections; want the same one", n)
			}
		})
	}
}

// An extended CONNECT request is announced and served where it is configured, in both
// directions at once, and is malformed elsewhere.
func TestExtendedConnect(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(strconv.FormatBool(on), func(t *testing.T) {
			s := serve(t, Config{ExtendedConnect: on, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodConnect || r.Header.Get(":protocol") != "websocket" || r.URL.Path != "/ws" {
					t.Errorf("%s %v with %v", r.Method, r.URL, r.Header)
				}
				control := http.NewResponseController(w)
				_ = control.EnableFullDuplex()
				for _ = control.Flush(); ; _ = control.Flush() {
					b := make([]byte, 100)
					n, err := r.Body.Read(b)
					if _, _ = w.Write(b[:n]); err != nil {
						return
					}
				}
			})}, pollableListener)
			p := s.dial(t)
			settings := p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameSettings }).(*xhttp2.SettingsFrame)
			if value, ok := settings.Value(settingExtendedConnect); ok != on || on && value != 1 {
				t.Errorf("SETTINGS_ENABLE_CONNECT_PROTOCOL is %d, %v; want it %v", value, ok, on)
			}
			p.try(p.frame.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: p.encode(
				":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "example.com", ":path", "/ws")}))
			if !on {
				f := p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameRSTStream }).(*xhttp2.RSTStreamFrame)
				if f.ErrCode != xhttp2.ErrCodeProtocol {
					t.Errorf("reset with %v; want PROTOCOL_ERROR", f.ErrCode)
				}
				return
			}
			for _, message := range []string{"one", "two"} {
				p.try(p.frame.WriteData(1, false, []byte(message)))
				if got, _ := p.data(1); got != message {
					t.Errorf("got %q; want %q", got, message)
				}
			}
		})
	}
}

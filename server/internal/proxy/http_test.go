package proxy

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
	"centrifugo/internal/nettest"
	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/config"
)

// backend is a server of an application, with what it was sent last.
type backend struct {
	*httptest.Server
	calls   atomic.Int64
	body    atomic.Pointer[string]
	headers atomic.Pointer[http.Header]
}

// newBackend runs a backend whose answers come from a handler, which gets the body.
func newBackend(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, body string)) *backend {
	t.Helper()
	b := new(backend)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.calls.Add(1)
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading a request: %v", err)
		}
		body := string(raw)
		headers := r.Header.Clone()
		b.body.Store(&body)
		b.headers.Store(&headers)
		answer(w, r, body)
	}))
	t.Cleanup(b.Close)
	return b
}

// answering runs a backend that answers every call with the same status and body.
func answering(t testing.TB, status int, body string) *backend {
	t.Helper()
	return newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// tester is a set with one proxy, for all events, and its log.
type tester struct {
	*Proxy
	set *Set
	log *await.Output
	// observed are the calls that were counted, and those that failed.
	observed, failed atomic.Int64
}

// newTester makes a proxy for an endpoint.
func newTester(t testing.TB, endpoint string, change func(*config.Proxy)) *tester {
	t.Helper()
	c := settings()
	c.Endpoint = endpoint
	if change != nil {
		change(&c)
	}
	test := &tester{log: new(await.Output)}
	set, err := NewSet(Sections{Named: []config.NamedProxy{{Name: "backend", Proxy: c}}}, Options{
		Headers: func(ctx context.Context) map[string][]string { return ctxHeaders(ctx) },
		Log:     slog.New(slog.NewTextHandler(test.log, nil)),
		Observe: func(o Observation) {
			test.observed.Add(1)
			if o.Failed {
				test.failed.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	test.set, test.Proxy = set, set.Find(Subscribe, "backend")
	return test
}

type headersKey struct{}

func ctxHeaders(ctx context.Context) map[string][]string {
	h, _ := ctx.Value(headersKey{}).(http.Header)
	return h
}

// caller is a connection of a user.
func caller() Caller {
	return Caller{Client: "c1", User: "42", Transport: centrifuge.TransportInfo{Name: "websocket"}}
}

// TestRequests: what a backend is told (server.md 5.3).
func TestRequests(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*config.Proxy)
		event   Event
		caller  func(*Caller)
		request Request
		meta    string
		want    string
	}{
		{name: "connect has no user", event: Connect, request: Request{Name: "js", Version: "1", Channels: []string{"a"}},
			want: `{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","name":"js","version":"1","channels":["a"]}`},
		{name: "an empty user is sent", event: RPC, caller: func(c *Caller) { c.User = "" }, request: Request{Method: "m"},
			want: `{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","user":"","method":"m"}`},
		{name: "data", event: Subscribe, request: Request{Channel: "a", Data: []byte(`{"a": "<&>"}`)},
			want: `{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","user":"42","channel":"a","data":{"a":"<&>"}}`},
		{name: "binary_encoding", event: Publish, change: func(c *config.Proxy) { c.BinaryEncoding = true }, request: Request{Channel: "a", Data: []byte{0xff}},
			caller: func(c *Caller) { c.Transport.Protobuf = true },
			want:   `{"client":"c1","transport":"websocket","protocol":"protobuf","encoding":"binary","user":"42","channel":"a","b64data":"/w=="}`},
		{name: "meta is not sent", event: Refresh, meta: `{"a":1}`,
			want: `{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","user":"42"}`},
		{name: "include_connection_meta", event: Refresh, meta: `{"a":1}`, change: func(c *config.Proxy) { c.IncludeConnectionMeta = true },
			want: `{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","user":"42","meta":{"a":1}}`},
		{name: "include_connection_meta without any", event: Refresh, change: func(c *config.Proxy) { c.IncludeConnectionMeta = true },
			want: `{"client":"c1","transport":"websocket","protocol":"json","encoding":"json","user":"42"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := answering(t, http.StatusOK, `{"result": {}}`)
			p := newTester(t, b.URL, test.change)
			c := caller()
			if test.caller != nil {
				test.caller(&c)
			}
			if test.meta != "" {
				c.Session = new(Session)
				c.Session.SetMeta([]byte(test.meta))
			}
			if _, err := p.Call(context.Background(), test.event, c, test.request); err != nil {
				t.Fatal(err)
			}
			if got := *b.body.Load(); got != test.want {
				t.Errorf("the backend got\n%s; want\n%s", got, test.want)
			}
			if got := b.headers.Load().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q; want application/json", got)
			}
		})
	}
}

// TestFailures: every answer that is none is error 100, is logged and counted (server.md
// 5.3). Only a backend that is down or overloaded opens the breaker.
func TestFailures(t *testing.T) {
	tests := []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request, body string)
		reason Reason
		down   bool
	}{
		{"201", status(201), BadStatus, false},
		{"204", status(204), BadStatus, false},
		{"301 is not followed", func(w http.ResponseWriter, r *http.Request, _ string) {
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		}, BadStatus, false},
		{"307 is not followed", func(w http.ResponseWriter, r *http.Request, _ string) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, BadStatus, false},
		{"403", status(403), BadStatus, false},
		{"429", status(429), BadStatus, true},
		{"500", status(500), BadStatus, true},
		{"503", status(503), BadStatus, true},
		{"no body", status(200), Malformed, false},
		{"not JSON", text("secret-payload"), Malformed, false},
		{"array", text("[]"), Malformed, false},
		{"wrong type", text(`{"result": {"user": 1}}`), Malformed, false},
		{"bad base64", text(`{"result": {"b64data": "!"}}`), Malformed, false},
		{"bad base64 of a subscription", text(`{"result": {"subs": {"a": {"b64info": "!"}}}}`), Malformed, false},
		{"error without code", text(`{"error": {}}`), Malformed, false},
		{"disconnect without code", text(`{"disconnect": {"reason": "x"}}`), Malformed, false},
		{"too deep", text(`{"result": {"data": ` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`), Malformed, false},
		{"too large", text(`{"result": {"data": "` + strings.Repeat("a", MaxResponse) + `"}}`), TooLarge, false},
		{"broken off", func(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) }, Unreachable, true},
		{"too large headers", func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("X", strings.Repeat("a", 2*maxResponseHeaders))
		}, Unreachable, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBackend(t, test.answer)
			p := newTester(t, b.URL, func(c *config.Proxy) { c.Breaker.MinCalls = 1 })
			_, err := p.Call(context.Background(), Publish, caller(), Request{Channel: "a"})
			if !errors.Is(err, centrifuge.ErrorInternal) {
				t.Errorf("error %v; want %v", err, centrifuge.ErrorInternal)
			}
			log := p.log.String()
			if !strings.Contains(log, "reason="+string(test.reason)) || !strings.Contains(log, "proxy=proxies[backend] event=publish") || strings.Contains(log, "secret-payload") {
				t.Errorf("log %q; want the reason %q, the proxy and the event, and no payload", log, test.reason)
			}
			if p.observed.Load() != 1 || p.failed.Load() != 1 {
				t.Errorf("%d calls counted, %d as failed; want 1 and 1", p.observed.Load(), p.failed.Load())
			}
			if got := p.stats().Breaker == "open"; got != test.down {
				t.Errorf("breaker open: %v; want %v", got, test.down)
			}
			if b.calls.Load() != 1 {
				t.Errorf("the backend was called %d times; want once", b.calls.Load())
			}
		})
	}
}

func status(code int) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(code) }
}

func text(body string) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, _ *http.Request, _ string) { _, _ = io.WriteString(w, body) }
}

func TestUnreachable(t *testing.T) {
	address := testprocess.FreeAddress(t)
	p := newTester(t, "http://user:pass-word@"+address+"/path?key=query-secret", nil)
	_, err := p.Call(context.Background(), Connect, caller(), Request{})
	log := p.log.String()
	if !errors.Is(err, centrifuge.ErrorInternal) || !strings.Contains(log, "reason=unreachable") {
		t.Errorf("error %v, log %q; want %v, and the reason unreachable", err, log, centrifuge.ErrorInternal)
	}
	if strings.Contains(log, "pass-word") || strings.Contains(log, "query-secret") {
		t.Errorf("log %q contains credentials; want no \"pass-word\" in it and no \"query-secret\" in it", log)
	}
}

// TestTimeout: key timeout bounds the whole call.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request, body string)
	}{
		{"no answer", func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() }},
		{"half an answer", func(w http.ResponseWriter, r *http.Request, _ string) {
			_, _ = io.WriteString(w, `{"result": {`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBackend(t, test.answer)
			p := newTester(t, b.URL, func(c *config.Proxy) { c.Timeout = 20 * time.Millisecond })
			_, err := p.Call(context.Background(), Connect, caller(), Request{})
			if !errors.Is(err, centrifuge.ErrorInternal) || !strings.Contains(p.log.String(), "reason=timeout") {
				t.Errorf("error %v, log %q; want %v, and the reason timeout", err, p.log.String(), centrifuge.ErrorInternal)
			}
		})
	}
}

// TestClientLeaves: a call that fails because the client has left is neither logged nor
// counted (server.md 5.3).
func TestClientLeaves(t *testing.T) {
	reached := make(chan struct{})
	b := newBackend(t, func(_ http.ResponseWriter, r *http.Request, _ string) {
		close(reached)
		<-r.Context().Done()
	})
	p := newTester(t, b.URL, func(c *config.Proxy) { c.Timeout = time.Minute })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := p.Call(ctx, Subscribe, caller(), Request{})
		done <- err
	}()
	<-reached
	cancel()
	if err := <-done; err == nil {
		t.Error("the call succeeded; want an error")
	}
	if p.log.String() != "" || p.observed.Load() != 0 || p.stats().InFlight[Subscribe] != 0 {
		t.Errorf("log %q, %d calls counted, %d in flight; want none", p.log.String(), p.observed.Load(), p.stats().InFlight[Subscribe])
	}
}

// TestAnswers: what an answer means (server.md 5.3).
func TestAnswers(t *testing.T) {
	tests := []struct {
		name, body string
		event      Event
		want       string // of the error
		data, info string
	}{
		{name: "result", body: `{"result": {"data": {"a": 1}, "info": [1], "unknown": 1}, "unknown": 2}`, data: `{"a": 1}`, info: `[1]`},
		{name: "null", body: `{"result": {"data": null, "info": null}, "error": null, "disconnect": null}`},
		{name: "empty", body: `{}`},
		{name: "error precedes result", body: `{"result": {}, "error": {"code": 1000, "message": "m", "temporary": true}}`, want: "error 1000: m"},
		{name: "disconnect precedes error", body: `{"error": {"code": 1000}, "disconnect": {"code": 4500, "reason": "r"}}`, want: "disconnect 4500: r"},
		{name: "base64 first", body: `{"result": {"data": 1, "b64data": "Mg==", "info": 1, "b64info": "Mw=="}}`, data: "2", info: "3"},
		{name: "data first", event: Publish, body: `{"result": {"data": 1, "b64data": "Mg=="}}`, data: "1"},
		{name: "base64 alone", event: Publish, body: `{"result": {"b64data": "Mg=="}}`, data: "2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newTester(t, answering(t, http.StatusOK, test.body).URL, nil)
			r, err := p.Call(context.Background(), test.event, caller(), Request{})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := r.Err(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("error %q; want %q", got, test.want)
			}
			var result Result
			if r.Result != nil {
				result = *r.Result
			}
			if string(result.Data) != test.data || string(result.Info) != test.info {
				t.Errorf("data %q, info %q; want %q and %q", result.Data, result.Info, test.data, test.info)
			}
		})
	}
}

// TestStatusTransforms: the first of status_to_code_transforms with the status_code decides;
// to_error is used if its code is not zero, otherwise to_disconnect (server.md 5.3).
func TestStatusTransforms(t *testing.T) {
	transforms := []config.StatusTransform{
		{StatusCode: 403, ToError: config.TransformError{Code: 1000, Message: "m", Temporary: true}},
		{StatusCode: 403, ToError: config.TransformError{Code: 1001}},
		{StatusCode: 404, ToDisconnect: config.TransformDisconnect{Code: 4501, Reason: "r"}},
		{StatusCode: 503, ToError: config.TransformError{Code: 1003}},
	}
	for status, want := range map[int]error{
		403: &centrifuge.Error{Code: 1000, Message: "m", Temporary: true},
		404: centrifuge.Disconnect{Code: 4501, Reason: "r"},
		503: &centrifuge.Error{Code: 1003},
	} {
		p := newTester(t, answering(t, status, "x").URL, func(c *config.Proxy) {
			c.HTTP.StatusToCodeTransforms, c.Breaker.MinCalls = transforms, 1
		})
		r, err := p.Call(context.Background(), Subscribe, caller(), Request{})
		if err != nil {
			t.Fatalf("status %d: %v", status, err)
		}
		got := r.Err()
		if e := new(centrifuge.Error); errors.As(want, &e) {
			var is *centrifuge.Error
			if !errors.As(got, &is) || *is != *e {
				t.Errorf("status %d: %#v; want %#v", status, got, want)
			}
		} else if got != want { //nolint:errorlint // the very value
			t.Errorf("status %d: %#v; want %#v", status, got, want)
		}
		if r.Result != nil || p.stats().Breaker != "closed" {
			t.Errorf("status %d: result %v, breaker %s; want none, and closed", status, r.Result, p.stats().Breaker)
		}
	}
}

// TestNotJSON: what cannot be sent as JSON is the client's fault, and no call is made.
func TestNotJSON(t *testing.T) {
	b := answering(t, http.StatusOK, "{}")
	p := newTester(t, b.URL, nil)
	_, err := p.Call(context.Background(), RPC, caller(), Request{Data: []byte{0xff}})
	if !errors.Is(err, centrifuge.ErrorBadRequest) || b.calls.Load() != 0 {
		t.Errorf("error %v, %d calls; want %v and none", err, b.calls.Load(), centrifuge.ErrorBadRequest)
	}
}

// TestConnectionsAreReused: key max_in_flight bounds the connections to the endpoint.
func TestConnectionsAreReused(t *testing.T) {
	var connections atomic.Int64
	b := &backend{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"result": {}}`)
	}))
	b.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	b.Start()
	defer b.Close()
	p := newTester(t, b.URL, func(c *config.Proxy) {
		c.Limit.MaxInFlight, c.Timeout, c.Limit.QueueTimeout = 8, time.Minute, time.Minute
	})
	failed := make(chan error, 1000)
	for range 1000 {
		go func() {
			_, err := p.Call(context.Background(), Connect, caller(), Request{})
			failed <- err
		}()
	}
	for range 1000 {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n > 8 {
		t.Errorf("%d connections for 1000 calls; want at most 8", n)
	}
}

// TestSilentConnection: an HTTP/2 connection on which nothing arrives any more, as behind a firewall
// that has dropped its state, is replaced.
func TestSilentConnection(t *testing.T) {
	var proto atomic.Value
	b := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		_, _ = io.WriteString(w, `{"result": {}}`)
	}))
	b.EnableHTTP2 = true
	b.StartTLS()
	defer b.Close()
	link := nettest.StartProxy(t, b.Listener.Addr().String())
	p := newTester(t, "https://"+link.Address(), func(c *config.Proxy) {
		c.HTTP.TLS = config.TLS{Enabled: true, ServerCAPEM: config.PEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificate().Raw}))}
	})
	call := func(limit time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_, err := p.Call(ctx, Connect, caller(), Request{})
		return err
	}
	if err := call(time.Minute); err != nil || proto.Load() != "HTTP/2.0" {
		t.Fatalf("error %v over %v; want none over HTTP/2.0", err, proto.Load())
	}
	link.SilenceOpen()
	await.Until(t, "a call that succeeds", func() bool { return call(100*time.Millisecond) == nil })
}

// TestRefusedCalls: what the protection of the backend does not let through.
func TestRefusedCalls(t *testing.T) {
	arrived := make(chan struct{}, 10)
	release := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(http.StatusInternalServerError)
	})
	p := newTester(t, b.URL, func(c *config.Proxy) {
		c.Limit.MaxInFlight, c.Limit.QueueSize, c.Timeout, c.Breaker.MinCalls = 1, 0, time.Minute, 1
	})
	done := make(chan error, 1)
	go func() {
		_, err := p.Call(context.Background(), RPC, caller(), Request{})
		done <- err
	}()
	<-arrived
	if _, err := p.Call(context.Background(), RPC, caller(), Request{}); !errors.Is(err, centrifuge.ErrorTooManyRequests) {
		t.Errorf("a call beyond the limit: %v; want %v", err, centrifuge.ErrorTooManyRequests)
	}
	if got := p.stats(); got.InFlight[RPC] != 1 || got.Limit != 1 || got.Refused["queue_full"] != 1 {
		t.Errorf("stats %+v; want 1 call in flight, limit 1, 1 refused as queue_full", got)
	}
	close(release)
	if err := <-done; !errors.Is(err, centrifuge.ErrorInternal) {
		t.Errorf("a call that fails: %v; want %v", err, centrifuge.ErrorInternal)
	}
	await.Until(t, "the breaker is open", func() bool { return p.stats().Breaker == "open" })
	if _, err := p.Call(context.Background(), RPC, caller(), Request{}); !errors.Is(err, centrifuge.ErrorInternal) {
		t.Errorf("a call while the breaker is open: %v; want %v", err, centrifuge.ErrorInternal)
	}
	if got := p.stats(); got.Opened != 1 || got.Refused["breaker_open"] != 1 || b.calls.Load() != 1 {
		t.Errorf("stats %+v and %d calls; want opened once, 1 refused as breaker_open, 1 call", got, b.calls.Load())
	}
	for _, want := range []string{"reason=queue_full", "reason=breaker_open", "from=closed to=open"} {
		if !bytes.Contains([]byte(p.log.String()), []byte(want)) {
			t.Errorf("log %q; want %q in it", p.log.String(), want)
		}
	}
}

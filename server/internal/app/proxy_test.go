package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"centrifugo/internal/await"
	"centrifugo/proxypb"
	"centrifugo/server/internal/app/apptest"
)

// grpcBackend is the server of an application over gRPC. It allows every subscription by a
// stream, sends a publication, and sends back what the client publishes.
type grpcBackend struct {
	proxypb.UnimplementedCentrifugoProxyServer
	ended chan struct{}
}

func (b *grpcBackend) RPC(_ context.Context, r *proxypb.RPCRequest) (*proxypb.RPCResponse, error) {
	return &proxypb.RPCResponse{Result: &proxypb.RPCResult{Data: fmt.Appendf(nil, "%q", r.GetMethod())}}, nil
}

func (b *grpcBackend) SubscribeUnidirectional(r *proxypb.SubscribeRequest, s grpc.ServerStreamingServer[proxypb.StreamSubscribeResponse]) error {
	if err := s.Send(&proxypb.StreamSubscribeResponse{SubscribeResponse: new(proxypb.SubscribeResponse)}); err != nil {
		return err
	}
	if err := s.Send(&proxypb.StreamSubscribeResponse{Publication: &proxypb.Publication{Data: fmt.Appendf(nil, "%q", r.GetChannel())}}); err != nil {
		return err
	}
	if strings.HasSuffix(r.GetChannel(), "short") {
		return nil
	}
	<-s.Context().Done()
	b.ended <- struct{}{}
	return nil
}

func (b *grpcBackend) SubscribeBidirectional(s grpc.BidiStreamingServer[proxypb.StreamSubscribeRequest, proxypb.StreamSubscribeResponse]) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	if err := s.Send(&proxypb.StreamSubscribeResponse{SubscribeResponse: new(proxypb.SubscribeResponse)}); err != nil {
		return err
	}
	for {
		m, err := s.Recv()
		if err != nil {
			b.ended <- struct{}{}
			return nil //nolint:nilerr // the client has left
		}
		if err := s.Send(&proxypb.StreamSubscribeResponse{Publication: m.GetPublication()}); err != nil {
			return err
		}
	}
}

// serveGRPC runs a backend and returns its address.
func serveGRPC(t *testing.T, o ...grpc.ServerOption) (address string, b *grpcBackend) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b = &grpcBackend{ended: make(chan struct{}, 100)}
	s := grpc.NewServer(o...)
	proxypb.RegisterCentrifugoProxyServer(s, b)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String(), b
}

// httpBackend answers events by their path, and keeps the last request of each. SOON in an
// answer is three seconds after it.
type httpBackend struct {
	*httptest.Server
	mu      sync.Mutex
	told    map[string]string
	headers map[string]http.Header
}

func newHTTPBackend(t *testing.T, answers map[string]string) *httpBackend {
	t.Helper()
	b := &httpBackend{told: map[string]string{}, headers: map[string]http.Header{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		event := strings.TrimPrefix(r.URL.Path, "/")
		b.mu.Lock()
		b.told[event], b.headers[event] = string(body), r.Header.Clone()
		b.mu.Unlock()
		soon := time.Now().Add(3 * time.Second).Unix()
		_, _ = io.WriteString(w, strings.ReplaceAll(answers[event], "SOON", strconv.FormatInt(soon, 10)))
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *httpBackend) last(event string) (body string, header http.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told[event], b.headers[event]
}

// TestEventProxies: every event goes to the endpoint that the configuration names.
func TestEventProxies(t *testing.T) {
	// ADDRESS is that of the gRPC backend, URL that of the other one.
	const proxied = `
	"client": {"proxy": {
		"connect": {"enabled": true, "endpoint": "URL/connect", "http_headers": ["Cookie", "User-Agent"], "emulated_headers": ["Authorization"], "timeout": "1m"},
		"refresh": {"enabled": true, "endpoint": "URL/refresh", "timeout": "1m"}
	}},
	"channel": {
		"proxy": {
			"subscribe": {"endpoint": "URL/subscribe", "timeout": "1m"},
			"publish": {"endpoint": "URL/publish", "timeout": "1m"},
			"sub_refresh": {"endpoint": "URL/sub_refresh", "timeout": "1m"},
			"subscribe_stream": {"endpoint": "ADDRESS", "timeout": "1m"}
		},
		"namespaces": [
			{"name": "news", "subscribe_proxy_enabled": true, "publish_proxy_enabled": true, "publish_proxy_name": "other", "sub_refresh_proxy_enabled": true},
			{"name": "named", "subscribe_proxy_enabled": true, "subscribe_proxy_name": "other", "publish_proxy_enabled": true, "sub_refresh_proxy_enabled": true, "sub_refresh_proxy_name": "other"},
			{"name": "stream", "subscribe_stream_proxy_enabled": true, "subscribe_stream_proxy_name": "streams"},
			{"name": "both", "subscribe_stream_proxy_enabled": true, "subscribe_stream_proxy_bidirectional": true}
		]
	},
	"rpc": {
		"proxy": {"endpoint": "URL/rpc", "timeout": "1m"},
		"without_namespace": {"proxy_enabled": true},
		"namespaces": [{"name": "math", "proxy_enabled": true, "proxy_name": "streams"}]
	},
	"proxies": [
		{"name": "other", "endpoint": "URL/other", "timeout": "1m"},
		{"name": "streams", "endpoint": "grpc://ADDRESS", "timeout": "1m"}
	],
	"prometheus": {"enabled": true}`
	address, streams := serveGRPC(t)
	b := newHTTPBackend(t, map[string]string{
		"connect":   `{"result": {"user": "42", "expire_at": SOON}}`,
		"refresh":   `{"result": {}}`,
		"subscribe": fmt.Sprintf(`{"result": {"expire_at": %d}}`, time.Now().Add(time.Hour).Unix()), "other": `{}`, "publish": `{}`,
		"sub_refresh": `{"result": {}}`, "rpc": `{"result": {"data": {"from": "http"}}}`,
	})
	i := start(t, strings.NewReplacer("URL", b.URL, "ADDRESS", address).Replace(proxied))
	c := i.dial(apptest.Dialer{Header: http.Header{"Cookie": {"session=1"}, "X-Other": {"1"}}})
	if reply := ask(t, c, `{"id":1,"connect":{"headers":{"authorization":"Bearer 1","x-other":"2"}}}`); !strings.Contains(reply, `"connect":{`) {
		t.Fatalf("connecting: %s; want %q in it", reply, `"connect":{`)
	}
	if _, h := b.last("connect"); h.Get("Cookie") != "session=1" || h.Get("Authorization") != "Bearer 1" || h.Get("X-Other") != "" {
		t.Errorf("headers of connect %v; want Cookie and Authorization, and not X-Other", h)
	}
	for _, step := range []struct{ send, want, event, told string }{
		{`{"id":2,"subscribe":{"channel":"news:1"}}`, `"subscribe":{`, "subscribe", `"channel":"news:1"`},
		{`{"id":3,"publish":{"channel":"named:1","data":1}}`, `"publish":{}`, "publish", `"channel":"named:1"`},
		{`{"id":4,"sub_refresh":{"channel":"news:1"}}`, `"sub_refresh":{}`, "sub_refresh", `"channel":"news:1"`},
		{`{"id":5,"subscribe":{"channel":"named:2"}}`, `"subscribe":{}`, "other", `"channel":"named:2"`},
		{`{"id":6,"rpc":{"method":"m"}}`, `{"from":"http"}`, "rpc", `"method":"m"`},
		{`{"id":7,"rpc":{"method":"math:add"}}`, `"math:add"`, "", ""},
	} {
		if reply := ask(t, c, step.send); !strings.Contains(strings.ReplaceAll(reply, " ", ""), step.want) {
			t.Errorf("%s: %s; want %s", step.send, reply, step.want)
		}
		if told, _ := b.last(step.event); !strings.Contains(told, step.told) || step.event != "" && !strings.Contains(told, `"user":"42"`) {
			t.Errorf("%s: the backend was told %s; want user and %s", step.event, told, step.told)
		}
	}
	await.Until(t, "the refresh proxy is asked", func() bool { told, _ := b.last("refresh"); return told != "" })

	for _, step := range []struct{ send, want, push string }{
		{`{"id":8,"subscribe":{"channel":"stream:1"}}`, `"subscribe":{}`, `"stream:1"`},
		{`{"id":9,"publish":{"channel":"stream:1","data":1}}`, `"code":108`, ""},
		{`{"id":10,"subscribe":{"channel":"both:1"}}`, `"subscribe":{}`, ""},
		{`{"id":11,"publish":{"channel":"both:1","data":{"a":1}}}`, `"publish":{}`, `{"a":1}`},
		{`{"id":12,"publish":{"channel":"both:2","data":1}}`, `"code":103`, ""},
	} {
		if err := c.Text(step.send); err != nil {
			t.Fatal(err)
		}
		wanted := []string{step.want}
		if step.push != "" {
			wanted = append(wanted, `"pub":{"data":`+step.push)
		}
		awaitAll(t, c, wanted)
	}
	if err := c.Text(`{"id":13,"subscribe":{"channel":"stream:short"}}`); err != nil {
		t.Fatal(err)
	}
	awaitAll(t, c, []string{`"subscribe":{}`, `"stream:short"`, `"unsubscribe":{"code":2000`})

	awaitProxyMetrics(i)
	_ = c.Close()
	await.Receive(t, streams.ended, "the end of a stream")
	await.Receive(t, streams.ended, "the end of the other stream")
}

func awaitProxyMetrics(i *instance) {
	i.t.Helper()
	i.awaitMetrics(map[string]float64{
		`proxy_duration_seconds_count{name="default",protocol="http",type="connect"}`:     1,
		`proxy_inflight_requests{name="default",protocol="http",type="connect"}`:          0,
		`proxy_inflight_requests{name="streams",protocol="grpc",type="subscribe_stream"}`: 1,
		`proxy_limit{proxy="client.proxy.connect"}`:                                       20,
		`proxy_queued_requests{proxy="client.proxy.connect"}`:                             0,
		`proxy_breaker_state{proxy="proxies[other]",state="closed"}`:                      1,
		`proxy_breaker_state{proxy="proxies[other]",state="open"}`:                        0,
		`proxy_refused_count{proxy="rpc.proxy",reason="queue_full"}`:                      0,
	})
}

// awaitAll reads messages until each of the texts was in one of them.
func awaitAll(t *testing.T, c *apptest.Conn, texts []string) {
	t.Helper()
	var all strings.Builder
	for missing := true; missing; {
		m, err := c.Next()
		if err != nil {
			t.Fatalf("waiting for %q: %v after %s", texts, err, all.String())
		}
		all.WriteString(m)
		missing = false
		for _, text := range texts {
			missing = missing || !strings.Contains(all.String(), text)
		}
	}
}

// TestProxyTLS: TLS and mutual TLS to both kinds of endpoints. Each row lists members of the
// section.
func TestProxyTLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.leaf()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	server := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"result": {"data": 1}}`)
	}))
	web.TLS = server.Clone()
	web.StartTLS()
	t.Cleanup(web.Close)
	address, _ := serveGRPC(t, grpc.Creds(credentials.NewTLS(server.Clone())))
	for carrier, endpoint := range map[string]string{"http": web.URL, "grpc": address} {
		for _, test := range []struct {
			name string
			tls  map[string]any
			want string
		}{
			{"all", map[string]any{"enabled": true, "server_ca_pem": string(a.pem), "cert_pem": cert, "key_pem": key}, `"rpc":{`},
			{"insecure_skip_verify", map[string]any{"enabled": true, "insecure_skip_verify": true, "cert_pem": cert, "key_pem": key}, `"rpc":{`},
			{"no client certificate", map[string]any{"enabled": true, "server_ca_pem": string(a.pem)}, `"code":100`},
			{"another authority", map[string]any{"enabled": true, "server_ca_pem": string(newAuthority(t).pem), "cert_pem": cert, "key_pem": key}, `"code":100`},
			{"another server_name", map[string]any{"enabled": true, "server_ca_pem": string(a.pem), "cert_pem": cert, "key_pem": key, "server_name": "elsewhere"}, `"code":100`},
			{"not enabled", map[string]any{"enabled": false}, `"code":100`},
		} {
			t.Run(carrier+"/"+test.name, func(t *testing.T) {
				section, err := json.Marshal(map[string]any{"endpoint": endpoint, "timeout": "1m", carrier: map[string]any{"tls": test.tls}})
				if err != nil {
					t.Fatal(err)
				}
				i := start(t, anonymous+`, "rpc": {"proxy": `+string(section)+`, "without_namespace": {"proxy_enabled": true}}`)
				if reply := ask(t, i.connected(apptest.Dialer{}), `{"id":2,"rpc":{"method":"m"}}`); !strings.Contains(reply, test.want) {
					t.Errorf("reply %s; want %s", reply, test.want)
				}
			})
		}
	}
}

// busyBackend takes 50 ms for a call, as it may for one that it cannot serve at once.
type busyBackend struct {
	*httptest.Server
	inFlight, most, calls atomic.Int64
	connections           atomic.Int64
}

func newBusyBackend(t *testing.T) *busyBackend {
	t.Helper()
	b := new(busyBackend)
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := b.inFlight.Add(1)
		defer b.inFlight.Add(-1)
		for most := b.most.Load(); n > most && !b.most.CompareAndSwap(most, n); most = b.most.Load() {
		}
		b.calls.Add(1)
		select {
		case <-time.After(50 * time.Millisecond):
			_, _ = io.WriteString(w, `{"result": {"user": "42"}}`)
		case <-r.Context().Done():
		}
	}))
	b.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			b.connections.Add(1)
		}
	}
	b.Start()
	t.Cleanup(b.Close)
	return b
}

// TestReconnectStorm: 2,000 clients that come back at once all get in, by a backend that
// takes 50 ms for a call and 100 calls at a time. No call times out, there are never more
// than 100 of them, and no more connections. Clients that are told to come back, by a close
// code or by status 503 of a busy server, do so after a random delay, as SDKs do.
func TestReconnectStorm(t *testing.T) {
	b := newBusyBackend(t)
	i := start(t, `"prometheus": {"enabled": true}, "client": {"stale_close_delay": "5m", "proxy": {"connect": {
		"enabled": true, "endpoint": "`+b.URL+`", "timeout": "1m", "limit": {"max_in_flight": 100}}}}`)
	clients := 2000
	if testing.Short() {
		clients = 500
	}
	var storm sync.WaitGroup
	failed := make(chan error, clients)
	for range clients {
		storm.Go(func() { failed <- comeBack(i.external()) })
	}
	storm.Wait()
	for range clients {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	if most := b.most.Load(); most > 100 {
		t.Errorf("%d calls in flight; want at most 100", most)
	}
	if n := b.connections.Load(); n > 100 {
		t.Errorf("%d connections to the backend; want at most 100", n)
	}
	if n := i.metrics()[`centrifugo_proxy_errors{name="default",protocol="http",type="connect"}`]; n != 0 {
		t.Errorf("%v calls failed; want none", n)
	}
}

// comeBack connects until it succeeds.
func comeBack(address string) error {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		switch outcome := connectOnce(address); outcome {
		case "connected":
			return nil
		case "closed 3013", "refused":
			<-time.After(rand.N(delay))
		default:
			return fmt.Errorf("connecting: %s", outcome)
		}
	}
}

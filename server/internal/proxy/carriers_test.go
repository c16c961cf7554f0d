package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"centrifugo/centrifuge"
	"centrifugo/proxypb"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/override"
	"centrifugo/server/internal/proxy"
	"centrifugo/server/internal/proxygrpc"
)

// application is the backend behind either carrier. It answers an event with a body in
// JSON, and keeps what it was told.
type application struct {
	proxypb.UnimplementedCentrifugoProxyServer
	answer  string
	event   string
	told    map[string]any
	headers map[string]string // lower-case names
}

// carriers run the application as a server and return its endpoint.
var carriers = map[string]func(t *testing.T, a *application) string{
	"http": func(t *testing.T, a *application) string {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			a.headers = map[string]string{}
			for name := range r.Header {
				a.headers[strings.ToLower(name)] = r.Header.Get(name)
			}
			a.told = map[string]any{}
			if err := json.Unmarshal(body, &a.told); err != nil {
				t.Errorf("request %s: %v", body, err)
			}
			_, _ = io.WriteString(w, a.answer)
		}))
		t.Cleanup(s.Close)
		return s.URL
	},
	"grpc": func(t *testing.T, a *application) string {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		proxypb.RegisterCentrifugoProxyServer(s, a)
		go func() { _ = s.Serve(l) }()
		t.Cleanup(s.Stop)
		return "grpc://" + l.Addr().String()
	},
}

// tell keeps a request of gRPC as that of HTTP would be, and returns the answer. Payloads
// are bytes in Protobuf and JSON values in HTTP.
func tell[R proto.Message](ctx context.Context, a *application, event string, request proto.Message, response R) (R, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	a.event, a.headers = event, map[string]string{}
	for name, values := range md {
		a.headers[name] = values[0]
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(request)
	if err != nil {
		return response, err
	}
	a.told = map[string]any{}
	if err := json.Unmarshal(text, &a.told); err != nil {
		return response, err
	}
	for _, key := range []string{"data", "meta"} {
		if encoded, ok := a.told[key]; ok {
			var payload []byte
			if err := json.Unmarshal(fmt.Appendf(nil, "%q", encoded), &payload); err != nil {
				return response, err
			}
			var value any
			if err := json.Unmarshal(payload, &value); err != nil {
				return response, err
			}
			a.told[key] = value
		}
	}
	return response, unmarshal(a.answer, response)
}

// unmarshal reads an answer that is written for HTTP into a message, whose payloads are bytes.
func unmarshal(answer string, into proto.Message) error {
	var tree map[string]any
	if err := json.Unmarshal([]byte(answer), &tree); err != nil {
		return err
	}
	asBytes(tree)
	text, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, into)
}

func asBytes(tree map[string]any) {
	for key, value := range tree {
		switch object, is := value.(map[string]any); {
		case key == "data" || key == "info" || key == "meta":
			raw, _ := json.Marshal(value)
			tree[key] = raw
		case is:
			asBytes(object)
		}
	}
}

func (a *application) Connect(ctx context.Context, r *proxypb.ConnectRequest) (*proxypb.ConnectResponse, error) {
	return tell(ctx, a, "connect", r, new(proxypb.ConnectResponse))
}

func (a *application) Refresh(ctx context.Context, r *proxypb.RefreshRequest) (*proxypb.RefreshResponse, error) {
	return tell(ctx, a, "refresh", r, new(proxypb.RefreshResponse))
}

func (a *application) Subscribe(ctx context.Context, r *proxypb.SubscribeRequest) (*proxypb.SubscribeResponse, error) {
	return tell(ctx, a, "subscribe", r, new(proxypb.SubscribeResponse))
}

func (a *application) Publish(ctx context.Context, r *proxypb.PublishRequest) (*proxypb.PublishResponse, error) {
	return tell(ctx, a, "publish", r, new(proxypb.PublishResponse))
}

func (a *application) RPC(ctx context.Context, r *proxypb.RPCRequest) (*proxypb.RPCResponse, error) {
	return tell(ctx, a, "rpc", r, new(proxypb.RPCResponse))
}

func (a *application) SubRefresh(ctx context.Context, r *proxypb.SubRefreshRequest) (*proxypb.SubRefreshResponse, error) {
	return tell(ctx, a, "sub_refresh", r, new(proxypb.SubRefreshResponse))
}

// eventTest is an event with everything that its request and its result can have. The same
// request and the same answer must mean the same over every carrier.
type eventTest struct {
	event   proxy.Event
	request proxy.Request
	told    string // beside the common fields
	answer  string
	want    proxy.Result
}

func boolean(b bool) *override.BoolValue { return &override.BoolValue{Value: b} }

var eventTests = []eventTest{
	{
		event:   proxy.Connect,
		request: proxy.Request{Name: "js", Version: "5.0", Channels: []string{"a", "b"}, Data: []byte(`{"d":1}`)},
		told:    `"name":"js","version":"5.0","channels":["a","b"],"data":{"d":1}`,
		answer: `{"user":"42","expire_at":4000000000,"info":{"i":1},"data":{"d":2},"channels":["a"],"meta":{"m":1},` +
			`"subs":{"b":{"expire_at":5,"info":{"i":3},"data":{"d":4},"cache_recover":true,"override":{"presence":{"value":true},"join_leave":{"value":false}}}}}`,
		want: proxy.Result{
			User: "42", ExpireAt: 4000000000, Info: []byte(`{"i":1}`), Data: []byte(`{"d":2}`), Channels: []string{"a"}, Meta: []byte(`{"m":1}`),
			Subs: map[string]*proxy.SubscribeOptions{"b": {
				ExpireAt: 5, Info: []byte(`{"i":3}`), Data: []byte(`{"d":4}`), CacheRecover: true,
				Override: &override.SubscribeOverride{Presence: boolean(true), JoinLeave: boolean(false)},
			}},
		},
	},
	{
		event: proxy.Refresh, told: `"user":"42"`, answer: `{"expired":true,"expire_at":7,"b64info":"Mg==","meta":{"m":2}}`,
		want: proxy.Result{Expired: true, ExpireAt: 7, Info: []byte("2"), Meta: []byte(`{"m":2}`)},
	},
	{
		event:   proxy.Subscribe,
		request: proxy.Request{Channel: "a", Token: "t", Data: []byte(`{"d":1}`)},
		told:    `"user":"42","channel":"a","token":"t","data":{"d":1}`,
		answer: `{"expire_at":8,"info":{"i":1},"data":{"d":2},"override":{"force_recovery":{"value":true},"force_positioning":{"value":true},` +
			`"force_push_join_leave":{"value":false}},"allow":["x"]}`,
		want: proxy.Result{
			ExpireAt: 8, Info: []byte(`{"i":1}`), Data: []byte(`{"d":2}`),
			Override: &override.SubscribeOverride{ForceRecovery: boolean(true), ForcePositioning: boolean(true), ForcePushJoinLeave: boolean(false)},
		},
	},
	{
		event: proxy.Publish, request: proxy.Request{Channel: "a", Data: []byte(`{"d":1}`)}, told: `"user":"42","channel":"a","data":{"d":1}`,
		answer: `{"data":{"d":2},"skip_history":true,"tags":{"k":"v"},"idempotency_key":"i","delta":true,"version":9,"version_epoch":"e"}`,
		want: proxy.Result{
			Data: []byte(`{"d":2}`), SkipHistory: true, Tags: map[string]string{"k": "v"}, IdempotencyKey: "i", Delta: true, Version: 9, VersionEpoch: "e",
		},
	},
	{
		event: proxy.RPC, request: proxy.Request{Method: "m", Data: []byte(`{"d":1}`)}, told: `"user":"42","method":"m","data":{"d":1}`,
		answer: `{"b64data":"AQI="}`, want: proxy.Result{Data: []byte{1, 2}},
	},
	{
		event: proxy.SubRefresh, request: proxy.Request{Channel: "a"}, told: `"user":"42","channel":"a"`,
		answer: `{"expire_at":10,"info":{"i":1}}`, want: proxy.Result{ExpireAt: 10, Info: []byte(`{"i":1}`)},
	},
}

// newProxy returns a proxy for an endpoint.
func newProxy(t *testing.T, endpoint string, change func(*config.Proxy)) *proxy.Proxy {
	t.Helper()
	c := config.Proxy{
		Endpoint: endpoint, Timeout: time.Minute,
		Limit:   config.ProxyLimit{MaxInFlight: 10, QueueSize: 10, QueueTimeout: time.Minute},
		Breaker: config.ProxyBreaker{FailurePercent: 50, MinCalls: 1000, OpenTime: time.Second},
	}
	if change != nil {
		change(&c)
	}
	set, err := proxy.NewSet(proxy.Sections{Named: []config.NamedProxy{{Name: "backend", Proxy: c}}}, proxy.Options{
		GRPC:    func(c config.Proxy) (proxy.Carrier, error) { return proxygrpc.Dial(c, nil) },
		Headers: func(context.Context) map[string][]string { return map[string][]string{"X-Request": {"r"}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return set.Find(proxy.RPC, "backend")
}

// TestEventsOverCarriers: every event, over every carrier, against a real server.
func TestEventsOverCarriers(t *testing.T) {
	for carrier, run := range carriers {
		for _, test := range eventTests {
			t.Run(carrier+"/"+test.event.String(), func(t *testing.T) {
				a := &application{answer: `{"result":` + test.answer + `,"unknown":1}`}
				p := newProxy(t, run(t, a), func(c *config.Proxy) {
					c.IncludeConnectionMeta, c.HTTP.StaticHeaders = true, map[string]string{"x-static": "s"}
					c.GRPC.StaticMetadata = c.HTTP.StaticHeaders
				})
				session := new(proxy.Session)
				session.SetMeta([]byte(`{"from":"connect"}`))
				caller := proxy.Caller{Client: "c", User: "42", Transport: centrifuge.TransportInfo{Name: "sse"}, Session: session}
				if test.event == proxy.Connect {
					caller.User = ""
				}
				response, err := p.Call(context.Background(), test.event, caller, test.request)
				if err != nil {
					t.Fatal(err)
				}
				var told map[string]any
				common := `{"client":"c","transport":"sse","protocol":"json","encoding":"json","meta":{"from":"connect"},`
				if err := json.Unmarshal([]byte(common+test.told+"}"), &told); err != nil {
					t.Fatal(err)
				}
				if test.event == proxy.Connect {
					delete(told, "meta") // it comes from the answer
				}
				if fmt.Sprint(a.told) != fmt.Sprint(told) {
					t.Errorf("the backend was told %v; want %v", a.told, told)
				}
				if carrier == "grpc" && a.event != test.event.String() {
					t.Errorf("method of %s; want that of %v", a.event, test.event)
				}
				if a.headers["x-static"] != "s" {
					t.Errorf("headers %v; want x-static: s", a.headers)
				}
				got, _ := json.Marshal(response.Result)
				want, _ := json.Marshal(test.want)
				if string(got) != string(want) {
					t.Errorf("result\n%s; want\n%s", got, want)
				}
			})
		}
	}
}

// TestErrorsOverCarriers: an error and a disconnect of any event.
func TestErrorsOverCarriers(t *testing.T) {
	for carrier, run := range carriers {
		for _, test := range eventTests {
			for answer, want := range map[string]string{
				`{"error":{"code":1000,"message":"m","temporary":true},"result":{}}`:             "error 1000: m",
				`{"error":{"code":1000,"message":"m"},"disconnect":{"code":4500,"reason":"no"}}`: "disconnect 4500: no",
			} {
				p := newProxy(t, run(t, &application{answer: answer}), nil)
				response, err := p.Call(context.Background(), test.event, proxy.Caller{User: "42"}, test.request)
				if err != nil {
					t.Fatalf("%s, %v: %v", carrier, test.event, err)
				}
				if got := response.Err(); got == nil || got.Error() != want {
					t.Errorf("%s, %v: %v; want %s", carrier, test.event, got, want)
				}
			}
		}
	}
}

// TestBinaryOverCarriers: with binary_encoding a payload that is not JSON arrives as it is.
func TestBinaryOverCarriers(t *testing.T) {
	for carrier, run := range carriers {
		a := &application{answer: `{"result":{}}`}
		p := newProxy(t, run(t, a), func(c *config.Proxy) { c.BinaryEncoding = true })
		if _, err := p.Call(context.Background(), proxy.RPC, proxy.Caller{}, proxy.Request{Data: []byte{0, 0xff}}); err != nil {
			t.Fatalf("%s: %v", carrier, err)
		}
		if a.told["b64data"] != "AP8=" || a.told["encoding"] != "binary" || a.told["data"] != nil {
			t.Errorf("%s: the backend was told %v; want b64data AP8=, encoding binary, no data", carrier, a.told)
		}
	}
}

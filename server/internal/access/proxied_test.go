package access

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/internal/await"
	"centrifugo/protocol"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/proxy"
)

// backend is the server of an application. Answers are bodies by path, and the path of an
// event is its name.
type backend struct {
	*httptest.Server

	mu       sync.Mutex
	answers  map[string]string
	status   int
	requests []string // path and body, in order
}

// newBackend runs a backend, and returns it with a function that makes sections call it for
// all events of clients.
func newBackend(t testing.TB) (b *backend, use func(*Sections)) {
	t.Helper()
	b = &backend{answers: map[string]string{}, status: http.StatusOK}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.requests = append(b.requests, r.URL.Path+" "+string(body))
		answer, ok := b.answers[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			answer = "{}"
		}
		w.WriteHeader(b.status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(b.Close)
	to := func(e proxy.Event) config.Proxy {
		return config.Proxy{
			Endpoint: b.URL + "/" + e.String(), Timeout: time.Minute,
			Limit:   config.ProxyLimit{MaxInFlight: 10, QueueSize: 10, QueueTimeout: time.Minute},
			Breaker: config.ProxyBreaker{Disabled: true},
		}
	}
	return b, func(s *Sections) {
		s.Client.Proxy.Connect = config.EventProxy{Enabled: true, Proxy: to(proxy.Connect)}
		s.Channel.Proxy.Subscribe, s.Channel.Proxy.Publish = to(proxy.Subscribe), to(proxy.Publish)
		s.Channel.Proxy.SubRefresh, s.RPC.Proxy = to(proxy.SubRefresh), to(proxy.RPC)
	}
}

// refreshBy adds a refresh proxy to the sections.
func refreshBy(s *Sections) {
	s.Client.Proxy.Refresh = s.Client.Proxy.Connect
	s.Client.Proxy.Refresh.Endpoint = strings.Replace(s.Client.Proxy.Connect.Endpoint, "/connect", "/refresh", 1)
}

func (b *backend) answer(e proxy.Event, body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[e.String()] = body
}

// fail makes all calls fail.
func (b *backend) fail() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = http.StatusInternalServerError
}

// asked returns the requests so far about an event.
func (b *backend) asked(e proxy.Event) (bodies []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		if body, ok := strings.CutPrefix(r, "/"+e.String()+" "); ok {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

func jsonOf(t testing.TB, text string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return m
}

// TestConnectByProxy: server.md 5.4 and 3.8.
func TestConnectByProxy(t *testing.T) {
	tests := []struct {
		name     string
		change   func(*Sections)
		answer   string
		fail     bool
		token    func(*testing.T) string
		want     uint32
		user     string
		subs     []string
		data     string
		expires  bool
		uncalled bool
	}{
		{name: "user", answer: `{"result": {"user": "42", "info": {"a": 1}, "data": {"b": 2}}}`, user: "42", data: `{"b": 2}`},
		{name: "anonymous", answer: `{"result": {}}`},
		{name: "base64", answer: `{"result": {"user": "42", "b64data": "MQ=="}}`, user: "42", data: "1"},
		{name: "error", answer: `{"error": {"code": 1000, "message": "m"}}`, want: 1000},
		{name: "disconnect", answer: `{"disconnect": {"code": 4501, "reason": "r"}}`, want: 4501},
		{name: "failure", fail: true, want: 100},
		{name: "no result, nothing else", answer: `{}`, want: 3501},
		{name: "no result, anonymous allowed", answer: `{}`, subs: []string{"anon:1"}, change: func(s *Sections) { s.Client.AllowAnonymousConnectWithoutToken = true }},
		{name: "token beats proxy", token: token(claims{"sub": "7"}), user: "7", uncalled: true},
		{name: "channels", answer: `{"result": {"user": "42", "channels": ["shut:1", "open:1"]}}`, user: "42", subs: []string{"shut:1", "open:1"}},
		{name: "subs", answer: `{"result": {"user": "42", "channels": ["open:1"], "subs": {"open:1": {"data": 1}, "open:2": null}}}`, user: "42", subs: []string{"open:1", "open:2"}},
		{name: "unknown namespace", answer: `{"result": {"channels": ["x:1"]}}`, want: 102},
		{name: "unknown namespace in subs", answer: `{"result": {"subs": {"x:1": {}}}}`, want: 102},
		{name: "expire_at in the past", answer: fmt.Sprintf(`{"result": {"expire_at": %d}}`, past()), want: 110},
		{name: "expire_at", answer: fmt.Sprintf(`{"result": {"expire_at": %d}}`, future()), expires: true},
		{name: "expire_at and a refresh proxy", change: refreshBy, answer: fmt.Sprintf(`{"result": {"expire_at": %d}}`, future())},
		{name: "personal channel", answer: `{"result": {"user": "42"}}`, user: "42", subs: []string{"mine:#42"}, change: func(s *Sections) {
			s.Client.SubscribeToUserPersonalChannel = config.UserPersonalChannel{Enabled: true, PersonalChannelNamespace: "mine"}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, use := newBackend(t)
			b.answer(proxy.Connect, test.answer)
			if test.fail {
				b.fail()
			}
			s := newServer(t, func(s *Sections) {
				use(s)
				if test.change != nil {
					test.change(s)
				}
			})
			request := &protocol.ConnectRequest{
				Name: "js", Version: "5", Data: []byte(`{"hello":1}`), Subs: map[string]*protocol.SubscribeRequest{"anon:1": {}},
			}
			if test.token != nil {
				request.Token, request.Subs = test.token(t), nil
			}
			c := s.dial(context.Background(), t)
			code, reply := answer(c, &protocol.Command{Connect: request})
			if code != test.want {
				t.Fatalf("outcome %d; want %d", code, test.want)
			}
			asked := b.asked(proxy.Connect)
			if test.uncalled {
				if len(asked) != 0 {
					t.Errorf("the backend was asked: %v; want none", asked)
				}
				return
			}
			want := map[string]any{
				"client": c.Conn().Client().ID(), "transport": c.Info().Name, "protocol": "json", "encoding": "json", "name": "js", "version": "5",
				"channels": []any{"anon:1"}, "data": map[string]any{"hello": 1.0},
			}
			if got := jsonOf(t, asked[0]); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the backend got %v; want %v", got, want)
			}
			if reply == nil {
				return
			}
			if got := c.Conn().Client().UserID(); got != test.user {
				t.Errorf("user %q; want %q", got, test.user)
			}
			if string(reply.Connect.Data) != test.data || reply.Connect.Expires != test.expires {
				t.Errorf("data %q, expires %v; want %q, %v", reply.Connect.Data, reply.Connect.Expires, test.data, test.expires)
			}
			if len(reply.Connect.Subs) != len(test.subs) {
				t.Errorf("subscriptions %v; want %v", reply.Connect.Subs, test.subs)
			}
			for _, channel := range test.subs {
				if reply.Connect.Subs[channel] == nil {
					t.Errorf("no subscription to %s; want one", channel)
				}
			}
		})
	}
}

// request sends a command of a user to a server with a backend, and returns its outcome with
// what the backend was asked about the event.
func (b *backend) request(t *testing.T, s *testServer, e proxy.Event, command *protocol.Command) (code uint32, reply *protocol.Reply, asked string) {
	t.Helper()
	c := s.connect(t, claims{"sub": "42"})
	code, reply = answer(c, command)
	if bodies := b.asked(e); len(bodies) > 0 {
		asked = bodies[len(bodies)-1]
	}
	return code, reply, asked
}

// outcomes are the answers of a backend that mean the same for all events of commands
// (server.md 5.3).
var outcomes = []struct {
	name, body string
	fail       bool
	want       uint32
}{
	{name: "no result", body: "{}"},
	{name: "error", body: `{"result": {}, "error": {"code": 1000}}`, want: 1000},
	{name: "disconnect", body: `{"error": {"code": 1000}, "disconnect": {"code": 4000}}`, want: 4000},
	{name: "failure", fail: true, want: 100},
	{name: "bad JSON", body: "{", want: 100},
	{name: "bad base64", body: `{"result": {"b64data": "!"}}`, want: 100},
}

func TestCommandsByProxy(t *testing.T) {
	commands := map[proxy.Event]*protocol.Command{
		proxy.Subscribe: {Subscribe: &protocol.SubscribeRequest{Channel: "proxied:1"}},
		proxy.Publish:   {Publish: &protocol.PublishRequest{Channel: "proxied:1", Data: []byte("1")}},
		proxy.RPC:       {RPC: &protocol.RPCRequest{Method: "m", Data: []byte("1")}},
	}
	for event, command := range commands {
		for _, test := range outcomes {
			t.Run(event.String()+"/"+test.name, func(t *testing.T) {
				b, use := newBackend(t)
				b.answer(event, test.body)
				if test.fail {
					b.fail()
				}
				s := newServer(t, func(s *Sections) {
					use(s)
					s.RPC.WithoutNamespace = config.RPCOptions{ProxyEnabled: true, ProxyName: proxy.DefaultName}
				})
				copied := *command
				if code, _, asked := b.request(t, s, event, &copied); code != test.want || asked == "" {
					t.Errorf("outcome %d, the backend was asked %q; want %d", code, asked, test.want)
				}
			})
		}
	}
}

// TestSubscribeByProxy: server.md 5.6.
func TestSubscribeByProxy(t *testing.T) {
	b, use := newBackend(t)
	b.answer(proxy.Subscribe, `{"result": {"info": {"a": 1}, "data": {"b": 2}, "override": {"presence": {"value": true}, "force_positioning": {"value": true}}}}`)
	s := newServer(t, func(s *Sections) {
		use(s)
		for i := range s.Channel.Namespaces {
			if ns := &s.Channel.Namespaces[i]; ns.Name == "proxied" {
				ns.HistorySize, ns.HistoryTTL, ns.AllowRecovery = 10, time.Minute, true
			}
		}
	})
	code, reply, asked := b.request(t, s, proxy.Subscribe, &protocol.Command{Subscribe: &protocol.SubscribeRequest{
		Channel: "proxied:1", Data: []byte(`{"c":3}`), Recoverable: true,
	}})
	if code != 0 {
		t.Fatalf("outcome %d; want success", code)
	}
	got := jsonOf(t, asked)
	delete(got, "client")
	delete(got, "transport")
	if want := map[string]any{
		"protocol": "json", "encoding": "json", "user": "42", "channel": "proxied:1", "data": map[string]any{"c": 3.0},
	}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the backend got %v; want %v", got, want)
	}
	if r := reply.Subscribe; string(r.Data) != `{"b": 2}` || !r.Positioned || r.Recoverable {
		t.Errorf("result %+v; want the data, positioned, and not recoverable: what the client requests does not count", r)
	}
	presence, err := s.Presence(context.Background(), "proxied:1")
	if err != nil || len(presence) != 1 {
		t.Fatalf("presence %v, error %v; want one client", presence, err)
	}
	for _, info := range presence {
		if string(info.ChanInfo) != `{"a": 1}` {
			t.Errorf("channel info %q; want that of the backend", info.ChanInfo)
		}
	}
}

// TestConnectProxyOverrides: a connect proxy replaces options of the namespace for its
// subscriptions.
func TestConnectProxyOverrides(t *testing.T) {
	b, use := newBackend(t)
	b.answer(proxy.Connect, `{"result": {"user": "42", "subs": {
		"open:1": {"override": {"force_recovery": {"value": true}, "presence": {"value": false}}},
		"open:2": {},
		"forced:1": {"override": {"force_recovery": {"value": false}, "force_positioning": {"value": false}}}}}}`)
	s := newServer(t, use)
	_, reply := answer(s.dial(context.Background(), t), &protocol.Command{Connect: &protocol.ConnectRequest{}})
	if reply == nil {
		t.Fatal("there is no reply; want a connect result")
	}
	for channel, want := range map[string]struct {
		recoverable bool
		clients     int // that presence shows
	}{"open:1": {recoverable: true}, "open:2": {clients: 1}, "forced:1": {}} {
		if got := reply.Connect.Subs[channel]; got == nil || got.Recoverable != want.recoverable || got.Positioned != want.recoverable {
			t.Errorf("%s: %+v; want it recoverable and positioned: %t", channel, got, want.recoverable)
		}
		if got, err := s.Presence(context.Background(), channel); err != nil || len(got) != want.clients {
			t.Errorf("presence of %s: %v, %v; want %d clients", channel, got, err, want.clients)
		}
	}
}

// TestSubscribeExpiryByProxy: a subscription of a proxy is refreshed by its client, unless
// the namespace has a sub_refresh proxy.
func TestSubscribeExpiryByProxy(t *testing.T) {
	for _, byServer := range []bool{false, true} {
		b, use := newBackend(t)
		b.answer(proxy.Subscribe, fmt.Sprintf(`{"result": {"expire_at": %d}}`, future()))
		s := newServer(t, func(s *Sections) {
			use(s)
			subRefreshed(s, byServer)
		})
		_, reply, _ := b.request(t, s, proxy.Subscribe, &protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "proxied:1"}})
		if reply == nil || reply.Subscribe.Expires == byServer {
			t.Errorf("sub_refresh proxy %v: reply %+v; want expires %v", byServer, reply, !byServer)
		}
	}
}

func subRefreshed(s *Sections, enabled bool) {
	for i := range s.Channel.Namespaces {
		if ns := &s.Channel.Namespaces[i]; ns.Name == "proxied" {
			ns.SubRefreshProxyEnabled, ns.SubRefreshProxyName = enabled, proxy.DefaultName
		}
	}
}

// TestPublishByProxy: server.md 5.7.
func TestPublishByProxy(t *testing.T) {
	tests := []struct {
		name, answer string
		data         string
		tags         int
		offset       uint64 // zero: not in the history
		repeated     bool   // a second publication is suppressed
	}{
		{name: "data of the client", answer: `{}`, data: `{"a":1}`, offset: 1},
		{name: "data", answer: `{"result": {"data": {"b": 2}}}`, data: `{"b": 2}`, offset: 1},
		{name: "data precedes b64data", answer: `{"result": {"data": 1, "b64data": "Mg=="}}`, data: `1`, offset: 1},
		{name: "b64data", answer: `{"result": {"b64data": "Mg=="}}`, data: `2`, offset: 1},
		{name: "skip_history", answer: `{"result": {"skip_history": true}}`, data: `{"a":1}`},
		{name: "tags", answer: `{"result": {"tags": {"a": "1"}}}`, data: `{"a":1}`, tags: 1, offset: 1},
		{name: "idempotency_key", answer: `{"result": {"idempotency_key": "k"}}`, data: `{"a":1}`, offset: 1, repeated: true},
		{name: "version", answer: `{"result": {"version": 5}}`, data: `{"a":1}`, offset: 1, repeated: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, use := newBackend(t)
			b.answer(proxy.Publish, test.answer)
			s := newServer(t, func(s *Sections) {
				use(s)
				for i := range s.Channel.Namespaces {
					if ns := &s.Channel.Namespaces[i]; ns.Name == "proxied" {
						ns.HistorySize, ns.HistoryTTL = 10, time.Minute
					}
				}
			})
			reader := s.connect(t, claims{"sub": "7"})
			if code := outcome(reader, &protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "proxied:1"}}); code != 0 {
				t.Fatalf("subscribing: %d; want 0", code)
			}
			command := &protocol.Command{Publish: &protocol.PublishRequest{Channel: "proxied:1", Data: []byte(`{"a":1}`)}}
			code, _, asked := b.request(t, s, proxy.Publish, command)
			if code != 0 || !strings.Contains(asked, `"data":{"a":1}`) || !strings.Contains(asked, `"channel":"proxied:1"`) {
				t.Fatalf("outcome %d, the backend got %s; want success, data and channel", code, asked)
			}
			pub := reader.Push().Pub
			if string(pub.Data) != test.data || len(pub.Tags) != test.tags || pub.Offset != test.offset || pub.Info == nil || pub.Info.User != "42" {
				t.Errorf("publication %+v; want data %s, %d tags, offset %d, and the client's info", pub, test.data, test.tags, test.offset)
			}
			if code, _, _ := b.request(t, s, proxy.Publish, &protocol.Command{Publish: &protocol.PublishRequest{Channel: "proxied:1", Data: []byte("9")}}); code != 0 {
				t.Fatalf("a second publication: %d; want 0", code)
			}
			history, err := s.History(context.Background(), "proxied:1", centrifuge.HistoryOptions{Limit: -1})
			want := 2
			if test.repeated {
				want = 1
			}
			if test.offset == 0 {
				want = 0
			}
			if err != nil || len(history.Publications) != want {
				t.Errorf("%d publications in the history, error %v; want %d", len(history.Publications), err, want)
			}
		})
	}
}

// TestRPCByProxy: server.md 5.8. Keys: proxy_enabled, proxy_name, namespace_boundary.
func TestRPCByProxy(t *testing.T) {
	named := []config.RPCNamespace{
		{Name: "math", RPCOptions: config.RPCOptions{ProxyEnabled: true, ProxyName: proxy.DefaultName}},
		{Name: "shut"},
		{Name: "lost", RPCOptions: config.RPCOptions{ProxyEnabled: true, ProxyName: "absent"}},
	}
	tests := []struct {
		name, method string
		without      config.RPCOptions
		boundary     string
		want         uint32
	}{
		{name: "without namespace", method: "m", without: config.RPCOptions{ProxyEnabled: true, ProxyName: proxy.DefaultName}},
		{name: "without namespace, off", method: "m", want: 108},
		{name: "namespace", method: "math:add"},
		{name: "namespace without proxy", method: "shut:m", want: 108},
		{name: "unknown namespace", method: "x:m", want: 104},
		{name: "proxy that does not exist", method: "lost:m", want: 108},
		{name: "other namespace_boundary", method: "math/add", boundary: "/"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, use := newBackend(t)
			b.answer(proxy.RPC, `{"result": {"data": {"sum": 3}}}`)
			s := newServer(t, func(s *Sections) {
				use(s)
				s.RPC.Namespaces, s.RPC.WithoutNamespace = named, test.without
				if test.boundary != "" {
					s.RPC.NamespaceBoundary = test.boundary
				}
			})
			code, reply, asked := b.request(t, s, proxy.RPC, &protocol.Command{RPC: &protocol.RPCRequest{Method: test.method, Data: []byte(`{"a":1}`)}})
			if code != test.want {
				t.Fatalf("outcome %d; want %d", code, test.want)
			}
			if test.want != 0 {
				if asked != "" {
					t.Errorf("the backend was asked %s; want nothing", asked)
				}
				return
			}
			if string(reply.RPC.Data) != `{"sum": 3}` || !strings.Contains(asked, fmt.Sprintf(`"user":"42","method":%q,"data":{"a":1}`, test.method)) {
				t.Errorf("data %s, the backend got %s; want the answer, and method and data", reply.RPC.Data, asked)
			}
		})
	}
}

// refreshAnswers are what a backend answers to refresh and sub_refresh, and what follows
// (server.md 5.5, 5.9).
var refreshAnswers = []struct {
	name, body string
	fail       bool
	expired    bool
	at         int64 // zero: never; -1: in about a minute
	info       string
}{
	{name: "expire_at", body: `{"result": {"expire_at": 4000000000, "info": {"a": 1}}}`, at: 4000000000, info: `{"a": 1}`},
	{name: "never", body: `{"result": {}}`},
	{name: "b64info", body: `{"result": {"b64info": "MQ=="}}`, info: "1"},
	{name: "expired", body: `{"result": {"expired": true, "expire_at": 4000000000}}`, expired: true},
	{name: "no result", body: `{}`, expired: true},
	{name: "error is ignored", body: `{"error": {"code": 1000}}`, expired: true},
	{name: "disconnect is ignored", body: `{"disconnect": {"code": 4000}, "result": {"expire_at": 4000000000}}`, at: 4000000000},
	{name: "failure", fail: true, at: -1},
	{name: "bad JSON", body: "{", at: -1},
	{name: "bad base64", body: `{"result": {"b64info": "!"}}`, at: -1},
}

func TestRefreshByProxy(t *testing.T) {
	for _, test := range refreshAnswers {
		for _, event := range []proxy.Event{proxy.Refresh, proxy.SubRefresh} {
			t.Run(event.String()+"/"+test.name, func(t *testing.T) {
				b, use := newBackend(t)
				b.answer(event, test.body)
				s := newServer(t, func(s *Sections) {
					use(s)
					refreshBy(s)
					subRefreshed(s, true)
				})
				c := s.connect(t, claims{"sub": "42"}).Conn().Client()
				if test.fail {
					b.fail()
				}
				expired, at, info := s.refreshed(t, c, event)
				soon := time.Now().Unix()
				if expired != test.expired || string(info) != test.info || test.at >= 0 && at != test.at || test.at < 0 && (at < soon+30 || at > soon+60) {
					t.Errorf("expired %v, at %d, info %q; want %v, %d, %q", expired, at, info, test.expired, test.at, test.info)
				}
				if asked := b.asked(event); len(asked) != 1 || jsonOf(t, asked[0])["user"] != "42" {
					t.Errorf("the backend was asked %v; want once, with the user", asked)
				}
			})
		}
	}
}

// refreshed does what the core does when a connection or a subscription has expired.
func (s *testServer) refreshed(t *testing.T, c *centrifuge.Client, e proxy.Event) (expired bool, at int64, info []byte) {
	t.Helper()
	if e == proxy.Refresh {
		r, err := s.policy.refresh(c.Context(), centrifuge.RefreshEvent{Client: c})
		if err != nil {
			t.Fatal(err)
		}
		return r.Expired, r.ExpireAt, r.Info
	}
	r, err := s.policy.subRefresh(c.Context(), centrifuge.SubRefreshEvent{Client: c, Channel: "proxied:1"})
	if err != nil {
		t.Fatal(err)
	}
	return r.Expired, r.ExpireAt, r.Info
}

// TestClientsDoNotRefresh: with a refresh proxy a client may not send refresh; with a
// sub_refresh proxy it may ask for a refresh without a token.
func TestClientsDoNotRefresh(t *testing.T) {
	b, use := newBackend(t)
	b.answer(proxy.SubRefresh, `{"result": {"expire_at": 4000000000}}`)
	s := newServer(t, func(s *Sections) {
		use(s)
		refreshBy(s)
		subRefreshed(s, true)
	})
	c := s.connect(t, claims{"sub": "42", "exp": future()})
	if code := outcome(c, &protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "proxied:1"}}); code != 0 {
		t.Fatalf("subscribing: %d; want 0", code)
	}
	code, reply := answer(c, &protocol.Command{SubRefresh: &protocol.SubRefreshRequest{Channel: "proxied:1"}})
	if code != 0 || !reply.SubRefresh.Expires {
		t.Errorf("sub_refresh without a token: outcome %d, reply %+v; want success, expires", code, reply)
	}
	if asked := b.asked(proxy.SubRefresh); len(asked) != 1 || !strings.Contains(asked[0], `"channel":"proxied:1"`) {
		t.Errorf("the backend was asked %v; want once, with the channel", asked)
	}
	if code := outcome(c, &protocol.Command{Refresh: &protocol.RefreshRequest{Token: sign(t, secret, claims{"sub": "42"})}}); code != 3501 {
		t.Errorf("refresh: outcome %d; want 3501", code)
	}
}

// TestConnectionMeta: the meta of a connection comes from its token or the connect proxy,
// and a refresh replaces it (server.md 5.2, 5.5).
func TestConnectionMeta(t *testing.T) {
	b, use := newBackend(t)
	b.answer(proxy.Connect, `{"result": {"user": "42", "meta": {"from": "connect"}}}`)
	b.answer(proxy.Refresh, `{"result": {"meta": {"from": "refresh"}}}`)
	s := newServer(t, func(s *Sections) {
		use(s)
		refreshBy(s)
		s.RPC.WithoutNamespace = config.RPCOptions{ProxyEnabled: true, ProxyName: proxy.DefaultName}
		s.RPC.Proxy.IncludeConnectionMeta = true
	})
	from := func(c *centrifugetest.Client, want string) {
		t.Helper()
		if code := outcome(c, &protocol.Command{RPC: &protocol.RPCRequest{Method: "m"}}); code != 0 {
			t.Fatalf("rpc: outcome %d; want 0", code)
		}
		asked := b.asked(proxy.RPC)
		meta, _ := jsonOf(t, asked[len(asked)-1])["meta"].(map[string]any)
		if meta["from"] != want {
			t.Errorf("meta %v; want that of %s", meta, want)
		}
	}
	c := s.dial(context.Background(), t)
	if code := outcome(c, &protocol.Command{Connect: &protocol.ConnectRequest{}}); code != 0 {
		t.Fatalf("connecting: %d; want 0", code)
	}
	from(c, "connect")
	s.refreshed(t, c.Conn().Client(), proxy.Refresh)
	from(c, "refresh")
	from(s.connect(t, claims{"sub": "42", "meta": map[string]any{"from": "token"}}), "token")
}

// TestTooManyConnects: a connect that the protection of the backend does not let through is
// told to come back.
func TestTooManyConnects(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = io.WriteString(w, `{"result": {"user": "42"}}`)
	}))
	defer slow.Close()
	_, use := newBackend(t)
	s := newServer(t, func(s *Sections) {
		use(s)
		c := &s.Client.Proxy.Connect
		c.Endpoint, c.Limit.MaxInFlight, c.Limit.QueueSize = slow.URL, 1, 0
	})
	first := s.dial(context.Background(), t)
	first.Send(&protocol.Command{Connect: &protocol.ConnectRequest{}})
	await.Receive(t, arrived, "the first connect at the backend")
	if code := outcome(s.dial(context.Background(), t), &protocol.Command{Connect: &protocol.ConnectRequest{}}); code != 3013 {
		t.Errorf("a connect beyond the limit: outcome %d; want 3013", code)
	}
	close(release)
	if reply := first.Read(); reply == nil || reply.Connect == nil {
		t.Errorf("the first connect: reply %+v; want success", reply)
	}
}

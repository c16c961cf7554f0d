package apihttp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/glob"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/internal/memtest"
	"centrifugo/protocol"
	"centrifugo/server/internal/api"
)

var _ api.Node = (*centrifuge.Node)(nil)

// newNode runs a node with the memory engine. Its clients may do everything, in channels
// with presence, history and recovery.
func newNode(t testing.TB) *centrifuge.Node {
	t.Helper()
	match := func(pattern string) (func(string) bool, error) {
		g, err := glob.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return g.Match, nil
	}
	node, err := centrifuge.New(centrifuge.Config{Name: "n1", Version: "test", MatchChannel: match})
	if err != nil {
		t.Fatal(err)
	}
	node.Handle(centrifuge.Handlers{
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Presence: true, Recovery: true}}, nil
		},
	})
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Shutdown(ctx); err != nil {
			t.Errorf("shutting down: %v", err)
		}
	})
	return node
}

// epochs matches the random epochs of the engine; answers show E instead.
var epochs = regexp.MustCompile(`"epoch":"[A-Za-z0-9_-]+"`)

// ask posts and returns the answer.
func ask(t *testing.T, h http.Handler, path, body string) string {
	t.Helper()
	w := post(h, path, body)
	if w.Code != 200 {
		t.Errorf("%s %s: status %d; want 200", path, body, w.Code)
	}
	return epochs.ReplaceAllString(w.Body.String(), `"epoch":"E"`)
}

func TestStreamOfARealNode(t *testing.T) {
	h := newHandler(t, newNode(t), nil)
	steps := []struct{ path, body, want string }{
		{"history", `{"channel":"hist:1"}`, `{"result":{"publications":[],"epoch":"E","offset":0}}`},
		{"publish", `{"channel":"hist:1","data":{"n": 1}}`, `{"result":{"offset":1,"epoch":"E"}}`},
		{"publish", `{"channel":"hist:1","data":null,"tags":{"k":"v"}}`, `{"result":{"offset":2,"epoch":"E"}}`},
		{"publish", `{"channel":"hist:1","data":"<3>","idempotency_key":"i"}`, `{"result":{"offset":3,"epoch":"E"}}`},
		{"publish", `{"channel":"hist:1","data":4,"idempotency_key":"i"}`, `{"result":{"offset":3,"epoch":"E"}}`},
		{"publish", `{"channel":"hist:1","data":4,"skip_history":true}`, `{"result":{}}`},
		{"publish", `{"channel":"plain","data":4}`, `{"result":{}}`},
		{"history", `{"channel":"hist:1"}`, `{"result":{"publications":[],"epoch":"E","offset":3}}`},
		{"history", `{"channel":"hist:1","limit":-1}`, `{"result":{"publications":[{"data":{"n":1},"offset":1},` +
			`{"data":null,"offset":2,"tags":{"k":"v"}},{"data":"\u003c3\u003e","offset":3}],"epoch":"E","offset":3}}`},
		{"history", `{"channel":"hist:1","limit":1,"since":{"offset":1}}`,
			`{"result":{"publications":[{"data":null,"offset":2,"tags":{"k":"v"}}],"epoch":"E","offset":3}}`},
		{"history", `{"channel":"hist:1","limit":1,"reverse":true}`,
			`{"result":{"publications":[{"data":"\u003c3\u003e","offset":3}],"epoch":"E","offset":3}}`},
		{"history", `{"channel":"hist:1","limit":1,"reverse":true,"since":{"offset":0}}`, err100},
		{"history", `{"channel":"hist:1","limit":1,"since":{"offset":1,"epoch":"other"}}`,
			`{"error":{"code":112,"message":"unrecoverable position"}}`},
		{"publish", `{"channel":"hist:2","data":1,"version":5}`, `{"result":{"offset":1,"epoch":"E"}}`},
		{"publish", `{"channel":"hist:2","data":2,"version":5}`, `{"result":{"offset":1,"epoch":"E"}}`},
		{"publish", `{"channel":"hist:2","data":2,"version":1,"version_epoch":"new"}`, `{"result":{"offset":2,"epoch":"E"}}`},
		{"broadcast", `{"channels":["hist:1","hist:2","plain"],"data":5,"idempotency_key":"b"}`,
			`{"result":{"responses":[{"result":{"offset":4,"epoch":"E"}},{"result":{"offset":3,"epoch":"E"}},{"result":{}}]}}`},
		{"broadcast", `{"channels":["hist:1"],"data":5,"idempotency_key":"b"}`,
			`{"result":{"responses":[{"result":{"offset":4,"epoch":"E"}}]}}`},
		{"history_remove", `{"channel":"hist:1"}`, empty},
		{"history", `{"channel":"hist:1","limit":-1}`, `{"result":{"publications":[],"epoch":"E","offset":4}}`},
		{"publish", `{"channel":"hist:1","data":6}`, `{"result":{"offset":5,"epoch":"E"}}`},
		{"publish", `{"channel":"hist:3","b64data":"/w=="}`, `{"result":{"offset":1,"epoch":"E"}}`},
		{"presence", `{"channel":"pres:1"}`, `{"result":{"presence":{}}}`},
		{"channels", `{}`, `{"result":{"channels":{}}}`},
		{"channels", `{"pattern":"["}`, err100},
	}
	for _, step := range steps {
		if got := ask(t, h, "/api/"+step.path, step.body); got != step.want {
			t.Errorf("%s %s:\n%s\nwant\n%s", step.path, step.body, got, step.want)
		}
	}
	if w := post(h, "/api/history", `{"channel":"hist:3","limit":1}`); w.Code != 500 {
		t.Errorf("binary history: %d; want 500", w.Code)
	}
}

func TestConnectionsOfARealNode(t *testing.T) {
	node := newNode(t)
	h := newHandler(t, node, nil)
	connect := func(user string) *centrifugetest.Client {
		return centrifugetest.Connect(context.Background(), t, node, protocol.Format(0), user)
	}
	push := func(c *centrifugetest.Client) *protocol.Push {
		t.Helper()
		p := c.Push()
		if p == nil {
			t.Fatalf("the connection ended: %v; want a push", c.Closed())
		}
		return p
	}
	call := func(path, body, want string) {
		t.Helper()
		if got := ask(t, h, "/api/"+path, body); got != want {
			t.Errorf("%s %s:\n%s\nwant\n%s", path, body, got, want)
		}
	}
	alice, anonymous := connect("alice"), connect("")

	call("publish", `{"channel":"join:1","data":1}`, `{"result":{"offset":1,"epoch":"E"}}`)
	call("subscribe", `{"channel":"join:1","user":"alice","data":{"d":1},"info":{"i":1}}`, empty)
	if p := push(alice); p.Channel != "join:1" || p.Subscribe == nil || !p.Subscribe.Recoverable || string(p.Subscribe.Data) != `{"d":1}` {
		t.Errorf("subscribe: %+v; want join:1, recoverable, with {\"d\":1}", p.Subscribe)
	}
	if p := push(alice); p.Join == nil || p.Join.Info.User != "alice" {
		t.Errorf("join: %+v; want Join.Info.User \"alice\"", p)
	}
	call("presence", `{"channel":"join:1"}`, fmt.Sprintf(
		`{"result":{"presence":{%q:{"user":"alice","client":%q,"chan_info":{"i":1}}}}}`, alice.Client().ID(), alice.Client().ID()))
	call("presence_stats", `{"channel":"join:1"}`, `{"result":{"num_clients":1,"num_users":1}}`)

	// An empty user means the anonymous connections, not all.
	call("subscribe", `{"channel":"news"}`, empty)
	if p := push(anonymous); p.Channel != "news" || p.Subscribe == nil {
		t.Errorf("subscribe of the anonymous: %+v; want Channel \"news\"", p)
	}
	call("channels", `{}`, `{"result":{"channels":{"join:1":{"num_clients":1},"news":{"num_clients":1}}}}`)
	call("channels", `{"pattern":"*oi*1"}`, `{"result":{"channels":{"join:1":{"num_clients":1}}}}`)

	call("publish", `{"channel":"join:1","data":{"x" : 1}}`, `{"result":{"offset":2,"epoch":"E"}}`)
	if p := push(alice); p.Pub == nil || string(p.Pub.Data) != `{"x" : 1}` || p.Pub.Offset != 2 || p.Pub.Info != nil {
		t.Errorf("publication: %+v; want {\"x\" : 1} with offset 2 and no info", p.Pub)
	}

	var info struct {
		Result struct{ Nodes []api.NodeInfo }
	}
	if err := json.Unmarshal([]byte(ask(t, h, "/api/info", `{}`)), &info); err != nil || len(info.Result.Nodes) != 1 {
		t.Fatalf("info %+v, %v; want len(Result.Nodes) 1", info, err)
	}
	if n := info.Result.Nodes[0]; n.UID != node.ID() || n.Name != "n1" || n.Version != "test" || n.NumClients != 2 || n.NumUsers != 2 ||
		n.NumChannels != 2 || n.NumSubs != 2 {
		t.Errorf("info %+v; want %s, name n1, version test, and 2 of each", n, node.ID())
	}

	call("unsubscribe", `{"channel":"join:1","user":"alice"}`, empty)
	if p := push(alice); p.Unsubscribe == nil || p.Unsubscribe.Code != 2000 || p.Unsubscribe.Reason != "server unsubscribe" {
		t.Errorf("unsubscribe: %+v; want Unsubscribe.Code 2000 and Unsubscribe.Reason \"server unsubscribe\"", p)
	}
	call("refresh", fmt.Sprintf(`{"user":"alice","expire_at":%d}`, time.Now().Unix()+100), empty)
	if p := push(alice); p.Refresh == nil || !p.Refresh.Expires || p.Refresh.TTL == 0 {
		t.Errorf("refresh: %+v; want an end", p.Refresh)
	}
	call("refresh", `{"user":"alice"}`, empty)
	if p := push(alice); p.Refresh == nil || p.Refresh.Expires {
		t.Errorf("eternal: %+v; want no end", p.Refresh)
	}

	second, third := connect("alice"), connect("alice")
	call("disconnect", `{"user":"alice","client":"unknown"}`, empty)
	call("disconnect", fmt.Sprintf(`{"client":%q}`, alice.Client().ID()), empty) // she is not anonymous
	call("disconnect", fmt.Sprintf(`{"user":"alice","whitelist":[%q,%q]}`, alice.Client().ID(), third.Client().ID()), empty)
	if got := second.Closed(); got != centrifuge.DisconnectForceNoReconnect {
		t.Errorf("second: %v; want %v", got, centrifuge.DisconnectForceNoReconnect)
	}
	call("disconnect", fmt.Sprintf(`{"user":"alice","client":%q,"disconnect":{"code":4001,"reason":"bye"}}`, alice.Client().ID()), empty)
	if got := alice.Closed(); got != (centrifuge.Disconnect{Code: 4001, Reason: "bye"}) {
		t.Errorf("alice is closed with %v; want 4001 bye", got)
	}
	call("refresh", `{"user":"alice","expired":true}`, empty)
	if got := third.Closed(); got != centrifuge.DisconnectExpired {
		t.Errorf("third: %v; want %v", got, centrifuge.DisconnectExpired)
	}
	call("refresh", `{"expire_at":1}`, empty)
	if got := anonymous.Closed(); got != centrifuge.DisconnectExpired {
		t.Errorf("anonymous: %v; want %v", got, centrifuge.DisconnectExpired)
	}
}

// TestSubscribeAgain: subscribe updates an existing subscription, whether the client or
// the server made it.
func TestSubscribeAgain(t *testing.T) {
	node := newNode(t)
	h := newHandler(t, node, nil)
	for _, user := range []string{"server", "client"} {
		c := centrifugetest.Connect(context.Background(), t, node, protocol.Format(0), user)
		if user == "client" {
			if reply := c.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "join:1"}}); reply == nil || reply.Error != nil {
				t.Fatalf("subscribing: %+v; want a reply without error", reply)
			}
		} else if got := ask(t, h, "/api/subscribe", `{"channel":"join:1","user":"server","info":1}`); got != empty {
			t.Fatalf("subscribe = %s; want %s", got, empty)
		}
		body := fmt.Sprintf(`{"channel":"join:1","user":%q,"data":{"d":2},"info":{"i":2},"expire_at":%d}`, user, time.Now().Unix()+3600)
		if got := ask(t, h, "/api/subscribe", body); got != empty {
			t.Fatalf("subscribe = %s; want %s", got, empty)
		}
		want := fmt.Sprintf(`%q:{"user":%q,"client":%[1]q,"chan_info":{"i":2}}`, c.Client().ID(), user)
		if got := ask(t, h, "/api/presence", `{"channel":"join:1"}`); !strings.Contains(got, want) {
			t.Errorf("%s: presence %s, want %s", user, got, want)
		}
		for data := ""; user == "server" && data != `{"d":2}`; {
			push := c.Push()
			if push == nil {
				t.Fatalf("the connection ended: %v; want a push", c.Closed())
			}
			if push.Subscribe != nil {
				data = string(push.Subscribe.Data)
			}
		}
	}
}

// A whole request, without net/http.
func BenchmarkPublish(b *testing.B) {
	h := newHandler(b, newNode(b), nil)
	for _, bench := range []struct{ name, body string }{
		{"usual", `{"channel":"plain","data":{"text":"hello, world","n":[1,2,3]}}`},
		{"history", `{"channel":"hist:1","data":{"text":"hello, world","n":[1,2,3]}}`},
		{"tags", `{"channel":"plain","data":{"text":"hello, world","n":[1,2,3]},"tags":{"k":"v"}}`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			serve := publisher(b, h, bench.body)
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}

// publisher returns a function that serves one publish request.
func publisher(tb testing.TB, h http.Handler, text string) func() {
	tb.Helper()
	body := strings.NewReader(text)
	r, err := http.NewRequest(http.MethodPost, "/api/publish", nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("X-API-Key", "K")
	r.Body, r.ContentLength = nopCloser{body}, int64(len(text))
	w := &discard{header: http.Header{}}
	return func() {
		body.Reset(text)
		h.ServeHTTP(w, r)
		if w.status != 200 {
			tb.Fatal(w.status)
		}
	}
}

// Allowed are the request, its channel, its data and the publication of the node.
func TestPublishAllocations(t *testing.T) {
	if memtest.Race {
		t.Skip("the race detector allocates")
	}
	h := newHandler(t, newNode(t), nil)
	serve := publisher(t, h, `{"channel":"plain","data":{"text":"hello, world","n":[1,2,3]}}`)
	if n := testing.AllocsPerRun(1000, serve); n > 4 {
		t.Errorf("%v allocations, want at most 4", n)
	}
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

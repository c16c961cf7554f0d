package apihttp

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/api/apitest"
)

const (
	err100 = `{"error":{"code":100,"message":"internal server error"}}`
	err102 = `{"error":{"code":102,"message":"unknown channel"}}`
	err104 = `{"error":{"code":104,"message":"not found"}}`
	err107 = `{"error":{"code":107,"message":"bad request"}}`
	err108 = `{"error":{"code":108,"message":"not available"}}`
	empty  = `{"result":{}}`
)

// methodTest is a call with the answer to expect and the calls of the node to expect,
// one line each.
type methodTest struct {
	name, method, body string
	want               string
	calls              string
}

func runMethodTests(t *testing.T, tests []methodTest, node func() *apitest.Node) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.method+" "+test.name, func(t *testing.T) {
			n := node()
			w := post(newHandler(t, n, nil), "/api/"+test.method, test.body)
			if w.Code != 200 || w.Body.String() != test.want {
				t.Errorf("%d %s\nwant %s", w.Code, w.Body, test.want)
			}
			if got := strings.Join(n.Calls(), "\n"); got != test.calls {
				t.Errorf("node was asked:\n%s\nwant:\n%s", got, test.calls)
			}
		})
	}
}

func TestPublish(t *testing.T) {
	const pos = `{"result":{"offset":7,"epoch":"TckZ"}}`
	runMethodTests(t, []methodTest{
		{"", "publish", `{"channel":"hist:1","data":{"a":1}}`, pos, `publish hist:1 {"a":1} size=10 ttl=1m0s meta=1h0m0s`},
		{"data null", "publish", `{"channel":"a","data":null}`, pos, `publish a null meta=1h0m0s`},
		{"data keeps its white space", "publish", `{"channel":"a","data": { "a" : "<b>" } }`, pos, `publish a { "a" : "<b>" } meta=1h0m0s`},
		{"data string", "publish", `{"channel":"a","data":"x"}`, pos, `publish a "x" meta=1h0m0s`},
		{"no data", "publish", `{"channel":"a"}`, err107, ``},
		{"no channel", "publish", `{"data":1}`, err107, ``},
		{"null body", "publish", `null`, err107, ``},
		{"unknown namespace", "publish", `{"channel":"x:1","data":1}`, err102, ``},
		{"unknown namespace before data", "publish", `{"channel":"x:1"}`, err102, ``},
		{"map namespace", "publish", `{"channel":"map:1","data":1}`, err107, ``},
		{"poll namespace", "publish", `{"channel":"poll:1","data":1}`, err107, ``},
		{"stream namespace", "publish", `{"channel":"stream:1","data":1}`, pos, `publish stream:1 1 meta=1h0m0s`},
		{"base64", "publish", `{"channel":"a","b64data":"aGk="}`, pos, `publish a hi meta=1h0m0s`},
		{"base64 wins", "publish", `{"channel":"a","data":1,"b64data":"aGk="}`, pos, `publish a hi meta=1h0m0s`},
		{"bad base64", "publish", `{"channel":"a","b64data":"a"}`, err107, ``},
		{"url base64", "publish", `{"channel":"a","b64data":"_-8="}`, err107, ``},
		{"skip history", "publish", `{"channel":"hist:1","data":1,"skip_history":true}`, pos, `publish hist:1 1 meta=1h0m0s`},
		{"everything", "publish",
			`{"channel":"hist:1","data":1,"tags":{"k":"v"},"idempotency_key":"i","delta":true,"version":5,"version_epoch":"e"}`,
			pos, `publish hist:1 1 size=10 ttl=1m0s meta=1h0m0s tags=map[k:v] key=i version=5/e delta`},
		{"delta of the namespace", "publish", `{"channel":"delta:1","data":1}`, pos, `publish delta:1 1 size=10 ttl=1m0s meta=1h0m0s delta`},
		{"json", "publish", `{"channel":"json:1","data":[1]}`, pos, `publish json:1 [1] meta=1h0m0s`},
		{"not json", "publish", `{"channel":"json:1","b64data":"aGk="}`, err107, ``},
		{"object", "publish", `{"channel":"object:1","data":{}}`, pos, `publish object:1 {} meta=1h0m0s`},
		{"not an object", "publish", `{"channel":"object:1","data":[1]}`, err107, ``},
		{"binary", "publish", `{"channel":"bin:1","b64data":"/w=="}`, pos, "publish bin:1 \xff meta=1h0m0s"},
		{"binary, nothing", "publish", `{"channel":"bin:1"}`, pos, `publish bin:1  meta=1h0m0s`},
		{"name is not checked", "publish", `{"channel":"` + strings.Repeat("é", 300) + `","data":1}`, pos,
			`publish ` + strings.Repeat("é", 300) + ` 1 meta=1h0m0s`},
		{"regex is not checked", "publish", `{"channel":"re:A1","data":1}`, pos, `publish re:A1 1 meta=1h0m0s`},
		{"private", "publish", `{"channel":"$hist:1","data":1}`, pos, `publish $hist:1 1 size=10 ttl=1m0s meta=1h0m0s`},
		{"keys in any case", "publish", `{"CHANNEL":"a","Data":1,"Skip_History":true}`, pos, `publish a 1 meta=1h0m0s`},
		{"unknown keys", "publish", `{"channel":"a","data":1,"what":{"channel":"b"}}`, pos, `publish a 1 meta=1h0m0s`},
		{"last of several", "publish", `{"channel":"a","data":1,"channel":"b","data":2}`, pos, `publish b 2 meta=1h0m0s`},
		{"null keeps", "publish", `{"channel":"a","channel":null,"data":1}`, pos, `publish a 1 meta=1h0m0s`},
		{"escapes", "publish", `{"channel":"\u0061","data":"\u0062"}`, pos, `publish a "\u0062" meta=1h0m0s`},
		{"white space", "publish", " {\n\"channel\" : \"a\" ,\t\"data\" : 1 } \r\n", pos, `publish a 1 meta=1h0m0s`},
	}, func() *apitest.Node {
		return &apitest.Node{Published: centrifuge.PublishResult{
			StreamPosition: centrifuge.StreamPosition{Offset: 7, Epoch: "TckZ"},
		}}
	})
	runMethodTests(t, []methodTest{
		{"without history", "publish", `{"channel":"a","data":1}`, empty, `publish a 1 meta=1h0m0s`},
	}, func() *apitest.Node { return &apitest.Node{} })
	runMethodTests(t, []methodTest{
		{"fails", "publish", `{"channel":"a","data":1}`, err100, `publish a 1 meta=1h0m0s`},
	}, func() *apitest.Node { return &apitest.Node{Err: centrifuge.ErrShutdown} })
	// A suppressed publication is a success with the earlier position.
	runMethodTests(t, []methodTest{
		{"suppressed", "publish", `{"channel":"a","data":1}`, `{"result":{"offset":3,"epoch":"\u003ce\u003e"}}`, `publish a 1 meta=1h0m0s`},
	}, func() *apitest.Node {
		return &apitest.Node{Published: centrifuge.PublishResult{
			StreamPosition: centrifuge.StreamPosition{Offset: 3, Epoch: "<e>"},
			Suppressed:     centrifuge.SuppressedIdempotency,
		}}
	})
}

func TestBroadcast(t *testing.T) {
	node := func() *apitest.Node {
		return &apitest.Node{Published: centrifuge.PublishResult{StreamPosition: centrifuge.StreamPosition{Offset: 1, Epoch: "e"}}}
	}
	runMethodTests(t, []methodTest{
		{"one", "broadcast", `{"channels":["a"],"data":1,"idempotency_key":"i"}`,
			`{"result":{"responses":[{"result":{"offset":1,"epoch":"e"}}]}}`, `publish a 1 meta=1h0m0s key=i`},
		{"no channels", "broadcast", `{"channels":[],"data":1}`, err107, ``},
		{"channels missing", "broadcast", `{"data":1}`, err107, ``},
		{"bad base64", "broadcast", `{"channels":["a"],"b64data":"!"}`, err107, ``},
		{"all refused, each for its own reason", "broadcast", `{"channels":["","x:1","object:1"],"data":1}`,
			`{"result":{"responses":[` + strings.Join([]string{err107, err102, err107}, ",") + `]}}`, ``},
		{"in order", "broadcast", `{"channels":["x:1","a","x:2"],"data":1}`,
			`{"result":{"responses":[` + err102 + `,{"result":{"offset":1,"epoch":"e"}},` + err102 + `]}}`, `publish a 1 meta=1h0m0s`},
		{"subscription type is not checked", "broadcast", `{"channels":["map:1"],"data":1}`,
			`{"result":{"responses":[{"result":{"offset":1,"epoch":"e"}}]}}`, `publish map:1 1 meta=1h0m0s`},
	}, node)
	runMethodTests(t, []methodTest{
		{"fails", "broadcast", `{"channels":["a"],"data":1}`, `{"result":{"responses":[` + err100 + `]}}`, `publish a 1 meta=1h0m0s`},
	}, func() *apitest.Node { return &apitest.Node{Err: centrifuge.ErrShutdown} })
}

func TestUsers(t *testing.T) {
	tests := []methodTest{
		{"", "subscribe", `{"channel":"a","user":"u"}`, empty, `subscribe user="u" a source=10`},
		{"anonymous", "subscribe", `{"channel":"a"}`, empty, `subscribe user="" a source=10`},
		{"no channel", "subscribe", `{"user":"u"}`, err107, ``},
		{"unknown namespace", "subscribe", `{"channel":"x:1","user":"u"}`, err102, ``},
		{"narrowed", "subscribe", `{"channel":"a","user":"u","client":"c","session":"s"}`, empty,
			`subscribe user="u" client=c session=s a source=10`},
		{"options of the namespace", "subscribe", `{"channel":"all:1","user":"u"}`, empty,
			`subscribe user="u" all:1 source=10 presence join_leave push_join_leave positioning recovery delta tags_filter cache auto`},
		{"overrides", "subscribe", `{"channel":"all:1","user":"u","override":{"presence":{"value":false},"join_leave":{},` +
			`"force_recovery":{"value":false},"force_positioning":null,"force_push_join_leave":{"value":false}}}`, empty,
			`subscribe user="u" all:1 source=10 positioning delta tags_filter cache auto`},
		{"overrides to true", "subscribe", `{"channel":"a","user":"u","override":{"presence":{"value":true},"join_leave":{"value":true},` +
			`"force_recovery":{"value":true},"force_positioning":{"value":true},"force_push_join_leave":{"value":true}}}`, empty,
			`subscribe user="u" a source=10 presence join_leave push_join_leave positioning recovery`},
		{"rest", "subscribe", `{"channel":"a","user":"u","expire_at":5,"info":{"i":1},"data":{"d":1},"recover_since":{"offset":3,"epoch":"e"}}`,
			empty, `subscribe user="u" a source=10 expire_at=5 info={"i":1} data={"d":1} since=3/e`},
		{"base64 wins", "subscribe", `{"channel":"a","info":1,"b64info":"aQ==","data":1,"b64data":"ZA=="}`, empty,
			`subscribe user="" a source=10 info=i data=d`},
		{"bad b64info", "subscribe", `{"channel":"a","b64info":"!"}`, err107, ``},
		{"bad b64data", "subscribe", `{"channel":"a","b64data":"!"}`, err107, ``},

		{"", "unsubscribe", `{"channel":"a","user":"u","client":"c","session":"s"}`, empty,
			`unsubscribe user="u" client=c session=s channel="a" 2000`},
		{"every channel", "unsubscribe", `{"user":"u"}`, empty, `unsubscribe user="u" channel="" 2000`},
		{"unknown namespace", "unsubscribe", `{"channel":"x:1","user":"u"}`, err102, ``},

		{"", "disconnect", `{"user":"u"}`, empty, `disconnect user="u" 3503 "force disconnect"`},
		{"anonymous", "disconnect", `{}`, empty, `disconnect user="" 3503 "force disconnect"`},
		{"everything", "disconnect", `{"user":"u","client":"c","session":"s","whitelist":["a","b"],"disconnect":{"code":4001,"reason":"bye"}}`,
			empty, `disconnect user="u" client=c session=s except=[a b] 4001 "bye"`},
		{"old key", "disconnect", `{"user":"u","disconnect":{"code":4500,"reconnect":true}}`, empty, `disconnect user="u" 4500 ""`},

		{"", "refresh", `{"user":"u","expire_at":9,"info":{"a":1}}`, empty, `refresh user="u" expired=false expire_at=9 info={"a":1}`},
		{"eternal", "refresh", `{"user":"u"}`, empty, `refresh user="u" expired=false expire_at=0 info=`},
		{"expired", "refresh", `{"user":"u","client":"c","session":"s","expired":true}`, empty,
			`refresh user="u" client=c session=s expired=true expire_at=0 info=`},
	}
	// Codes and reasons that a close frame cannot carry are refused.
	for _, d := range []string{`{}`, `{"code":0}`, `{"code":1}`, `{"code":1005}`, `{"code":1006}`, `{"code":1015}`, `{"code":2999}`,
		`{"code":5000}`, `{"code":70000}`, `{"code":4294967295}`, `{"code":4500,"reason":"` + strings.Repeat("x", 124) + `"}`} {
		message := centrifuge.Disconnect{}
		if err := json.Unmarshal([]byte(d), &message); err != nil {
			t.Fatal(err)
		}
		refused := `{"error":{"code":107,"message":"bad request: ` + message.Validate().Error() + `"}}`
		request := `{"user":"u","disconnect":` + d + `}`
		tests = append(tests,
			methodTest{d, "disconnect", request, refused, ``},
			methodTest{"in a batch", "batch", `{"commands":[{"disconnect":` + request + `}]}`, `{"replies":[` + refused + `]}`, ``})
	}
	// Calls that would affect the anonymous connections in OSS are refused.
	for _, method := range []string{"subscribe", "unsubscribe", "disconnect", "refresh"} {
		tests = append(tests,
			methodTest{"all users", method, `{"channel":"a","all_users":true}`, err108, ``},
			methodTest{"label filter", method, `{"channel":"a","user":"u","label_filter":{}}`, err108, ``},
			methodTest{"nested label filter", method,
				`{"channel":"a","label_filter":{"op":"and","nodes":[{"key":"k","cmp":"in","vals":["v"]}]}}`, err108, ``})
	}
	runMethodTests(t, tests, func() *apitest.Node { return &apitest.Node{} })
	runMethodTests(t, []methodTest{
		{"fails", "subscribe", `{"channel":"a"}`, err100, `subscribe user="" a source=10`},
		{"fails", "unsubscribe", `{}`, err100, `unsubscribe user="" channel="" 2000`},
		{"fails", "disconnect", `{}`, err100, `disconnect user="" 3503 "force disconnect"`},
		{"fails", "refresh", `{}`, err100, `refresh user="" expired=false expire_at=0 info=`},
	}, func() *apitest.Node { return &apitest.Node{Err: centrifuge.ErrShutdown} })
}

func TestPresence(t *testing.T) {
	runMethodTests(t, []methodTest{
		{"", "presence", `{"channel":"pres:1"}`, `{"result":{"presence":{` +
			`"c1":{"user":"u","client":"c1","conn_info":{"n":"\u003cb\u003e \u0026 \u2028"},"chan_info":[1,2]},` +
			`"c2":{"user":"","client":"c2"}}}}`, `presence pres:1`},
		{"no channel", "presence", `{}`, err107, ``},
		{"unknown namespace", "presence", `{"channel":"x:1"}`, err102, ``},
		{"off", "presence", `{"channel":"a"}`, err108, ``},
		{"", "presence_stats", `{"channel":"pres:1"}`, `{"result":{"num_clients":2,"num_users":1}}`, `presence_stats pres:1`},
		{"no channel", "presence_stats", `{}`, err107, ``},
		{"unknown namespace", "presence_stats", `{"channel":"x:1"}`, err102, ``},
		{"off", "presence_stats", `{"channel":"a"}`, err108, ``},
	}, func() *apitest.Node {
		return &apitest.Node{
			Present: map[string]*centrifuge.ClientInfo{
				"c1": {User: "u", Client: "c1", ConnInfo: []byte("{ \"n\" : \"<b> & \u2028\" }"), ChanInfo: []byte(`[1, 2]`)},
				"c2": {Client: "c2"},
			},
			Stats: centrifuge.PresenceStats{NumClients: 2, NumUsers: 1},
		}
	})
	runMethodTests(t, []methodTest{
		{"no subscriber", "presence", `{"channel":"pres:1"}`, `{"result":{"presence":{}}}`, `presence pres:1`},
		{"no subscriber", "presence_stats", `{"channel":"pres:1"}`, `{"result":{"num_clients":0,"num_users":0}}`, `presence_stats pres:1`},
	}, func() *apitest.Node { return &apitest.Node{} })
	runMethodTests(t, []methodTest{
		{"fails", "presence", `{"channel":"pres:1"}`, err100, `presence pres:1`},
		{"fails", "presence_stats", `{"channel":"pres:1"}`, err100, `presence_stats pres:1`},
	}, func() *apitest.Node { return &apitest.Node{Err: errors.New("presence manager failed")} })
}

func TestHistory(t *testing.T) {
	const none = `{"result":{"publications":[],"epoch":"","offset":0}}`
	runMethodTests(t, []methodTest{
		{"position only", "history", `{"channel":"hist:1"}`, none, `history hist:1 limit=0 since=- reverse=false meta=1h0m0s`},
		{"all", "history", `{"channel":"hist:1","limit":-1}`, none, `history hist:1 limit=-1 since=- reverse=false meta=1h0m0s`},
		{"no cap", "history", `{"channel":"hist:1","limit":100000}`, none, `history hist:1 limit=100000 since=- reverse=false meta=1h0m0s`},
		{"since, reverse, meta ttl", "history", `{"channel":"all:1","limit":2,"since":{"offset":5,"epoch":"e"},"reverse":true}`, none,
			`history all:1 limit=2 since=5/e reverse=true meta=2h0m0s`},
		{"since null", "history", `{"channel":"hist:1","since":null}`, none, `history hist:1 limit=0 since=- reverse=false meta=1h0m0s`},
		{"no channel", "history", `{}`, err107, ``},
		{"unknown namespace", "history", `{"channel":"x:1"}`, err102, ``},
		{"off", "history", `{"channel":"a"}`, err108, ``},
		{"", "history_remove", `{"channel":"hist:1"}`, empty, `remove_history hist:1`},
		{"no channel", "history_remove", `{}`, err107, ``},
		{"unknown namespace", "history_remove", `{"channel":"x:1"}`, err102, ``},
		{"off", "history_remove", `{"channel":"a"}`, err108, ``},
	}, func() *apitest.Node { return &apitest.Node{} })

	const asked = `history hist:1 limit=0 since=- reverse=false meta=1h0m0s`
	runMethodTests(t, []methodTest{
		{"publications", "history", `{"channel":"hist:1"}`, `{"result":{"publications":[` +
			`{"data":{"a":"\u003cb\u003e"},"info":{"user":"u","client":"c","conn_info":1},"offset":1,"tags":{"k":"v"}},` +
			`{"data":null,"offset":2}],"epoch":"e","offset":2}}`, asked},
	}, func() *apitest.Node {
		return &apitest.Node{Read: centrifuge.HistoryResult{
			StreamPosition: centrifuge.StreamPosition{Offset: 2, Epoch: "e"},
			Publications: []*centrifuge.Publication{
				{Data: []byte("{ \"a\":\n\"<b>\" }"), Offset: 1, Tags: map[string]string{"k": "v"}, Time: 5, Channel: "hist:1",
					Info: &centrifuge.ClientInfo{User: "u", Client: "c", ConnInfo: []byte("1")}},
				{Data: []byte("null"), Offset: 2},
			},
		}}
	})
	for _, failure := range []struct {
		name string
		err  error
		want string
	}{
		{"other epoch", centrifuge.ErrorUnrecoverablePosition, `{"error":{"code":112,"message":"unrecoverable position"}}`},
		{"reverse from zero", centrifuge.ErrorBadRequest, err100},
		{"broker without history", centrifuge.ErrNoHistory, err100},
	} {
		runMethodTests(t, []methodTest{{failure.name, "history", `{"channel":"hist:1"}`, failure.want, asked}},
			func() *apitest.Node { return &apitest.Node{Err: failure.err} })
	}
	runMethodTests(t, []methodTest{{"fails", "history_remove", `{"channel":"hist:1"}`, err100, `remove_history hist:1`}},
		func() *apitest.Node { return &apitest.Node{Err: centrifuge.ErrNoHistory} })
}

// A payload that is not JSON cannot be sent over HTTP.
func TestBinaryHistory(t *testing.T) {
	node := &apitest.Node{Read: centrifuge.HistoryResult{Publications: []*centrifuge.Publication{{Data: []byte{0xff}, Offset: 1}}}}
	for path, body := range map[string]string{
		"/api/history": `{"channel":"hist:1"}`,
		"/api/batch":   `{"commands":[{"history":{"channel":"hist:1"}}]}`,
		"/api":         `{"method":"history","params":{"channel":"hist:1"}}`,
	} {
		if w := post(newHandler(t, node, nil), path, body); w.Code != 500 || w.Body.String() != "Internal Server Error\n" {
			t.Errorf("%s: %d %q; want 500 and \"Internal Server Error\\n\"", path, w.Code, w.Body)
		}
	}
}

func TestInfoAndChannels(t *testing.T) {
	runMethodTests(t, []methodTest{
		{"", "channels", `{}`, `{"result":{"channels":{"a":{"num_clients":2},"b":{}}}}`, `channels ""`},
		{"pattern", "channels", `{"pattern":"a*"}`, `{"result":{"channels":{"a":{"num_clients":2},"b":{}}}}`, `channels "a*"`},
	}, infoNode)
	runMethodTests(t, []methodTest{
		{"", "info", `{}`, `{"result":{"nodes":[` +
			`{"uid":"id","name":"n","version":"1","num_clients":1,"num_users":2,"num_channels":3,"uptime":61,` +
			`"metrics":{"interval":60,"items":{"a.b":1.5}},"num_subs":4},` +
			`{"uid":"","name":"","version":"","num_clients":0,"num_users":0,"num_channels":0,"num_subs":0}]}}`, `info`},
	}, infoNode)
	runMethodTests(t, []methodTest{
		{"none", "channels", `{}`, `{"result":{"channels":{}}}`, `channels ""`},
		{"none", "info", `{}`, empty, `info`},
	}, func() *apitest.Node { return &apitest.Node{} })
	runMethodTests(t, []methodTest{
		{"fails", "info", `{}`, err100, `info`},
		{"malformed pattern", "channels", `{"pattern":"["}`, err100, `channels "["`},
	}, func() *apitest.Node { return &apitest.Node{Err: centrifuge.ErrShutdown} })
}

func infoNode() *apitest.Node {
	return &apitest.Node{
		Nodes: []centrifuge.NodeInfo{{
			ID: "id", Name: "n", Version: "1", Clients: 1, Users: 2, Channels: 3, Subscriptions: 4,
			Uptime:  61500 * time.Millisecond,
			Metrics: &centrifuge.NodeMetrics{Interval: 60, Items: map[string]float64{"a.b": 1.5}},
		}, {}},
		ByChannel: map[string]centrifuge.ChannelStats{"a": {Clients: 2}, "b": {}},
	}
}

func TestRPCAndKeyed(t *testing.T) {
	runMethodTests(t, []methodTest{
		{"no method", "rpc", `{"params":{}}`, err107, ``},
		{"any method", "rpc", `{"method":"x","params":{}}`, err104, ``},

		{"stream namespace", "map_publish", `{"channel":"a","key":"k","data":1}`, err107, ``},
		{"poll namespace", "map_publish", `{"channel":"poll:1","key":"k","data":1}`, err107, ``},
		{"map namespace", "map_publish", `{"channel":"map:1","key":"k","data":1}`, err108, ``},
		{"no channel", "map_publish", `{"key":"k"}`, err107, ``},
		{"no key", "map_publish", `{"channel":"map:1"}`, err107, ``},
		{"key mode", "map_publish", `{"channel":"map:1","key":"k","key_mode":"if_new"}`, err108, ``},
		{"bad key mode", "map_publish", `{"channel":"map:1","key":"k","key_mode":"x"}`, err107, ``},
		{"bad base64", "map_publish", `{"channel":"map:1","key":"k","b64data":"!"}`, err107, ``},
		{"bad stream base64", "map_publish", `{"channel":"map:1","key":"k","b64stream_data":"!"}`, err107, ``},
		{"unknown namespace", "map_publish", `{"channel":"x:1","key":"k"}`, err102, ``},
		{"stream namespace", "map_remove", `{"channel":"a","key":"k"}`, err107, ``},
		{"no key", "map_remove", `{"channel":"map:1"}`, err107, ``},
		{"map namespace", "map_remove", `{"channel":"map:1","key":"k"}`, err108, ``},
		{"unknown namespace", "map_read_state", `{"channel":"x:1"}`, err102, ``},
		{"stream namespace", "map_read_state", `{"channel":"a"}`, err107, ``},
		{"map namespace", "map_read_state", `{"channel":"map:1"}`, err108, ``},
		{"stream namespace", "map_read_stream", `{"channel":"a"}`, err107, ``},
		{"map namespace", "map_read_stream", `{"channel":"map:1"}`, err108, ``},
		{"stream namespace", "map_stats", `{"channel":"a"}`, err107, ``},
		{"map namespace", "map_stats", `{"channel":"map:1"}`, err108, ``},
		{"stream namespace", "map_clear", `{"channel":"a"}`, err107, ``},
		{"no channel", "map_clear", `{}`, err107, ``},
		{"map namespace", "map_clear", `{"channel":"map:1"}`, err108, ``},

		{"stream namespace", "shared_poll_publish", `{"channel":"a","key":"k","version":1}`, err107, ``},
		{"poll namespace", "shared_poll_publish", `{"channel":"poll:1","key":"k","version":1}`, err108, ``},
		{"no key", "shared_poll_publish", `{"channel":"poll:1","version":1}`, err107, ``},
		{"no version", "shared_poll_publish", `{"channel":"poll:1","key":"k"}`, err107, ``},
		{"bad base64", "shared_poll_publish", `{"channel":"poll:1","key":"k","version":1,"b64data":"!"}`, err107, ``},
		{"unknown namespace", "shared_poll_publish", `{"channel":"x:1","key":"k","version":1}`, err102, ``},
	}, func() *apitest.Node { return &apitest.Node{} })
}

func TestBatch(t *testing.T) {
	replies := func(replies ...string) string { return `{"replies":[` + strings.Join(replies, ",") + `]}` }
	var pro []string
	for _, name := range []string{"device_list", "update_user_status", "delete_user_status", "device_register", "send_push_notification"} {
		pro = append(pro, `{"`+name+`":{}}`)
	}
	runMethodTests(t, []methodTest{
		{"nothing", "batch", `{}`, `{}`, ``},
		{"no commands", "batch", `{"commands":[]}`, `{}`, ``},
		{"null commands", "batch", `{"commands":null}`, `{}`, ``},
		{"no commands, parallel", "batch", `{"commands":[],"parallel":true}`, `{}`, ``},
		{"one after another", "batch", `{"commands":[{"publish":{"channel":"a","data":1}},{"presence":{"channel":"a"}},{"publish":{"channel":"b","data":2}}]}`,
			replies(`{"publish":{}}`, err108, `{"publish":{}}`), "publish a 1 meta=1h0m0s\npublish b 2 meta=1h0m0s"},
		{"parallel", "batch", `{"commands":[{"publish":{"channel":"a","data":1}},{"rpc":{"method":"x"}},null],"parallel":true}`,
			replies(`{"publish":{}}`, err104, err107), `publish a 1 meta=1h0m0s`},
		{"null command", "batch", `{"commands":[null]}`, replies(err107), ``},
		{"no method", "batch", `{"commands":[{}]}`, replies(err104), ``},
		{"null request", "batch", `{"commands":[{"publish":null}]}`, replies(err104), ``},
		{"unknown method", "batch", `{"commands":[{"nothing":{}}]}`, replies(err104), ``},
		{"batch in a batch", "batch", `{"commands":[{"batch":{"commands":[]}}]}`, replies(err104), ``},
		{"pro", "batch", `{"commands":[` + strings.Join(pro, ",") + `]}`, replies(err104, err104, err104, err104, err104), ``},
		{"name in another case", "batch", `{"commands":[{"Publish":{"Channel":"a","data":1}}]}`,
			replies(`{"publish":{}}`), `publish a 1 meta=1h0m0s`},
		{"every method", "batch", `{"commands":[{"broadcast":{"channels":["a"],"data":1}},{"subscribe":{"channel":"a"}},` +
			`{"unsubscribe":{}},{"disconnect":{}},{"presence":{"channel":"pres:1"}},{"presence_stats":{"channel":"pres:1"}},` +
			`{"history":{"channel":"hist:1"}},{"history_remove":{"channel":"hist:1"}},{"info":{}},{"rpc":{}},{"refresh":{}},{"channels":{}},` +
			`{"block_user":{"user":"u"}},{"unblock_user":{"user":"u"}},{"revoke_token":{"uid":"t"}},{"invalidate_user_tokens":{"user":"u"}},` +
			`{"map_publish":{}},{"map_remove":{}},{"map_read_state":{"channel":"map:1"}},{"map_read_stream":{"channel":"map:1"}},` +
			`{"map_stats":{"channel":"map:1"}},{"map_clear":{"channel":"x:1"}},{"shared_poll_publish":{}}]}`,
			replies(`{"broadcast":{"responses":[{"result":{}}]}}`, `{"subscribe":{}}`, `{"unsubscribe":{}}`, `{"disconnect":{}}`,
				`{"presence":{"presence":{}}}`, `{"presence_stats":{"num_clients":0,"num_users":0}}`,
				`{"history":{"publications":[],"epoch":"","offset":0}}`, `{"history_remove":{}}`, `{"info":{}}`, err107, `{"refresh":{}}`,
				`{"channels":{"channels":{}}}`, `{"block_user":{}}`, `{"unblock_user":{}}`, `{"revoke_token":{}}`, `{"invalidate_user_tokens":{}}`, err107, err107, err108, err108, err108, err102, err107),
			"publish a 1 meta=1h0m0s\nsubscribe user=\"\" a source=10\nunsubscribe user=\"\" channel=\"\" 2000\n" +
				"disconnect user=\"\" 3503 \"force disconnect\"\npresence pres:1\npresence_stats pres:1\n" +
				"history hist:1 limit=0 since=- reverse=false meta=1h0m0s\nremove_history hist:1\ninfo\n" +
				"refresh user=\"\" expired=false expire_at=0 info=\nchannels \"\""},
	}, func() *apitest.Node { return &apitest.Node{} })
}

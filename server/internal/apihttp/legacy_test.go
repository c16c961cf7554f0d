package apihttp

import (
	"slices"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/api/apitest"
)

func TestLegacy(t *testing.T) {
	const pub = `"params":{"channel":"a","data":1}`
	tests := []struct {
		name, body string
		status     int
		want       string
		calls      int
	}{
		{"name", `{"method":"publish",` + pub + `}`, 200, empty, 1},
		{"id", `{"id":3,"method":"publish",` + pub + `}`, 200, `{"id":3,"result":{}}`, 1},
		{"name in another case", `{"method":"PubLish",` + pub + `}`, 200, empty, 1},
		{"upper case", `{"method":"HISTORY_REMOVE","params":{"channel":"hist:1"}}`, 200, empty, 1},
		{"number", `{"method":5,"params":{"channel":"pres:1"}}`, 200, `{"result":{"num_clients":0,"num_users":0}}`, 1},
		{"method omitted", `{` + pub + `}`, 200, empty, 1},
		{"method null", `{"method":null,` + pub + `}`, 200, empty, 1},
		{"several, by lines", "{\"id\":1,\"method\":\"info\"}\n{\"id\":2," + pub + "}\n", 200, "{\"id\":1,\"result\":{}}\n{\"id\":2,\"result\":{}}", 2},
		{"several, side by side", `{"id":1,` + pub + `}{"id":2,` + pub + `}`, 200, "{\"id\":1,\"result\":{}}\n{\"id\":2,\"result\":{}}", 2},
		{"error among several", `{"id":1,"params":{}} {"id":2,` + pub + `}`, 200,
			"{\"id\":1,\"error\":{\"code\":107,\"message\":\"bad request\"}}\n{\"id\":2,\"result\":{}}", 1},
		{"info needs no params", `{"method":"info"}`, 200, empty, 1},
		{"info with params", `{"method":9,"params":[]}`, 200, empty, 1},
		{"params missing", `{"method":"publish"}`, 200, err107, 0},
		{"reserved close code", `{"method":"disconnect","params":{"user":"u","disconnect":{"code":1005}}}`, 200,
			`{"error":{"code":107,"message":"bad request: ` + centrifuge.Disconnect{Code: 1005}.Validate().Error() + `"}}`, 0},
		{"params missing, channels", `{"method":"channels"}`, 200, err107, 0},
		{"params of a wrong type", `{"method":"publish","params":[]}`, 200, err107, 0},
		{"params with a wrong type", `{"method":"publish","params":{"channel":1}}`, 200, err107, 0},
		{"empty object", `{}`, 200, err107, 0},
		{"keys in any case", `{"ID":1,"Method":"publish","PARAMS":{"Channel":"a","data":1}}`, 200, `{"id":1,"result":{}}`, 1},
		{"unknown keys", `{"x":1,` + pub + `}`, 200, empty, 1},
		{"unknown number", `{"id":1,"method":13}`, 200, `{"id":1,"error":{"code":104,"message":"not found"}}`, 0},
		{"number out of the table", `{"method":40}`, 200, err104, 0},
		{"negative number", `{"method":-1}`, 200, err104, 0},
		{"pro number", `{"method":15,"params":{}}`, 200, err104, 0},
		{"pro name", `{"method":"update_user_status","params":{}}`, 200, err104, 0},
		{"no batch", `{"method":"batch","params":{}}`, 400, "", 0},
		{"unknown name", `{"method":"nothing"}`, 400, "", 0},
		{"unknown name after a good command", `{` + pub + `}{"method":"nothing"}`, 400, "", 0},
		{"empty name", `{"method":"",` + pub + `}`, 400, "", 0},
		{"number as a name", `{"method":"0",` + pub + `}`, 400, "", 0},
		{"fraction", `{"method":1.5}`, 400, "", 0},
		{"huge number", `{"method":2147483648}`, 400, "", 0},
		{"method of a wrong type", `{"method":{}}`, 400, "", 0},
		{"id of a wrong type", `{"id":"1",` + pub + `}`, 400, "", 0},
		{"negative id", `{"id":-1,` + pub + `}`, 400, "", 0},
		{"huge id", `{"id":4294967296,` + pub + `}`, 400, "", 0},
		{"empty body", ``, 400, "", 0},
		{"white space", " \n", 400, "", 0},
		{"array", `[{` + pub + `}]`, 400, "", 0},
		{"text", `x`, 400, "", 0},
		{"unfinished", `{` + pub, 400, "", 0},
		{"garbage after a good command", `{` + pub + `}x`, 400, "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			node := &apitest.Node{}
			w := post(newHandler(t, node, nil), "/api", test.body)
			want, contentType := test.want, "application/json"
			if test.status == 400 {
				want, contentType = "Bad Request\n", "text/plain; charset=utf-8"
			}
			if w.Code != test.status || w.Body.String() != want {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, test.status, want)
			}
			if got := w.Header().Get("Content-Type"); got != contentType {
				t.Errorf("content type %q, want %q", got, contentType)
			}
			if calls := node.Calls(); len(calls) != test.calls {
				t.Errorf("node was asked %q, want %d calls", calls, test.calls)
			}
		})
	}
}

// The numbers are those of server.md 1.7.
func TestLegacyNumbers(t *testing.T) {
	const names = `publish broadcast unsubscribe disconnect presence presence_stats history history_remove channels info
		rpc subscribe refresh - connections update_user_status get_user_status delete_user_status block_user unblock_user
		revoke_token invalidate_user_tokens device_register device_update device_remove device_list device_topic_list
		device_topic_update user_topic_list user_topic_update send_push_notification update_push_status cancel_push
		map_publish map_remove map_read_state map_read_stream map_stats map_clear shared_poll_publish`
	want := strings.Fields(names)
	for len(want) < 100 {
		want = append(want, "-")
	}
	want = append(want, "trace_start", "trace_stop", "trace_query")
	if len(legacyNames) != len(want) {
		t.Fatalf("%d methods; want %d", len(legacyNames), len(want))
	}
	for n, name := range legacyNames {
		if name == "" {
			name = "-"
		}
		if name != want[n] {
			t.Errorf("method %d = %s; want %s", n, name, want[n])
		}
		if got := legacyMethods[n]; got != nil && got.Name != name {
			t.Errorf("method %d calls %s; want %s", n, got.Name, name)
		}
	}
	for _, m := range api.Methods() {
		if m != &api.MethodBatch.Method && !slices.Contains(legacyMethods[:], m) {
			t.Errorf("%s has no number; want one", m.Name)
		}
	}
}

func TestLegacyWhileShuttingDown(t *testing.T) {
	down := false
	h := newHandler(t, &apitest.Node{}, func(o *Options) { o.ShuttingDown = func() bool { return down } })
	if w := post(h, "/api", `{"method":"info"}`); w.Code != 200 {
		t.Errorf("before: %d; want 200", w.Code)
	}
	down = true
	if w := post(h, "/api", `{"method":"info"}`); w.Code != 503 {
		t.Errorf("while shutting down: %d; want 503", w.Code)
	}
}

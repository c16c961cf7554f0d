package apihttp

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/api/apitest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// methodBodies has requests of every method: one that succeeds with everything its
// result can have, where the method can succeed, and one that fails.
var methodBodies = []struct{ method, body string }{
	{"publish", `{"channel":"hist:1","data":{"a":"<b>"},"tags":{"k":"v"}}`},
	{"publish", `{"channel":"x:1","data":1}`},
	{"broadcast", `{"channels":["hist:1","x:1","a"],"data":1}`},
	{"broadcast", `{}`},
	{"subscribe", `{"channel":"all:1","user":"u"}`},
	{"subscribe", `{"all_users":true,"channel":"a"}`},
	{"unsubscribe", `{"channel":"a","user":"u"}`},
	{"unsubscribe", `{"channel":"x:1"}`},
	{"disconnect", `{"user":"u"}`},
	{"disconnect", `{"user":"u","disconnect":{"code":1005}}`},
	{"presence", `{"channel":"pres:1"}`},
	{"presence", `{"channel":"a"}`},
	{"presence_stats", `{"channel":"pres:1"}`},
	{"presence_stats", `{}`},
	{"history", `{"channel":"hist:1","limit":-1}`},
	{"history", `{"channel":"a"}`},
	{"history_remove", `{"channel":"hist:1"}`},
	{"history_remove", `{"channel":"x:1"}`},
	{"info", `{}`},
	{"rpc", `{"method":"x","params":{}}`},
	{"rpc", `{}`},
	{"refresh", `{"user":"u","expire_at":9}`},
	{"refresh", `{"label_filter":{}}`},
	{"block_user", `{"user":"u","expire_at":4000000000}`},
	{"block_user", `{"user":"u","expire_at":9}`},
	{"unblock_user", `{"user":"u"}`},
	{"revoke_token", `{"uid":"t"}`},
	{"revoke_token", `{"uid":""}`},
	{"invalidate_user_tokens", `{"user":"u","issued_before":9,"expire_at":4000000000}`},
	{"channels", `{"pattern":"*"}`},
	{"connections", `{"limit":1}`},
	{"connections", `{}`},
	{"connections", `{"limit":1001}`},
	{"trace_start", `{"channel":"a"}`},
	{"trace_start", `{"channel":"a","user":"u"}`},
	{"trace_start", `{"channel":"a","duration":3601}`},
	{"trace_stop", `{"user":"u"}`},
	{"trace_query", `{"limit":1001}`},
	{"trace_query", `{"channel":"a","offset":3}`},
	{"trace_query", `{}`},
	{"map_publish", `{"channel":"map:1","key":"k","data":1}`},
	{"map_publish", `{"channel":"map:1","key":"k","key_mode":"x"}`},
	{"map_remove", `{"channel":"map:1","key":"k"}`},
	{"map_read_state", `{"channel":"map:1"}`},
	{"map_read_stream", `{"channel":"a"}`},
	{"map_stats", `{"channel":"x:1"}`},
	{"map_clear", `{"channel":"map:1"}`},
	{"shared_poll_publish", `{"channel":"poll:1","key":"k","version":1}`},
	{"batch", `{"commands":[{"publish":{"channel":"hist:1","data":1}},{"rpc":{"method":"x"}},null,{}]}`},
	{"batch", `{"commands":[{"publish":{"channel":"hist:1","data":1}}],"parallel":true}`},
}

// batchBodies are batches whose commands are unusual: several methods in one
// command, keys that repeat or differ in case, values of a wrong form.
var batchBodies = []string{
	`{"history":{"channel":"hist:1"},"publish":{"channel":"hist:1","data":1}}`,
	`{"channels":{},"info":{}}`,
	`{"refresh":{},"rpc":{"method":"x"},"map_clear":{"channel":"map:1"}}`,
	`{"publish":{"channel":"hist:1"},"publish":{"data":1}}`,
	`{"publish":{"channel":"hist:1"},"PUBLISH":{"data":1}}`,
	`{"publish":{"channel":"x:1"},"publish":null,"info":{}}`,
	`{"publish":null,"publish":{"channel":"hist:1","data":1}}`,
	"{\"unsub\u017fcribe\":{\"user\":\"u\"}}",
	"{\"presence_stat\u017f\":{\"channel\":\"pres:1\"}}",
	`{"unsub\u0073cribe":{"user":"u"}}`,
	`{"nothing":[1,{"publish":{}}],"info":{}}`,
	`{"batch":{"commands":[]},"info":{}}`,
	`{"publish":[]}`, `{"publish":{"channel":1}}`, `{"publish":1,"info":{}}`, `[]`, `"publish"`, `1`, `{"publish":}`, `{`, `{"info":{}},`,
}

func answersNode() *apitest.Node {
	node := infoNode()
	node.Published.StreamPosition = centrifuge.StreamPosition{Offset: 7, Epoch: "e"}
	node.Stats = centrifuge.PresenceStats{NumClients: 2, NumUsers: 1}
	info := &centrifuge.ClientInfo{User: "u", Client: "c1", ConnInfo: []byte(`{ "n" : "<b>" }`), ChanInfo: []byte(`[1, 2]`)}
	node.Present = map[string]*centrifuge.ClientInfo{"c1": info, "c2": {Client: "c2"}}
	node.Answers = map[string]centrifuge.SurveyResult{
		"n2": {Data: []byte(`[{"client":"c2","about":{"node":"n2","state":{"channels":{}}}}]`)},
		"n1": {Data: []byte(`[{"client":"c1","raw_info":"eyJpIjoiPGI+In0=","about":{"app_name":"js","transport":"websocket","protocol":"json","user":"u","node":"n1",
			"connected_at":5,"last_ping":6,"queued_bytes":7,"state":{"channels":{"a":{"positioned":true,"offset":3,"epoch":"e","recoverable":true,"presence":true}}}}},
			{"client":"c3","raw_info":"/w==","about":{"node":"n1","state":{"channels":{}}}}]`)},
	}
	started := map[string]centrifuge.SurveyResult{"n1": {Data: []byte(`{"name":"one","began":5000,"traces":[{"channel":"a","began":7000,"ends":9000,"recording":true,"events":3,"dropped":1}]}`)}}
	node.AnswersTo = map[string]map[string]centrifuge.SurveyResult{
		"trace_start": started, "trace_stop": {"n1": {Data: []byte(`{"name":"one","began":5000,"error":"full"}`)}},
		"trace_query": {
			"n1": {Data: []byte(`{"name":"one","began":5000,"subscribers":1,"traces":[{"channel":"a","began":7000,"ends":9000000,"recording":true,"events":3}],"events":[
				{"seq":1,"kind":"published","time":8000,"channel":"a","offset":3,"epoch":"e","source":"x","size":1,"data":"Mg=="},
				{"seq":2,"kind":"filtered","time":8001,"channel":"a","client":"c1","user":"u","offset":3,"epoch":"e"}]}`)},
			"n2": {Error: centrifuge.ErrorNotAvailable},
		},
	}
	node.Read = centrifuge.HistoryResult{
		StreamPosition: centrifuge.StreamPosition{Offset: 2, Epoch: "e"},
		Publications: []*centrifuge.Publication{
			{Data: []byte(`{ "a": "<b>" }`), Offset: 1, Tags: map[string]string{"k": "v"}, Info: info}, {Data: []byte("null"), Offset: 2},
		},
	}
	return node
}

// TestAnswers compares the answers of every method, byte by byte, with those in
// testdata: alone, in a batch and at the legacy endpoint.
func TestAnswers(t *testing.T) {
	var got bytes.Buffer
	ask := func(path, body string) {
		w := post(newHandler(t, answersNode(), nil), path, body)
		fmt.Fprintf(&got, "POST %s\n%s\n%d %s\n\n", path, body, w.Code, strings.TrimSuffix(w.Body.String(), "\n"))
		if want := "application/json"; w.Code == http.StatusOK && w.Header().Get("Content-Type") != want {
			t.Errorf("POST %s %s: Content-Type = %q; want %q", path, body, w.Header().Get("Content-Type"), want)
		}
	}
	for _, m := range methodBodies {
		ask("/api/"+m.method, m.body)
		ask("/api/batch", `{"commands":[{"`+m.method+`":`+m.body+`}]}`)
		ask("/api", `{"id":3,"method":"`+m.method+`","params":`+m.body+`}`)
	}
	for _, command := range batchBodies {
		ask("/api/batch", `{"commands":[`+command+`]}`)
	}
	const file = "testdata/answers.golden"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("%s:%d: got %s\nwant %s", file, i+1, gotLines[i], wantLines[i])
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Fatalf("%s: %d lines; want %d", file, len(gotLines), len(wantLines))
	}
}

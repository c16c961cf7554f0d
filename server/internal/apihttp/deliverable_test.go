package apihttp

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// undeliverable holds JSON values that JSON clients cannot receive.
var undeliverable = map[string]string{
	"invalid UTF-8":          "\"a\xff\"",
	"a surrogate":            "\"\xed\xa0\x80\"",
	"half a sequence":        "\"\xe2\x82\"",
	"invalid UTF-8 in a key": "{\"\xc0\x80\":1}",
	"nested too deep":        strings.Repeat("[", 1025) + strings.Repeat("]", 1025),
	"objects too deep":       strings.Repeat(`{"a":`, 1025) + "1" + strings.Repeat("}", 1025),
}

// waysIn has a request for every method that accepts a JSON value for clients.
var waysIn = []struct{ name, path, body string }{
	{"publish", "/api/publish", `{"channel":"hist:1","data":%s}`},
	{"publish with tags", "/api/publish", `{"channel":"hist:1","data":%s,"tags":{"a":"b"}}`},
	{"publish, binary", "/api/publish", `{"channel":"bin:1","data":%s}`},
	{"publish, json", "/api/publish", `{"channel":"json:1","data":%s}`},
	{"publish, json key in another case", "/api/publish", `{"channel":"hist:1","DATA":%s}`},
	{"broadcast", "/api/broadcast", `{"channels":["hist:1","a"],"data":%s}`},
	{"batch", "/api/batch", `{"commands":[{"publish":{"channel":"hist:1","data":%s}}]}`},
	{"parallel batch", "/api/batch", `{"parallel":true,"commands":[{"broadcast":{"channels":["hist:1"],"data":%s}}]}`},
	{"legacy", "/api", `{"method":"publish","params":{"channel":"hist:1","data":%s}}`},
	{"legacy broadcast", "/api", `{"method":"broadcast","params":{"channels":["hist:1"],"data":%s}}`},
	{"info of subscribe", "/api/subscribe", `{"channel":"pres:1","user":"u","info":%s}`},
	{"data of subscribe", "/api/subscribe", `{"channel":"pres:1","user":"u","data":%s}`},
	{"info of refresh", "/api/refresh", `{"user":"u","info":%s}`},
	{"map_publish", "/api/map_publish", `{"channel":"map:1","key":"k","data":%s}`},
	{"stream of map_publish", "/api/map_publish", `{"channel":"map:1","key":"k","stream_data":%s}`},
	{"shared_poll_publish", "/api/shared_poll_publish", `{"channel":"poll:1","key":"k","version":1,"data":%s}`},
}

// TestUndeliverable checks that values that cannot be delivered are refused with a
// reason and leave no trace, and that values at the bounds are delivered.
func TestUndeliverable(t *testing.T) {
	node := newNode(t)
	h := newHandler(t, node, nil)
	subscriber := func(format protocol.Format) *centrifugetest.Client {
		client := centrifugetest.Connect(context.Background(), t, node, format, "u")
		client.Send(&protocol.Command{ID: 2, Subscribe: &protocol.SubscribeRequest{Channel: "hist:1"}})
		if reply := client.Read(); reply.Subscribe == nil {
			t.Fatalf("subscribing: %+v; want a subscribe reply", reply)
		}
		return client
	}
	text := subscriber(protocol.Format(0))
	for name, value := range undeliverable {
		reason := "invalid UTF-8"
		if strings.HasSuffix(name, "deep") {
			reason = "nested deeper than 1024 levels"
		}
		for _, way := range waysIn {
			w := post(h, way.path, fmt.Sprintf(way.body, value))
			if got := w.Body.String(); w.Code != 200 || !strings.Contains(got, `"code":107,"message":"bad request: `) || !strings.Contains(got, reason) {
				t.Errorf("%s, %s: %d %.300s; want 200, %q in it and %q in it",
					way.name, name, w.Code, got, `"code":107,"message":"bad request: `, reason)
			}
		}
	}
	history, err := node.History(context.Background(), "hist:1", centrifuge.HistoryOptions{Limit: -1})
	if err != nil || history.Offset != 0 {
		t.Errorf("history %+v, %v; want Offset 0", history, err)
	}
	post(h, "/api/publish", `{"channel":"hist:1","data":1}`)
	if push := text.Push(); push == nil || push.Pub == nil || string(push.Pub.Data) != "1" {
		t.Fatalf("got %+v, closed with %v; want Pub.Data \"1\"", push, text.Closed())
	}
	// Values at the bounds are delivered, by every method, in both encodings.
	clients := []*centrifugetest.Client{text, subscriber(protocol.FormatProtobuf)}
	deepest := strings.Repeat("[", protocol.MaxDepth) + strings.Repeat("]", protocol.MaxDepth)
	for _, way := range waysIn[:10] {
		if w := post(h, way.path, fmt.Sprintf(way.body, deepest)); w.Code != 200 || strings.Contains(w.Body.String(), "error") {
			t.Errorf("%s, as deep as can be: %d %s; want 200 and no \"error\" in it", way.name, w.Code, w.Body)
		}
		if !strings.Contains(way.body, "hist:1") {
			continue
		}
		for _, client := range clients {
			if push := client.Push(); push == nil || push.Pub == nil || string(push.Pub.Data) != deepest {
				t.Fatalf("%s: got %+v, closed with %v; want Pub.Data %v", way.name, push, client.Closed(), deepest)
			}
		}
	}
}

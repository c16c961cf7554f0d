package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"centrifugo/internal/redistest"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/app/apptest"
)

// connections calls the method of the API.
func (i *instance) connections(request string) api.ConnectionsResult {
	i.t.Helper()
	var answer struct{ Result api.ConnectionsResult }
	text := i.api("connections", request)
	if err := json.Unmarshal([]byte(text), &answer); err != nil || strings.Contains(text, `"error"`) {
		i.t.Fatalf("connections %s: %s; want a result", request, text)
	}
	return answer.Result
}

// The method lists the connections of all nodes, each once, page by page.
func TestConnectionsOfAllNodes(t *testing.T) {
	nodes := startCluster(t, redisEngine(redistest.Start(t).Address()), 2)
	const each = 7
	for _, node := range nodes {
		for n := range each {
			c := node.dial(apptest.Dialer{})
			ask(t, c, fmt.Sprintf(`{"id":1,"connect":{"name":"app","version":"%d"}}`, n))
			if n == 0 {
				if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"x"}}`); !strings.Contains(reply, `"recoverable":true`) {
					t.Fatalf("subscribing: %s; want %q in it", reply, `"recoverable":true`)
				}
			}
		}
	}
	for _, limit := range []int{0, 1, 3, 14, 1000} {
		found, perNode := map[string]api.ConnectionInfo{}, map[string]int{}
		last := ""
		for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
			page := nodes[pages%2].connections(`{"limit":` + strconv.Itoa(limit) + `,"cursor":"` + cursor + `"}`)
			for _, id := range slices.Sorted(maps.Keys(page.Connections)) {
				if id <= last {
					t.Errorf("limit %d: %s comes after %s; want the order of the ids", limit, id, last)
				}
				last = id
				found[id] = page.Connections[id]
				perNode[page.Connections[id].Node]++
			}
			if limit > 0 && len(page.Connections) > limit {
				t.Errorf("a page has %d connections; want at most %d", len(page.Connections), limit)
			}
			cursor = page.Cursor
		}
		if len(found) != 2*each || len(perNode) != 2 {
			t.Errorf("limit %d: %d connections on %d nodes, want %d on 2", limit, len(found), len(perNode), 2*each)
		}
	}
	subscribed := 0
	for id, c := range nodes[0].connections(`{}`).Connections {
		if c.AppName != "app" || c.Transport != "websocket" || c.Protocol != "json" || c.ConnectedAt == 0 || c.State == nil {
			t.Errorf("%s: %+v; want the facts of the connection", id, c)
			continue
		}
		if sub, ok := c.State.Channels["x"]; ok && c.AppVersion == "0" {
			subscribed++
			if !sub.Positioned || !sub.Recoverable || !sub.Presence || sub.Epoch == "" {
				t.Errorf("%s: subscription %+v; want position, recovery and presence", id, sub)
			}
		}
		one := nodes[1].connections(`{"client":"` + id + `"}`)
		if _, ok := one.Connections[id]; len(one.Connections) != 1 || !ok || one.Cursor != "" {
			t.Errorf("client %s: %+v; want that connection alone", id, one)
		}
	}
	if subscribed != 2 {
		t.Errorf("%d connections have a subscription, want 2", subscribed)
	}
}

func TestConnectionsOfAUser(t *testing.T) {
	i := start(t, `"client": {"user_id_http_header": "X-User"}, "http_api": {"insecure": true}`)
	for _, user := range []string{"ann", "ann", "ben"} {
		i.connected(apptest.Dialer{Header: map[string][]string{"X-User": {user}}})
	}
	for user, want := range map[string]int{"ann": 2, "ben": 1, "unknown": 0, "": 3} {
		got := i.connections(`{"user":"` + user + `"}`)
		if len(got.Connections) != want {
			t.Errorf("user %q: %d connections, want %d", user, len(got.Connections), want)
		}
		for id, c := range got.Connections {
			if user != "" && c.User != user {
				t.Errorf("%s is a connection of user %q; want those of %q", id, c.User, user)
			}
		}
	}
	for request, want := range map[string]string{
		`{"limit":1001}`: `"code":107`, `{"limit":-1}`: `"code":107`, `{"cursor":"` + strings.Repeat("x", 300) + `"}`: `"code":107`, `{"expression":"x"}`: `"code":108`,
	} {
		if answer := i.api("connections", request); !strings.Contains(answer, want) {
			t.Errorf("%.40s: %s, want %s", request, answer, want)
		}
	}
}

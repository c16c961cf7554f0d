package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"centrifugo/server/internal/app/apptest"
)

// delivering has a namespace for each option that changes what subscribers are sent.
const delivering = `"client": {"insecure": true}, "http_api": {"insecure": true}, "channel": {"namespaces": [
	{"name": "quiet", "publish_exclude_sender": true},
	{"name": "echo"},
	{"name": "wild", "allow_wildcards": true, "presence": true, "history_size": 10, "history_ttl": "60s"},
	{"name": "tame"}
]}`

// call calls the HTTP API.
func (i *instance) call(method, body string) string {
	i.t.Helper()
	status, answer := i.request(http.MethodPost, i.internal(), "/api/"+method, body)
	if status != http.StatusOK {
		i.t.Fatalf("%s %s: %d %s; want 200", method, body, status, answer)
	}
	return answer
}

// pushed reads messages until the push whose data is "end", and returns the data of the
// publications before it, with their channels if they tell any.
func pushed(t *testing.T, c *apptest.Conn) (got []string) {
	t.Helper()
	for {
		message, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(message, "\n") {
			var reply struct {
				Push struct {
					Pub *struct {
						Data    json.RawMessage
						Channel string
					}
				}
			}
			if err := json.Unmarshal([]byte(line), &reply); err != nil {
				t.Fatalf("%v: %s; want JSON", err, line)
			}
			switch pub := reply.Push.Pub; {
			case pub == nil:
			case string(pub.Data) == `"end"`:
				return got
			default:
				got = append(got, strings.TrimSpace(string(pub.Data)+" "+pub.Channel))
			}
		}
	}
}

// TestExcludeSender: publish_exclude_sender and the field exclude_client of the API.
func TestExcludeSender(t *testing.T) {
	i := start(t, delivering) // publish_exclude_sender is set for quiet only
	for channel, want := range map[string]string{"quiet:a": "[2]", "echo:a": "[1 2]"} {
		c, other := i.connected(apptest.Dialer{}), i.connected(apptest.Dialer{})
		for _, each := range []*apptest.Conn{c, other} {
			ask(t, each, `{"id":2,"subscribe":{"channel":"`+channel+`"}}`)
		}
		if err := c.Text(`{"id":3,"publish":{"channel":"` + channel + `","data":1}}`); err != nil {
			t.Fatal(err)
		}
		for message := ""; !strings.Contains(message, `"data":1`); { // it has been delivered
			var err error
			if message, err = other.Next(); err != nil {
				t.Fatal(err)
			}
		}
		i.call("publish", `{"channel":"`+channel+`","data":2}`)
		i.call("publish", `{"channel":"`+channel+`","data":"end"}`)
		if got := fmt.Sprint(pushed(t, c)); got != want {
			t.Errorf("%s: the sender got %s; want %s", channel, got, want)
		}
		if got := fmt.Sprint(pushed(t, other)); got != "[2]" {
			t.Errorf("%s: another connection got %s after the first; want [2]", channel, got)
		}
	}
	c := i.connected(apptest.Dialer{})
	ask(t, c, `{"id":2,"subscribe":{"channel":"wild:a"}}`)
	var presence struct {
		Result struct{ Presence map[string]any }
	}
	if err := json.Unmarshal([]byte(i.call("presence", `{"channel":"wild:a"}`)), &presence); err != nil || len(presence.Result.Presence) != 1 {
		t.Fatalf("presence: %v, %v; want len(Result.Presence) 1", presence, err)
	}
	for id := range presence.Result.Presence {
		i.call("publish", `{"channel":"wild:a","data":1,"exclude_client":"`+id+`"}`)
		i.call("broadcast", `{"channels":["wild:a"],"data":2,"exclude_client":"`+id+`"}`)
		i.call("publish", `{"channel":"wild:a","data":3,"exclude_client":"another"}`)
	}
	i.call("publish", `{"channel":"wild:a","data":"end"}`)
	if got := fmt.Sprint(pushed(t, c)); got != "[3]" {
		t.Errorf("the excluded client got %s; want [3]", got)
	}
}

// TestWildcards: allow_wildcards, from the configuration to the WebSocket.
func TestWildcards(t *testing.T) {
	i := start(t, delivering) // allow_wildcards is set for wild only
	c := i.connected(apptest.Dialer{})
	for _, channel := range []string{"wild:desk.*", "tame:desk.*", "wild:>"} {
		if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"`+channel+`"}}`); !strings.Contains(reply, `"subscribe":{}`) {
			t.Fatalf("subscribing to %s: %s; want %q in it", channel, reply, `"subscribe":{}`)
		}
	}
	i.call("publish", `{"channel":"wild:desk.1","data":1}`)
	i.call("publish", `{"channel":"tame:desk.1","data":2}`)
	i.call("publish", `{"channel":"tame:desk.*","data":3}`)
	i.call("publish", `{"channel":"wild:shop","data":4}`)
	i.call("publish", `{"channel":"tame:desk.*","data":"end"}`)
	if got, want := fmt.Sprint(pushed(t, c)), "[1 wild:desk.1 1 wild:desk.1 3 4 wild:shop]"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	for _, test := range []struct{ method, body, want string }{
		{"publish", `{"channel":"wild:desk.*","data":1}`, `"code":107`},
		{"broadcast", `{"channels":["wild:desk.>"],"data":1}`, `"code":107`},
		{"presence", `{"channel":"wild:desk.*"}`, `"code":108`},
		{"presence_stats", `{"channel":"wild:desk.*"}`, `"code":108`},
		{"history", `{"channel":"wild:desk.*"}`, `"code":108`},
		{"history_remove", `{"channel":"wild:desk.*"}`, `"code":108`},
	} {
		if answer := i.call(test.method, test.body); !strings.Contains(answer, test.want) {
			t.Errorf("%s %s: %s; want %s", test.method, test.body, answer, test.want)
		}
	}
	for _, command := range []string{
		`{"id":3,"subscribe":{"channel":"wild:a.*","recoverable":true}}`,
		`{"id":3,"presence":{"channel":"wild:desk.*"}}`,
		`{"id":3,"history":{"channel":"wild:desk.*"}}`,
	} {
		if reply := ask(t, c, command); !strings.Contains(reply, `"code":108`) {
			t.Errorf("%s: %s; want error 108", command, reply)
		}
	}
}

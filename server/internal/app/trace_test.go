package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/app/apptest"
)

// traceQuery calls the method of the API.
func (i *instance) traceQuery(request string) api.TraceQueryResult {
	i.t.Helper()
	var answer struct{ Result api.TraceQueryResult }
	text := i.api("trace_query", request)
	if err := json.Unmarshal([]byte(text), &answer); err != nil || strings.Contains(text, `"error"`) {
		i.t.Fatalf("trace_query %s: %s; want a result", request, text)
	}
	return answer.Result
}

// succeed calls a method that must not answer with an error.
func (i *instance) succeed(method, request string) {
	i.t.Helper()
	if text := i.api(method, request); strings.Contains(text, `"error"`) {
		i.t.Fatalf("%s %s: %s; want a result", method, request, text)
	}
}

// awaitVerdict waits until the verdict for one of the clients of the answer is this.
func (i *instance) awaitVerdict(request, user, verdict, text string) {
	i.t.Helper()
	i.awaitOneOf(request, user, map[string]string{verdict: text})
}

// awaitOneOf waits until one of the clients of the answer has one of the verdicts, which are keys
// of texts, with its text, and returns the verdict.
func (i *instance) awaitOneOf(request, user string, texts map[string]string) string {
	i.t.Helper()
	var got []api.TraceClient
	verdict := ""
	defer func() {
		if verdict == "" {
			i.t.Logf("trace_query %s: %+v; want one of %v for %s", request, got, texts, user)
		}
	}()
	await.Until(i.t, fmt.Sprintf("one of the verdicts %v", texts), func() bool {
		got = i.traceQuery(request).Clients
		for _, c := range got {
			if text, ok := texts[c.Verdict]; ok && c.User == user && strings.Contains(c.Text, text) {
				verdict = c.Verdict
				return true
			}
		}
		return false
	})
	return verdict
}

// connectedAs returns a connection of a user.
func (i *instance) connectedAs(user string) *apptest.Conn {
	i.t.Helper()
	return i.connected(apptest.Dialer{Header: map[string][]string{"X-User": {user}}})
}

const tracedServer = `"client": {"user_id_http_header": "X-User", "queue_max_size": 65536}, "http_api": {"insecure": true},
	"channel": {"without_namespace": {"history_size": 1000, "history_ttl": "5m", "force_recovery": true, "allow_subscribe_for_client": true, "allow_tags_filter": true},
		"namespaces": [{"name": "closed"}, {"name": "plain", "allow_subscribe_for_client": true},
			{"name": "asked", "history_size": 10, "history_ttl": "5m", "allow_recovery": true, "allow_subscribe_for_client": true}]}`

// TestTraceVerdicts causes verdicts by what real clients and publishers do.
func TestTraceVerdicts(t *testing.T) {
	i := start(t, tracedServer)
	ann, ben := i.connectedAs("ann"), i.connectedAs("ben")
	i.connectedAs("cid")
	ask(t, ben, `{"id":2,"subscribe":{"channel":"a"}}`) // before the trace
	i.succeed("trace_start", `{"channel":"a","data":true}`)
	ask(t, ann, `{"id":2,"subscribe":{"channel":"a","tf":{"op":"","key":"k","cmp":"eq","val":"1"}}}`)
	i.succeed("publish", `{"channel":"a","data":{"n":1},"tags":{"k":"1"}}`)
	i.succeed("publish", `{"channel":"a","data":2,"tags":{"k":"2"},"idempotency_key":"x"}`)
	i.succeed("publish", `{"channel":"a","data":2,"tags":{"k":"2"},"idempotency_key":"x"}`)
	i.awaitVerdict(`{"channel":"a","offset":1,"user":"ann"}`, "ann", "written", "written to the socket")
	i.awaitVerdict(`{"channel":"a","offset":1}`, "ben", "written", "written to the socket")
	i.awaitVerdict(`{"channel":"a","offset":2}`, "ann", "filtered", "its tags do not match")
	i.awaitVerdict(`{"channel":"a","offset":2,"user":"cid"}`, "cid", "not_subscribed", "was not subscribed")
	i.awaitVerdict(`{"channel":"a","offset":2,"user":"dan"}`, "dan", "not_connected", "was not connected to any node")
	i.awaitVerdict(`{"channel":"a","offset":9,"user":"ben"}`, "ben", "not_published", "no publication like this was recorded; subscribed since before the trace")

	answer := i.traceQuery(`{"channel":"a"}`)
	if len(answer.Publications) != 3 || answer.Publications[0].Offset != 1 || !strings.HasPrefix(answer.Publications[0].Text, "published by the server API (http) at offset 1 on node ") ||
		!strings.HasSuffix(answer.Publications[0].Text, "which has 2 subscribers") {
		t.Errorf("publications %+v; want three, the first published over http and received with 2 subscribers", answer.Publications)
	}
	if last := answer.Publications[len(answer.Publications)-1]; !strings.Contains(last.Text, "the same idempotency key exists at offset 2") {
		t.Errorf("the last publication: %q; want one that was suppressed", last.Text)
	}
	payloads := 0
	for _, e := range answer.Events {
		if e.Kind == "published" && string(e.Data) == `{"n":1}` {
			payloads++
		}
	}
	if payloads != 1 {
		t.Errorf("%d events with the payload; want 1 among %+v", payloads, answer.Events)
	}

	id := ""
	for client, about := range i.connections(`{"user":"ben"}`).Connections {
		id = client
		if about.User != "ben" {
			t.Fatalf("client %s is of %q; want ben", client, about.User)
		}
	}
	i.succeed("publish", `{"channel":"a","data":3,"tags":{"k":"1"},"exclude_client":"`+id+`"}`)
	i.succeed("publish", `{"channel":"a","b64data":"/w==","tags":{"k":"1"}}`)
	i.awaitVerdict(`{"channel":"a","offset":3,"client":"`+id+`"}`, "ben", "excluded", "excluded this client")
	i.awaitVerdict(`{"channel":"a","offset":4}`, "ann", "not_json", "not JSON")

	i.succeed("unsubscribe", `{"user":"ann","channel":"a"}`)
	i.succeed("publish", `{"channel":"a","data":5,"tags":{"k":"1"}}`)
	i.awaitVerdict(`{"channel":"a","offset":5,"user":"ann"}`, "ann", "not_subscribed", "had ended at ")
	epoch := answer.Publications[0].Epoch
	if err := ann.Text(`{"id":3,"subscribe":{"channel":"a","recover":true,"offset":4,"epoch":"` + epoch + `"}}`); err != nil {
		t.Fatal(err)
	}
	i.awaitVerdict(`{"channel":"a","offset":5,"user":"ann"}`, "ann", "recovered", "answer to a recovery")
	i.succeed("disconnect", `{"user":"ben"}`)
	await.Until(t, "the end of the subscription to be recorded", func() bool {
		for _, e := range i.traceQuery(`{"channel":"a","client":"` + id + `"}`).Events {
			if e.Kind == "unsubscribed" {
				return true
			}
		}
		return false
	})
	i.succeed("publish", `{"channel":"a","data":6}`)
	i.awaitVerdict(`{"channel":"a","offset":6,"client":"`+id+`"}`, "ben", "not_subscribed", "had ended at ")

	i.succeed("trace_stop", `{"channel":"a"}`)
	i.succeed("publish", `{"channel":"a","data":7}`)
	for _, e := range i.traceQuery(`{"channel":"a","offset":7}`).Events {
		if e.Offset == 7 {
			t.Errorf("event after the trace: %+v; want none", e)
		}
	}
	if answer := i.traceQuery(`{}`); len(answer.Nodes) != 1 || len(answer.Nodes[0].Traces) != 1 || answer.Nodes[0].Traces[0].Recording {
		t.Errorf("nodes %+v; want one with a trace that has ended", answer.Nodes)
	}
}

// TestTraceOfUser: the trace of a user tells of connections and refusals.
func TestTraceOfUser(t *testing.T) {
	i := start(t, tracedServer)
	i.succeed("trace_start", `{"user":"ann","duration":60}`)
	ann := i.connectedAs("ann")
	if reply := ask(t, ann, `{"id":2,"subscribe":{"channel":"closed:x"}}`); !strings.Contains(reply, `"code":103`) {
		t.Fatalf("subscribing: %s; want code 103", reply)
	}
	ask(t, ann, `{"id":3,"subscribe":{"channel":"plain:x"}}`)
	i.succeed("publish", `{"channel":"plain:x","data":1}`)
	i.awaitVerdict(`{"user":"ann"}`, "ann", "written", "written to the socket")
	i.awaitVerdict(`{"user":"ann","channel":"closed:x"}`, "ann", "unknown", "the subscription was refused: 103 permission denied")
	i.succeed("trace_start", `{"channel":"closed:x"}`)
	i.succeed("publish", `{"channel":"closed:x","data":1}`)
	i.awaitVerdict(`{"user":"ann","channel":"closed:x"}`, "ann", "not_subscribed", "was refused at")
	i.succeed("disconnect", `{"user":"ann"}`)
	await.Until(t, "the end of the connection to be recorded", func() bool {
		for _, e := range i.traceQuery(`{"user":"ann"}`).Events {
			if e.Kind == "disconnected" && strings.HasPrefix(e.Text, "the connection ended: 3") {
				return true
			}
		}
		return false
	})
	i.succeed("publish", `{"channel":"closed:x","data":2}`)
	i.awaitVerdict(`{"user":"ann","channel":"closed:x"}`, "ann", "mixed", "1 of 2: was not connected")
}

// TestTraceOfASlowClient: the trace says that a client was closed because it read too slowly.
func TestTraceOfASlowClient(t *testing.T) {
	i := start(t, tracedServer)
	ann := i.connectedAs("ann")
	ask(t, ann, `{"id":2,"subscribe":{"channel":"a"}}`)
	i.succeed("trace_start", `{"channel":"a"}`)
	body := `{"channel":"a","data":"` + strings.Repeat("x", 100_000) + `"}`
	slow := uint64(0)
	await.Until(t, "the client to be too slow", func() bool {
		i.succeed("publish", body)
		for _, e := range i.traceQuery(`{"channel":"a"}`).Events {
			if e.Kind == "too_slow" {
				slow = e.Offset
			}
		}
		return slow != 0
	})
	i.awaitVerdict(fmt.Sprintf(`{"channel":"a","offset":%d}`, slow), "ann", "too_slow", "read too slowly")
}

// TestTraceOnTwoNodes: a trace is on on all nodes, and the answer has what each recorded. A
// node that starts later has no trace.
func TestTraceOnTwoNodes(t *testing.T) {
	engine := redisEngine(redistest.Start(t).Address())
	nodes := startCluster(t, engine, 2)
	nodes[0].succeed("trace_start", `{"channel":"x"}`)
	c := nodes[1].connected(apptest.Dialer{})
	if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"x"}}`); !strings.Contains(reply, `"recoverable":true`) {
		t.Fatalf("subscribing: %s; want %q in it", reply, `"recoverable":true`)
	}
	nodes[0].succeed("publish", `{"channel":"x","data":1}`)
	nodes[0].awaitVerdict(`{"channel":"x","offset":1}`, "", "written", "written to the socket")
	answer := nodes[0].traceQuery(`{"channel":"x","offset":1}`)
	if p := answer.Publications; len(p) != 1 || !strings.Contains(p[0].Text, " on node node0, ") || !strings.Contains(p[0].Text, "received by node node1, which has 1 subscriber") {
		t.Errorf("publications %+v; want one, published on node0 and received by node1", p)
	}
	late := start(t, clusterNode("node2", engine))
	for _, i := range []*instance{nodes[0], nodes[1], late} {
		i.awaitKnown(3)
	}
	late.awaitReady()
	found := false
	for _, n := range late.traceQuery(`{"channel":"x"}`).Nodes {
		if n.Name == "node2" {
			found = true
			if !strings.Contains(n.Note, "after the trace: it has recorded nothing") || n.Error != "" {
				t.Errorf("the late node: %+v; want a note that it has recorded nothing", n)
			}
		} else if len(n.Traces) != 1 || !strings.HasPrefix(n.Note, "records the channel since ") {
			t.Errorf("node %s: %+v; want one trace of the channel", n.Name, n)
		}
	}
	if !found {
		t.Error("the answer has no node2; want three nodes")
	}
	if err := late.stop(); err != nil {
		t.Fatal(err)
	}
}

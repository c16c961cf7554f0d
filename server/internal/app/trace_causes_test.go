package app

import (
	"fmt"
	"strings"
	"testing"

	"centrifugo/apipb"
	"centrifugo/internal/await"
	"centrifugo/internal/nettest"
	"centrifugo/internal/redistest"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/app/apptest"
)

// patientServer returns the settings of a server that does not close a socket which accepts
// nothing, with a policy for slow readers.
func patientServer(policy string, queue int) string {
	return fmt.Sprintf(`"client": {"user_id_http_header": "X-User", "queue_max_size": %d, "ping_interval": "1h"}, "websocket": {"write_timeout": "1h"},
		"http_api": {"insecure": true}, "channel": {"without_namespace": {"history_size": 1000, "history_ttl": "5m", "force_recovery": true,
		"allow_subscribe_for_client": true, "slow_reader_policy": %q}}`, queue, policy)
}

// tracedReader returns a connection of ann that is subscribed to channel a, which is traced.
func (i *instance) tracedReader() *apptest.Conn {
	i.t.Helper()
	ann := i.connectedAs("ann")
	if reply := ask(i.t, ann, `{"id":2,"subscribe":{"channel":"a"}}`); !strings.Contains(reply, `"recoverable":true`) {
		i.t.Fatalf("subscribing: %s; want %q in it", reply, `"recoverable":true`)
	}
	i.succeed("trace_start", `{"channel":"a"}`)
	return ann
}

// largePublication is a request to publish a large message into channel a.
var largePublication = `{"channel":"a","data":"` + strings.Repeat("x", 100_000) + `"}`

// fill publishes large messages into channel a until an event is recorded that satisfies found,
// and returns it with the offset of the last message.
func (i *instance) fill(what string, found func(e *api.TraceEvent) bool) (event api.TraceEvent, last int) {
	i.t.Helper()
	await.Until(i.t, what, func() bool {
		i.succeed("publish", largePublication)
		last++
		for _, e := range i.traceQuery(`{"channel":"a"}`).Events {
			if found(&e) {
				event = e
				return true
			}
		}
		return false
	})
	return event, last
}

// verdictOn is awaitOneOf for ann and the publication at an offset of channel a.
func (i *instance) verdictOn(offset int, texts map[string]string) string {
	i.t.Helper()
	return i.awaitOneOf(fmt.Sprintf(`{"channel":"a","offset":%d}`, offset), "ann", texts)
}

// whileFull runs a test of a full socket again until it has succeeded: the kernel may still
// take what was queued a moment ago.
func whileFull(t *testing.T, succeeds func() bool) {
	t.Helper()
	await.Until(t, "a socket to stay full", succeeds)
}

// TestTraceOfAFullSocket: while the socket takes nothing, publications are queued. If the
// connection ends then, they are not written.
func TestTraceOfAFullSocket(t *testing.T) {
	whileFull(t, func() bool {
		i := start(t, patientServer("", 10_000_000))
		i.tracedReader()
		_, last := i.fill("the socket to be full", func(e *api.TraceEvent) bool {
			return e.Kind == "written" && strings.Contains(e.Text, "socket, which is full")
		})
		for queued := false; !queued; {
			last++
			i.succeed("publish", largePublication)
			queued = i.verdictOn(last, map[string]string{"written": "", "queued": "not written yet"}) == "queued"
		}
		i.succeed("disconnect", `{"user":"ann"}`)
		return i.verdictOn(last, map[string]string{"written": "", "closed": "ended before: 1 client disconnected: 3503 force disconnect"}) == "closed"
	})
}

// TestTraceOfPolicies: the trace names what the policy for slow readers does.
func TestTraceOfPolicies(t *testing.T) {
	t.Run("latest", func(t *testing.T) {
		whileFull(t, func() bool {
			i := start(t, patientServer("latest", 65536))
			ann := i.tracedReader()
			postponed, last := i.fill("a publication to be postponed", func(e *api.TraceEvent) bool { return e.Kind == "postponed" })
			i.succeed("publish", `{"channel":"a","data":"newest"}`)
			const written = "written to the socket"
			if i.verdictOn(int(postponed.Offset), map[string]string{"superseded": "a newer publication", "written": ""}) == "written" || //nolint:gosec // it is small
				i.verdictOn(last+1, map[string]string{"postponed": "until the client has read enough", "written": written}) == "written" {
				return false
			}
			next(t, ann, `"newest"`)
			i.verdictOn(last+1, map[string]string{"written": written})
			return true
		})
	})
	t.Run("drop_oldest", func(t *testing.T) {
		i := start(t, patientServer("drop_oldest", 65536))
		ann := i.tracedReader()
		dropped, _ := i.fill("a publication to be dropped", func(e *api.TraceEvent) bool { return e.Kind == "dropped" })
		query := fmt.Sprintf(`{"channel":"a","offset":%d}`, dropped.Offset)
		i.awaitVerdict(query, "ann", "dropped", "the subscription was ended")
		next(t, ann, `"unsubscribe":{"code":2500`)
		again := fmt.Sprintf(`{"id":3,"subscribe":{"channel":"a","recover":true,"offset":%d,"epoch":%q}}`, dropped.Offset-1, dropped.Epoch)
		if err := ann.Text(again); err != nil {
			t.Fatal(err)
		}
		i.awaitVerdict(query, "ann", "recovered", "answer to a recovery")
	})
}

// TestTraceWhileSubscribing: publications that come while a subscription is being made are
// held up to a bound. A presence manager that does not answer keeps it from being made.
func TestTraceWhileSubscribing(t *testing.T) {
	present := redistest.Start(t)
	i := start(t, fmt.Sprintf(`"client": {"user_id_http_header": "X-User", "queue_max_size": 65536}, "http_api": {"insecure": true},
		"channel": {"without_namespace": {"presence": true, "history_size": 1000, "history_ttl": "5m", "force_recovery": true, "allow_subscribe_for_client": true}},
		"presence_manager": {"enabled": true, "type": "redis", "redis": {"address": [%q], "io_timeout": "5m"}}`, present.Address()))
	ann := i.connectedAs("ann")
	i.succeed("trace_start", `{"channel":"a"}`)
	i.succeed("presence", `{"channel":"a"}`) // its connection to Redis is there
	present.Pause()
	t.Cleanup(present.Resume)
	if err := ann.Text(`{"id":2,"subscribe":{"channel":"a"}}`); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the subscription to be in the making", func() bool { return i.app.node.NumSubscribers("a") == 1 })
	i.succeed("publish", `{"channel":"a","data":1}`)
	i.awaitVerdict(`{"channel":"a","offset":1}`, "ann", "held", "was being made")
	large := `{"publish":{"channel":"a","data":"` + strings.Repeat("x", 40_000) + `"}}`
	i.succeed("batch", `{"commands":[`+large+`,`+large+`,`+large+`]}`)
	i.awaitVerdict(`{"channel":"a","offset":3}`, "ann", "gap", "an earlier publication was lost")
	i.awaitVerdict(`{"channel":"a","offset":4}`, "ann", "ended", "was ending")
}

// TestTraceOfAGap: a publication ends the subscription if the one before it was not received.
func TestTraceOfAGap(t *testing.T) {
	server := redistest.Start(t)
	i := start(t, tracedServer+","+redisEngine(server.Address()))
	ann := i.tracedReader()
	i.succeed("publish", `{"channel":"a","data":1}`)
	i.awaitVerdict(`{"channel":"a","offset":1}`, "ann", "written", "written to the socket")
	server.Do("HINCRBY", "centrifugo.stream.meta.a", "s", "1")
	i.succeed("publish", `{"channel":"a","data":3}`)
	next(t, ann, `"unsubscribe":{"code":2500`)
	i.awaitVerdict(`{"channel":"a","offset":3}`, "ann", "gap", "an earlier publication was lost")
}

// TestTraceOfALateMessage: a node receives a publication late, or never, while its other
// connections to Redis work.
func TestTraceOfALateMessage(t *testing.T) {
	server := redistest.Start(t)
	link := nettest.StartProxy(t, server.Address())
	named := func(name string) string {
		return `"node": {"name": "` + name + `"}, "health": {"enabled": true}, ` + tracedServer
	}
	publisher := start(t, named("publisher")+","+redisEngine(server.Address()))
	reader := start(t, named("reader")+","+redisEngine(link.Address()))
	publisher.awaitKnown(2)
	reader.awaitKnown(2)
	silence := func() {
		link.SetSilentFor(func(sent []byte) bool { return strings.Contains(strings.ToUpper(string(sent)), "SUBSCRIBE") })
	}
	ben := reader.connectedAs("ben")
	ask(t, ben, `{"id":2,"subscribe":{"channel":"asked:a"}}`) // without a position, so the node reads none
	publisher.succeed("trace_start", `{"channel":"asked:a"}`)

	silence()
	publisher.succeed("publish", `{"channel":"asked:a","data":1}`)
	ann := reader.connectedAs("ann")
	if reply := ask(t, ann, `{"id":2,"subscribe":{"channel":"asked:a","recoverable":true}}`); !strings.Contains(reply, `"offset":1`) {
		t.Fatalf("subscribing: %s; want the position behind the publication", reply)
	}
	link.SetSilentFor(nil)
	next(t, ben, `"pub"`)
	first, second := `{"channel":"asked:a","offset":1}`, `{"channel":"asked:a","offset":2}`
	publisher.awaitVerdict(first, "ben", "written", "written to the socket")
	publisher.awaitVerdict(first, "ann", "began_behind", "the subscription began behind it")

	silence()
	publisher.succeed("publish", `{"channel":"asked:a","data":2}`)
	link.Cut()
	link.SetSilentFor(nil)
	next(t, ann, `"unsubscribe":{"code":2500`)
	reader.awaitReady()
	publisher.awaitVerdict(second, "ann", "not_received", "the node has not received the publication")
	epoch := publisher.traceQuery(first).Publications[0].Epoch
	if reply := ask(t, ann, `{"id":3,"subscribe":{"channel":"asked:a","recoverable":true,"recover":true,"offset":1,"epoch":"`+epoch+`"}}`); !strings.Contains(reply, `"recovered":true`) {
		t.Fatalf("subscribing again: %s; want %q in it", reply, `"recovered":true`)
	}
	publisher.awaitVerdict(second, "ann", "recovered", "answer to a recovery")
}

// TestTraceOverGRPC starts a trace and asks it over the gRPC API.
func TestTraceOverGRPC(t *testing.T) {
	i := start(t, tracedServer+", "+grpcSection(""))
	ann := i.connectedAs("ann")
	ask(t, ann, `{"id":2,"subscribe":{"channel":"a"}}`)
	calls := i.grpcAPI(nil)
	started, err := calls.TraceStart(withKey(t, "k"), &apipb.TraceStartRequest{Channel: "a", Data: true})
	if err != nil || started.GetError() != nil || len(started.GetResult().GetNodes()) != 1 || !started.GetResult().GetNodes()[0].GetTraces()[0].GetRecording() {
		t.Fatalf("starting: %v, %v; want a node with a trace", started, err)
	}
	if _, err := calls.Publish(withKey(t, "k"), &apipb.PublishRequest{Channel: "a", Data: []byte(`1`)}); err != nil {
		t.Fatal(err)
	}
	next(t, ann, `"pub"`)
	var result *apipb.TraceQueryResult
	if !await.Reached(func() bool {
		answer, err := calls.TraceQuery(withKey(t, "k"), &apipb.TraceQueryRequest{Channel: "a", Offset: 1, User: "ann"})
		if err != nil || answer.GetError() != nil {
			t.Fatalf("asking: %v, %v; want a result", answer, err)
		}
		result = answer.GetResult()
		return len(result.GetClients()) == 1 && result.GetClients()[0].GetVerdict() == "written"
	}) {
		t.Errorf("got %v; want the verdict written", result)
	}
	payloads := 0
	for _, e := range result.GetEvents() {
		if e.GetKind() == "published" && string(e.GetData()) == `1` && strings.Contains(e.GetText(), "server API (grpc)") {
			payloads++
		}
	}
	if payloads != 1 {
		t.Errorf("%d publications with their payload and carrier in %v; want 1", payloads, result.GetEvents())
	}
	stopped, err := calls.TraceStop(withKey(t, "k"), &apipb.TraceStopRequest{Channel: "a"})
	if err != nil || stopped.GetError() != nil || stopped.GetResult().GetNodes()[0].GetTraces()[0].GetRecording() {
		t.Errorf("stopping: %v, %v; want a trace that has ended", stopped, err)
	}
}

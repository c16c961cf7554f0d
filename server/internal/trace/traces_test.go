package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
)

// newTraces returns the traces of a node that runs until the test ends, and lets clients
// subscribe to all channels.
func newTraces(t testing.TB) (*Traces, *centrifuge.Node) {
	t.Helper()
	node, err := centrifuge.New(centrifuge.Config{Lanes: 1, Handlers: centrifuge.Handlers{
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{}, nil
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	traces := New(node, "n")
	t.Cleanup(func() {
		traces.Close()
		_ = node.Shutdown(context.Background())
	})
	return traces, node
}

func publish(t *testing.T, node *centrifuge.Node, channel, data string) {
	t.Helper()
	opts := centrifuge.PublishOptions{HistorySize: 10, HistoryTTL: time.Hour, Source: "a test"}
	if _, err := node.Publish(context.Background(), channel, []byte(data), opts); err != nil {
		t.Fatal(err)
	}
}

// asked returns the answer of the node to a query.
func asked(t *testing.T, traces *Traces, q *Query) *NodeAnswer {
	t.Helper()
	question, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	text, err := traces.Answer(SurveyQuery, question)
	if err != nil {
		t.Fatalf("Answer(%s) = %v; want no error", question, err)
	}
	answer := new(NodeAnswer)
	if err := json.Unmarshal(text, answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func kinds(events []Event) string {
	var all []string
	for _, e := range events {
		all = append(all, fmt.Sprintf("%s %d", e.Kind, e.Offset))
	}
	return strings.Join(all, ", ")
}

// TestLifetime: a trace records until it ends, is kept for a while, and then forgotten.
func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traces, node := newTraces(t)
		rule := Rule{Channel: "a"}
		publish(t, node, "a", `1`)
		if err := traces.Start(rule, time.Minute, false); err != nil {
			t.Fatal(err)
		}
		publish(t, node, "a", `2`)
		publish(t, node, "b", `1`)
		time.Sleep(40 * time.Second)
		if err := traces.Start(rule, time.Minute, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second)
		publish(t, node, "a", `3`)
		time.Sleep(21 * time.Second)
		publish(t, node, "a", `4`)
		const recorded = "published 2, published 3"
		answer := asked(t, traces, &Query{Channel: "a"})
		if got := kinds(answer.Events); got != recorded {
			t.Errorf("events %q; want %q", got, recorded)
		}
		if s := answer.Traces[0]; s.Recording || s.Events != 2 || s.Ends-s.Began != (100*time.Second).Microseconds() {
			t.Errorf("trace %+v; want 2 events of 100 s, and its end", s)
		}
		time.Sleep(KeptFor - 2*time.Second)
		if got := kinds(asked(t, traces, &Query{Channel: "a"}).Events); got != recorded {
			t.Errorf("events after the end %q; want %q", got, recorded)
		}
		time.Sleep(2 * time.Second)
		if got := asked(t, traces, &Query{Channel: "a"}); len(got.Traces)+len(got.Events) != 0 {
			t.Errorf("%d traces and %d events after %s; want none", len(got.Traces), len(got.Events), KeptFor)
		}
	})
}

// TestStop: what was recorded is kept. A trace that is started again is empty at first.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traces, node := newTraces(t)
		rule := Rule{Channel: "a"}
		if recording, err := traces.Stop(rule); recording || err != nil {
			t.Errorf("Stop = %v, %v; want false", recording, err)
		}
		_ = traces.Start(rule, 0, false)
		publish(t, node, "a", `1`)
		if recording, err := traces.Stop(rule); !recording || err != nil {
			t.Errorf("Stop = %v, %v; want true", recording, err)
		}
		publish(t, node, "a", `2`)
		if got, want := kinds(asked(t, traces, &Query{Channel: "a"}).Events), "published 1"; got != want {
			t.Errorf("events %q; want %q", got, want)
		}
		_ = traces.Start(rule, 0, false)
		publish(t, node, "a", `3`)
		time.Sleep(DefaultDuration - time.Second)
		if got, want := kinds(asked(t, traces, &Query{Channel: "a"}).Events), "published 3"; got != want {
			t.Errorf("events of the second trace %q; want %q", got, want)
		}
	})
}

func TestRefusedTraces(t *testing.T) {
	traces, _ := newTraces(t)
	for _, rule := range []Rule{{}, {Channel: "a", User: "b"}, {User: "a", Client: "b"}} {
		if err := traces.Start(rule, 0, false); !errors.Is(err, ErrRule) {
			t.Errorf("Start(%+v) = %v; want %v", rule, err, ErrRule)
		}
	}
	if err := traces.Start(Rule{Channel: strings.Repeat("x", MaxName+1)}, 0, false); err == nil {
		t.Error("Start with a long name = nil; want an error")
	}
	for n := range MaxTraces {
		if err := traces.Start(Rule{User: fmt.Sprint(n)}, 0, false); err != nil {
			t.Fatalf("trace %d: %v; want no error", n, err)
		}
	}
	if err := traces.Start(Rule{User: "x"}, 0, false); !errors.Is(err, ErrTooMany) {
		t.Errorf("trace %d: %v; want %v", MaxTraces, err, ErrTooMany)
	}
	if err := traces.Start(Rule{User: "0"}, 0, false); err != nil {
		t.Errorf("extending a trace: %v; want no error", err)
	}
}

// TestPayloads: payloads are kept if that was asked for, as copies, unless they are large.
func TestPayloads(t *testing.T) {
	traces, node := newTraces(t)
	_ = traces.Start(Rule{Channel: "a"}, 0, true)
	_ = traces.Start(Rule{Channel: "b"}, 0, false)
	large := `"` + strings.Repeat("x", MaxData) + `"`
	publish(t, node, "a", `1`)
	publish(t, node, "a", large)
	publish(t, node, "b", `1`)
	for _, e := range asked(t, traces, &Query{Channel: "a"}).Events {
		want := map[uint64]string{1: `1`, 2: ``}[e.Offset]
		if size := map[uint64]int{1: 1, 2: len(large)}[e.Offset]; string(e.Data) != want || e.Size != size {
			t.Errorf("%s %d: data %q of %d bytes; want %q of %d", e.Kind, e.Offset, e.Data, e.Size, want, size)
		}
	}
	for _, e := range asked(t, traces, &Query{Channel: "b"}).Events {
		if e.Data != nil || e.Size != 1 {
			t.Errorf("%s: data %q of %d bytes; want none of 1", e.Kind, e.Data, e.Size)
		}
	}
}

// TestBounds: a ring keeps the newest events within its bounds, and counts the others.
func TestBounds(t *testing.T) {
	check := func(r *ring, added, wantKept int) {
		t.Helper()
		kept, dropped := r.counts()
		if kept != wantKept || int(dropped) != added-kept {
			t.Errorf("%d events kept and %d dropped; want %d and %d", kept, dropped, wantKept, added-wantKept)
		}
		next := uint64(added - kept)
		size := 0
		r.each(func(e *record) {
			if e.seq != next {
				t.Fatalf("event %d; want %d", e.seq, next)
			}
			next++
			size += e.bytes()
		})
		if size != r.size || size > MaxBytes {
			t.Errorf("%d bytes, counted as %d; want equal ones, at most %d", size, r.size, MaxBytes)
		}
	}
	small := &ring{}
	for n := range MaxEvents + 100 {
		small.add(&record{seq: uint64(n)})
	}
	check(small, MaxEvents+100, MaxEvents)
	large := &ring{data: true}
	e := record{TraceEvent: centrifuge.TraceEvent{Data: make([]byte, MaxData)}}
	for n := range 5000 {
		e.seq = uint64(n)
		large.add(&e)
	}
	e.size = len(e.Data)
	check(large, 5000, MaxBytes/e.bytes())
}

// TestNoAllocations: events that no trace asks for, and publications when no trace is on, do
// not allocate.
func TestNoAllocations(t *testing.T) {
	traces, node := newTraces(t)
	data := []byte(`1`)
	measured := func() float64 {
		return testing.AllocsPerRun(500, func() {
			_, _ = node.Publish(context.Background(), "b", data, centrifuge.PublishOptions{})
		})
	}
	before := measured()
	_ = traces.Start(Rule{Channel: "a"}, 0, false)
	if other := measured(); other > before {
		t.Errorf("%.1f allocations with a trace of another channel; want at most %.1f", other, before)
	}
	event := centrifuge.TraceEvent{Kind: centrifuge.TraceQueued, Channel: "b", Client: "c", User: "u"}
	if n := testing.AllocsPerRun(500, func() {
		if traces.Channel("b") || traces.Client("c", "u") {
			t.Fatal("b is traced; want a only")
		}
		traces.Trace(event)
	}); n != 0 {
		t.Errorf("%.1f allocations for an event that is not wanted; want 0", n)
	}
	_, _ = traces.Stop(Rule{Channel: "a"})
	if after := measured(); after > before {
		t.Errorf("%.1f allocations after the trace; want at most %.1f", after, before)
	}
}

// TestTwoTraces: an event that two traces have is in the answer once.
func TestTwoTraces(t *testing.T) {
	traces, _ := newTraces(t)
	_ = traces.Start(Rule{Channel: "a"}, 0, false)
	_ = traces.Start(Rule{User: "u"}, 0, true)
	traces.Trace(centrifuge.TraceEvent{Kind: centrifuge.TracePublished, Channel: "a", User: "u", Time: time.Now(), Data: []byte(`1`)})
	events := asked(t, traces, &Query{Channel: "a"}).Events
	if len(events) != 1 || string(events[0].Data) != `1` {
		t.Errorf("events %+v; want one with its payload", events)
	}
}

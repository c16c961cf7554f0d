package trace

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"centrifugo/centrifuge"
)

// second is the unit of the times in these tests; traces begin at 100 s.
const second = 1_000_000

func at100(kind centrifuge.TraceKind, seconds int64, offset uint64, change ...func(*Event)) Event {
	e := Event{Seq: uint64(seconds), Kind: kind, Time: seconds * second, Channel: "a", Client: "c", User: "u", Offset: offset, Epoch: "e"}
	if isPublisher(kind) {
		e.Client, e.User, e.Source = "", "", "a test"
	}
	for _, f := range change {
		f(&e)
	}
	return e
}

func coded(code uint32) func(*Event) { return func(e *Event) { e.Code, e.Reason = code, "reason" } }
func from(first uint64) func(*Event) { return func(e *Event) { e.First = first } }
func whole(e *Event)                 { e.Channel, e.Epoch, e.Offset = "", "", 0 }
func bare(e *Event)                  { e.Epoch = "" }
func of(client string) func(*Event)  { return func(e *Event) { e.Client = client } }

// explained returns the report about one node with a trace of the channel.
func explained(q *Query, states []State, events ...Event) *Report {
	answer := &NodeAnswer{
		Name: "one", Began: 1, Events: events, States: states,
		Traces: []Status{{Rule: Rule{Channel: "a"}, Began: 100 * second, Ends: 700 * second, Recording: true}},
	}
	return Explain(q, map[string]*NodeAnswer{"n1": answer}, nil, 100)
}

// TestVerdicts: the verdict for client c about the publication with offset 5, which was
// received at 200 s.
func TestVerdicts(t *testing.T) {
	const k = centrifuge.TraceSubscribed
	disconnect := centrifuge.UnsubscribeDisconnect.Code
	for _, test := range []struct {
		name    string
		events  []Event
		state   *State
		verdict Verdict
		text    string
	}{
		{"written", []Event{at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TraceWritten, 202, 5)}, nil, Written, "written to the socket, 00:03:22.000 UTC"},
		{"written to a full socket", []Event{at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TraceWritten, 202, 5, func(e *Event) { e.Count = 7 })}, nil, Written, "7 bytes wait"},
		{"queued", []Event{at100(centrifuge.TraceQueued, 201, 5)}, nil, Queued, "not written yet"},
		{"closed", []Event{at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TraceUnsubscribed, 202, 4, coded(disconnect))}, nil, Closed, "subscription ended before: "},
		{"closed as slow", []Event{
			at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TraceTooSlow, 202, 6), at100(centrifuge.TraceDisconnected, 203, 0, whole, coded(3008)),
		}, nil, TooSlow, "read too slowly"},
		{"too slow", []Event{at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TraceTooSlow, 202, 5)}, nil, TooSlow, "the connection was closed"},
		{"dropped", []Event{at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TraceDropped, 202, 5)}, nil, Dropped, "the subscription was ended"},
		{"filtered", []Event{at100(centrifuge.TraceFiltered, 201, 5)}, nil, Filtered, "filter"},
		{"gap, then recovered", []Event{at100(centrifuge.TraceGap, 201, 5), at100(centrifuge.TraceRecovered, 202, 6, from(4))}, nil, Recovered, "answer to a recovery"},
		{"gap", []Event{at100(centrifuge.TraceGap, 201, 5), at100(centrifuge.TraceRecovered, 202, 9, from(6))}, nil, Gap, "earlier publication"},
		{"held and written", []Event{at100(centrifuge.TraceHeld, 201, 5), at100(centrifuge.TraceQueued, 202, 5), at100(centrifuge.TraceWritten, 203, 5)}, nil, Written, "written"},
		{"held and behind", []Event{at100(centrifuge.TraceHeld, 201, 5), at100(centrifuge.TraceOld, 202, 5)}, nil, Behind, "began behind"},
		{"held", []Event{at100(centrifuge.TraceHeld, 201, 5)}, nil, Held, "being made"},
		{"held and refused", []Event{at100(centrifuge.TraceHeld, 201, 5), at100(centrifuge.TraceRefused, 202, 0, bare, coded(100))}, nil, Closed, "ended before: 100 reason"},
		{"held and disconnected", []Event{at100(centrifuge.TraceHeld, 201, 5), at100(centrifuge.TraceDisconnected, 202, 0, whole, coded(3004))}, nil, Closed, "ended before: 3004 reason"},
		{"delivered twice", []Event{at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TraceWritten, 202, 5), at100(centrifuge.TraceOld, 203, 5)}, nil, Written, "written"},
		{"postponed", []Event{at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TracePostponed, 202, 5)}, nil, Postponed, "until the client"},
		{"superseded", []Event{at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TracePostponed, 202, 5), at100(centrifuge.TraceSuperseded, 203, 5)}, nil, Superseded, "newer"},
		{"in place of it", []Event{at100(centrifuge.TraceQueued, 201, 8, from(4)), at100(centrifuge.TraceWritten, 202, 8, from(4))}, nil, Superseded, "newer"},
		{"ended", []Event{at100(centrifuge.TraceEnded, 201, 5)}, nil, Ended, "ending"},
		{"refused", []Event{at100(centrifuge.TraceRefused, 150, 0, bare, coded(103))}, nil, NotSubscribed, "refused at 00:02:30.000 UTC: 103 reason"},
		{"ended before", []Event{at100(k, 150, 1), at100(centrifuge.TraceUnsubscribed, 160, 1, coded(0))}, nil, NotSubscribed, "had ended at 00:02:40.000 UTC"},
		{"began later", []Event{at100(k, 210, 5)}, &State{Client: "c", User: "u", Subscribed: true, Offset: 6}, NotSubscribed, "began at 00:03:30.000 UTC at offset 5"},
		{"began later by its position", []Event{at100(k, 190, 5)}, nil, NotSubscribed, "at offset 5"},
		{"disconnected", []Event{at100(k, 150, 1), at100(centrifuge.TraceDisconnected, 160, 0, whole, coded(3000))}, nil, NotConnected, "ended at 00:02:40.000 UTC: 3000 reason"},
		{"connected later", []Event{at100(centrifuge.TraceConnected, 220, 0, whole)}, nil, NotConnected, "connected at 00:03:40.000 UTC"},
		{"connected later by its state", nil, &State{Client: "c", User: "u", ConnectedAt: 230 * second}, NotConnected, "connected at 00:03:50.000 UTC"},
		{"never subscribed", nil, &State{Client: "c", User: "u", ConnectedAt: 50 * second}, NotSubscribed, "was not subscribed"},
		{"nothing recorded", nil, &State{Client: "c", User: "u", ConnectedAt: 50 * second, Subscribed: true}, Unknown, "nothing was recorded"},
		{"another connection has it", []Event{
			at100(k, 150, 1), at100(centrifuge.TraceUnsubscribed, 160, 1, coded(disconnect)), at100(k, 210, 6, of("d")), at100(centrifuge.TraceRecovered, 211, 6, of("d"), from(2)),
		}, nil, Recovered, "by client d of the same user on node one"},
		{"a second refusal changes nothing", []Event{
			at100(centrifuge.TraceRefused, 150, 0, coded(centrifuge.ErrorAlreadySubscribed.Code)),
		}, &State{Client: "c", User: "u", ConnectedAt: 50 * second, Subscribed: true}, Unknown, "it was subscribed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			events := append([]Event{at100(centrifuge.TraceReceived, 200, 5)}, test.events...)
			var states []State
			if test.state != nil {
				states = []State{*test.state}
			}
			r := explained(&Query{Channel: "a", Offset: 5, User: "u"}, states, events...)
			if len(r.Clients) == 0 || r.Clients[0].Client != "c" {
				t.Fatalf("clients %+v; want c first", r.Clients)
			}
			if c := r.Clients[0]; c.Verdict != test.verdict || !strings.Contains(c.Text, test.text) {
				t.Errorf("verdict %s: %s; want %s: … %s …", c.Verdict, c.Text, test.verdict, test.text)
			}
		})
	}
}

// TestNotReceived: the node of a subscriber has not received what another one has published.
func TestNotReceived(t *testing.T) {
	traced := func(events ...Event) *NodeAnswer {
		return &NodeAnswer{Began: 1, Events: events, Traces: []Status{{Rule: Rule{Channel: "a"}, Began: 100 * second, Ends: 700 * second}}}
	}
	r := Explain(&Query{Channel: "a", Offset: 5}, map[string]*NodeAnswer{
		"n1": traced(at100(centrifuge.TracePublished, 200, 5)), "n2": traced(at100(centrifuge.TraceSubscribed, 150, 2)),
	}, nil, 100)
	if len(r.Clients) != 1 || r.Clients[0].Verdict != NotReceived {
		t.Errorf("clients %+v; want one with %s", r.Clients, NotReceived)
	}
	if len(r.Publications) != 1 || !strings.Contains(r.Publications[0].Text, "not received by node n2") {
		t.Errorf("publications %+v; want one that n2 has not received", r.Publications)
	}
}

// TestWhatNodesKnow: the report says which nodes cannot know, and why.
func TestWhatNodesKnow(t *testing.T) {
	status := Status{Rule: Rule{Channel: "a"}, Began: 100 * second, Ends: 700 * second, Recording: true}
	lossy := status
	lossy.Dropped = 3
	r := Explain(&Query{Channel: "a"}, map[string]*NodeAnswer{
		"n1": {Began: 1, Traces: []Status{status}}, "n2": {Began: 200 * second}, "n3": {Began: 1, Traces: []Status{lossy}, Omitted: 4}, "n4": {Began: 1},
	}, map[string]string{"n5": "has not answered"}, 100)
	for i, want := range []string{
		"records the channel since 00:01:40.000 UTC", "was started at 00:03:20.000 UTC, after the trace", "dropped the oldest 3 events; its oldest 4 events are left out",
		"has no trace of this", "what happened there is not known",
	} {
		if got := r.Nodes[i]; got.Node != fmt.Sprint("n", i+1) || !strings.Contains(got.Note, want) {
			t.Errorf("node %s: %q; want n%d: … %q …", got.Node, got.Note, i+1, want)
		}
	}
	if got := r.Nodes[4].Failed; got != "has not answered" {
		t.Errorf("n5 failed %q; want %q", got, "has not answered")
	}
}

// TestManyPublications: the verdict of a client sums up several publications, those without
// an offset too.
func TestManyPublications(t *testing.T) {
	r := explained(&Query{Channel: "a", From: 200 * second}, nil,
		at100(centrifuge.TracePublished, 200, 5), at100(centrifuge.TraceQueued, 201, 5), at100(centrifuge.TraceWritten, 202, 5),
		at100(centrifuge.TracePublished, 203, 6), at100(centrifuge.TraceFiltered, 204, 6))
	if got, want := r.Clients[0].Text, "1 of 2: written to the socket; 1 of 2: not sent: its tags do not match the filter of the subscription"; got != want || r.Clients[0].Verdict != Mixed {
		t.Errorf("%s: %q; want %s: %q", r.Clients[0].Verdict, got, Mixed, want)
	}
	r = explained(&Query{Channel: "a"}, nil,
		at100(centrifuge.TraceSubscribed, 150, 0, bare),
		at100(centrifuge.TracePublished, 200, 0, bare), at100(centrifuge.TraceQueued, 201, 0, bare), at100(centrifuge.TracePublished, 202, 0, bare),
		at100(centrifuge.TraceQueued, 203, 0, bare), at100(centrifuge.TraceWritten, 204, 0, bare))
	if got, want := r.Clients[0].Text, "1 of 2: written to the socket; 1 of 2: queued, not written yet"; got != want {
		t.Errorf("without offsets: %q; want %q", got, want)
	}
}

// TestUnnumbered: which publication an event is about, without offsets.
func TestUnnumbered(t *testing.T) {
	const (
		held, queued, written        = centrifuge.TraceHeld, centrifuge.TraceQueued, centrifuge.TraceWritten
		postponed, superseded, slow  = centrifuge.TracePostponed, centrifuge.TraceSuperseded, centrifuge.TraceTooSlow
		filtered, gap, dropped, ends = centrifuge.TraceFiltered, centrifuge.TraceGap, centrifuge.TraceDropped, centrifuge.TraceUnsubscribed
	)
	for _, test := range []struct {
		events []centrifuge.TraceKind
		want   []Verdict
	}{
		{[]centrifuge.TraceKind{held, held, queued, filtered, written, queued}, []Verdict{Written, Filtered, Queued}},
		{[]centrifuge.TraceKind{held, gap, ends}, []Verdict{Closed, Gap}},
		{[]centrifuge.TraceKind{queued, written, queued, postponed, queued, superseded, postponed, queued, written}, []Verdict{Written, Superseded, Written}},
		{[]centrifuge.TraceKind{queued, postponed, queued, queued}, []Verdict{Queued, Queued}},
		{[]centrifuge.TraceKind{queued, queued, slow, ends}, []Verdict{TooSlow, TooSlow}},
		{[]centrifuge.TraceKind{queued, queued, dropped, written, ends}, []Verdict{Written, Dropped}},
		{[]centrifuge.TraceKind{written, queued, ends}, []Verdict{Closed}},
	} {
		var events []Event
		for i, kind := range test.events {
			events = append(events, at100(kind, 200+int64(i), 0, bare))
		}
		var got []Verdict
		for _, o := range explained(&Query{Channel: "a"}, nil, events...).Clients[0].Outcomes {
			got = append(got, o.Verdict)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("after %v the verdicts are %v; want %v", test.events, got, test.want)
		}
	}
}

// TestLimit: the report has the newest publications and events, and counts the others.
func TestLimit(t *testing.T) {
	var events []Event
	for n := range int64(10) {
		events = append(events, at100(centrifuge.TraceQueued, 200+n, uint64(n+1), of(fmt.Sprint("c", n)))) //nolint:gosec // not negative
	}
	answer := &NodeAnswer{Events: events, Traces: []Status{{Rule: Rule{Channel: "a"}, Began: 100 * second, Ends: 700 * second}}}
	r := Explain(&Query{Channel: "a"}, map[string]*NodeAnswer{"n1": answer}, nil, 3)
	if got := []int{len(r.Publications), r.MorePublications, len(r.Clients), r.MoreClients, len(r.Events), r.MoreEvents}; fmt.Sprint(got) != "[3 7 3 7 3 7]" {
		t.Errorf("publications, clients and events, and those left out: %v; want 3 and 7 of each", got)
	}
	if got := r.Publications[2].Offset; got != 10 {
		t.Errorf("the last publication is %d; want 10", got)
	}
}

// TestStranger: a user of whom no node knows a connection.
func TestStranger(t *testing.T) {
	r := explained(&Query{Channel: "a", User: "x"}, nil)
	if len(r.Clients) != 1 || r.Clients[0].Verdict != NotConnected {
		t.Errorf("clients %+v; want one with %s", r.Clients, NotConnected)
	}
}

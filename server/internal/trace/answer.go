package trace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"centrifugo/centrifuge"
)

// The operations by which nodes ask each other. Each node answers with Traces.Answer.
const (
	SurveyStart = "trace_start"
	SurveyStop  = "trace_stop"
	SurveyQuery = "trace_query"
)

const (
	// maxAnswer bounds the events in the answer of a node, in bytes of memory.
	maxAnswer = MaxBytes
	// maxStates bounds the connections in the answer of a node.
	maxStates = 1000
)

// Command starts or stops a trace on a node.
type Command struct {
	Rule
	Duration time.Duration `json:"duration,omitempty"`
	Data     bool          `json:"data,omitempty"`
}

// Query is a question: what became of the publications of a channel, or of those for a user
// or a client. Without any of these the answers have the traces only.
type Query struct {
	Channel string `json:"channel,omitempty"`
	// Offset selects one publication, From and To those of a time. They are in microseconds
	// since 1970; zero means any.
	Offset uint64 `json:"offset,omitempty"`
	From   int64  `json:"from,omitempty"`
	To     int64  `json:"to,omitempty"`
	User   string `json:"user,omitempty"`
	Client string `json:"client,omitempty"`
}

func (q *Query) empty() bool { return q.Channel == "" && q.User == "" && q.Client == "" }

// Status describes a trace. Times are in microseconds since 1970.
type Status struct {
	Rule
	Data      bool   `json:"data,omitempty"`
	Began     int64  `json:"began"`
	Ends      int64  `json:"ends"`
	Recording bool   `json:"recording,omitempty"`
	Events    int    `json:"events"`
	Dropped   uint64 `json:"dropped,omitempty"`
}

// Event is what happened on a node. Times are in microseconds since 1970.
type Event struct {
	Seq     uint64               `json:"seq"`
	Kind    centrifuge.TraceKind `json:"kind"`
	Time    int64                `json:"time"`
	Channel string               `json:"channel,omitempty"`
	Pattern string               `json:"pattern,omitempty"`
	Client  string               `json:"client,omitempty"`
	User    string               `json:"user,omitempty"`
	Offset  uint64               `json:"offset,omitempty"`
	Epoch   string               `json:"epoch,omitempty"`
	First   uint64               `json:"first,omitempty"`
	Code    uint32               `json:"code,omitempty"`
	Reason  string               `json:"reason,omitempty"`
	Source  string               `json:"source,omitempty"`
	Count   int                  `json:"count,omitempty"`
	Size    int                  `json:"size,omitempty"`
	Data    []byte               `json:"data,omitempty"`

	// Node is filled in by Explain.
	Node string `json:"-"`
}

// State is a connection at the time of the answer.
type State struct {
	Client string `json:"client"`
	User   string `json:"user,omitempty"`
	// ConnectedAt is in microseconds since 1970, but known to the second.
	ConnectedAt int64 `json:"connected_at"`
	// Subscribed says whether it is subscribed to the channel of the query. Offset is its
	// position.
	Subscribed bool   `json:"subscribed,omitempty"`
	Offset     uint64 `json:"offset,omitempty"`
}

// NodeAnswer is the answer of a node to a query, a start or a stop.
type NodeAnswer struct {
	Name string `json:"name"`
	// Began is when the node was started, in microseconds since 1970.
	Began  int64    `json:"began"`
	Traces []Status `json:"traces,omitempty"`
	// Error says why a trace was not started.
	Error string `json:"error,omitempty"`
	// Stopped says that a trace was recording until now.
	Stopped bool `json:"stopped,omitempty"`
	// Subscribers is the number of subscribers of the channel on the node.
	Subscribers int     `json:"subscribers,omitempty"`
	States      []State `json:"states,omitempty"`
	// MoreStates is set if there are more connections than were sent.
	MoreStates bool    `json:"more_states,omitempty"`
	Events     []Event `json:"events,omitempty"`
	// Omitted is the number of older events that were not sent, because the answer would be
	// too large.
	Omitted int `json:"omitted,omitempty"`
}

// Answer answers a survey of another node, or of this one.
func (t *Traces) Answer(op string, data []byte) ([]byte, error) {
	answer := NodeAnswer{Name: t.name, Began: t.began.UnixMicro()}
	var err error
	if op == SurveyQuery {
		var q Query
		if err = json.Unmarshal(data, &q); err == nil {
			t.query(&q, &answer)
		}
	} else {
		var c Command
		if err = json.Unmarshal(data, &c); err == nil {
			t.command(op, &c, &answer)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("decoding the operation %s: %w", op, err)
	}
	out, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("encoding the answer to the operation %s: %w", op, err)
	}
	return out, nil
}

func (t *Traces) command(op string, c *Command, answer *NodeAnswer) {
	var err error
	if op == SurveyStart {
		err = t.Start(c.Rule, c.Duration, c.Data)
	} else {
		answer.Stopped, err = t.Stop(c.Rule)
	}
	if err != nil {
		answer.Error = err.Error()
	}
	for _, s := range t.statuses() {
		if s.Rule == c.Rule {
			answer.Traces = append(answer.Traces, s)
		}
	}
}

// statuses returns those of all traces.
func (t *Traces) statuses() (all []Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tr := range t.sortedLocked() {
		s := Status{Rule: tr.rule, Data: tr.ring.data, Began: tr.began.UnixMicro(), Ends: tr.ends.UnixMicro(), Recording: !tr.ended}
		s.Events, s.Dropped = tr.ring.counts()
		all = append(all, s)
	}
	return all
}

func (t *Traces) query(q *Query, answer *NodeAnswer) {
	answer.Traces = t.statuses()
	if q.empty() {
		return
	}
	if q.Channel != "" {
		answer.Subscribers = t.node.NumSubscribers(q.Channel)
	}
	// The connections come first: one that is subscribed without an event among those read
	// afterwards has been subscribed before the trace.
	answer.States, answer.MoreStates = t.states(q)
	answer.Events, answer.Omitted = t.events(q)
}

// states returns the connections that the query names.
func (t *Traces) states(q *Query) (states []State, more bool) {
	var clients iter.Seq[*centrifuge.Client]
	switch {
	case q.User != "":
		clients = t.node.UserConnections(q.User)
	case q.Client != "":
		clients = t.node.Connections()
	default:
		return nil, false
	}
	for c := range clients {
		if q.Client != "" && c.ID() != q.Client {
			continue
		}
		if len(states) == maxStates {
			return states, true
		}
		s := c.Snapshot()
		state := State{Client: s.ID, User: s.User, ConnectedAt: s.ConnectedAt.UnixMicro()}
		for _, sub := range s.Subscriptions {
			if sub.Channel == q.Channel {
				state.Subscribed, state.Offset = true, sub.Position.Offset
			}
		}
		states = append(states, state)
	}
	return states, false
}

// events returns what all traces have of the query, each event once, in their order.
func (t *Traces) events(q *Query) (events []Event, omitted int) {
	var found []record
	for _, r := range t.rings() {
		r.each(func(e *record) {
			if q.wants(e) {
				found = append(found, *e)
			}
		})
	}
	slices.SortFunc(found, func(a, b record) int { return cmp.Compare(a.seq, b.seq) })
	found = unique(found)
	size := 0
	for i := len(found) - 1; i >= 0; i-- {
		if size += found[i].bytes(); size > maxAnswer {
			omitted = i + 1
			break
		}
	}
	for i := range found[omitted:] {
		events = append(events, eventOf(&found[omitted+i]))
	}
	return events, omitted
}

// unique removes repetitions from sorted records. Of two it keeps the one with a payload.
func unique(sorted []record) (kept []record) {
	for _, r := range sorted {
		switch last := len(kept) - 1; {
		case last < 0 || kept[last].seq != r.seq:
			kept = append(kept, r)
		case kept[last].Data == nil:
			kept[last] = r
		}
	}
	return kept
}

func (t *Traces) rings() (rings []*ring) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tr := range t.traces {
		rings = append(rings, tr.ring)
	}
	return rings
}

// wants reports whether an event belongs to the answer. Those of connections and
// subscriptions do so whatever the offset and the time, because they explain why there is
// no other event.
func (q *Query) wants(e *record) bool {
	if q.Channel != "" && e.Channel != q.Channel && e.Pattern != q.Channel && e.Channel != "" {
		return false
	}
	ofPublisher := isPublisher(e.Kind)
	named := (q.User == "" || e.User == q.User) && (q.Client == "" || e.Client == q.Client)
	if !named && (!ofPublisher || q.Channel == "") {
		return false
	}
	if !ofPublisher && !isOutcome(e.Kind) {
		return true
	}
	switch at := e.Time.UnixMicro(); {
	case q.Offset != 0 && !covers(e.First, e.Offset, q.Offset):
		return false
	case at < q.From:
		return false
	case q.To != 0 && at > q.To && (ofPublisher || e.Offset == 0 && e.Kind != centrifuge.TraceWritten):
		return false // with an offset, what happens later may concern an earlier publication
	}
	return true
}

// covers reports whether an event of publications first to last concerns an offset. First is
// zero for one publication.
func covers(first, last, offset uint64) bool {
	return offset == last || first != 0 && first <= offset && offset < last
}

// isPublisher reports whether an event is of a publication as such, not of a subscription.
func isPublisher(kind centrifuge.TraceKind) bool {
	switch kind {
	case centrifuge.TracePublished, centrifuge.TraceSuppressed, centrifuge.TracePublishFailed, centrifuge.TraceReceived:
		return true
	default:
		return false
	}
}

// isOutcome reports whether an event says what became of a publication for a subscription.
func isOutcome(kind centrifuge.TraceKind) bool {
	switch kind {
	case centrifuge.TraceConnected, centrifuge.TraceDisconnected, centrifuge.TraceSubscribed, centrifuge.TraceRecovered,
		centrifuge.TraceUnrecovered, centrifuge.TraceRefused, centrifuge.TraceUnsubscribed:
		return false
	default:
		return !isPublisher(kind)
	}
}

func eventOf(r *record) Event {
	return Event{
		Seq: r.seq, Kind: r.Kind, Time: r.Time.UnixMicro(), Channel: r.Channel, Pattern: r.Pattern, Client: r.Client, User: r.User,
		Offset: r.Offset, Epoch: r.Epoch, First: r.First, Code: r.Code, Reason: r.Reason, Source: r.Source, Count: r.Count,
		Size: r.size, Data: r.Data,
	}
}

package trace

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"centrifugo/centrifuge"
)

// Report is the answer to a query. Times are in microseconds since 1970.
type Report struct {
	Nodes        []NodeReport
	Publications []Publication
	Clients      []Client
	Events       []Event
	// The numbers of those that were left out: older events and publications, further clients.
	MorePublications, MoreClients, MoreEvents int
}

// NodeReport describes a node. Failed says why it has not answered.
type NodeReport struct {
	Node, Name, Failed, Note string
	Began                    int64
	Subscribers              int
	Traces                   []Status
}

// Publication is one that was asked for. Time is when it was published or received, zero if
// that was not recorded.
type Publication struct {
	Channel, Epoch, Text string
	Offset               uint64
	Time                 int64
}

// Client is a connection and what became of the publications for it.
type Client struct {
	Client, User, Node string
	Verdict            Verdict
	Text               string
	Outcomes           []Outcome
}

// Outcome is what became of one publication.
type Outcome struct {
	Channel string
	Offset  uint64
	Time    int64
	Verdict Verdict
	Text    string
}

// explanation is a report in the making.
type explanation struct {
	query   *Query
	answers map[string]*NodeAnswer
	// failed says of nodes why they have not answered.
	failed       map[string]string
	events       []Event // of all nodes, by time
	publications []*publication
	clients      map[clientKey]*client
	recoveries   []*Event
}

// publication is one with the events of those that publish and receive it.
type publication struct {
	Publication
	published, refused *Event
	received           map[string]*Event // by node
}

type clientKey struct{ node, client string }

// client is a connection with its events and its state at the time of the answer.
type client struct {
	clientKey
	user     string
	state    *State
	named    bool // the query names it
	events   []*Event
	outcomes map[uint64][]*Event // by offset
	ranges   []*Event            // outcomes of several offsets
}

// Explain answers a query from the answers of the nodes, of which failed says for others why
// they have none. Limit bounds the publications, clients and events of the report, each.
func Explain(q *Query, answers map[string]*NodeAnswer, failed map[string]string, limit int) *Report {
	x := &explanation{query: q, answers: answers, failed: failed, clients: map[clientKey]*client{}}
	x.merge()
	r := &Report{Nodes: x.nodes()}
	if q.empty() {
		return r
	}
	x.findPublications()
	x.findClients()
	r.MorePublications = max(0, len(x.publications)-limit)
	x.publications = x.publications[r.MorePublications:]
	for _, p := range x.publications {
		p.Text = x.describe(p)
		r.Publications = append(r.Publications, p.Publication)
	}
	for _, c := range x.sortedClients() {
		if len(r.Clients) == limit {
			r.MoreClients++
			continue
		}
		r.Clients = append(r.Clients, x.explain(c))
	}
	if len(r.Clients) == 0 && (q.User != "" || q.Client != "") {
		r.Clients = append(r.Clients, x.stranger())
	}
	r.MoreEvents = max(0, len(x.events)-limit)
	r.Events = x.events[r.MoreEvents:]
	return r
}

// merge puts the events of all nodes in the order of time.
func (x *explanation) merge() {
	for id, answer := range x.answers {
		for _, e := range answer.Events {
			e.Node = id
			x.events = append(x.events, e)
		}
	}
	slices.SortFunc(x.events, func(a, b Event) int {
		if a.Node == b.Node {
			return cmp.Compare(a.Seq, b.Seq)
		}
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Node, b.Node))
	})
}

// findPublications finds those that the events are about, by time.
func (x *explanation) findPublications() {
	known := map[Publication]*publication{} // the keys have channel, epoch and offset
	find := func(e *Event, offset uint64) *publication {
		key := Publication{Channel: e.Channel, Epoch: e.Epoch, Offset: offset}
		p := known[key]
		if p == nil || offset == 0 {
			p = &publication{Publication: key, received: map[string]*Event{}}
			known[key] = p
			x.publications = append(x.publications, p)
		}
		return p
	}
	for i := range x.events {
		e := &x.events[i]
		switch {
		case e.Kind == centrifuge.TraceSuppressed || e.Kind == centrifuge.TracePublishFailed:
			p := &publication{Publication: Publication{Channel: e.Channel, Epoch: e.Epoch, Time: e.Time}, refused: e}
			x.publications = append(x.publications, p)
		case e.Kind == centrifuge.TracePublished:
			p := find(e, e.Offset)
			p.published = e
			p.Time = min(e.Time, cmp.Or(p.Time, e.Time))
		case e.Kind == centrifuge.TraceReceived && e.Offset != 0: // without an offset it is not known which it is
			p := find(e, e.Offset)
			p.received[e.Node] = e
			p.Time = min(e.Time, cmp.Or(p.Time, e.Time))
		case isOutcome(e.Kind) && e.Offset != 0 && (x.query.Offset == 0 || x.query.Offset == e.Offset):
			find(e, e.Offset)
		}
	}
	if x.query.Channel != "" && x.query.Offset != 0 && !slices.ContainsFunc(x.publications, func(p *publication) bool { return p.refused == nil }) {
		x.publications = append(x.publications, &publication{Publication: Publication{Channel: x.query.Channel, Offset: x.query.Offset}})
	}
	x.dropEarlier()
	slices.SortStableFunc(x.publications, func(a, b *publication) int {
		if a.Offset != 0 && b.Offset != 0 && a.Channel == b.Channel && a.Epoch == b.Epoch {
			return cmp.Compare(a.Offset, b.Offset)
		}
		return cmp.Compare(a.Time, b.Time)
	})
}

// dropEarlier removes publications of another time of which there is only a late outcome.
func (x *explanation) dropEarlier() {
	if x.query.From == 0 && x.query.To == 0 {
		return
	}
	first := map[*publication]int64{}
	x.publications = slices.DeleteFunc(x.publications, func(p *publication) bool {
		if p.Time != 0 {
			return false
		}
		for i := range x.events {
			if e := &x.events[i]; isOutcome(e.Kind) && e.Channel == p.Channel && e.Epoch == p.Epoch && e.Offset == p.Offset {
				first[p] = cmp.Or(first[p], e.Time)
				if e.Kind != centrifuge.TraceWritten {
					return x.query.To != 0 && first[p] > x.query.To
				}
			}
		}
		return true // its outcome was decided before
	})
}

// describe says who published, and which nodes received it.
func (x *explanation) describe(p *publication) string {
	var parts []string
	switch {
	case p.refused != nil:
		return p.refused.Text() + x.onNode(p.refused)
	case p.published != nil:
		parts = append(parts, p.published.Text()+x.onNode(p.published)+", "+clock(p.published.Time))
	case p.Time == 0 && len(p.received) == 0 && !x.recordsChannel(p.Channel):
		return "who published it, and whether, is recorded only by a trace of the channel"
	case len(p.received) == 0:
		return "no publication like this was recorded"
	default:
		parts = append(parts, "published before the trace, by a node that has no trace, or not through a node")
	}
	for _, id := range slices.Sorted(maps.Keys(p.received)) {
		parts = append(parts, fmt.Sprintf("received by node %s, which has %s", x.nodeName(id), plural(p.received[id].Count, "subscriber")))
	}
	if p.Offset != 0 {
		for _, id := range slices.Sorted(maps.Keys(x.answers)) {
			if p.received[id] == nil && x.answers[id].covers(p.Time, func(r Rule) bool { return r.Channel == p.Channel }) {
				parts = append(parts, fmt.Sprintf("not received by node %s, which receives it only if it has subscribers", x.nodeName(id)))
			}
		}
	}
	return strings.Join(parts, "; ")
}

func (x *explanation) onNode(e *Event) string { return " on node " + x.nodeName(e.Node) }

func (x *explanation) nodeName(id string) string {
	if a := x.answers[id]; a != nil && a.Name != "" {
		return a.Name
	}
	return id
}

// recordsChannel reports whether a node has a trace of the channel.
func (x *explanation) recordsChannel(channel string) bool {
	for _, a := range x.answers {
		if a.covers(0, func(r Rule) bool { return r.Channel == channel }) {
			return true
		}
	}
	return false
}

// covers reports whether a trace of such a rule was recording at a time; zero stands for any.
func (a *NodeAnswer) covers(at int64, of func(Rule) bool) bool {
	return slices.ContainsFunc(a.Traces, func(s Status) bool {
		return of(s.Rule) && (at == 0 || s.Began <= at && at <= s.Ends)
	})
}

// concerns reports whether a trace of a rule helps to answer the query.
func (q *Query) concerns(r Rule) bool {
	return r.Channel != "" && r.Channel == q.Channel || r.User != "" && r.User == q.User || r.Client != "" && r.Client == q.Client
}

// nodes describes the nodes, by id.
func (x *explanation) nodes() (reports []NodeReport) {
	for id, failed := range x.failed {
		reports = append(reports, NodeReport{Node: id, Failed: failed, Note: "what happened there is not known"})
	}
	var began int64 // of the oldest trace
	for _, a := range x.answers {
		for _, s := range a.Traces {
			if x.query.concerns(s.Rule) {
				began = min(s.Began, cmp.Or(began, s.Began))
			}
		}
	}
	for id, a := range x.answers {
		reports = append(reports, NodeReport{
			Node: id, Name: a.Name, Began: a.Began, Subscribers: a.Subscribers, Traces: a.Traces, Note: x.note(a, began),
		})
	}
	slices.SortFunc(reports, func(a, b NodeReport) int { return cmp.Compare(a.Node, b.Node) })
	return reports
}

// note says how much a node knows. Began is that of the oldest trace on any node.
func (x *explanation) note(a *NodeAnswer, began int64) string {
	var notes []string
	for _, s := range a.Traces {
		if !x.query.concerns(s.Rule) {
			continue
		}
		what := "the channel"
		switch {
		case s.User != "":
			what = "the user"
		case s.Client != "":
			what = "the client"
		}
		note := fmt.Sprintf("recorded %s from %s to %s", what, clock(s.Began), clock(s.Ends))
		if s.Recording {
			note = fmt.Sprintf("records %s since %s", what, clock(s.Began))
		}
		if s.Dropped > 0 {
			note += fmt.Sprintf(", and dropped the oldest %s", plural(int(s.Dropped), "event")) //nolint:gosec // small
		}
		notes = append(notes, note)
	}
	switch {
	case x.query.empty():
	case began == 0:
		notes = append(notes, "nothing is recorded: no node has a trace of this")
	case len(notes) == 0 && a.Began > began:
		notes = append(notes, fmt.Sprintf("was started at %s, after the trace: it has recorded nothing", clock(a.Began)))
	case len(notes) == 0:
		notes = append(notes, "has no trace of this")
	}
	if a.Omitted > 0 {
		notes = append(notes, fmt.Sprintf("its oldest %s are left out, because the answer would be too large", plural(a.Omitted, "event")))
	}
	if a.MoreStates {
		notes = append(notes, fmt.Sprintf("only %d of its connections are considered", maxStates))
	}
	return strings.Join(notes, "; ")
}

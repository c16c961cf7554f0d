package trace

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"centrifugo/centrifuge"
)

// findClients finds the connections that the query names, and those with an event on its
// channel.
func (x *explanation) findClients() {
	find := func(key clientKey, user string) *client {
		c := x.clients[key]
		if c == nil {
			named := user != "" && user == x.query.User || key.client == x.query.Client
			c = &client{clientKey: key, user: user, named: named, outcomes: map[uint64][]*Event{}}
			x.clients[key] = c
		}
		return c
	}
	for id, answer := range x.answers {
		for i := range answer.States {
			s := &answer.States[i]
			find(clientKey{id, s.Client}, s.User).state = s
		}
	}
	for i := range x.events {
		e := &x.events[i]
		if isPublisher(e.Kind) || e.Kind == centrifuge.TraceRefused && e.Code == centrifuge.ErrorAlreadySubscribed.Code {
			continue // the latter changes nothing
		}
		c := find(clientKey{e.Node, e.Client}, e.User)
		c.events = append(c.events, e)
		switch {
		case e.Kind == centrifuge.TraceRecovered:
			x.recoveries = append(x.recoveries, e)
		case !isOutcome(e.Kind):
		case e.First != 0 && e.First != e.Offset:
			c.ranges = append(c.ranges, e)
			c.outcomes[e.Offset] = append(c.outcomes[e.Offset], e)
		default:
			c.outcomes[e.Offset] = append(c.outcomes[e.Offset], e)
		}
	}
	maps.DeleteFunc(x.clients, func(_ clientKey, c *client) bool {
		return !c.named && !slices.ContainsFunc(c.events, func(e *Event) bool { return e.Channel != "" })
	})
}

func (x *explanation) sortedClients() []*client {
	return slices.SortedFunc(maps.Values(x.clients), func(a, b *client) int {
		return cmp.Or(cmp.Compare(a.client, b.client), cmp.Compare(a.node, b.node))
	})
}

// explain says what became of the publications for a connection.
func (x *explanation) explain(c *client) Client {
	out := Client{Client: c.client, User: c.user, Node: c.node}
	out.Outcomes = c.unnumbered()
	reached := len(out.Outcomes) > 0
	attempts := 0 // to publish that failed or were suppressed, which matter if there is nothing else
	for _, p := range x.publications {
		if p.refused != nil {
			attempts++
		}
	}
	for _, p := range x.publications {
		if p.refused != nil && (attempts < len(x.publications) || reached) {
			continue
		}
		o := Outcome{Channel: p.Channel, Offset: p.Offset, Time: p.Time}
		switch {
		case p.refused != nil:
			o.Verdict, o.Text = NotPublished, p.refused.Text()
		case p.Offset != 0:
			o.Verdict, o.Text = x.numbered(c, p)
		default:
			o.Verdict, o.Text = x.absent(c, p)
			if reached && (o.Verdict == NotReceived || o.Verdict == Unknown) {
				continue // it is among those without an offset
			}
		}
		if x.query.Channel == "" && (o.Verdict == NotSubscribed || o.Verdict == NotConnected || o.Verdict == Unknown || o.Verdict == NotReceived) {
			continue // a publication that concerns another connection
		}
		out.Outcomes = append(out.Outcomes, o)
	}
	slices.SortStableFunc(out.Outcomes, func(a, b Outcome) int { return cmp.Compare(a.Time, b.Time) })
	out.Verdict, out.Text = sum(out.Outcomes)
	if len(out.Outcomes) == 0 {
		out.Verdict, out.Text = Unknown, "no publication was recorded for it"
		if x.query.Channel != "" {
			out.Text += "; " + x.subscription(c)
		}
	}
	return out
}

// sum returns the verdict of a client.
func sum(outcomes []Outcome) (Verdict, string) {
	if len(outcomes) == 1 {
		return outcomes[0].Verdict, outcomes[0].Text
	}
	counts := map[Verdict]int{}
	for _, o := range outcomes {
		counts[o.Verdict]++
	}
	var parts []string
	for _, p := range phrases {
		if n := counts[p.verdict]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d: %s", n, len(outcomes), p.words))
		}
	}
	if len(counts) == 1 {
		return outcomes[0].Verdict, parts[0]
	}
	return Mixed, strings.Join(parts, "; ")
}

// numbered says what became of a publication with an offset.
func (x *explanation) numbered(c *client, p *publication) (Verdict, string) {
	events := slices.Clone(c.outcomes[p.Offset])
	for _, e := range c.ranges {
		if p.Offset < e.Offset && covers(e.First, e.Offset, p.Offset) {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b *Event) int { return cmp.Compare(a.Seq, b.Seq) })
	var last *Event
	var verdict Verdict
	for _, e := range events {
		if e.Channel != p.Channel || e.Epoch != p.Epoch {
			continue
		}
		now := verdictOf[e.Kind]
		if p.Offset < e.Offset && (now == Written || now == Queued || now == Postponed) {
			now = Superseded
		}
		if last == nil || verdict != Written && now != Behind || verdict == Held {
			last, verdict = e, now
		}
	}
	switch verdict {
	case "":
		return x.absent(c, p)
	case Written:
		return Written, last.Text() + ", " + clock(last.Time)
	case Filtered, Excluded, NotJSON, Superseded:
		return verdict, words(verdict)
	case Queued, Postponed, Held:
		if ended, text := c.unwritten(last); ended != "" {
			return x.orRecovered(c, p, ended, text)
		}
		return verdict, words(verdict)
	}
	return x.orRecovered(c, p, verdict, words(verdict))
}

// unwritten returns the verdict about a publication that has waited since an event, if the
// connection has ended after it, or its subscription has ended or was refused; otherwise none.
func (c *client) unwritten(since *Event) (Verdict, string) {
	subscription := cmp.Or(since.Pattern, since.Channel)
	i := slices.IndexFunc(c.events, func(e *Event) bool {
		ofSubscription := e.Channel == subscription && (e.Kind == centrifuge.TraceUnsubscribed || e.Kind == centrifuge.TraceRefused)
		return e.Seq > since.Seq && (ofSubscription || e.Kind == centrifuge.TraceDisconnected)
	})
	if i < 0 {
		return "", ""
	}
	verdict := Closed
	if slices.ContainsFunc(c.events, func(e *Event) bool { return e.Kind == centrifuge.TraceTooSlow }) {
		verdict = TooSlow
	}
	return verdict, words(verdict) + ": " + code(c.events[i])
}

// orRecovered returns a verdict, or that the connection, or another one of the same user,
// has recovered the publication.
func (x *explanation) orRecovered(c *client, p *publication, v Verdict, text string) (Verdict, string) {
	if p.Offset == 0 {
		return v, text
	}
	var other *Event
	for _, e := range x.recoveries {
		if e.Channel != p.Channel || p.Epoch != "" && e.Epoch != p.Epoch || p.Offset < e.First || e.Offset < p.Offset {
			continue
		}
		if e.Client == c.client {
			return Recovered, fmt.Sprintf("sent with the answer to a recovery, %s", clock(e.Time))
		}
		if e.User == c.user && c.user != "" {
			other = cmp.Or(other, e)
		}
	}
	if other != nil {
		return Recovered, fmt.Sprintf("%s; recovered at %s by client %s of the same user on node %s", text, clock(other.Time), other.Client, x.nodeName(other.Node))
	}
	return v, text
}

// absent says why nothing was recorded about a publication for a connection.
func (x *explanation) absent(c *client, p *publication) (Verdict, string) {
	when := p.Time
	if e := p.received[c.node]; e != nil {
		when = e.Time
	}
	a := x.answers[c.node]
	if !a.covers(when, x.query.concerns) {
		return x.orRecovered(c, p, Unknown, "unknown: the node of the connection was not recording at that time")
	}
	if p.Time == 0 {
		verdict, text := x.withoutTime(c, p)
		return x.orRecovered(c, p, verdict, text)
	}
	verdict, text := c.before(p, when)
	if verdict == "" {
		switch {
		case p.Offset != 0 && p.received[c.node] == nil && x.recordsChannel(p.Channel):
			verdict, text = NotReceived, words(NotReceived)
		case x.dropped(a):
			verdict, text = Unknown, "unknown: it was subscribed, and older events were dropped"
		default:
			verdict, text = Unknown, "unknown: it was subscribed, but nothing was recorded"
		}
	}
	return x.orRecovered(c, p, verdict, text)
}

func (x *explanation) dropped(a *NodeAnswer) bool {
	return a.Omitted > 0 || slices.ContainsFunc(a.Traces, func(s Status) bool { return s.Dropped > 0 && x.query.concerns(s.Rule) })
}

// before says why a connection was not subscribed at a time. The verdict is empty if it was.
func (c *client) before(p *publication, when int64) (Verdict, string) {
	var connection, subscription, nextConnection, nextSubscription *Event // the last before, the first after
	for _, e := range c.events {
		late := e.Time > when || e.Kind == centrifuge.TraceSubscribed && p.Offset != 0 && e.Offset >= p.Offset
		switch {
		case e.Kind == centrifuge.TraceConnected || e.Kind == centrifuge.TraceDisconnected:
			if !late {
				connection = e
			} else {
				nextConnection = cmp.Or(nextConnection, e)
			}
		case e.Channel != p.Channel && e.Pattern != p.Channel:
		case e.Kind == centrifuge.TraceSubscribed || e.Kind == centrifuge.TraceUnsubscribed || e.Kind == centrifuge.TraceRefused:
			if !late {
				subscription = e
			} else {
				nextSubscription = cmp.Or(nextSubscription, e)
			}
		}
	}
	switch {
	case connection != nil && connection.Kind == centrifuge.TraceDisconnected:
		return NotConnected, fmt.Sprintf("was not connected: the connection ended at %s: %s", clock(connection.Time), code(connection))
	case connection == nil && nextConnection != nil && nextConnection.Kind == centrifuge.TraceConnected:
		return NotConnected, fmt.Sprintf("was not connected: it connected at %s", clock(nextConnection.Time))
	case connection == nil && c.state != nil && c.state.ConnectedAt > when:
		return NotConnected, fmt.Sprintf("was not connected: it connected at %s", clock(c.state.ConnectedAt))
	}
	if subscription != nil {
		switch subscription.Kind {
		case centrifuge.TraceSubscribed:
			return "", ""
		case centrifuge.TraceRefused:
			return NotSubscribed, fmt.Sprintf("was not subscribed: its subscription was refused at %s: %s", clock(subscription.Time), code(subscription))
		default:
			return NotSubscribed, fmt.Sprintf("was not subscribed: its subscription had ended at %s: %s", clock(subscription.Time), code(subscription))
		}
	}
	switch {
	case nextSubscription != nil && nextSubscription.Kind == centrifuge.TraceSubscribed:
		return NotSubscribed, fmt.Sprintf("was not subscribed: its subscription began at %s%s", clock(nextSubscription.Time), at(nextSubscription.Offset))
	case nextSubscription != nil && nextSubscription.Kind == centrifuge.TraceUnsubscribed:
		return "", "" // since before the trace
	case nextSubscription == nil && c.state != nil && c.state.Subscribed:
		return "", "" // since before the trace
	}
	return NotSubscribed, words(NotSubscribed)
}

// withoutTime is absent for a publication of which it is not known when it was published.
func (x *explanation) withoutTime(c *client, p *publication) (Verdict, string) {
	if x.recordsChannel(p.Channel) {
		return NotPublished, "no publication like this was recorded; " + x.subscription(c)
	}
	subscribed := c.state != nil && c.state.Subscribed
	for _, e := range c.events {
		switch {
		case e.Channel != p.Channel:
		case e.Kind == centrifuge.TraceSubscribed && e.Offset < p.Offset, e.Kind == centrifuge.TraceUnsubscribed && e.Offset >= p.Offset:
			subscribed = true
		case e.Kind == centrifuge.TraceSubscribed:
			return Behind, fmt.Sprintf("%s: it began at %s%s", words(Behind), clock(e.Time), at(e.Offset))
		}
	}
	if !subscribed {
		return NotSubscribed, "was not subscribed; " + x.subscription(c)
	}
	return Unknown, "unknown: nothing was recorded; " + x.subscription(c)
}

// subscription says since when a connection is subscribed.
func (x *explanation) subscription(c *client) string {
	for _, e := range slices.Backward(c.events) {
		if e.Channel != x.query.Channel {
			continue
		}
		switch e.Kind {
		case centrifuge.TraceSubscribed:
			return fmt.Sprintf("subscribed since %s%s", clock(e.Time), at(e.Offset))
		case centrifuge.TraceRefused, centrifuge.TraceUnsubscribed:
			return fmt.Sprintf("%s, %s", e.Text(), clock(e.Time))
		default:
		}
	}
	if c.state != nil && c.state.Subscribed {
		return "subscribed since before the trace, now" + at(c.state.Offset)
	}
	return "not subscribed while the trace was on"
}

// stranger is the answer about a user or a client of which no node knows anything.
func (x *explanation) stranger() Client {
	out := Client{Client: x.query.Client, User: x.query.User, Verdict: NotConnected}
	out.Text = "was not connected to any node that has answered, as far as the traces say"
	began := false
	for _, a := range x.answers {
		began = began || a.covers(0, x.query.concerns)
	}
	if !began {
		out.Verdict, out.Text = Unknown, "is not connected now; no trace is on that could say whether it was"
	}
	return out
}

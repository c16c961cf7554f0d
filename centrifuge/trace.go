package centrifuge

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/protocol"
)

// Tracer records what happens to publications, subscriptions and connections, so that it
// can be told later why a client did not see a publication. Node.SetTracer sets it. The
// methods are called from many goroutines, some of which deliver to many connections: they
// must not block, and must not call the node.
type Tracer interface {
	// Channel reports whether it is to be told what becomes of the publications of a
	// channel on all connections. It is called once for each publication.
	Channel(channel string) bool
	// Client reports whether it is to be told what becomes of all publications on a
	// connection. It is called when the connection has connected, and by SetTracer.
	Client(id, user string) bool
	// Trace is told an event. Events of publications are those that Channel or Client asked
	// for, the others are those of the whole node.
	Trace(e TraceEvent)
}

// TraceKind says what happened.
type TraceKind string

// The kinds of events.
const (
	// Of the node that publishes.
	TracePublished     TraceKind = "published"      // Offset and Epoch, if the channel has history
	TraceSuppressed    TraceKind = "suppressed"     // Reason is a SuppressReason; the position is the earlier one
	TracePublishFailed TraceKind = "publish_failed" // Reason is the error

	// Of each node that receives a publication. Count is the number of subscribers there.
	TraceReceived TraceKind = "received"

	// Of each subscription that a publication has reached. First to Offset are the offsets
	// of the publications that it stands for, all but the last superseded.
	TraceQueued     TraceKind = "queued"
	TraceWritten    TraceKind = "written"    // Count is the number of bytes that a full socket did not take yet
	TraceHeld       TraceKind = "held"       // the subscription is being made
	TraceOld        TraceKind = "old"        // the subscription began behind it, or had it before
	TraceFiltered   TraceKind = "filtered"   // by its tags
	TraceExcluded   TraceKind = "excluded"   // PublishOptions.ExcludeClient
	TraceNotJSON    TraceKind = "not_json"   // a JSON connection cannot be sent it
	TraceGap        TraceKind = "gap"        // an earlier one was lost, so the subscription ends
	TraceEnded      TraceKind = "ended"      // the subscription is ending
	TraceTooSlow    TraceKind = "too_slow"   // the queue is full: the connection is closed
	TraceDropped    TraceKind = "dropped"    // the queue is full: the subscription ends (SlowDropOldest)
	TracePostponed  TraceKind = "postponed"  // until the client has read enough (SlowLatest)
	TraceSuperseded TraceKind = "superseded" // it was postponed, and a newer one is sent in its place

	// Of a subscription. Offset and Epoch are its position.
	TraceSubscribed   TraceKind = "subscribed"   // what is published behind Offset is delivered
	TraceRecovered    TraceKind = "recovered"    // Count publications from First to Offset were sent with the reply
	TraceUnrecovered  TraceKind = "unrecovered"  // First to Offset were asked for, and could not be sent
	TraceRefused      TraceKind = "refused"      // Code and Reason are those of the answer
	TraceUnsubscribed TraceKind = "unsubscribed" // Code and Reason, with those of the connection if it has ended

	// Of a connection.
	TraceConnected    TraceKind = "connected"    // Reason is the name of the transport
	TraceDisconnected TraceKind = "disconnected" // Code and Reason
)

// TraceEvent is something that happened on a node. Fields that do not concern the kind are
// zero.
type TraceEvent struct {
	Kind    TraceKind
	Time    time.Time
	Channel string
	// Pattern is what the client is subscribed to, if that is not the channel itself.
	Pattern string
	// Client and User are the connection, or the publisher if that is a client.
	Client, User string
	// Offset and Epoch are a position, zero without history.
	Offset uint64
	Epoch  string
	First  uint64
	Code   uint32
	Reason string
	// Source says who publishes, as PublishOptions.Source does.
	Source string
	Count  int
	// Data is the payload. It must not be changed. It is set for published and received.
	Data []byte
}

// maxTraced is for how many queued messages of a connection it is noted which publication
// they are. Of those beyond it is not told when they were written.
const maxTraced = 1 << 14

// maxKept is for how many of them the memory is kept while none is queued.
const maxKept = 4

// tracing is a Tracer and what the node notes for it.
type tracing struct {
	Tracer
	clients sync.Map // of *Client to *clientTrace, those with traced messages in the queue
}

// clientTrace holds the traced messages that were queued and not written.
type clientTrace struct {
	// Guarded by mu, which is a leaf.
	mu     sync.Mutex
	queued []tracedMessage // the first written ones were taken
	taken  int
}

type tracedMessage struct {
	message *protocol.Encoded
	event   TraceEvent
}

// SetTracer sets what is told of events, in place of a former tracer. Nil turns tracing
// off, which costs one comparison for each event. SetTracer asks for each connection of
// the node whether the tracer wants it; it is called again when the answers change. Its
// calls must not overlap.
func (n *Node) SetTracer(t Tracer) {
	now := n.tracing.Load()
	switch {
	case t == nil:
		now = nil
	case now == nil || !reflect.TypeOf(t).Comparable() || now.Tracer != t:
		now = &tracing{Tracer: t}
	}
	n.tracing.Store(now)
	for c := range n.registry.all() {
		c.outbox.SetTraced(now != nil && (t.Client(c.id, c.UserID()) || now.expects(c)))
	}
}

// expects reports whether a traced message is in the queue of a connection.
func (t *tracing) expects(c *Client) bool {
	_, ok := t.clients.Load(c)
	return ok
}

// trace tells the tracer an event of the connection, if there is one. The event has no time
// and no client.
func (c *Client) trace(e TraceEvent) {
	if t := c.node.tracing.Load(); t != nil {
		e.Time, e.Client, e.User = time.Now(), c.id, c.UserID()
		t.Trace(e)
	}
}

// traceConnected tells of the connection, and marks it if the tracer wants it.
func (c *Client) traceConnected() {
	t := c.node.tracing.Load()
	if t == nil {
		return
	}
	c.outbox.SetTraced(t.Client(c.id, c.UserID()))
	c.trace(TraceEvent{Kind: TraceConnected, Reason: c.info.Name})
}

// tracePublish tells of a publication that was handed to the broker.
func (n *Node) tracePublish(channel string, pub *Publication, opts *PublishOptions, result PublishResult, err error) {
	t := n.tracing.Load()
	if t == nil {
		return
	}
	e := TraceEvent{
		Kind: TracePublished, Time: time.Now(), Channel: channel, Offset: result.Offset, Epoch: result.Epoch,
		Source: opts.Source, Data: pub.Data,
	}
	if opts.ClientInfo != nil {
		e.Client, e.User = opts.ClientInfo.Client, opts.ClientInfo.User
	}
	switch {
	case err != nil:
		e.Kind, e.Reason = TracePublishFailed, err.Error()
	case result.Suppressed != NotSuppressed:
		e.Kind, e.Reason = TraceSuppressed, string(result.Suppressed)
	}
	t.Trace(e)
}

// traceReceived tells of a publication that the broker has delivered, and says for whom it
// is traced.
func (n *Node) traceReceived(channel string, pub *Publication, epoch string) fanout.TraceScope {
	t := n.tracing.Load()
	if t == nil {
		return fanout.TraceNone
	}
	e := TraceEvent{
		Kind: TraceReceived, Time: time.Now(), Channel: channel, Offset: pub.Offset, Epoch: epoch,
		Count: n.NumSubscribers(channel), Data: pub.Data,
	}
	if pub.Info != nil {
		e.Client, e.User = pub.Info.Client, pub.Info.User
	}
	t.Trace(e)
	if t.Channel(channel) {
		return fanout.TraceAll
	}
	return fanout.TraceMarked
}

// outcomeKinds are the events of the outcomes of the hub.
var outcomeKinds = [fanout.NumOutcomes]TraceKind{
	fanout.Queued: TraceQueued, fanout.Held: TraceHeld, fanout.Old: TraceOld, fanout.Filtered: TraceFiltered,
	fanout.Excluded: TraceExcluded, fanout.Unencodable: TraceNotJSON, fanout.Gap: TraceGap, fanout.Ended: TraceEnded,
	fanout.Overflowed: TraceTooSlow, fanout.Dropped: TraceDropped, fanout.Postponed: TracePostponed, fanout.Superseded: TraceSuperseded,
}

var _ fanout.TraceSink = (*clientSink)(nil)

// Traced implements fanout.TraceSink.
func (s *clientSink) Traced(sub *fanout.Subscriber, p *fanout.Push, what fanout.Outcome, message *protocol.Encoded) {
	t := s.node.tracing.Load()
	if t == nil {
		return
	}
	c := (*Client)(s)
	e := TraceEvent{
		Kind: outcomeKinds[what], Time: time.Now(), Client: c.id, User: c.UserID(), Channel: sub.Channel,
		Offset: p.Offset, First: p.First(), Epoch: p.Epoch,
	}
	if p.Pub.Channel != "" {
		e.Channel, e.Pattern = p.Pub.Channel, sub.Channel
	}
	switch what {
	case fanout.Queued:
		t.expect(c, message, e)
	case fanout.Overflowed, fanout.Dropped, fanout.Postponed:
		t.forget(c, message)
	default:
	}
	t.Trace(e)
}

// expect notes that the connection is going to write a message.
func (t *tracing) expect(c *Client, message *protocol.Encoded, e TraceEvent) {
	known, ok := t.clients.Load(c)
	if !ok {
		known, _ = t.clients.LoadOrStore(c, new(clientTrace))
		c.outbox.SetTraced(true) // otherwise its writes are not told
		if c.isClosed() {
			t.clients.Delete(c) // it may have been cleaned up before
			return
		}
	}
	ct := known.(*clientTrace) //nolint:forcetypeassert // nothing else is stored
	ct.mu.Lock()
	defer ct.mu.Unlock()
	if len(ct.queued)-ct.taken < maxTraced {
		ct.queued = append(ct.queued, tracedMessage{message, e})
	}
}

// forget takes back the last expect.
func (t *tracing) forget(c *Client, message *protocol.Encoded) {
	known, ok := t.clients.Load(c)
	if !ok {
		return
	}
	ct := known.(*clientTrace) //nolint:forcetypeassert // nothing else is stored
	ct.mu.Lock()
	defer ct.mu.Unlock()
	if last := len(ct.queued) - 1; last >= ct.taken && ct.queued[last].message == message {
		ct.queued = ct.queued[:last]
	}
}

// traceWritten tells of the messages of a batch that the transport has taken. Pending is
// the number of bytes that wait for a full socket.
func (c *Client) traceWritten(batch []*protocol.Encoded, pending int, failed error) {
	t := c.node.tracing.Load()
	if t == nil || failed != nil {
		return
	}
	known, ok := t.clients.Load(c)
	if !ok {
		return
	}
	now := time.Now()
	var few [4]TraceEvent                                         // of most batches
	for _, e := range known.(*clientTrace).take(few[:0], batch) { //nolint:forcetypeassert // nothing else is stored
		e.Kind, e.Time, e.Count = TraceWritten, now, pending
		t.Trace(e)
	}
}

// take appends to dst the events of the messages of a batch, which are in the order in which
// they were queued.
func (ct *clientTrace) take(dst []TraceEvent, batch []*protocol.Encoded) []TraceEvent {
	ct.mu.Lock()
	defer ct.mu.Unlock()
	for _, message := range batch {
		for i := ct.taken; i < len(ct.queued); i++ {
			if ct.queued[i].message == message {
				dst = append(dst, ct.queued[i].event)
				ct.taken = i + 1
				break
			}
		}
	}
	switch waiting := len(ct.queued) - ct.taken; {
	case waiting == 0 && cap(ct.queued) <= maxKept:
		clear(ct.queued)
		ct.queued, ct.taken = ct.queued[:0], 0
	case waiting == 0:
		ct.queued, ct.taken = nil, 0
	case ct.taken > len(ct.queued)/2:
		ct.queued, ct.taken = slices.Delete(ct.queued, 0, ct.taken), 0
	}
	return dst
}

// traceLive tells that a subscription is live, and what it has recovered.
func (p *pendingSubscription) traceLive() {
	c := p.client
	if c.node.tracing.Load() == nil {
		return
	}
	since := p.request.since.Offset
	switch r := p.result; {
	case !r.WasRecovering:
	case r.Recovered:
		c.trace(TraceEvent{
			Kind: TraceRecovered, Channel: p.Channel, First: since + 1, Offset: p.top.Offset, Epoch: p.top.Epoch,
			Count: p.recoveredCount(),
		})
	default:
		c.trace(TraceEvent{Kind: TraceUnrecovered, Channel: p.Channel, First: since + 1, Offset: p.top.Offset, Epoch: p.top.Epoch})
	}
	c.trace(TraceEvent{Kind: TraceSubscribed, Channel: p.Channel, Offset: p.top.Offset, Epoch: p.top.Epoch})
}

// recoveredCount returns the number of publications that the client is sent.
func (p *pendingSubscription) recoveredCount() int {
	if n := len(p.missed); n > 0 {
		return n
	}
	return len(p.result.Publications)
}

// traceUnsubscribed tells of the end of a subscription that was live.
func (c *Client) traceUnsubscribed(s *subscription, why Unsubscribe) {
	if c.node.tracing.Load() == nil {
		return
	}
	c.mu.Lock()
	live := s.state == subEnding // otherwise it never was
	var ended *Disconnect
	if why == UnsubscribeDisconnect {
		ended = c.rareLocked().ended
	}
	c.mu.Unlock()
	if !live {
		return
	}
	e := TraceEvent{Kind: TraceUnsubscribed, Channel: s.Channel, Code: why.Code, Reason: why.Reason}
	if ended != nil {
		e.Reason = fmt.Sprintf("%s: %d %s", why.Reason, ended.Code, ended.Reason)
	}
	if s.positioned {
		e.Offset, e.Epoch = s.Last()
	}
	c.trace(e)
}

// traceEnd tells of the end of a connection.
func (c *Client) traceEnd(d Disconnect) {
	c.trace(TraceEvent{Kind: TraceDisconnected, Code: d.Code, Reason: d.Reason})
}

// untrace forgets a connection that has ended.
func (n *Node) untrace(c *Client) {
	if t := n.tracing.Load(); t != nil {
		t.clients.Delete(c)
	}
}

package fanout

import "centrifugo/protocol"

// TraceScope says for which subscribers it is traced what becomes of a push.
type TraceScope uint8

// The scopes, from the narrowest.
const (
	TraceNone   TraceScope = iota
	TraceMarked            // connections whose outbox was marked by SetTraced
	TraceAll
)

// Outcome is what became of a publication for one subscriber.
type Outcome uint8

// The outcomes.
const (
	// Queued: its message is about to be put into the outbox.
	Queued Outcome = iota
	// Held: the subscription is being made. Another outcome follows when it is.
	Held
	// Old: the subscriber has been served beyond its offset.
	Old
	// Filtered: its tags do not match the filter.
	Filtered
	// Excluded: it is not for this connection.
	Excluded
	// Unencodable: its payload has no form in the connection's format.
	Unencodable
	// Gap: an earlier one was missed, so the subscription ends.
	Gap
	// Ended: the subscription is ending.
	Ended
	// Overflowed: it was refused, since the connection reads too slowly and is closed.
	Overflowed
	// Dropped: it was refused, since the connection reads too slowly (SlowDropOldest).
	Dropped
	// Postponed: it waits until the connection has read enough (SlowLatest).
	Postponed
	// Superseded: it was postponed, and a newer one has taken its place.
	Superseded
	// NumOutcomes is the number of outcomes.
	NumOutcomes
)

// TraceSink is a Sink that is told of outcomes.
type TraceSink interface {
	// Traced is called for each publication whose scope includes the subscriber. With
	// Queued it has the message, which has not been written yet; Overflowed, Dropped and
	// Postponed may follow for the same. It must not block, and must not call the hub or
	// the subscriber.
	Traced(s *Subscriber, p *Push, what Outcome, message *protocol.Encoded)
}

// SetTraced marks the connection of the outbox for TraceMarked, or removes the mark. It is
// safe for concurrent use.
func (o *Outbox) SetTraced(on bool) { o.traced.Store(on) }

// Traced reports whether the outbox is marked.
func (o *Outbox) Traced() bool { return o.traced.Load() }

func (s *Subscriber) isTraced(scope TraceScope) bool {
	return scope == TraceAll || scope == TraceMarked && s.Out.traced.Load()
}

func (s *Subscriber) trace(p *Push, what Outcome, message *protocol.Encoded) {
	if sink, ok := s.Out.sink.(TraceSink); ok {
		sink.Traced(s, p, what, message)
	}
}

// deliverTraced is deliver, one push after another.
func (s *Subscriber) deliverTraced(d *delivery) (dirty bool) {
	for i, p := range d.pushes {
		s.mu.Lock()
		messages, loss := s.admittedTracedLocked(d.messages[:0], d.pushes[i:i+1])
		d.messages = messages
		if len(messages) > 0 {
			var now bool
			now, loss = s.putTracedLocked(p, messages, loss)
			dirty = dirty || now
		}
		s.mu.Unlock()
		if loss != LossNone {
			s.Out.sink.Lost(s, loss)
		}
	}
	return dirty
}

// admittedTracedLocked is admittedLocked, and tells the outcomes of pushes that are traced.
func (s *Subscriber) admittedTracedLocked(dst []*protocol.Encoded, pushes []*Push) (_ []*protocol.Encoded, loss Loss) {
	for i, p := range pushes {
		if p.Pub == nil || !s.isTraced(p.Trace) {
			if dst, loss = s.admittedLocked(dst, pushes[i:i+1]); loss != LossNone {
				return dst, loss
			}
			continue
		}
		state, old := s.state, s.positioned && p.Offset != 0 && p.Offset < s.next
		before := len(dst)
		dst, loss = s.admittedLocked(dst, pushes[i:i+1])
		if len(dst) > before {
			s.trace(p, Queued, dst[before])
		} else {
			s.trace(p, s.unsentLocked(p, state, old, loss), nil)
		}
		if loss != LossNone {
			return dst, loss
		}
	}
	return dst, LossNone
}

// unsentLocked returns why a push was not admitted. State and old were found before that
// was decided.
func (s *Subscriber) unsentLocked(p *Push, state gateState, old bool, loss Loss) Outcome {
	switch {
	case loss == LossGap:
		return Gap
	case state == gateHeld:
		return Held
	case state != gateOpen:
		return Ended
	case old:
		return Old
	case p.Exclude != "" && s.isExcluded(p):
		return Excluded
	case s.Options != nil && s.Options.excludes(p):
		return Filtered
	}
	return Unencodable
}

// putTracedLocked is putLocked for the message of one push, and tells if it is not queued.
func (s *Subscriber) putTracedLocked(p *Push, messages []*protocol.Encoded, before Loss) (dirty bool, loss Loss) {
	var waited *Push
	if s.Options != nil {
		waited = s.Options.waiting
	}
	dirty, loss = s.putLocked(messages, before)
	if p.Pub == nil || !s.isTraced(p.Trace) {
		return dirty, loss
	}
	switch {
	case loss == LossSlow:
		s.trace(p, Overflowed, messages[0])
	case loss == LossSlowGap:
		s.trace(p, Dropped, messages[0])
	case s.Options != nil && s.Options.waiting == p:
		if waited != nil && s.isTraced(waited.Trace) {
			s.trace(waited, Superseded, nil)
		}
		s.trace(p, Postponed, messages[0])
	}
	return dirty, loss
}

package fanout

import "centrifugo/protocol"

// SlowPolicy says what becomes of the publications of a subscription while its
// connection does not read as fast as they come. Joins and leaves, and the messages of
// other subscriptions, are not concerned: the bound of the outbox applies to them.
type SlowPolicy uint8

// The policies.
const (
	// SlowDisconnect queues all publications. Beyond the bound the connection is closed.
	SlowDisconnect SlowPolicy = iota
	// SlowLatest queues nothing while more than slowShare of the bound waits: it keeps
	// the newest publication, and sends it when the connection has read what waits.
	SlowLatest
	// SlowDropOldest queues all publications. Beyond the bound the subscription ends
	// with LossSlowGap, and the connection goes on.
	SlowDropOldest
)

// slowShare of the bound is what may wait before SlowLatest keeps only the newest
// publication, so that a connection which reads on after a short pause gets all.
// slowBytes is used without a bound.
const (
	slowShare = 4
	slowBytes = 256 << 10
)

// putByPolicyLocked puts messages of pushes that were admitted, for a subscriber whose
// policy is not SlowDisconnect. Options.newest is the newest publication among them.
func (s *Subscriber) putByPolicyLocked(messages []*protocol.Encoded) (PutResult, Loss) {
	o := s.Options
	newest := o.newest
	o.newest = nil
	if newest == nil { // joins and leaves only
		return s.Out.Put(messages...), LossNone
	}
	if o.Slow == SlowDropOldest {
		result := s.Out.putTolerant(nil, s.Out.max, messages)
		if result == PutSlow {
			s.breakLocked()
			return PutClosed, LossSlowGap
		}
		return result, LossNone
	}
	if o.waiting == nil {
		result := s.Out.putTolerant(s, s.Out.slowBound(), messages)
		if result != PutSlow {
			return result, LossNone
		}
	} else {
		s.Out.sink.Superseded(1) // the one that waited
	}
	o.waiting = newest
	o.base = base{}
	rest := messages[:0]
	publications := 0
	for _, m := range messages {
		if m.Kind == protocol.KindPushPublication {
			publications++
		} else {
			rest = append(rest, m)
		}
	}
	if publications > 1 {
		s.Out.sink.Superseded(publications - 1)
	}
	return s.Out.Put(rest...), LossNone
}

// putWaiting puts the publication that waited. The outbox calls it when the connection
// has read what was queued. If the result is PutDirty, the caller must Flush the outbox.
func (s *Subscriber) putWaiting() PutResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.Options
	p := o.waiting
	if p == nil || s.state != gateOpen {
		o.waiting = nil
		return PutClosed
	}
	form := formPlain
	if o.Delta {
		form = formFull // the client does not have the publication before it
	}
	message := p.encoded(s, form)
	if message == nil {
		o.waiting = nil
		return PutQueued
	}
	result := s.Out.putTolerant(s, s.Out.slowBound(), []*protocol.Encoded{message})
	if result == PutSlow {
		return result // the outbox calls again
	}
	o.waiting = nil // it is the base of no delta: others may have been skipped since
	if result != PutClosed && s.isTraced(p.Trace) {
		s.trace(p, Queued, message) // the caller is the one who writes it afterwards
	}
	return result
}

// slowBound returns how many bytes may wait before SlowLatest keeps only the newest.
func (o *Outbox) slowBound() int {
	if o.max <= 0 {
		return slowBytes
	}
	return o.max / slowShare
}

// putTolerant is Put for messages that the caller can do without: it refuses them with
// PutSlow if more than most bytes wait or the bound of the outbox or the budget is
// reached, and the outbox goes on. If then is set, the outbox calls its putWaiting when
// the connection has read enough.
func (o *Outbox) putTolerant(then *Subscriber, most int, messages []*protocol.Encoded) PutResult {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := sizeOf(messages)
	switch {
	case o.endedLocked():
		return PutClosed
	case !o.contendedLocked():
	case o.waitsLocked() && most > 0 && o.size+o.pending > most, o.refusesLocked(size, false):
		if then != nil {
			if o.relief == nil {
				o.relief = new(relief)
			}
			o.relief.waiting = append(o.relief.waiting, then)
		}
		return PutSlow
	}
	return o.appendLocked(messages, size, false)
}

// takeWaitingLocked returns the subscribers whose publications may be put now.
func (o *Outbox) takeWaitingLocked() []*Subscriber {
	r := o.relief
	if r == nil || len(r.waiting) == 0 || o.size+o.pending > o.slowBound()/2 {
		return nil
	}
	waiting := r.waiting
	r.waiting = nil
	return waiting
}

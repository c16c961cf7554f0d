package fanout

// The bound of an outbox counts what a client leaves unread: bytes that wait while
// somebody writes or the socket is full. What was never offered to the socket is
// no backlog. A message larger than the bound is taken when nothing waits, and
// replies are taken always: whoever carries out commands waits for Drained before.

// replyShare of the bound is how large a reply must be to be set apart.
const replyShare = 8

// relief is what few outboxes have: a large message in the queue, or somebody who
// waits for it to drain.
type relief struct {
	apart   int           // bytes of the largest message that the bound leaves out
	drained chan struct{} // closed by the outbox when enough was read; nil when nobody waits
}

// contendedLocked reports whether what is put now waits for somebody who writes or
// for a socket that is full.
func (o *Outbox) contendedLocked() bool {
	return o.state == outboxBlocked || o.state == outboxFlushing
}

// refusesLocked reports whether size more bytes, in a contended outbox, are beyond
// the bound or the budget.
func (o *Outbox) refusesLocked(size int, reply bool) bool {
	waiting := o.size + o.pending
	if !reply && o.max > 0 && waiting > 0 {
		bound := o.max
		if o.relief != nil {
			bound += o.relief.apart
		}
		if waiting > bound || size > bound-waiting {
			return true
		}
	}
	return o.waitsLocked() && !o.chargeLocked(o.charged+size)
}

// setApartLocked leaves a message that is larger than replyShare of the bound, and
// a reply or larger than the bound, out of it until the queue is empty: a client that is busy with it must not be taken for a slow one.
func (o *Outbox) setApartLocked(size int, reply bool) {
	if !reply && size <= o.max {
		return
	}
	if o.relief == nil {
		o.relief = new(relief)
	}
	o.relief.apart = max(o.relief.apart, size)
}

// IsLarge reports whether a reply of this size is set apart.
func (o *Outbox) IsLarge(size int) bool { return o.max > 0 && size > o.max/replyShare }

// HasLarge reports whether a large message waits, or did at the end.
func (o *Outbox) HasLarge() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.relief != nil && o.relief.apart > 0
}

// Drained returns nil if a reply may be made, otherwise a channel that is closed
// when less than half of the bound waits, or when the outbox has ended.
func (o *Outbox) Drained() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.contendedLocked() || o.drainedLocked() || o.overflowed || o.final != nil {
		return nil
	}
	if o.relief == nil {
		o.relief = new(relief)
	}
	if o.relief.drained == nil {
		o.relief.drained = make(chan struct{})
	}
	return o.relief.drained
}

func (o *Outbox) drainedLocked() bool { return o.max <= 0 || o.size+o.pending <= o.max/2 }

// relieveLocked is called after each write, and at the end, where there is a relief.
func (o *Outbox) relieveLocked() {
	r := o.relief
	ended := o.state == outboxClosed
	if r.drained != nil && (ended || o.drainedLocked()) {
		close(r.drained)
		r.drained = nil
	}
	if r.drained == nil && (r.apart == 0 || !ended && o.size+o.pending == 0) {
		o.relief = nil // otherwise it tells what a connection has left unread
	}
}

// waitsLocked reports whether what is put now counts against the budget.
func (o *Outbox) waitsLocked() bool {
	return o.state == outboxBlocked || o.state == outboxFlushing && o.blocking
}

// chargeLocked makes the budget count n bytes for this outbox, unless these are
// more than before and it has no space for them.
func (o *Outbox) chargeLocked(n int) bool {
	switch {
	case o.budget == nil || n == o.charged:
		return true
	case n < o.charged:
		o.budget.give(o.charged - n)
	case !o.budget.take(n - o.charged):
		return false
	}
	o.charged = n
	return true
}

// uncountLocked gives back to the budget what does not wait here any more.
func (o *Outbox) uncountLocked() {
	if o.charged > o.size {
		o.chargeLocked(o.size)
	}
}

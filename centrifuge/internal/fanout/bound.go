package fanout

// The bound of an outbox counts what a client leaves unread: bytes that wait while
// somebody writes or the socket is full. What was never offered to the socket is
// no backlog. A message larger than the bound is taken when nothing waits, and
// replies are taken always: whoever carries out commands waits for Room before.

// replyShare of the bound is how large a reply must be to be set apart.
const replyShare = 8

// relief is what few outboxes have: a large message in the queue, or somebody who
// waits for room.
type relief struct {
	apart int           // bytes of the largest message that the bound leaves out
	room  chan struct{} // closed by the outbox when there is room; nil when nobody waits
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

// Room returns nil if a reply may be made, otherwise a channel that is closed
// when less than half of the bound waits, or when the outbox has ended.
func (o *Outbox) Room() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.contendedLocked() || o.roomyLocked() || o.overflowed || o.final != nil {
		return nil
	}
	if o.relief == nil {
		o.relief = new(relief)
	}
	if o.relief.room == nil {
		o.relief.room = make(chan struct{})
	}
	return o.relief.room
}

func (o *Outbox) roomyLocked() bool { return o.max <= 0 || o.size+o.pending <= o.max/2 }

// relieveLocked is called after each write, and at the end, where there is a relief.
func (o *Outbox) relieveLocked() {
	r := o.relief
	ended := o.state == outboxClosed
	if r.room != nil && (ended || o.roomyLocked()) {
		close(r.room)
		r.room = nil
	}
	if r.room == nil && (r.apart == 0 || !ended && o.size+o.pending == 0) {
		o.relief = nil // otherwise it tells what a connection has left unread
	}
}

// waitsLocked reports whether what is put now counts against the budget.
func (o *Outbox) waitsLocked() bool {
	return o.state == outboxBlocked || o.state == outboxFlushing && o.blocking
}

// chargeLocked makes the budget count n bytes for this outbox, unless these are
// more than before and it has no room for them.
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

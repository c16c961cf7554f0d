package fanout

// The bound of an outbox counts what a client leaves unread: bytes that wait while a
// write is in progress or the socket is full. Bytes that were never offered to the socket
// do not count. A message larger than the bound is accepted when nothing waits. Replies
// are always accepted: the caller waits for Drained before it executes a command.

// replyShare of the bound is how large a reply must be to be set apart.
const replyShare = 8

// relief holds the state of outboxes with a large message in the queue, or with a
// goroutine or subscribers that wait for the queue to drain. Few outboxes have it.
type relief struct {
	apart   int           // bytes of the largest message that the bound leaves out
	drained chan struct{} // closed by the outbox when enough was read; nil when no goroutine waits
	waiting []*Subscriber // those with SlowLatest that keep a publication back
}

// contendedLocked reports whether a write is in progress or the socket is full, so that
// a message put now must wait.
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
	return o.waitsLocked() && !o.account.charge(o.account.charged+size)
}

// setApartLocked excludes a message from the bound until the queue is empty, if it is
// larger than replyShare of the bound and either a reply or larger than the bound. A client
// that is receiving it is not slow.
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
	if ended {
		r.waiting = nil
	}
	if r.drained == nil && len(r.waiting) == 0 && (r.apart == 0 || !ended && o.size+o.pending == 0) {
		o.relief = nil // otherwise it tells what a connection has left unread
	}
}

// waitsLocked reports whether what is put now counts against the budget.
func (o *Outbox) waitsLocked() bool {
	return o.state == outboxBlocked || o.state == outboxFlushing && o.blocking
}

package fanout

import (
	"math"
	"sync"
	"sync/atomic"

	"centrifugo/protocol"
)

// Sink is one connection: it writes the messages of its outbox and owns its subscriptions.
type Sink interface {
	Owner
	// WriteFrames writes a batch. Calls do not overlap. It returns how many bytes the
	// socket did not take and the sink keeps; see centrifuge.Transport.
	WriteFrames(batch []*protocol.Encoded) (pending int, err error)
	// Failed is called once after an error of WriteFrames, or with
	// ErrOverBudget; the outbox is closed then. It must not block.
	Failed(err error)
}

// Outbox is the queue of one connection: encoded messages are put, batches are written. An
// idle outbox uses no memory besides itself.
type Outbox struct {
	// Static after Init and Share.
	sink     Sink
	delay    *Delay // nil: a flush writes at once
	max      int    // bytes
	maxBatch uint16 // messages
	blocking bool

	traced atomic.Bool // what is put and written for the connection is traced

	// Guarded by mu.
	mu    sync.Mutex
	state outboxState
	again bool // Unblock was called during a write
	// overflowed: messages were refused, and so are all later ones.
	overflowed bool
	turn       uint32                   // counts the times that the outbox was delayed
	one        *protocol.Encoded        // the usual case: a single message waits
	more       *fifo[*protocol.Encoded] // the messages behind it, from the pool; nil when there are none
	size       int                      // bytes in one and more
	pending    int                      // bytes that the sink keeps
	account    account                  // with the budget of the node
	final      func()                   // set by Close, called when no write is in progress
	relief     *relief                  // nil for most
}

type outboxState uint8

const (
	outboxIdle     outboxState = iota // nothing waits, no write is in progress
	outboxQueued                      // a caller of Put must call Flush
	outboxDelayed                     // the delay will write
	outboxFlushing                    // a write is in progress
	outboxBlocked                     // the socket is full: Unblock continues
	outboxClosed
)

// PutResult is the result of Put.
type PutResult uint8

// The results of Put.
const (
	PutQueued   PutResult = iota // queued; the current writer or a Flush that is due sends them
	PutDirty                     // the caller must Flush, now or after more puts
	PutFull                      // replies only: the caller must Flush before it puts more
	PutOverflow                  // refused: the reader is too slow; the caller must Close
	PutSlow                      // refused, and the outbox goes on; see putTolerant
	PutClosed                    // refused: the connection has ended or overflowed
)

// delayBytes bounds what waits for a delay: larger writes are not cheaper. delayShare is a
// second bound, as a part of what an outbox may hold, so that a reader that keeps up is not
// taken for a slow one.
const (
	delayBytes = 64 << 10
	delayShare = 8
)

// Init prepares an outbox that holds at most maxBytes and writes at most maxBatch messages
// at once, of which 65535 is the greatest number. A blocking sink is written to by a goroutine that exists while there is work,
// another one by the caller of Flush.
func (o *Outbox) Init(sink Sink, maxBytes, maxBatch int, blocking bool) {
	o.sink, o.max, o.blocking = sink, maxBytes, blocking
	o.maxBatch = uint16(min(max(maxBatch, 1), math.MaxUint16)) //nolint:gosec // bounded
}

// Share sets what an outbox shares with others, before the first Put: a delay by which
// writes wait for more messages, and a budget for what waits while the socket is full.
// Either may be nil.
func (o *Outbox) Share(d *Delay, b *Budget) { o.delay, o.account.budget = d, b }

// Put queues messages, all or none.
func (o *Outbox) Put(frames ...*protocol.Encoded) PutResult { return o.put(frames, false) }

// PutReply queues the reply to a command. The bound does not count it, because the caller
// waits for Drained before it executes a command.
func (o *Outbox) PutReply(frames ...*protocol.Encoded) PutResult { return o.put(frames, true) }

func (o *Outbox) put(frames []*protocol.Encoded, reply bool) PutResult {
	if len(frames) == 0 {
		return PutQueued
	}
	o.mu.Lock()
	result := o.putLocked(frames, reply)
	o.mu.Unlock()
	return result
}

// endedLocked reports whether nothing is accepted any more.
func (o *Outbox) endedLocked() bool {
	return o.state == outboxClosed || o.final != nil || o.overflowed
}

func sizeOf(frames []*protocol.Encoded) (size int) {
	for _, f := range frames {
		size += len(f.Bytes)
	}
	return size
}

func (o *Outbox) putLocked(frames []*protocol.Encoded, reply bool) PutResult {
	size := sizeOf(frames)
	if o.endedLocked() {
		return PutClosed
	}
	if o.contendedLocked() && o.refusesLocked(size, reply) {
		// The connection is about to be closed. Later messages must not be sent behind
		// the gap if the socket becomes writable before that.
		o.overflowed = true
		return PutOverflow
	}
	return o.appendLocked(frames, size, reply)
}

// appendLocked queues frames that the bound and the budget have accepted.
func (o *Outbox) appendLocked(frames []*protocol.Encoded, size int, reply bool) PutResult {
	if o.IsLarge(size) {
		o.setApartLocked(size, reply)
	}
	o.enqueueLocked(frames, size)
	switch {
	case o.state == outboxIdle:
		o.state = outboxQueued
		if !reply || o.size < delayBytes {
			return PutDirty
		}
		return PutFull
	case o.state == outboxQueued && reply && o.size >= delayBytes:
		return PutFull
	case o.state == outboxDelayed && o.fullLocked():
	default:
		return PutQueued
	}
	o.state = outboxQueued
	return PutDirty
}

// enqueueLocked adds frames, at least one, of size bytes to the queue.
func (o *Outbox) enqueueLocked(frames []*protocol.Encoded, size int) {
	o.size += size
	if o.one == nil {
		o.one, frames = frames[0], frames[1:]
	}
	if len(frames) == 0 {
		return
	}
	if o.more == nil {
		o.more = getQueue()
	}
	o.more.push(frames...)
}

func (o *Outbox) countLocked() int {
	switch {
	case o.one == nil:
		return 0
	case o.more == nil:
		return 1
	}
	return 1 + o.more.len()
}

// fullLocked reports whether waiting for more messages has no benefit.
func (o *Outbox) fullLocked() bool {
	return o.countLocked() >= int(o.maxBatch) || o.size >= delayBytes || o.max > 0 && o.size >= o.max/delayShare
}

// Flush writes what is queued, or schedules the write with the delay. For a blocking sink
// it starts a goroutine that writes.
func (o *Outbox) Flush() {
	o.mu.Lock()
	switch {
	case o.state != outboxQueued:
		o.mu.Unlock()
	case o.delay != nil && o.final == nil && !o.fullLocked():
		turn := o.delayLocked()
		o.mu.Unlock()
		o.delay.add(o, turn)
	default:
		o.startLocked()
	}
}

// delayLocked schedules the next write; the caller must add the turn to the delay.
func (o *Outbox) delayLocked() (turn uint32) {
	o.state = outboxDelayed
	o.turn++
	return o.turn
}

// due is called by the delay when a turn is due.
func (o *Outbox) due(turn uint32) {
	o.mu.Lock()
	if o.state != outboxDelayed || o.turn != turn {
		o.mu.Unlock() // it was written or closed before
		return
	}
	o.startLocked()
}

// startLocked writes everything that is queued now. It releases the lock.
func (o *Outbox) startLocked() {
	o.state = outboxFlushing
	waiting := o.countLocked()
	o.mu.Unlock()
	if o.blocking {
		go o.write(waiting)
		return
	}
	o.write(waiting)
}

// maxTurn is the number of batches that the caller of Flush writes beyond what waited when
// it began, before a separate goroutine continues.
const maxTurn = 4

// write owns the sink until it leaves the state flushing. waiting is the number of messages
// that waited when it was called; with a delay, later messages are delayed again. The caller
// may be a lane or a poller, which must not be held up by a connection that queues messages
// as fast as they are written.
func (o *Outbox) write(waiting int) {
	batch := getQueue()
	dirty := false
	for turn := 1; ; turn++ {
		o.mu.Lock()
		batch.items = o.takeLocked(batch.items)
		o.again = false
		o.mu.Unlock()

		pending, err := o.sink.WriteFrames(batch.items)
		waiting -= len(batch.items)
		clear(batch.items)
		batch.items = batch.items[:0]

		done, relieved := o.wrote(pending, err, waiting > 0)
		for _, s := range relieved {
			dirty = s.putWaiting() == PutDirty || dirty
		}
		if done {
			break
		}
		if turn >= maxTurn && waiting <= 0 && !o.blocking {
			go o.write(0)
			break
		}
	}
	putQueue(batch)
	if dirty {
		o.Flush()
	}
}

// wrote updates the state after a write and reports whether the writer is done. waiting
// reports whether messages remain that waited when the writer began. The caller must call
// putWaiting of the subscribers that are relieved.
func (o *Outbox) wrote(pending int, err error, waiting bool) (done bool, relieved []*Subscriber) {
	o.mu.Lock()
	o.pending = pending
	final := o.final
	delayed, turn := false, uint32(0)
	switch {
	case err != nil:
		o.closeLocked()
	case pending > 0 && final == nil && !o.again:
		if !o.overflowed && !o.account.charge(o.size+pending) {
			err = ErrOverBudget
			o.closeLocked()
			break
		}
		o.state = outboxBlocked
	case pending > 0 && final != nil:
		o.closeLocked() // the transport sends what it keeps, if it can
	case pending == 0 && o.one == nil && final != nil:
		o.closeLocked()
	case pending == 0 && o.one == nil:
		o.state = outboxIdle
	case pending == 0 && o.delay != nil && !waiting && final == nil && !o.fullLocked():
		o.account.charge(0)
		delayed, turn = true, o.delayLocked()
	default:
		if o.relief != nil {
			relieved = o.takeWaitingLocked()
			o.relieveLocked()
		}
		o.mu.Unlock()
		return false, relieved
	}
	if o.relief != nil {
		relieved = o.takeWaitingLocked()
		o.relieveLocked()
	}
	o.final = nil
	o.mu.Unlock()
	if delayed {
		o.delay.add(o, turn)
	}
	if err != nil {
		o.sink.Failed(err)
	}
	if final != nil {
		final()
	}
	return true, relieved
}

// takeLocked moves the next messages into batch, which is empty.
func (o *Outbox) takeLocked(batch []*protocol.Encoded) []*protocol.Encoded {
	if o.one != nil {
		batch = append(batch, o.one)
	}
	if o.more == nil {
		o.one, o.size = nil, 0
		o.account.reduce(o.size)
		return batch
	}
	more := o.more.front()
	n := min(len(more), int(o.maxBatch)-1)
	batch = append(batch, more[:n]...)
	if n == len(more) {
		o.dropLocked()
		return batch
	}
	for _, f := range batch {
		o.size -= len(f.Bytes)
	}
	o.one = more[n]
	if o.more.drop(n + 1); o.more.len() == 0 {
		putQueue(o.more)
		o.more = nil
	}
	o.account.reduce(o.size)
	return batch
}

// dropLocked empties the queue. The budget then counts nothing for this outbox.
func (o *Outbox) dropLocked() {
	o.one, o.size = nil, 0
	if o.more != nil {
		putQueue(o.more)
		o.more = nil
	}
	o.account.reduce(o.size)
}

// Unblock continues writing after the sink's socket has become writable.
func (o *Outbox) Unblock() {
	o.mu.Lock()
	switch o.state {
	case outboxBlocked:
		o.startLocked()
		return
	case outboxFlushing: // the socket became writable before the write could report that it was full
		o.again = true
	case outboxIdle, outboxQueued, outboxDelayed, outboxClosed:
	}
	o.mu.Unlock()
}

// Block reports that the sink itself has found its socket full, with pending bytes waiting
// in the sink. It returns false if the outbox knows that already or will learn it from a
// write.
func (o *Outbox) Block(pending int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxIdle || pending <= 0 {
		return false
	}
	o.state, o.pending = outboxBlocked, pending
	return true
}

// Close accepts no more messages. With flush it writes what is queued, at once and as far
// as the sink accepts it; otherwise it drops the queue. final is called once: when
// nothing is written to the sink any more, at once or by the writer; for a blocking
// sink without flush, at once, also during a write. A second Close does nothing and
// reports false.
func (o *Outbox) Close(flush bool, final func()) bool { return o.CloseWith(nil, flush, final) }

// CloseWith is Close with a last message, which is written even without flush and if the
// socket is full: the sink keeps what the socket does not accept. Nil is none.
func (o *Outbox) CloseWith(last *protocol.Encoded, flush bool, final func()) bool {
	o.mu.Lock()
	if o.state == outboxClosed || o.final != nil {
		o.mu.Unlock()
		return false
	}
	if !flush {
		o.dropLocked()
	}
	if last != nil {
		o.enqueueLocked([]*protocol.Encoded{last}, len(last.Bytes)) // no bound counts it
	}
	switch {
	case o.state == outboxFlushing && o.blocking && !flush && last == nil:
		o.final = nothing // the writer closes the outbox
		o.mu.Unlock()
		final()
	case o.state == outboxFlushing:
		o.final = final
		o.mu.Unlock()
	case last != nil, (o.state == outboxQueued || o.state == outboxDelayed) && flush:
		o.final = final
		o.startLocked()
	default:
		o.closeLocked()
		o.mu.Unlock()
		final()
	}
	return true
}

func nothing() {}

// Interrupt drops what a Close of a blocking sink still writes, and calls its final at
// once, also during a write.
func (o *Outbox) Interrupt() {
	o.mu.Lock()
	final := o.final
	if final == nil || !o.blocking {
		o.mu.Unlock()
		return
	}
	o.final = nothing
	o.dropLocked()
	o.mu.Unlock()
	final()
}

func (o *Outbox) closeLocked() {
	o.dropLocked()
	o.state, o.pending = outboxClosed, 0
	if o.relief != nil {
		o.relieveLocked()
	}
}

// Waiting returns the bytes that wait to be sent, with those that the sink keeps.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size + o.pending
}

// Stalled reports whether the socket is full.
func (o *Outbox) Stalled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state == outboxBlocked
}

package fanout

import (
	"math"
	"sync"

	"centrifugo/protocol"
)

// Sink takes the frames of one connection. Only one call is made at a time. That
// of a connection with subscriptions is also their Owner.
type Sink interface {
	// WriteFrames returns how many bytes the socket did not take and the sink
	// keeps; see centrifuge.Transport.
	WriteFrames(batch []*protocol.Encoded) (pending int, err error)
	// Failed is called once after an error of WriteFrames, or with
	// ErrOverBudget; the outbox is closed then. It must not block.
	Failed(err error)
}

// Outbox is one connection's queue: frames in, batches out. An idle outbox
// holds no memory but itself.
type Outbox struct {
	// Static after Init and Share.
	sink     Sink
	delay    *Delay  // nil: what is flushed is written at once
	budget   *Budget // nil: what waits is not counted
	max      int     // bytes
	maxBatch int32   // frames
	blocking bool

	// Guarded by mu.
	mu    sync.Mutex
	state outboxState
	again bool // Unblock came while a flush was writing
	// overflowed: frames were refused, and so are all that follow.
	overflowed bool
	turn       uint32                   // counts the times that the outbox was delayed
	one        *protocol.Encoded        // the usual case: a single frame waits
	more       *fifo[*protocol.Encoded] // the frames behind it, lent; nil when there are none
	size       int                      // bytes in one and more
	pending    int                      // bytes that the sink keeps
	charged    int                      // bytes that the budget counts
	final      func()                   // set by Close, called once nobody writes
	relief     *relief                  // nil for most
}

type outboxState uint8

const (
	outboxIdle     outboxState = iota // nothing waits, nobody writes
	outboxQueued                      // somebody owes a Flush
	outboxDelayed                     // the delay will write
	outboxFlushing                    // somebody is writing
	outboxBlocked                     // the socket is full: Unblock goes on
	outboxClosed
)

// PutResult tells what became of frames that were put.
type PutResult uint8

// The results of Put.
const (
	PutQueued   PutResult = iota // whoever writes takes them along
	PutDirty                     // the caller must Flush, now or after more puts
	PutFull                      // replies only: the caller must Flush before it puts more
	PutOverflow                  // refused: the reader is too slow; the caller must Close
	PutClosed                    // refused: the connection has ended or overflowed
)

// delayBytes is how much may wait for a delay: beyond, a larger write saves
// nothing. The second bound, as a part of what an outbox may hold, keeps readers
// that keep up from being taken for slow ones.
const (
	delayBytes = 64 << 10
	delayShare = 8
)

// Init prepares an outbox that holds at most maxBytes and writes at most
// maxBatch frames at once. A blocking sink is written to by a goroutine that
// exists while there is work; another one by whoever flushes.
func (o *Outbox) Init(sink Sink, maxBytes, maxBatch int, blocking bool) {
	o.sink, o.max, o.blocking = sink, maxBytes, blocking
	o.maxBatch = int32(min(max(maxBatch, 1), math.MaxInt32)) //nolint:gosec // bounded
}

// Share gives an outbox what it has in common with others, before anything is
// put: a delay by which writes wait for more to come, and a budget for what
// waits while the socket is full. Either may be nil.
func (o *Outbox) Share(d *Delay, b *Budget) { o.delay, o.budget = d, b }

// Put queues frames, all or none.
func (o *Outbox) Put(frames ...*protocol.Encoded) PutResult { return o.put(frames, false) }

// PutReply queues what a command asked for. The bound does not count it: the
// caller has waited for Drained before the command.
func (o *Outbox) PutReply(frames ...*protocol.Encoded) PutResult { return o.put(frames, true) }

func (o *Outbox) put(frames []*protocol.Encoded, reply bool) PutResult {
	if len(frames) == 0 {
		return PutQueued
	}
	size := 0
	for _, f := range frames {
		size += len(f.Bytes)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == outboxClosed || o.final != nil || o.overflowed {
		return PutClosed
	}
	if o.contendedLocked() && o.refusesLocked(size, reply) {
		// The connection is about to be closed. Whatever is put until then must
		// not arrive behind the gap, should the socket have room again.
		o.overflowed = true
		return PutOverflow
	}
	if o.IsLarge(size) {
		o.setApartLocked(size, reply)
	}
	o.size += size
	if o.one == nil {
		o.one, frames = frames[0], frames[1:]
	}
	if len(frames) > 0 {
		if o.more == nil {
			o.more = lendQueue()
		}
		o.more.push(frames...)
	}
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

func (o *Outbox) countLocked() int {
	switch {
	case o.one == nil:
		return 0
	case o.more == nil:
		return 1
	}
	return 1 + o.more.len()
}

// fullLocked reports whether waiting for more would gain nothing.
func (o *Outbox) fullLocked() bool {
	return o.countLocked() >= int(o.maxBatch) || o.size >= delayBytes || o.max > 0 && o.size >= o.max/delayShare
}

// Flush writes what is queued, or leaves it to the delay. For a blocking sink
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

// delayLocked leaves the next write to the delay, to which the turn must be added.
func (o *Outbox) delayLocked() (turn uint32) {
	o.state = outboxDelayed
	o.turn++
	return o.turn
}

// ripe is called by the delay when the time of a turn has come.
func (o *Outbox) ripe(turn uint32) {
	o.mu.Lock()
	if o.state != outboxDelayed || o.turn != turn {
		o.mu.Unlock() // it was written or closed before
		return
	}
	o.startLocked()
}

// startLocked writes all that is queued now. It releases the lock.
func (o *Outbox) startLocked() {
	o.state = outboxFlushing
	owed := o.countLocked()
	o.mu.Unlock()
	if o.blocking {
		go o.write(owed)
		return
	}
	o.write(owed)
}

// maxTurn is how many batches a writer that has others to serve writes, beyond
// what waited when it began, before a goroutine goes on for it.
const maxTurn = 4

// write owns the sink until it leaves the state flushing. owed are the frames
// that waited when it was called; with a delay, those that come meanwhile have
// one of their own. The caller may be a lane or a poller: it must not be held by
// whoever puts as fast as it writes.
func (o *Outbox) write(owed int) {
	room := lendQueue()
	for turn := 1; ; turn++ {
		o.mu.Lock()
		room.items = o.takeLocked(room.items)
		o.again = false
		o.mu.Unlock()

		pending, err := o.sink.WriteFrames(room.items)
		owed -= len(room.items)
		clear(room.items)
		room.items = room.items[:0]

		if o.wrote(pending, err, owed > 0) {
			break
		}
		if turn >= maxTurn && owed <= 0 && !o.blocking {
			go o.write(0)
			break
		}
	}
	giveBack(room)
}

// wrote settles the state after a write and reports whether the writer may leave.
func (o *Outbox) wrote(pending int, err error, owing bool) (done bool) {
	o.mu.Lock()
	o.pending = pending
	final := o.final
	delayed, turn := false, uint32(0)
	switch {
	case err != nil:
		o.closeLocked()
	case pending > 0 && final == nil && !o.again:
		if !o.overflowed && !o.chargeLocked(o.size+pending) {
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
	case pending == 0 && o.delay != nil && !owing && final == nil && !o.fullLocked():
		o.chargeLocked(0)
		delayed, turn = true, o.delayLocked()
	default:
		if o.relief != nil {
			o.relieveLocked()
		}
		o.mu.Unlock()
		return false
	}
	if o.relief != nil {
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
	return true
}

// takeLocked moves the next frames into batch, which is empty.
func (o *Outbox) takeLocked(batch []*protocol.Encoded) []*protocol.Encoded {
	if o.one != nil {
		batch = append(batch, o.one)
	}
	if o.more == nil {
		o.one, o.size = nil, 0
		o.uncountLocked()
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
		giveBack(o.more)
		o.more = nil
	}
	o.uncountLocked()
	return batch
}

// dropLocked empties the queue, and counts neither it nor what the sink keeps.
func (o *Outbox) dropLocked() {
	o.one, o.size = nil, 0
	if o.more != nil {
		giveBack(o.more)
		o.more = nil
	}
	o.uncountLocked()
}

// Unblock goes on writing once the sink's socket has room again.
func (o *Outbox) Unblock() {
	o.mu.Lock()
	switch o.state {
	case outboxBlocked:
		o.startLocked()
		return
	case outboxFlushing: // the socket had room before the flush could say that it was full
		o.again = true
	case outboxIdle, outboxQueued, outboxDelayed, outboxClosed:
	}
	o.mu.Unlock()
}

// Block tells of a socket that was found full by somebody else: pending bytes wait
// in the sink. It reports whether that is news; otherwise whoever writes, or has
// found the socket full, knows or will know.
func (o *Outbox) Block(pending int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxIdle || pending <= 0 {
		return false
	}
	o.state, o.pending = outboxBlocked, pending
	return true
}

// Close takes no more frames. With flush it writes what is queued, at once and
// as far as the sink takes it; otherwise that is dropped. final is called once: when
// nothing is written to the sink any more, at once or by the writer; for a blocking
// sink without flush, at once, also during a write. A second Close does nothing and
// reports false.
func (o *Outbox) Close(flush bool, final func()) bool {
	o.mu.Lock()
	if o.state == outboxClosed || o.final != nil {
		o.mu.Unlock()
		return false
	}
	if !flush {
		o.dropLocked()
	}
	switch {
	case o.state == outboxFlushing && o.blocking && !flush:
		o.final = nothing // the writer closes the outbox
		o.mu.Unlock()
		final()
	case o.state == outboxFlushing:
		o.final = final
		o.mu.Unlock()
	case (o.state == outboxQueued || o.state == outboxDelayed) && flush:
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

// Stalled reports whether the socket is full.
func (o *Outbox) Stalled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state == outboxBlocked
}

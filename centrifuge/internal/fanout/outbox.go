package fanout

import (
	"sync"

	"centrifugo/protocol"
)

// Sink takes the frames of one connection. Only one call is made at a time.
type Sink interface {
	// WriteFrames returns how many bytes the socket did not take and the sink
	// keeps; see centrifuge.Transport.
	WriteFrames(batch []*protocol.Frame) (pending int, err error)
	// Failed is called once after an error of WriteFrames. It must not block.
	Failed(err error)
}

// Outbox is one connection's queue: frames in, batches out. An idle outbox
// holds no memory but itself.
type Outbox struct {
	// Static after Init.
	sink     Sink
	max      int // bytes
	maxBatch int // frames
	blocking bool

	// Guarded by mu.
	mu      sync.Mutex
	state   outboxState
	again   bool              // Unblock came while a flush was writing
	one     *protocol.Frame   // the usual case: a single frame waits
	more    []*protocol.Frame // the frames behind it
	size    int               // bytes in one and more
	pending int               // bytes that the sink keeps
	final   func()            // set by Close, called once nobody writes
	// overflowed: frames were refused, and so are all that follow.
	overflowed bool
}

type outboxState uint8

const (
	outboxIdle     outboxState = iota // nothing waits, nobody writes
	outboxQueued                      // somebody owes a Flush
	outboxFlushing                    // a Flush is writing
	outboxBlocked                     // the socket is full: Unblock goes on
	outboxClosed
)

// PutResult tells what became of frames that were put.
type PutResult uint8

// The results of Put.
const (
	PutQueued   PutResult = iota // whoever writes takes them along
	PutDirty                     // the caller must Flush, now or after more puts
	PutOverflow                  // refused: the reader is too slow; the caller must Close
	PutClosed                    // refused: the connection has ended or overflowed
)

// Init prepares an outbox that holds at most max bytes and writes at most
// maxBatch frames at once. A blocking sink is written to by a goroutine that
// exists while there is work; another one by whoever flushes.
func (o *Outbox) Init(sink Sink, maxBytes, maxBatch int, blocking bool) {
	o.sink, o.max, o.maxBatch, o.blocking = sink, maxBytes, maxBatch, blocking
}

// Put queues frames, all or none.
func (o *Outbox) Put(frames ...*protocol.Frame) PutResult {
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
	if o.max > 0 && o.size+o.pending+size > o.max {
		// The connection is about to be closed. Whatever is put until then must
		// not arrive behind the gap, should the socket have room again.
		o.overflowed = true
		return PutOverflow
	}
	o.size += size
	if o.one == nil {
		o.one, frames = frames[0], frames[1:]
	}
	o.more = append(o.more, frames...)
	if o.state != outboxIdle {
		return PutQueued
	}
	o.state = outboxQueued
	return PutDirty
}

// Flush writes what is queued. For a blocking sink it starts a goroutine that does.
func (o *Outbox) Flush() {
	o.mu.Lock()
	if o.state != outboxQueued {
		o.mu.Unlock()
		return
	}
	o.state = outboxFlushing
	if o.blocking {
		o.mu.Unlock()
		go o.write()
		return
	}
	o.mu.Unlock()
	o.write()
}

// batches are lent to writers: at most maxBatch frames each.
var batches = sync.Pool{New: func() any { return new([]*protocol.Frame) }}

// write owns the sink until it leaves the state flushing.
func (o *Outbox) write() {
	room, _ := batches.Get().(*[]*protocol.Frame)
	for {
		o.mu.Lock()
		batch := o.takeLocked((*room)[:0])
		o.again = false
		o.mu.Unlock()

		pending, err := o.sink.WriteFrames(batch)
		clear(batch)
		*room = batch

		if o.wrote(pending, err) {
			batches.Put(room)
			return
		}
	}
}

// wrote settles the state after a write and reports whether the writer may leave.
func (o *Outbox) wrote(pending int, err error) (done bool) {
	o.mu.Lock()
	o.pending = pending
	final := o.final
	switch {
	case err != nil:
		o.closeLocked()
	case o.state == outboxClosed:
	case pending > 0 && final == nil && !o.again:
		o.state = outboxBlocked
	case pending > 0 && final != nil:
		o.closeLocked() // the transport sends what it keeps, if it can
	case pending == 0 && o.one == nil && final != nil:
		o.closeLocked()
	case pending == 0 && o.one == nil:
		o.state = outboxIdle
	default:
		o.mu.Unlock()
		return false
	}
	o.final = nil
	o.mu.Unlock()
	if err != nil {
		o.sink.Failed(err)
	}
	if final != nil {
		final()
	}
	return true
}

// takeLocked moves the next frames into batch.
func (o *Outbox) takeLocked(batch []*protocol.Frame) []*protocol.Frame {
	if o.one == nil {
		return batch
	}
	batch = append(batch, o.one)
	n := min(len(o.more), o.maxBatch-1)
	batch = append(batch, o.more[:n]...)
	if n == len(o.more) {
		o.one, o.more, o.size = nil, nil, 0
		return batch
	}
	for _, f := range batch {
		o.size -= len(f.Bytes)
	}
	clear(o.more[:n])
	o.one, o.more = o.more[n], o.more[n+1:]
	return batch
}

// Unblock goes on writing once the sink's socket has room again.
func (o *Outbox) Unblock() {
	o.mu.Lock()
	switch o.state {
	case outboxBlocked:
		o.state = outboxFlushing
		o.mu.Unlock()
		o.write()
		return
	case outboxFlushing: // the socket had room before the flush could say that it was full
		o.again = true
	case outboxIdle, outboxQueued, outboxClosed:
	}
	o.mu.Unlock()
}

// Close takes no more frames. With flush it writes what is queued, as far as
// the sink takes it; otherwise that is dropped. final is called when nobody
// writes to the sink any more, at once or by the writer. A second Close does
// nothing and reports false.
func (o *Outbox) Close(flush bool, final func()) bool {
	o.mu.Lock()
	if o.state == outboxClosed || o.final != nil {
		o.mu.Unlock()
		return false
	}
	if !flush {
		o.one, o.more, o.size = nil, nil, 0
	}
	switch {
	case o.state == outboxFlushing:
		o.final = final
		o.mu.Unlock()
	case o.state == outboxQueued && flush:
		o.final = final
		o.mu.Unlock()
		o.Flush()
	default:
		o.closeLocked()
		o.mu.Unlock()
		final()
	}
	return true
}

func (o *Outbox) closeLocked() {
	o.one, o.more, o.size, o.state = nil, nil, 0, outboxClosed
}

// Stalled reports whether the socket is full.
func (o *Outbox) Stalled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state == outboxBlocked
}

// Queued returns the bytes that wait, those in the sink included.
func (o *Outbox) Queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size + o.pending
}

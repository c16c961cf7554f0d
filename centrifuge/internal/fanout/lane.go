package fanout

import (
	"runtime"
	"sync"
)

// maxPending bounds a lane's inbox by the work that it holds: deliveries still
// to be made. A publisher that is ahead of it waits. At 0.3-0.5 µs each a full
// inbox is about 30 ms behind.
const maxPending = 64 << 10

// maxInbox bounds it by the bytes of the payloads too: a lane holds at most twice
// as many, those that it has taken included, and one push of each publisher.
const maxInbox = 8 << 20

// maxRound bounds the bytes that a lane puts before it flushes, to a part of
// what an outbox usually holds: a reader that keeps up must not be taken for a
// slow one because the lane was behind.
const maxRound = 128 << 10

// Lane delivers to the connections that belong to it. Everything pending is
// put into the outboxes first, then each outbox that got something is flushed
// once: the busier the lane, the more messages share a write.
type Lane struct {
	// Static after construction.
	index int
	done  chan struct{} // closed by run when it has ended

	// Guarded by mu.
	mu      sync.Mutex
	filled  sync.Cond // inbox has something, or the lane is closing
	drained sync.Cond // the inbox was taken
	inbox   []order
	pending int // deliveries in the inbox
	bytes   int // of the pushes in the inbox
	closing bool

	// Owned by run.
	pushes []*Push
	batch  batch
	dirty  []*Outbox
}

// order is an entry of an inbox. Adds and removes of subscribers travel with
// the pushes, so that their sequence needs no lock to be kept. A push is for all
// of the channel, or for sub, which was the only subscriber when it was sent.
type order struct {
	op      op
	channel *Channel
	sub     *Sub
	push    *Push
}

type op uint8

const (
	opPush op = iota
	opAdd
	opRemove
)

func newLane(index int) *Lane {
	l := &Lane{index: index, done: make(chan struct{})}
	l.filled.L, l.drained.L = &l.mu, &l.mu
	go l.run()
	return l
}

// post never waits: adds and removes are bounded by the connections there are.
func (l *Lane) post(o order) {
	l.mu.Lock()
	l.inbox = append(l.inbox, o)
	l.mu.Unlock()
	l.filled.Signal()
}

// postPush waits while the lane is behind.
func (l *Lane) postPush(o order, deliveries int) {
	size := o.push.size()
	l.mu.Lock()
	for (l.pending >= maxPending || l.bytes >= maxInbox) && !l.closing {
		l.drained.Wait()
	}
	l.inbox = append(l.inbox, o)
	l.pending += deliveries
	l.bytes += size
	l.mu.Unlock()
	l.filled.Signal()
}

func (l *Lane) close() {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.filled.Signal()
	l.drained.Broadcast()
	<-l.done
}

func (l *Lane) run() {
	defer close(l.done)
	var orders []order
	for {
		closing := false
		if orders, closing = l.take(orders); closing {
			return
		}
		l.carryOut(orders)
		clear(orders)
		if cap(orders) > 4<<10 {
			orders = nil // a burst of subscribers is no reason to keep its size
		}
		l.flush()
	}
}

// take waits for orders and takes all there are, in exchange for room.
//
// Whoever posts wakes the lane, and the scheduler lets it run next. A lane that
// has slept therefore steps back once: publishers that are ready to run as well
// put their pushes beside the first. Saturated this is a third less CPU for a
// delivery on two cores, and seven times the deliveries on one.
func (l *Lane) take(room []order) (orders []order, closing bool) {
	l.mu.Lock()
	if len(l.inbox) == 0 {
		for len(l.inbox) == 0 && !l.closing {
			l.filled.Wait()
		}
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
	}
	orders, l.inbox = l.inbox, room[:0]
	l.pending, l.bytes = 0, 0
	l.mu.Unlock()
	l.drained.Broadcast()
	return orders, len(orders) == 0
}

// carryOut takes the pushes that follow each other in one channel together:
// each subscriber then passes its locks once for all of them.
func (l *Lane) carryOut(orders []order) {
	size := 0
	for len(orders) > 0 {
		o := orders[0]
		orders = orders[1:]
		switch o.op {
		case opAdd:
			l.add(o.channel, o.sub)
		case opRemove:
			l.remove(o.channel, o.sub)
		case opPush:
			l.pushes = append(l.pushes[:0], o.push)
			size += o.push.size()
			for len(orders) > 0 && orders[0].follows(o) && size < maxRound {
				l.pushes = append(l.pushes, orders[0].push)
				size += orders[0].push.size()
				orders = orders[1:]
			}
			l.deliver(o)
			if size >= maxRound {
				l.flush()
				size = 0
			}
		}
	}
	clear(l.pushes)
}

// follows reports whether o is another push for the same subscribers.
func (o *order) follows(other order) bool {
	return o.op == opPush && o.channel == other.channel && o.sub == other.sub
}

func (l *Lane) deliver(o order) {
	l.batch.reset(l.pushes)
	if o.sub != nil {
		l.deliverTo(o.sub)
	} else {
		for _, s := range o.channel.subs[l.index] {
			l.deliverTo(s)
		}
	}
	l.batch.reset(nil)
}

func (l *Lane) deliverTo(s *Sub) {
	if s.deliver(&l.batch) {
		l.dirty = append(l.dirty, s.Out)
	}
}

func (l *Lane) flush() {
	for i, o := range l.dirty {
		o.Flush()
		l.dirty[i] = nil
	}
	l.dirty = l.dirty[:0]
}

func (l *Lane) add(ch *Channel, s *Sub) {
	s.index = int32(len(ch.subs[l.index])) //nolint:gosec // a lane has less than two billion connections
	ch.subs[l.index] = append(ch.subs[l.index], s)
}

func (l *Lane) remove(ch *Channel, s *Sub) {
	subs := ch.subs[l.index]
	end := len(subs) - 1
	subs[s.index] = subs[end]
	subs[s.index].index = s.index
	subs[end] = nil
	subs = subs[:end]
	if cap(subs) > 64 && len(subs) < cap(subs)/4 {
		subs = append(make([]*Sub, 0, len(subs)*2), subs...) // a crowd has left
	}
	ch.subs[l.index] = subs
}

package fanout

import (
	"runtime"
	"sync"
)

// maxPending bounds the work in a lane's inbox, in deliveries. A publisher that
// exceeds it waits. At 0.3-0.5 µs per delivery, a full inbox is about 30 ms of work.
const maxPending = 64 << 10

// maxInbox bounds the payload bytes in a lane's inbox. A lane holds at most twice
// as many, because it also holds the pushes that it took last, plus one push of
// each publisher.
const maxInbox = 8 << 20

// maxRound bounds the bytes that a lane puts into outboxes before it flushes them.
// It is a fraction of an outbox's usual limit, so that a reader that keeps up is
// not closed as slow when the lane was behind.
const maxRound = 128 << 10

// maxIdleOps is the largest inbox, in operations, whose memory a lane keeps.
const maxIdleOps = 4 << 10

// Lane delivers to the connections that belong to it. It puts everything pending
// into the outboxes first, then flushes each outbox that was idle once: the busier
// the lane, the more messages share a write.
type Lane struct {
	// Static after construction.
	index int
	done  chan struct{} // closed by run when it returns

	// Guarded by mu.
	mu      sync.Mutex
	filled  sync.Cond // the inbox has operations, or the lane is closing
	drained sync.Cond // the inbox was taken
	inbox   []laneOp
	pending int // deliveries in the inbox
	bytes   int // payload bytes in the inbox
	closing bool

	// Owned by run.
	pushes   []*Push
	delivery delivery
	dirty    []*Outbox
}

// laneOp is an entry of a lane's inbox. Additions and removals of subscribers are
// queued together with the pushes, so their order needs no lock. A push goes to the
// members of set in this lane or, if set is nil, to subscriber, which was the
// channel's single subscriber when the push was posted.
type laneOp struct {
	kind       laneOpKind
	set        *subscriberSet
	subscriber *Subscriber
	push       *Push
}

type laneOpKind uint8

const (
	opPush laneOpKind = iota
	opAdd
	opRemove
)

func newLane(index int) *Lane {
	l := &Lane{index: index, done: make(chan struct{})}
	l.filled.L, l.drained.L = &l.mu, &l.mu
	go l.run()
	return l
}

// post never blocks: the number of connections bounds additions and removals.
func (l *Lane) post(op laneOp) {
	l.mu.Lock()
	l.inbox = append(l.inbox, op)
	l.mu.Unlock()
	l.filled.Signal()
}

// postPush blocks while the inbox is full.
func (l *Lane) postPush(op laneOp, deliveries int) {
	size := op.push.size()
	l.mu.Lock()
	l.awaitSpaceLocked()
	l.inbox = append(l.inbox, op)
	l.pending += deliveries
	l.bytes += size
	l.mu.Unlock()
	l.filled.Signal()
}

// postPushes is postPush for several pushes, which the lane takes together.
func (l *Lane) postPushes(t target, pushes []*Push) {
	size := 0
	for _, p := range pushes {
		size += p.size()
	}
	l.mu.Lock()
	l.awaitSpaceLocked()
	for _, p := range pushes {
		l.inbox = append(l.inbox, t.push(p))
	}
	l.pending += int(t.deliveries) * len(pushes)
	l.bytes += size
	l.mu.Unlock()
	l.filled.Signal()
}

// awaitSpaceLocked waits until the inbox is not full, or the lane is closing.
func (l *Lane) awaitSpaceLocked() {
	for (l.pending >= maxPending || l.bytes >= maxInbox) && !l.closing {
		l.drained.Wait()
	}
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
	var ops []laneOp
	for {
		closing := false
		if ops, closing = l.take(ops); closing {
			return
		}
		l.apply(ops)
		clear(ops)
		if cap(ops) > maxIdleOps {
			ops = nil // a burst of subscribers does not keep its memory
		}
		l.flush()
	}
}

// take waits for operations and takes all of them. The empty slice spare becomes
// the new inbox.
//
// Posting wakes the lane, and the scheduler runs it next. A lane that has slept
// therefore yields once: publishers that are ready to run post their pushes beside
// the first. Under saturation this costs a third less CPU per delivery on two
// cores, and gives seven times the deliveries on one.
func (l *Lane) take(spare []laneOp) (ops []laneOp, closing bool) {
	l.mu.Lock()
	if len(l.inbox) == 0 {
		for len(l.inbox) == 0 && !l.closing {
			l.filled.Wait()
		}
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
	}
	ops, l.inbox = l.inbox, spare[:0]
	l.pending, l.bytes = 0, 0
	l.mu.Unlock()
	l.drained.Broadcast()
	return ops, len(ops) == 0
}

// apply executes operations in their order. It delivers consecutive pushes of one
// channel together: each subscriber then takes its locks once for all of them.
func (l *Lane) apply(ops []laneOp) {
	size := 0
	for len(ops) > 0 {
		op := ops[0]
		ops = ops[1:]
		switch op.kind {
		case opAdd:
			l.add(op.set, op.subscriber)
		case opRemove:
			l.remove(op.set, op.subscriber)
		case opPush:
			l.pushes = append(l.pushes[:0], op.push)
			size += op.push.size()
			for len(ops) > 0 && ops[0].follows(op) && size < maxRound {
				l.pushes = append(l.pushes, ops[0].push)
				size += ops[0].push.size()
				ops = ops[1:]
			}
			l.deliver(op)
			if size >= maxRound {
				l.flush()
				size = 0
			}
		}
	}
	clear(l.pushes)
}

// follows reports whether op is another push for the same subscribers.
func (op *laneOp) follows(other laneOp) bool {
	return op.kind == opPush && op.set == other.set && op.subscriber == other.subscriber
}

// deliver sends l.pushes to the subscribers of op.
func (l *Lane) deliver(op laneOp) {
	l.delivery.reset(l.pushes)
	if op.subscriber != nil {
		l.deliverTo(op.subscriber)
	} else {
		for _, s := range op.set.members[l.index] {
			l.deliverTo(s)
		}
	}
	l.delivery.reset(nil)
}

func (l *Lane) deliverTo(s *Subscriber) {
	if s.deliver(&l.delivery) {
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

func (l *Lane) add(set *subscriberSet, s *Subscriber) {
	s.index = int32(len(set.members[l.index])) //nolint:gosec // a lane has less than two billion connections
	set.members[l.index] = append(set.members[l.index], s)
}

func (l *Lane) remove(set *subscriberSet, s *Subscriber) {
	members := set.members[l.index]
	end := len(members) - 1
	members[s.index] = members[end]
	members[s.index].index = s.index
	members[end] = nil
	members = members[:end]
	if cap(members) > 64 && len(members) < cap(members)/4 {
		members = append(make([]*Subscriber, 0, len(members)*2), members...) // most subscribers have left
	}
	set.members[l.index] = members
}

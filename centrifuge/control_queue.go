package centrifuge

import (
	"sync"

	"centrifugo/centrifuge/internal/clusterwire"
)

// Bounds of the control messages that wait: for one user or for the notification
// handler, and in all.
const (
	maxControlQueue = 4 << 10
	maxControlTotal = 64 << 10
)

// controlQueues processes control messages on goroutines of their own, because a
// message may have to wait for a handler or an engine. Messages about one user are
// processed in the order of their arrival, and so are notifications. A goroutine
// exists only while a queue has messages.
type controlQueues struct {
	process func(*controlMessage) // static

	// Guarded by mu.
	mu     sync.Mutex
	queues map[controlKey][]*controlMessage // the first one is being processed
	total  int
}

// controlKey names a queue.
type controlKey struct {
	notify bool
	user   string
}

func newControlQueues(process func(*controlMessage)) *controlQueues {
	return &controlQueues{process: process, queues: make(map[controlKey][]*controlMessage)}
}

// add reports false, and drops m, if too many messages wait.
func (q *controlQueues) add(m *controlMessage) bool {
	key := keyOf(m)
	q.mu.Lock()
	defer q.mu.Unlock()
	queue := q.queues[key]
	if len(queue) >= maxControlQueue || q.total >= maxControlTotal {
		return false
	}
	q.total++
	q.queues[key] = append(queue, m)
	if len(queue) == 0 {
		go q.work(key)
	}
	return true
}

// work processes a queue until it is empty.
func (q *controlQueues) work(key controlKey) {
	q.mu.Lock()
	m := q.queues[key][0]
	q.mu.Unlock()
	for m != nil {
		q.process(m)
		m = q.next(key)
	}
}

// next removes the first message of a queue and returns the following one, or nil.
func (q *controlQueues) next(key controlKey) *controlMessage {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	queue := q.queues[key]
	queue[0] = nil
	if len(queue) == 1 {
		delete(q.queues, key)
		return nil
	}
	q.queues[key] = queue[1:]
	return queue[1]
}

func keyOf(m *controlMessage) controlKey {
	if m.Op == clusterwire.OpNotify {
		return controlKey{notify: true}
	}
	return controlKey{user: targetOf(m).User}
}

// targetOf returns the connections that m is about.
func targetOf(m *controlMessage) *clusterwire.Target {
	switch m.Op {
	case clusterwire.OpSubscribe:
		return &m.Subscribe.Target
	case clusterwire.OpUnsubscribe:
		return &m.Unsubscribe.Target
	case clusterwire.OpDisconnect:
		return &m.Disconnect.Target
	case clusterwire.OpRefresh:
		return &m.Refresh.Target
	}
	return &clusterwire.Target{}
}

// processControl applies a message from a queue.
func (n *Node) processControl(m *controlMessage) {
	if m.Op == clusterwire.OpNotify {
		n.notifyHere(m.From, m.Notify.Op, m.Payload)
		return
	}
	n.apply(n.ctx, controlAction(m))
}

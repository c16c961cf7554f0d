package fanout

import (
	"sync"

	"centrifugo/protocol"
)

// fifo is a queue that keeps its memory while it moves: the zero value is empty.
type fifo[T any] struct {
	items []T // those before head are removed
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

// push appends items. If the capacity is used up and at least half of the items have been
// removed, it moves the others to the front instead of growing.
func (q *fifo[T]) push(items ...T) {
	if len(q.items)+len(items) > cap(q.items) && q.head > 0 && q.head >= len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, items...)
}

// front is what waits, the oldest first. It is valid until the next push.
func (q *fifo[T]) front() []T { return q.items[q.head:] }

// drop forgets the n oldest.
func (q *fifo[T]) drop(n int) {
	clear(q.items[q.head : q.head+n])
	if q.head += n; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

// queues is a pool for outboxes in which more than one message waits, and for the batches
// of writers.
var queues = sync.Pool{New: func() any { return new(fifo[*protocol.Encoded]) }}

// maxKeptQueue bounds the capacity of a queue that is returned to the pool, in messages
// of 8 bytes.
const maxKeptQueue = 4096

func getQueue() *fifo[*protocol.Encoded] {
	q, _ := queues.Get().(*fifo[*protocol.Encoded])
	return q
}

func putQueue(q *fifo[*protocol.Encoded]) {
	clear(q.front())
	q.items, q.head = q.items[:0], 0
	if cap(q.items) <= maxKeptQueue {
		queues.Put(q)
	}
}

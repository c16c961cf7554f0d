package fanout

import (
	"sync"

	"centrifugo/protocol"
)

// fifo is a queue that keeps its memory while it moves: the zero value is empty.
type fifo[T any] struct {
	items []T // those before head are gone
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

// push appends items. Where the room behind is used up and half of what is
// before is free, it moves forward instead of growing.
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

// frameQueues are lent to outboxes in which more than one frame waits, and to
// writers for what they write at once.
var frameQueues = sync.Pool{New: func() any { return new(fifo[*protocol.Encoded]) }}

// maxKeptQueue bounds the frames that a queue has room for when it goes back to
// the pool: 8 bytes each.
const maxKeptQueue = 4096

func lendQueue() *fifo[*protocol.Encoded] {
	q, _ := frameQueues.Get().(*fifo[*protocol.Encoded])
	return q
}

func giveBack(q *fifo[*protocol.Encoded]) {
	clear(q.front())
	q.items, q.head = q.items[:0], 0
	if cap(q.items) <= maxKeptQueue {
		frameQueues.Put(q)
	}
}

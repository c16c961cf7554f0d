package redisengine

import (
	"sync"
	"time"
)

const (
	// inboxSize bounds the bytes that wait in an inbox, without messages that are larger
	// and wait alone.
	inboxSize = 16 << 20
	// inboxWait is how long the reader of a connection waits for space in an inbox.
	inboxWait = 500 * time.Millisecond
	// messageCost is added to the length of a message for what it takes in memory.
	messageCost = 64
)

// inbox holds messages that were read and not delivered yet. One goroutine puts, and one
// takes. If messages arrive faster than they are delivered, the reader waits for a moment,
// and then messages are dropped until half of the space is free.
type inbox struct {
	// Static after construction.
	space chan struct{} // capacity 1: something was taken

	// Guarded by mu.
	mu       sync.Mutex
	arrived  *sync.Cond
	messages []received
	size     int // bytes
	count    int // messages that are not done
	dropping bool
	closed   bool
}

// received is a message with the channel it came from, and the run of the server if known.
type received struct{ topic, payload, run string }

func (m received) cost() int { return len(m.topic) + len(m.payload) + messageCost }

func newInbox() *inbox {
	i := &inbox{space: make(chan struct{}, 1)}
	i.arrived = sync.NewCond(&i.mu)
	return i
}

// put adds a message. It returns false if the message is dropped because there is no
// space. A closed inbox takes all and delivers none.
func (i *inbox) put(m received) bool {
	added, full := i.tryPut(m)
	if added || !full {
		return added
	}
	timer := time.NewTimer(inboxWait)
	defer timer.Stop()
	for {
		select {
		case <-i.space:
			if added, full = i.tryPut(m); added || !full {
				return added
			}
		case <-timer.C:
			i.mu.Lock()
			i.dropping = true
			i.mu.Unlock()
			return false
		}
	}
}

// tryPut adds m if there is space. Full means that it is worth waiting for some.
func (i *inbox) tryPut(m received) (added, full bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed:
		return true, false
	case i.dropping && i.size > inboxSize/2:
		return false, false
	case i.size > 0 && i.size+m.cost() > inboxSize:
		return false, true
	}
	i.dropping = false
	i.messages = append(i.messages, m)
	i.size += m.cost()
	i.count++
	i.arrived.Signal()
	return true, false
}

// take waits for messages and takes all of them. It returns none after close. The slice
// given is used for those that arrive next. The messages count until done.
func (i *inbox) take(spare []received) []received {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.messages) == 0 && !i.closed {
		i.arrived.Wait()
	}
	if i.closed {
		return nil
	}
	taken := i.messages
	clear(spare)
	i.messages = spare[:0]
	return taken
}

// done gives back the space of a message that was delivered.
func (i *inbox) done(m received) {
	i.mu.Lock()
	i.size -= m.cost()
	i.count--
	i.mu.Unlock()
	select {
	case i.space <- struct{}{}:
	default:
	}
}

func (i *inbox) waiting() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.count
}

func (i *inbox) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.arrived.Signal()
}

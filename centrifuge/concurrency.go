package centrifuge

import (
	"sync"

	"centrifugo/protocol"
)

// maxWaiting bounds the commands of a connection that wait for an earlier one of
// their channel; beyond it the mailbox waits, and with it the reader.
const maxWaiting = 64

// concurrency handles the commands of one connection concurrently, at
// most Config.Concurrency at a time. The commands of one channel are handled
// one after another in the order in which they came: a client may send a
// subscribe, an unsubscribe and a subscribe without waiting for the replies.
// Commands without a channel have no order.
type concurrency struct {
	// Static after construction.
	client *Client
	slots  chan struct{} // one element for each goroutine at work

	// Guarded by mu.
	mu      sync.Mutex
	relaxed sync.Cond         // fewer commands wait than before
	queues  map[string][]task // by channel, while a goroutine works on it
	waiting int               // tasks in queues
	size    int               // bytes of the messages that these keep alive
}

// task is one command that is to be handled.
type task struct {
	command *protocol.Command
	kind    protocol.MessageKind
	size    int // of the message that the command is a part of
}

func newConcurrency(c *Client) *concurrency {
	q := &concurrency{
		client: c, slots: make(chan struct{}, c.node.config.Concurrency), queues: make(map[string][]task),
	}
	q.relaxed.L = &q.mu
	return q
}

// start handles a task on a goroutine. It waits while too much is under way. It must not
// be called by two goroutines at a time.
func (q *concurrency) start(t task) {
	channel := channelOf(t.command, t.kind)
	if channel != "" && q.join(channel, t) {
		return
	}
	q.slots <- struct{}{}
	go q.work(channel, t)
}

// wait returns when nothing is under way. Nothing must be started meanwhile, or
// afterwards.
func (q *concurrency) wait() {
	for range cap(q.slots) {
		q.slots <- struct{}{}
	}
}

// join queues t if a command of its channel is under way. Otherwise the caller
// must start one.
func (q *concurrency) join(channel string, t task) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		queue, busy := q.queues[channel]
		switch {
		case !busy:
			q.queues[channel] = nil
			return false
		case q.waiting < maxWaiting && q.size+t.size <= maxMail || q.waiting == 0:
			q.queues[channel] = append(queue, t)
			q.waiting++
			q.size += t.size
			return true
		}
		q.relaxed.Wait()
	}
}

// work handles t and what follows in its channel.
func (q *concurrency) work(channel string, t task) {
	defer func() { <-q.slots }()
	for more := true; more; {
		if !q.handle(t) {
			q.client.close(DisconnectServerError, false) // what follows is dropped
		}
		t, more = q.next(channel)
	}
}

// handle runs one command, unless the connection has ended. False means that
// the command panicked.
func (q *concurrency) handle(t task) (ok bool) {
	c := q.client
	defer c.node.recovered("handling a command", c)
	if c.isClosed() {
		return true
	}
	r := beginReplyBatch(c)
	defer r.end()
	if c.pace(r) { // here, as what waits for its channel has passed the mailbox
		c.run(r, t.command, t.kind)
	}
	return true
}

func (q *concurrency) next(channel string) (t task, more bool) {
	if channel == "" {
		return task{}, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	queue := q.queues[channel]
	if len(queue) == 0 {
		delete(q.queues, channel)
		return task{}, false
	}
	t, queue[0] = queue[0], task{}
	q.queues[channel] = queue[1:]
	q.waiting--
	q.size -= t.size
	q.relaxed.Signal()
	return t, true
}

// channelOf is the channel that a command is about, empty if it is about none.
func channelOf(command *protocol.Command, kind protocol.MessageKind) string {
	switch kind {
	case protocol.KindSubscribe:
		return command.Subscribe.Channel
	case protocol.KindUnsubscribe:
		return command.Unsubscribe.Channel
	case protocol.KindPublish:
		return command.Publish.Channel
	case protocol.KindPresence:
		return command.Presence.Channel
	case protocol.KindPresenceStats:
		return command.PresenceStats.Channel
	case protocol.KindHistory:
		return command.History.Channel
	case protocol.KindSubRefresh:
		return command.SubRefresh.Channel
	}
	return "" // the others are about the connection
}

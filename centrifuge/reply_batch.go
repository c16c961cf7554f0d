package centrifuge

import (
	"sync"
	"time"

	"centrifugo/protocol"
)

// maxReplyDelay is how long replies wait for those of the later commands of their
// message while one of these commands is handled.
const maxReplyDelay = time.Millisecond

// replyBatch handles one incoming message. The replies to its commands are written
// together: they are queued, and the outbox is flushed at the end. A command may take
// its time in a handler of the application or in an engine. A timer then flushes the
// outbox, so that neither the earlier replies nor the publications queued behind them
// wait for the command.
type replyBatch struct {
	client *Client
	queued bool // something was queued since the last flush
	timer  *time.Timer
	starts *starts // nil unless a message has several subscribe commands

	// The command that is handled, where commands are handled one after another.
	command  protocol.Command
	requests protocol.RequestScratch
}

// replyBatches are reused, so that decoding the commands of a message allocates nothing.
var replyBatches = sync.Pool{New: func() any { return new(replyBatch) }}

func beginReplyBatch(c *Client) *replyBatch {
	r, _ := replyBatches.Get().(*replyBatch)
	r.client = c
	return r
}

// end flushes what was queued. The caller must not use r afterwards.
func (r *replyBatch) end() {
	r.flush()
	*r = replyBatch{}
	replyBatches.Put(r)
}

// noteQueued notes that something was queued.
func (r *replyBatch) noteQueued() { r.queued = true }

// flush flushes the outbox if something was queued.
func (r *replyBatch) flush() {
	if r.queued {
		r.queued = false
		r.client.outbox.Flush()
	}
}

// flushLater arms the timer if something was queued. The caller must call disarm.
func (r *replyBatch) flushLater() (disarm func() bool) {
	switch {
	case !r.queued:
		return func() bool { return true }
	case r.timer == nil:
		r.timer = time.AfterFunc(maxReplyDelay, r.client.outbox.Flush)
	default:
		r.timer.Reset(maxReplyDelay)
	}
	return r.timer.Stop
}

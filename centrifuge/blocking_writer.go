package centrifuge

import (
	"context"
	"slices"
	"sync"
	"time"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/protocol"
)

// nativePing takes the place of a message in the queue of a Blocking transport, so that
// the goroutine that writes also calls Transport.Ping.
var nativePing = &protocol.Encoded{Kind: protocol.KindPing}

// blockingWriter guards the calls of a Blocking transport: Write and Ping are called by
// one goroutine at a time and not after Close, and ctx ends when they take too long.
type blockingWriter struct {
	// Static after construction.
	ctx    context.Context // of Transport.Write
	cancel context.CancelFunc
	done   chan struct{} // closed when the transport is not called any more

	// Guarded by mu, which is a leaf.
	mu       sync.Mutex
	since    moment // when the call under way began, or has last made progress; zero for none
	closing  bool   // Close was called, or is about to be
	closed   bool   // Close has returned
	released bool   // done is closed
	deadline *time.Timer
}

func newBlockingWriter() *blockingWriter {
	w := &blockingWriter{done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// begin reports whether the transport may be called; end must follow.
func (w *blockingWriter) begin(now moment) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing || w.ctx.Err() != nil {
		return false
	}
	w.since = now
	return true
}

func (w *blockingWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = 0
	w.releaseLocked()
}

// progress gives the call under way another WriteTimeout.
func (w *blockingWriter) progress(now moment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since != 0 {
		w.since = now
	}
}

// busySince returns when the call under way has last made progress, zero for no call.
func (w *blockingWriter) busySince() moment {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.since
}

// close calls the transport's Close; later calls of begin fail.
func (w *blockingWriter) close(closeNow func()) {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.closed = true
		w.releaseLocked()
	}()
	closeNow()
}

// releaseLocked closes done when no call is under way and none will follow.
func (w *blockingWriter) releaseLocked() {
	if !w.closed || w.since != 0 || w.released {
		return
	}
	w.released = true
	w.cancel()
	if w.deadline != nil {
		w.deadline.Stop()
	}
	close(w.done)
}

// endWithin interrupts the call that is under way after d, and closes the transport if
// the outbox still waits for the call. A d of zero, for no limit, means leaveTimeout.
func (w *blockingWriter) endWithin(d time.Duration, outbox *fanout.Outbox) {
	if d <= 0 {
		d = leaveTimeout
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.released {
		return
	}
	w.deadline = time.AfterFunc(d, func() {
		w.cancel()
		outbox.Interrupt()
	})
}

// writer returns nil for a transport that is not Blocking.
func (c *Client) writer() *blockingWriter {
	if !c.info.Blocking {
		return nil
	}
	return c.rare.writer // static after Accept
}

// writeBlocking writes batch, in which nativePing stands for pings.
func (s *clientSink) writeBlocking(batch []*protocol.Encoded) error {
	c := (*Client)(s)
	w := c.writer()
	for len(batch) > 0 {
		n := slices.Index(batch, nativePing)
		if n < 0 {
			n = len(batch)
		}
		if n > 0 {
			if err := s.callBlocking(w, func() error {
				_, err := s.transport.Write(w.ctx, batch[:n])
				return err
			}); err != nil {
				return err
			}
			s.counted.sent(batch[:n])
			if s.node.latency != nil {
				c.wrote(batch[:n], 0)
			}
		}
		if n < len(batch) {
			if err := s.callBlocking(w, s.transport.Ping); err != nil {
				return err
			}
			n++
		}
		batch = batch[n:]
	}
	return nil
}

func (s *clientSink) callBlocking(w *blockingWriter, call func() error) error {
	now := s.node.timeline.now()
	if !w.begin(now) {
		return context.Canceled
	}
	defer w.end()
	(*Client)(s).watchWriter(now)
	return call()
}

// watchWriter arms the stall deadline for a call that begins now, unless it is armed for
// an earlier one: writerStalled then looks again.
func (c *Client) watchWriter(now moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clock[deadlineStall] == 0 {
		c.clock[deadlineStall] = now.in(c.node.config.WriteTimeout)
		c.armLocked(now)
	}
}

// writerStalled reports whether the call under way takes longer than WriteTimeout, and
// then makes its context end. Otherwise it arms the deadline for the call, if there is one.
func (c *Client) writerStalled(now moment) bool {
	w := c.writer()
	since := w.busySince()
	if since == 0 {
		return false
	}
	at := since.in(c.node.config.WriteTimeout)
	if at <= now {
		w.cancel()
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock[deadlineStall] = at
	c.armLocked(now)
	return false
}

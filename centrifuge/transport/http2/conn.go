package http2

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"centrifugo/centrifuge/internal/eventloop"

	"golang.org/x/net/http2/hpack"
)

var (
	errCloseTimeout = errors.New("peer did not close the connection")
	errReadsNothing = errors.New("peer reads nothing")
)

// conn is a connection on the event loop. Its methods call handlers and transports without
// mu, because these call the connection with locks of their own.
type conn struct {
	// Static after construction.
	server *Server
	tls    *tls.Conn // nil for none
	remote string
	local  net.Addr

	// Owned by the reader: the goroutine in Data.
	partial []byte // the beginning of a frame
	replies []byte // frames that answer what is read
	greeted bool   // the preface has come
	settled bool   // the first settings have come
	decoder *hpack.Decoder
	fields  *fields // the header block under way
	budget  budget

	// Guarded by mu, which is held while bytes are written to the socket. The socket of
	// writer is static.
	mu            sync.Mutex
	writer        eventloop.Writer
	streams       map[uint32]*stream
	waiting       []*stream // those that cannot send, the first is next
	waking        bool      // a call of wake tells them
	wakeAgain     bool      // it has to look again
	last          uint32    // the last stream of the client
	abandoned     []uint32  // streams that have ended here before the client had ended them
	late          int       // bytes of bodies that may come for them
	window        int64     // bytes that the client accepts
	initialWindow int64     // of a stream
	received      int       // bytes that the client may still send
	consumed      int       // bytes that were used since the client was last told
	updates       int64     // WINDOW_UPDATE frames that the client may send for what it got
	handlers      int       // that run
	tableReduced  bool      // the client waits for a smaller table
	inHeader      bool      // a header block is under way
	paused        bool      // nothing is read until the socket accepts more
	leaving       bool      // GOAWAY was sent: no more streams
	ending        bool      // the server's side has ended
	dead          bool      // the socket is closed
	timer         *time.Timer
	due           time.Time // when timer counts
}

var _ eventloop.Handler = (*conn)(nil)

// start joins the loop and sends the first frames. It reports false if the connection
// cannot be polled.
func (c *conn) start(loop *eventloop.Loop, t net.Conn) (polled bool, err error) {
	c.mu.Lock()
	socket, polled, err := loop.AddPolled(t, c)
	if err != nil || !polled {
		c.mu.Unlock()
		return false, err //nolint:wrapcheck // the caller says what failed
	}
	c.server.group.Begin()
	c.writer.Socket = socket
	c.armLocked(c.server.config.HeaderTimeout)
	_ = c.writeLocked(c.server.opening()) // its error has ended the connection
	c.mu.Unlock()
	if err := socket.Start(nil); err != nil {
		c.drop(err)
	}
	return true, nil
}

// Progress implements eventloop.Handler. The socket is not Blocking.
func (c *conn) Progress() {}

// Writable implements eventloop.Handler.
func (c *conn) Writable() {
	c.mu.Lock()
	_, _, err := c.writer.Flush()
	resume := err == nil && c.paused && c.writer.Len() == 0
	c.paused = c.paused && !resume
	c.mu.Unlock()
	if err != nil {
		c.drop(err)
		return
	}
	if resume {
		c.writer.Socket.Resume()
	}
	c.wake()
}

// Closed implements eventloop.Handler.
func (c *conn) Closed(err error) { c.drop(err) }

// drop closes the socket and ends all streams.
func (c *conn) drop(err error) {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return
	}
	c.dead, c.ending = true, true
	c.disarmLocked()
	ended := c.endStreamsLocked(err)
	c.writer.Close()
	c.mu.Unlock()
	c.server.forget(c)
	for _, s := range ended {
		s.over(err)
	}
}

// endStreamsLocked forgets all streams. The caller must call over for each.
func (c *conn) endStreamsLocked(err error) []*stream {
	ended := make([]*stream, 0, len(c.streams))
	for _, s := range c.streams {
		ended = append(ended, s)
	}
	for _, s := range ended {
		c.forgetLocked(s, err)
	}
	return ended
}

// over tells whoever uses the stream that it has ended.
func (s *stream) over(err error) {
	s.conn.mu.Lock()
	t, e := s.taken, s.exchange
	s.conn.mu.Unlock()
	switch {
	case t != nil:
		t.end(err)
	case e != nil:
		e.cancel(err)
		e.wake()
	}
}

// fail ends the connection because of what the client did, and says so.
func (c *conn) fail(err error) {
	answer := codeInternal
	if e, ok := errors.AsType[connError](err); ok {
		answer = e.code
	}
	c.mu.Lock()
	if c.ending {
		c.mu.Unlock()
		return
	}
	ended := c.endStreamsLocked(err)
	_ = c.writeLocked(appendGoAway(c.replies, c.last, answer)) // its error has ended the connection
	c.replies = nil
	c.finishLocked()
	c.mu.Unlock()
	c.server.config.OnRefused(c.remote, err)
	for _, s := range ended {
		s.over(err)
	}
}

// leave ends the connection after the streams that it has.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLocked()
}

func (c *conn) leaveLocked() {
	if c.leaving || c.ending {
		return
	}
	c.leaving = true
	_ = c.writeLocked(appendGoAway(nil, c.last, codeNone)) // its error has ended the connection
	if len(c.streams) == 0 {
		c.finishLocked()
	}
}

// finishLocked ends the server's side and waits for the client's.
func (c *conn) finishLocked() {
	if c.ending {
		return
	}
	c.ending = true
	c.armLocked(closeTimeout)
	if err := c.writer.CloseWrite(); err != nil {
		go c.drop(err)
	}
}

// forgetLocked removes a stream that has ended: with err, or completely.
func (c *conn) forgetLocked(s *stream, err error) {
	if s.err == nil {
		s.err = err
	}
	if !s.remoteEnded {
		c.abandonLocked(s.id, s.received)
	}
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	c.dismissLocked(s)
	if s.exchange != nil {
		s.exchange.body.discardLocked()
	}
	switch {
	case len(c.streams) > 0 || c.ending:
	case c.leaving:
		c.finishLocked()
	case c.writer.Len() > 0:
		c.armLocked(closeTimeout)
	default:
		c.armLocked(c.server.config.IdleTimeout)
	}
}

// maxAbandoned is how many streams a connection remembers of those that have ended before the
// client knew.
const maxAbandoned = 64

// abandonLocked takes note of a stream for which frames of the client may still come, with
// late bytes at most.
func (c *conn) abandonLocked(id uint32, late int) {
	c.late = min(c.late+late, maxAbandoned*maxWindowStream)
	if len(c.abandoned) == maxAbandoned {
		c.abandoned = append(c.abandoned[:0], c.abandoned[maxAbandoned/2:]...)
	}
	c.abandoned = append(c.abandoned, id)
}

// armLocked calls expire after d, in place of any time that was set before.
func (c *conn) armLocked(d time.Duration) {
	c.due = time.Now().Add(d)
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.expire)
	} else {
		c.timer.Reset(d)
	}
}

func (c *conn) disarmLocked() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer, c.due = nil, time.Time{}
	}
}

// expire is called when nothing has happened for too long.
func (c *conn) expire() {
	c.mu.Lock()
	var reason error
	switch {
	case c.dead || c.timer == nil || time.Now().Before(c.due): // it was set again meanwhile
	case c.ending:
		reason = errCloseTimeout
	case c.inHeader:
		c.mu.Unlock()
		c.fail(connError{codeCalm, "header that does not end"})
		return
	case len(c.streams) > 0:
		c.disarmLocked()
	case c.writer.Len() > 0:
		reason = errReadsNothing
	default:
		c.leaveLocked()
	}
	c.mu.Unlock()
	if reason != nil {
		c.writer.GiveUp()
		c.drop(reason)
	}
}

// guard calls a method of a transport and reports its panic.
func (c *conn) guard(f func()) (ok bool) {
	defer func() {
		if !ok {
			c.server.config.OnError(fmt.Errorf("panic in a connection over HTTP/2: %v\n%s", recover(), debug.Stack()))
		}
	}()
	f()
	return true
}

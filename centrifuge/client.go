package centrifuge

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/centrifuge/internal/wheel"
	"centrifugo/protocol"
)

// Client is one connection, as the application sees it: events carry it. Its methods
// are safe for concurrent use and do not block.
type Client struct {
	// A client goes through the states new, connecting, connected and closed; after an
	// error reply to its connect command it is unusable until it is closed. The method
	// close is the only way to end it.

	// Static after Accept.
	node      *Node
	transport Transport
	info      TransportInfo
	counted   *transportCounters
	id        string
	outbox    fanout.Outbox
	timer     wheel.Timer

	mailbox mailbox
	paced   atomic.Pointer[pacing] // nil for most

	// Guarded by mu, which is a leaf: no other lock, call of a broker, handler
	// or write happens under it.
	mu      sync.Mutex
	lane    uint16 // static; here it takes no space of its own
	state   clientState
	format  protocol.Format
	decided bool // format is final, generation included
	draft   bool // V1 with the method numbers of early 2018
	// clientSideRefresh: the client brings a new token before exp.
	clientSideRefresh bool
	// losesIDs: the client announces channel ids, but drops the pushes that have them.
	losesIDs bool
	pinged   bool // a ping is out and not answered
	ticking  bool // a tick is under way
	left     bool // only the commands that came before are still handled
	event    eventState
	since    uint32 // seconds on the node's clock when it connected, plus one; 0 before that
	rare     *rare  // nil while there is nothing in it
	ctx      *clientContext
	cancel   context.CancelFunc
	user     string
	software unique.Handle[software] // noSoftware if the client has not said
	connInfo []byte
	expires  moment // of the credentials; none if they never do
	subs     subscriptions
	clock    clock
}

// rare is what few connections have.
type rare struct {
	// Guarded by client.mu.
	session string          // of those without a channel back
	connect *connectCall    // until it is handled
	writer  *blockingWriter // of a Blocking transport; static after Accept
	quiet   chan struct{}   // closed when no callback is under way; made by who waits for that
	ended   *Disconnect     // nil before the connection has ended; set if Handlers.Unsubscribed is
}

// connectCall is a call of Conn.Connect or Conn.ConnectSince.
type connectCall struct {
	request *protocol.ConnectRequest
	since   func(channel string) *StreamPosition // nil if the client has no positions
}

func (c *Client) rareLocked() *rare {
	if c.rare == nil {
		c.rare = &rare{}
	}
	return c.rare
}

func (c *Client) sessionLocked() string {
	if c.rare == nil {
		return ""
	}
	return c.rare.session
}

type clientState uint8

const (
	clientNew clientState = iota
	clientConnecting
	clientConnected
	clientUnusable
	clientClosed
)

// ID is the connection's id, a UUID.
func (c *Client) ID() string { return c.id }

// UserID is empty for an anonymous connection, and before it has connected.
func (c *Client) UserID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user
}

// Info returns a copy of what others see of the connection, beside its ids.
func (c *Client) Info() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.connInfo)
}

// Context has the values that middleware gave the connection's request, or those of
// ConnectingReply.Context if that is set. A pointer among these values is the place
// for an application's own state of the connection. The context is cancelled when the
// connection ends.
func (c *Client) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctx
}

// Transport tells how the connection travels.
func (c *Client) Transport() TransportInfo { return c.info }

// Node is where the connection lives.
func (c *Client) Node() *Node { return c.node }

// IsSubscribed reports whether a subscription of channel is live.
func (c *Client) IsSubscribed(channel string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.subs.get(channel)
	return s != nil && s.state == subLive
}

// Connected reports whether the connect command has succeeded and the connection
// lasts.
func (c *Client) Connected() bool { return c.currentState() == clientConnected }

// Channels lists the live subscriptions.
func (c *Client) Channels() []string {
	return c.channels(func(*subscription) bool { return true })
}

// ServerSideChannels lists the live subscriptions that the server made.
func (c *Client) ServerSideChannels() []string {
	return c.channels(func(s *subscription) bool { return s.serverSide })
}

func (c *Client) channels(want func(*subscription) bool) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, c.subs.len())
	c.subs.each(func(s *subscription) {
		if s.state == subLive && want(s) {
			names = append(names, s.Channel)
		}
	})
	return names
}

// Send sends data outside any channel. To a JSON connection only JSON can be sent;
// the error for other data is protocol.ErrNotJSON.
func (c *Client) Send(data []byte) error {
	return c.push(&protocol.Push{Message: &protocol.Message{Data: data}})
}

// Disconnect closes the connection with d, after what is queued for it.
func (c *Client) Disconnect(d Disconnect) { c.close(d, true) }

// infoFor is how the client appears to the subscribers of a channel.
func (c *Client) infoFor(s *subscription) *ClientInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := &ClientInfo{User: c.user, Client: c.id, ConnInfo: c.connInfo}
	if s != nil && s.details != nil {
		info.ChanInfo = s.details.info
	}
	return info
}

// push encodes and sends at once. Its errors are those of reply.
func (c *Client) push(p *protocol.Push) error {
	r := &protocol.Reply{Push: p}
	frame, err := c.encode(r)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", r.Kind(), err)
	}
	c.put(frame)
	return nil
}

// reply encodes and queues what a command asked for; the caller must flush. Label is the
// number of the label under which it is counted. The error is protocol.ErrNotJSON, for a
// payload that the connection cannot carry and that is all there is to send, or that of a
// message that does not exist in its protocol.
func (c *Client) reply(r *protocol.Reply, label uint16) error {
	frame, err := c.encode(r)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", r.Kind(), err)
	}
	frame.Label = label
	c.putResult(c.outbox.PutReply(frame), false)
	return nil
}

// put queues and sends.
func (c *Client) put(frame *protocol.Encoded) { c.putResult(c.outbox.Put(frame), true) }

func (c *Client) putResult(result fanout.PutResult, flush bool) {
	switch result {
	case fanout.PutDirty:
		if flush {
			c.outbox.Flush()
		}
	case fanout.PutFull:
		c.outbox.Flush()
	case fanout.PutOverflow:
		c.close(DisconnectSlow, false)
	case fanout.PutQueued, fanout.PutClosed, fanout.PutSlow:
	}
}

func (c *Client) wireFormat() protocol.Format {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.format
}

// leaveTimeout is how long the commands of a client that has left may take. Then
// the rest of them is dropped: a handler that hangs must not keep the presence
// of a client that has left.
const leaveTimeout = 5 * time.Second

// leave ends a connection whose client takes nothing more: the end comes behind
// the commands that were received. Their replies are dropped, and the user may
// connect again at once.
func (c *Client) leave(d Disconnect) {
	if !c.mailbox.leave(c, d, false) {
		c.close(d, false)
		return
	}
	c.outbox.Close(false, func() {}) // so that no command waits for it to drain
	c.node.registry.removeUser(c, c.UserID())
	c.leavingClock(c.node.timeline.now())
}

// finish ends a connection whose client sends nothing more and still reads: the end comes
// behind the commands that were received, and their replies.
func (c *Client) finish() {
	if !c.mailbox.leave(c, DisconnectConnectionClosed, true) {
		c.close(DisconnectConnectionClosed, true)
		return
	}
	c.leavingClock(c.node.timeline.now())
}

// abandon ends a connection whose last commands take too long.
func (c *Client) abandon() {
	dropped, why := c.mailbox.take()
	c.abandoned(dropped)
	c.node.logger.log(LogInfo, "commands of a client that left took too long", "client", c.id, "dropped_messages", dropped)
	c.close(*why, false)
}

// abandoned counts messages of a client that left.
func (c *Client) abandoned(messages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left {
		c.node.stats.abandoned.Add(uint64(messages)) //nolint:gosec // a length
	}
}

// close is the one way to end a connection. With flush the client still gets
// what is queued for it. It does not block; what may is left to a goroutine.
func (c *Client) close(d Disconnect, flush bool) { c.closeBecause(d, flush, nil) }

// closeBecause is close with what is logged of the reason, nil for no more than d says.
func (c *Client) closeBecause(d Disconnect, flush bool, why *refusal) {
	c.mu.Lock()
	if c.state == clientClosed {
		c.mu.Unlock()
		return
	}
	c.state = clientClosed
	format := c.format
	cancel := c.cancel
	invalid := d.Validate()
	if invalid != nil {
		d = d.valid()
	}
	if c.node.handlers.Unsubscribed != nil || c.node.tracing.Load() != nil {
		ended := d
		c.rareLocked().ended = &ended
	}
	c.mu.Unlock()

	if invalid != nil {
		c.node.logger.log(LogError, "disconnect cannot be sent as it is", "client", c.id, "error", invalid)
	}
	if d != DisconnectConnectionClosed && d != DisconnectShutdown {
		if why == nil {
			why = &refusal{message: "connection closed", code: d.Code, reason: d.Reason}
		}
		c.logRefusal(why)
	}
	c.traceEnd(d)
	c.node.wheel.Stop(&c.timer)
	c.mailbox.close()
	last := c.disconnectPush(d, format)
	closed := make(chan struct{})
	closeNow := func() {
		defer close(closed)
		defer c.node.recovered("closing a transport", c)
		if d == DisconnectConnectionClosed {
			c.transport.Close(0, "")
			return
		}
		c.counted.closes.add(d.Code)
		c.transport.Close(d.Code, d.closeReason(format.V1()))
	}
	c.setBack(d)
	c.closeTransport(last, flush, closeNow)
	cancel()
	go c.cleanUp(d, closed)
}

// disconnectPush returns the last message of a connection whose transport has no close
// frame, or nil.
func (c *Client) disconnectPush(d Disconnect, format protocol.Format) *protocol.Encoded {
	if !c.info.DisconnectPush || d == DisconnectConnectionClosed {
		return nil
	}
	push := &protocol.Disconnect{Code: d.Code, Reason: d.Reason, Reconnect: format.V1() && d.Reconnect()}
	frame, err := protocol.Encode(format, &protocol.Reply{Push: &protocol.Push{Disconnect: push}})
	if err != nil {
		c.node.logger.log(LogError, "encoding disconnect push", "client", c.id, "error", err)
		return nil
	}
	return frame
}

// closeTransport calls closeNow when nothing is written any more. A Blocking transport is
// closed while a write is under way: at once without flush and last message, otherwise
// when these are written or WriteTimeout has passed.
func (c *Client) closeTransport(last *protocol.Encoded, flush bool, closeNow func()) {
	w := c.writer()
	if w == nil {
		if !c.outbox.CloseWith(last, flush, closeNow) {
			closeNow() // a write error has closed the outbox already
		}
		return
	}
	if !c.outbox.CloseWith(last, flush, func() { w.close(closeNow) }) {
		w.close(closeNow)
	}
	w.endWithin(c.node.config.WriteTimeout, &c.outbox)
}

// cleanUp ends what the connection had, and forgets it when Transport.Close has returned,
// which closes closed: Shutdown does not return before.
func (c *Client) cleanUp(d Disconnect, closed <-chan struct{}) {
	defer func() { // whatever a handler does
		<-closed
		c.dropLatency() // nothing is written any more
		c.counted.current.Add(-1)
		c.softwareLeft()
		c.node.stats.actions.add(actionRemoveClient)
		c.node.registry.remove(c)
		c.node.untrace(c)
	}()
	defer c.node.recovered("ending a connection", c)
	c.node.registry.removeUser(c, c.UserID()) // the user may come again, whatever has to be waited for
	c.endSubscriptions()
	if told := c.waitQuiet(); told && c.node.handlers.Disconnected != nil {
		c.node.handlers.Disconnected(context.WithoutCancel(c.Context()), DisconnectedEvent{Client: c, Disconnect: d})
	}
	if w := c.writer(); w != nil {
		<-w.done // a write that does not end is a connection that is left
	}
}

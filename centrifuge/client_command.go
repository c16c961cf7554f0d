package centrifuge

import (
	"errors"
	"io"
	"time"

	"centrifugo/protocol"
)

// receive is Conn.Receive.
func (c *Client) receive(message []byte) (more bool) {
	if c.isPong(message) {
		c.pong() // in place: the most frequent message of an idle connection
		return true
	}
	if message == nil {
		message = []byte{} // nil stands for the request of connect
	}
	return c.mailbox.post(c, message)
}

// connect is Conn.ConnectSince. A message of nil stands for the call in the mailbox.
func (c *Client) connect(call *connectCall) bool {
	c.mu.Lock()
	again := c.state != clientNew || c.rare != nil && c.rare.connect != nil
	if !again {
		c.rareLocked().connect = call
		c.decided = true
	}
	closed := c.state == clientClosed
	c.mu.Unlock()
	switch {
	case closed:
		return false
	case again:
		c.disconnect(DisconnectBadRequest, &refusal{message: "command refused", command: protocol.KindConnect, err: errConnectFirst})
		return false
	}
	c.mailbox.post(c, nil)
	return true
}

// handleRequest handles the call of connect.
func (c *Client) handleRequest() (more bool) {
	c.mu.Lock()
	call := c.rare.connect
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		call.since = nil // its memory is not needed any more
	}()
	r := beginReplyBatch(c)
	defer r.end()
	r.command = protocol.Command{ID: 1, Connect: call.request}
	return c.dispatch(r, &r.command, 0, 0, true)
}

// knownPosition returns the position that the transport knows of a channel of a client that
// connects, or nil.
func (c *Client) knownPosition(channel string) *StreamPosition {
	c.mu.Lock()
	var since func(string) *StreamPosition
	if c.rare != nil && c.rare.connect != nil {
		since = c.rare.connect.since
	}
	c.mu.Unlock()
	if since == nil {
		return nil
	}
	return since(channel)
}

func (c *Client) isPong(message []byte) bool {
	if len(message) > 4 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == clientConnected && c.pinged && !c.format.V1() && protocol.IsPong(c.format, message)
}

// handleMessage handles the commands of one message, in order, and sends their replies
// together. False means that the connection takes no more.
func (c *Client) handleMessage(message []byte) (more bool) {
	if message == nil {
		return c.handleRequest()
	}
	if !c.decide(message) {
		return false
	}
	r := beginReplyBatch(c)
	defer r.end()
	defer c.dropStarts(r) // if a handler panics
	more = c.handleCommands(r, message)
	return c.finishStarts(r) && more
}

func (c *Client) handleCommands(r *replyBatch, message []byte) (more bool) {
	// The transport bounds its messages; a command may fill one.
	limits := protocol.Limits{CommandSize: len(message), Commands: len(message)}
	decoder := protocol.NewDecoder(c.wireFormat(), message, limits)
	if c.draft {
		decoder.UseDraftMethods()
	}
	command := &r.command
	sequential := c.node.config.Concurrency <= 1
	if sequential {
		decoder.Reuse(&r.requests)
	}
	for {
		before := decoder.Len()
		if !sequential {
			command = new(protocol.Command)
		}
		switch err := decoder.Next(command); {
		case errors.Is(err, io.EOF):
			return true
		case err != nil:
			if c.finishStarts(r) {
				c.disconnect(DisconnectBadRequest, &refusal{message: "malformed command", err: err})
			}
			return false
		}
		if !c.dispatch(r, command, len(message), before-decoder.Len(), decoder.Len() == 0) {
			return false
		}
	}
}

// decide fixes the generation of the protocol, before anything is answered.
func (c *Client) decide(message []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decided {
		return c.state != clientClosed
	}
	if v1, err := protocol.DetectVersion(c.info.Protobuf, message); err == nil && v1 {
		c.format |= protocol.FormatV1
	}
	c.decided = true
	return c.state != clientClosed
}

// dispatch handles one command, of length bytes, of a message of size bytes.
// False means that nothing more is processed of this connection.
func (c *Client) dispatch(r *replyBatch, command *protocol.Command, size, length int, last bool) (more bool) {
	format := c.wireFormat()
	if !format.V1() && command.ID == 0 && command.Send == nil {
		c.pong()
		return !c.isClosed()
	}
	kind := command.Kind()
	starts := kind == protocol.KindSubscribe && r.mayStart(command.Subscribe)
	if !starts && !c.finishStarts(r) {
		return false
	}
	switch state := c.currentState(); {
	case state == clientClosed || state == clientUnusable:
		return false
	case (state == clientNew) != (kind == protocol.KindConnect):
		c.disconnect(DisconnectBadRequest, &refusal{message: "command refused", command: kind, err: errConnectFirst})
		return false
	}
	concurrent := c.node.config.Concurrency > 1 && kind != protocol.KindConnect
	if !concurrent && kind != protocol.KindConnect && !c.pace(r) {
		return false
	}
	c.counted.received(c.node.stats.ofCommand(command, kind).number, kind, length)
	if concurrent {
		return c.dispatchConcurrently(task{command, kind, size})
	}
	if starts && (!last || r.starting()) && !c.node.immediate() {
		return c.startSubscribe(r, command)
	}
	return c.run(r, command, kind)
}

// run calls the command's handler and sends what came of it.
func (c *Client) run(r *replyBatch, command *protocol.Command, kind protocol.MessageKind) (more bool) {
	start := time.Now()
	disarm := r.flushLater()
	reply, err := c.handle(r, command, kind)
	disarm()
	counted := c.node.stats.ofCommand(command, kind)
	counted.command(kind, time.Since(start))
	if err != nil {
		return c.refuse(r, command, kind, err)
	}
	c.succeeded()
	if reply == nil {
		return !c.isClosed()
	}
	reply.ID = command.ID
	if err := c.reply(reply, counted.number); err != nil {
		return c.refuse(r, command, kind, err)
	}
	r.noteQueued()
	return true
}

// dispatchConcurrently is for connections whose commands may be answered out of
// order, those of one channel excepted.
func (c *Client) dispatchConcurrently(t task) (more bool) {
	if c.mailbox.concurrency == nil {
		c.mailbox.concurrency = newConcurrency(c)
	}
	c.mailbox.concurrency.start(t)
	return !c.isClosed()
}

// handle is the table of commands.
func (c *Client) handle(r *replyBatch, command *protocol.Command, kind protocol.MessageKind) (*protocol.Reply, error) {
	switch kind {
	case protocol.KindConnect:
		return nil, c.handleConnect(r, command.ID, command.Connect)
	case protocol.KindSubscribe:
		return nil, c.handleSubscribe(r, command.ID, command.Subscribe)
	case protocol.KindUnsubscribe:
		return c.handleUnsubscribe(command.Unsubscribe)
	case protocol.KindPublish:
		return c.handlePublish(command.Publish)
	case protocol.KindPresence:
		return c.handlePresence(command.Presence)
	case protocol.KindPresenceStats:
		return c.handlePresenceStats(command.PresenceStats)
	case protocol.KindHistory:
		return c.handleHistory(command.History)
	case protocol.KindRPC:
		return c.handleRPC(command.RPC)
	case protocol.KindSend:
		return nil, c.handleSend(command.Send)
	case protocol.KindRefresh:
		return c.handleRefresh(command.Refresh)
	case protocol.KindSubRefresh:
		return c.handleSubRefresh(command.SubRefresh)
	case protocol.KindPing:
		if c.wireFormat().V1() {
			return &protocol.Reply{Ping: &protocol.PingResult{}}, nil
		}
	}
	if command.UnknownMethod {
		return nil, ErrorMethodNotFound
	}
	return nil, DisconnectBadRequest // an id and nothing else, or a V2 ping
}

// refuse answers an error with what it is: an error reply, a disconnect, or,
// for any other, a log entry and the internal error.
func (c *Client) refuse(r *replyBatch, command *protocol.Command, kind protocol.MessageKind, err error) (more bool) {
	var disconnect Disconnect
	if errors.As(err, &disconnect) {
		c.disconnect(disconnect, commandRefusal(command, kind, 0, "", because(err, disconnect)))
		return false
	}
	if c.isClosed() {
		return false // it left meanwhile, which is why the command failed
	}
	answer := c.node.answer(err, "client", c.id, "command", kind.String())
	counted := c.node.stats.ofCommand(command, kind)
	counted.replyError(kind, answer.Code)
	c.failed(answer)
	if kind == protocol.KindSubscribe && command.Subscribe != nil {
		c.trace(TraceEvent{Kind: TraceRefused, Channel: command.Subscribe.Channel, Code: answer.Code, Reason: answer.Message})
	}
	if answer.Code != ErrorInternal.Code { // logged as what it is
		c.logRefusal(commandRefusal(command, kind, answer.Code, answer.Message, because(err, answer)))
	}
	if kind == protocol.KindSend {
		return true // never answered
	}
	if kind == protocol.KindConnect {
		c.setUnusable()
		if c.info.Unidirectional {
			c.close(c.node.unidirectional(answer), true)
			return false
		}
	}
	reply := &protocol.Reply{ID: command.ID, Error: &protocol.Error{Code: answer.Code, Message: answer.Message, Temporary: answer.Temporary}}
	if c.reply(reply, counted.number) != nil {
		return false
	}
	r.noteQueued()
	return kind != protocol.KindConnect
}

// errConnectFirst says what a connection may send when.
var errConnectFirst = errors.New("connect must be the first command, and come once")

// because returns err if it says more than answer, which is in it.
func because(err, answer error) error {
	if err == answer { //nolint:errorlint // the very value is meant
		return nil
	}
	return err
}

// answer maps the errors of handlers and engines to those of the protocol. What
// is not meant for the client is logged, here and nowhere else.
func (n *Node) answer(err error, fields ...any) *Error {
	var answer *Error
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.Is(err, ErrNoHistory):
		return ErrorNotAvailable
	case errors.Is(err, errPanic): // logged where it was caught
		return ErrorInternal
	}
	n.logger.log(LogError, "command failed", append(fields, "error", err)...)
	return ErrorInternal
}

// unidirectional is what an error reply to connect becomes where there are no
// replies (protocol.md 7).
func (n *Node) unidirectional(err *Error) Disconnect {
	if n.config.UnidirectionalDisconnect != nil {
		if d, ok := n.config.UnidirectionalDisconnect(err); ok {
			return d
		}
	}
	switch err.Code {
	case ErrorTokenExpired.Code, ErrorExpired.Code:
		return DisconnectExpired
	case ErrorTooManyRequests.Code:
		return DisconnectTooManyRequests
	case ErrorPermissionDenied.Code:
		return DisconnectPermissionDenied
	}
	return DisconnectServerError
}

func (c *Client) currentState() clientState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *Client) isClosed() bool { return c.currentState() == clientClosed }

// setUnusable makes the connection wait for its end: the client closes it, or
// the stale deadline does.
func (c *Client) setUnusable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != clientClosed {
		c.state = clientUnusable
	}
}

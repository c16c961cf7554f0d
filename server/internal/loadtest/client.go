package loadtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"centrifugo/internal/wsframe"
	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"
)

// state of a client.
type state uint8

const (
	stateClosed state = iota
	stateDialing
	stateHandshake   // the request to upgrade, or for the stream, is sent
	stateSubscribing // connect and subscribe are sent
	stateReady
)

// link carries the bytes of one client.
type link interface {
	// write sends a part of b, as much as goes at once.
	write(b []byte) (n int, err error)
	// watch says whether the fleet wants to know when more can be written.
	watch(writable bool)
	close()
}

// client is one connection. All of it is guarded by the fleet's mutex.
type client struct {
	index      int // among the clients of all workers
	state      state
	pong       bool // the server wants its pings answered
	slow       bool
	steady     bool
	counted    bool // the fleet waits for it to become ready
	partial    bool // a fragmented message is being put together
	inflate    bool // and it is compressed
	link       link
	began      int64 // when it was dialed
	first      int64 // when it was dialed first; later attempts are those of a client that came back
	attempts   int   // that were refused since then
	comeBackAt int64 // when it is dialed again
	asked      int64 // when it subscribed last, while there is more to subscribe to
	channels   int   // to subscribe to
	subscribed int   // of these, how many were sent
	pending    int   // commands of connecting that are not answered
	chunk      int   // bytes that are left of a chunk, its line break included
	rest       []byte
	parts      []byte // of a message whose end has not come
	out        []byte // what the socket did not take
	ledgers    []ledger
	positions  []position // of each channel, for scenario recover only
	base       []byte     // the last payload, with deltas only

	// Of emulated clients, for their commands.
	node, session string

	// Echo.
	channel []byte
	number  uint64 // of the last publication
	waiting bool   // a publication is not answered
	sent    int64  // when it was sent
	due     int64
}

// position in a channel, for recovery.
type position struct {
	epoch  string
	offset uint64
	known  bool
}

// Ids of commands: connect, then the subscriptions, then publishID.
const (
	connectID      = 1
	firstSubscribe = 2
)

// publishID is the id of every publication of the client: it sends one at a time.
func (c *client) publishID() uint32 { return firstSubscribe + uint32(c.channels) } //nolint:gosec // bounded by Validate

// feed takes bytes from the server and returns what is left of them: a frame
// of which the end has not come.
func (f *fleet) feed(c *client, b []byte) (rest []byte) {
	f.readAt = 0
	streamed := f.transport.carrier == overHTTP
	if c.state == stateHandshake {
		check := f.handshake.check
		if streamed {
			check = checkStream
		}
		size, err := check(b)
		if err != nil {
			f.fail(c, Cause{Kind: causeConnect, Reason: err.Error()})
			return nil
		}
		if size == 0 {
			return b
		}
		b = b[size:]
		if streamed {
			c.state = stateSubscribing
		} else {
			f.greet(c)
		}
	}
	if streamed {
		return f.chunks(c, b)
	}
	for c.state != stateClosed {
		h, ok, err := parseHeader(b)
		if err != nil {
			f.fail(c, Cause{Kind: causeTransport, Reason: err.Error()})
			return nil
		}
		if !ok || len(b)-h.size < h.payload {
			return b
		}
		f.frame(c, h, b[h.size:h.size+h.payload])
		b = b[h.size+h.payload:]
	}
	return nil
}

// frame takes one frame of the server.
func (f *fleet) frame(c *client, h header, payload []byte) {
	switch h.opcode {
	case wsframe.Text, wsframe.Binary:
		if h.fin {
			f.message(c, payload, h.compressed)
			return
		}
		c.parts = append(c.parts[:0], payload...)
		c.partial, c.inflate = true, h.compressed
	case wsframe.Continuation:
		if !c.partial || len(c.parts)+len(payload) > maxMessage {
			f.fail(c, Cause{Kind: causeTransport, Reason: errFrame.Error()})
			return
		}
		c.parts = append(c.parts, payload...)
		if h.fin {
			f.message(c, c.parts, c.inflate)
			c.parts, c.partial = nil, false
		}
	case wsframe.Close:
		code, reason := wsframe.CloseCode(payload)
		f.send(c, appendFrame(nil, wsframe.Close, payload[:min(len(payload), 2)]))
		f.refuse(c, Cause{Kind: causeDisconnect, Code: uint32(code), Reason: reason}, isTemporary(uint32(code)))
	case wsframe.Ping:
		f.tally.Pings++
		f.send(c, appendFrame(nil, wsframe.Pong, payload))
	case wsframe.Pong:
	default:
		f.fail(c, Cause{Kind: causeTransport, Reason: errFrame.Error()})
	}
}

// message takes one message: replies and pushes.
func (f *fleet) message(c *client, message []byte, compressed bool) {
	if compressed {
		var err error
		if message, err = f.inflater.unpack(message); err != nil {
			f.fail(c, Cause{Kind: causeTransport, Reason: err.Error()})
			return
		}
	}
	if f.format.Protobuf() {
		f.protobuf(c, message)
		return
	}
	for len(message) > 0 && c.state != stateClosed {
		line := message
		if end := bytes.IndexByte(message, '\n'); end >= 0 {
			line, message = message[:end], message[end+1:]
		} else {
			message = nil
		}
		f.json(c, line)
	}
}

// json takes a reply or push in JSON.
func (f *fleet) json(c *client, line []byte) {
	switch {
	case len(line) <= len("{}"):
		f.ping(c)
	case len(line) > 5 && string(line[:5]) == `{"id"` && !f.transport.unidirectional: // a reply begins with its id
		f.reply(c, line)
	default:
		f.push(c, line)
	}
}

// tagID is the first byte of a Protobuf message that is a reply: the tag of its
// id, field 1, a varint (protocol.md 4.1).
const tagID = 1 << 3

func (f *fleet) protobuf(c *client, message []byte) {
	for len(message) > 0 && c.state != stateClosed {
		size, n := binary.Uvarint(message)
		if n <= 0 || size > uint64(len(message)-n) {
			f.fail(c, Cause{Kind: causeTransport, Reason: "malformed Protobuf message"})
			return
		}
		f.protobufMessage(c, message[n:n+int(size)]) //nolint:gosec // not longer than the message
		message = message[n+int(size):]              //nolint:gosec // not longer than the message
	}
}

// protobufMessage takes a reply or push in Protobuf.
func (f *fleet) protobufMessage(c *client, message []byte) {
	switch {
	case len(message) == 0:
		f.ping(c)
	case message[0] == tagID && !f.transport.unidirectional:
		f.reply(c, message)
	default:
		f.push(c, message)
	}
}

func (f *fleet) ping(c *client) {
	f.tally.Pings++
	switch {
	case !c.pong:
	case f.transport.carrier == overWebSocket:
		f.send(c, f.pongFrame)
	default:
		f.transmit(c, f.pong)
	}
}

// push takes what the server sends by itself. Only publications of this run
// are looked at closely, since all the load is in them. A connect push may hold some.
func (f *fleet) push(c *client, message []byte) {
	if connecting := f.transport.unidirectional && c.state == stateSubscribing; !connecting && !f.opts.Delta {
		if i := bytes.Index(message, f.marker); i >= 0 {
			f.publication(c, message[i+len(f.marker):])
			return
		}
	}
	reply, err := clientcodec.DecodeReply(f.format, message)
	switch {
	case err != nil:
		f.fail(c, Cause{Kind: causeTransport, Reason: err.Error()})
	case reply.Push == nil:
	case reply.Push.Connect != nil:
		f.connectedByPush(c, reply.Push.Connect)
	case reply.Push.Pub != nil && f.opts.Delta:
		f.deltaPublication(c, reply.Push.Pub)
	case reply.Push.Pub != nil:
		f.tally.Foreign++
	case reply.Push.Unsubscribe != nil:
		f.tally.cause(Cause{Kind: causeUnsub, Code: reply.Push.Unsubscribe.Code, Reason: clip(reply.Push.Unsubscribe.Reason)})
	case reply.Push.Disconnect != nil:
		f.refuse(c, Cause{Kind: causeDisconnect, Code: reply.Push.Disconnect.Code, Reason: reply.Push.Disconnect.Reason}, isTemporary(reply.Push.Disconnect.Code))
	}
}

// publication takes what follows the marker of a publication. It allocates nothing.
func (f *fleet) publication(c *client, b []byte) {
	f.sample++
	timed := f.sample >= f.sampleEvery
	s, ok := parseStamp(b, timed)
	if !ok {
		f.tally.Foreign++
		return
	}
	if timed {
		f.sample = 0
		if f.readAt == 0 {
			f.readAt = f.clock.now()
		}
	}
	for i := range c.ledgers {
		m, ok := c.ledgers[i].owns(s.source)
		if !ok {
			continue
		}
		f.deliver(c, m, s.number)
		if timed && !c.slow && c.state == stateReady { // what is recovered or read late says nothing of the way
			f.tally.Latency.Record(time.Duration(f.readAt - s.at))
		}
		return
	}
	f.tally.Foreign++
}

func (f *fleet) deliver(c *client, m *mark, number uint64) {
	f.tally.Deliveries++
	if c.slow {
		f.tally.SlowCount++
	}
	v, missing := m.note(number)
	switch v {
	case duplicate:
		f.tally.Duplicates++
		return
	case gap:
		f.tally.Gaps++
		f.tally.Missing += missing
	case disorder:
		f.tally.Disorder++
		f.tally.Missing--
	case inOrder, foreign:
	}
	if c.steady {
		f.tally.Received++
	}
}

// reply takes the answer to a command.
func (f *fleet) reply(c *client, message []byte) {
	reply, err := clientcodec.DecodeReply(f.format, message)
	if err != nil {
		f.fail(c, Cause{Kind: causeTransport, Reason: err.Error()})
		return
	}
	if c.channel != nil && reply.ID == c.publishID() {
		f.published(c, reply)
		return
	}
	if reply.Error != nil {
		f.refuse(c, Cause{Kind: causeReply, Code: reply.Error.Code, Reason: reply.Error.Message}, reply.Error.Temporary)
		return
	}
	switch {
	case reply.ID == connectID:
		if reply.Connect != nil {
			c.pong = reply.Connect.Pong
			c.node, c.session = strings.Clone(reply.Connect.Node), strings.Clone(reply.Connect.Session)
		}
		f.answered(c)
	case reply.ID >= firstSubscribe && int(reply.ID-firstSubscribe) < c.subscribed && c.pending > 0:
		if reply.Subscribe == nil {
			f.fail(c, Cause{Kind: causeTransport, Reason: fmt.Sprintf("reply to command %d without a subscription", reply.ID)})
			return
		}
		if f.granted(c, int(reply.ID-firstSubscribe), reply.Subscribe) {
			f.answered(c)
		}
	default:
		f.fail(c, Cause{Kind: causeTransport, Reason: fmt.Sprintf("reply to command %d, which was not sent", reply.ID)})
	}
}

// granted takes the result of the i-th subscription; it reports false when the client had
// to be given up.
func (f *fleet) granted(c *client, i int, r *protocol.SubscribeResult) bool {
	if f.opts.Delta && !r.Delta {
		f.fail(c, Cause{Kind: causeDelta, Reason: "the channel has no deltas"})
		return false
	}
	return !f.plan.scenario.recovers || f.recovered(c, &c.positions[i], r)
}

// recovered takes what came with a subscription; it reports false when the
// client had to be given up.
func (f *fleet) recovered(c *client, p *position, r *protocol.SubscribeResult) bool {
	if !r.Recoverable {
		f.fail(c, Cause{Kind: causeRecover, Reason: "the channel has no recovery"})
		return false
	}
	if p.known && !r.Recovered {
		f.tally.cause(Cause{Kind: causeRecover, Reason: "not recovered"})
	}
	for _, pub := range r.Publications {
		if i := bytes.Index(pub.Data, f.marker); i >= 0 {
			f.tally.Recovered++
			f.publication(c, pub.Data[i+len(f.marker):])
		}
		p.offset = pub.Offset
	}
	if len(r.Publications) == 0 {
		p.offset = r.Offset
	}
	p.epoch, p.known = string([]byte(r.Epoch)), true // a copy: the message will be overwritten
	return true
}

// send writes, and keeps what the socket does not take.
func (f *fleet) send(c *client, b []byte) {
	if c.link == nil {
		return
	}
	if len(c.out) > 0 {
		if c.out = append(c.out, b...); len(c.out) > maxHeld {
			f.fail(c, Cause{Kind: causeTransport, Reason: "the server does not read"})
		}
		return
	}
	n, err := c.link.write(b)
	if err != nil {
		f.fail(c, Cause{Kind: causeTransport, Reason: err.Error()})
		return
	}
	if n < len(b) {
		c.out = append(c.out[:0], b[n:]...)
		c.link.watch(true)
	}
}

// maxHeld bounds what is kept for a server that does not read, in bytes.
const maxHeld = 4 << 20

// flush goes on with what was kept.
func (f *fleet) flush(c *client) {
	n, err := c.link.write(c.out)
	if err != nil {
		f.fail(c, Cause{Kind: causeTransport, Reason: err.Error()})
		return
	}
	c.out = c.out[n:]
	if len(c.out) == 0 {
		c.out = nil
		c.link.watch(false)
	}
}

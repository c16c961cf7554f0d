package centrifugetest

import (
	"context"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"
)

// Client speaks the protocol over a Transport. It belongs to one goroutine.
type Client struct {
	*Transport
	tb     testing.TB
	format protocol.Format
	lastID uint32
	kinds  map[uint32]protocol.MessageKind // what was asked for, by id
	pushes []*protocol.Push
	pings  int // server pings seen
}

// Dial opens a connection in the given format, without connecting.
func Dial(ctx context.Context, tb testing.TB, n *centrifuge.Node, format protocol.Format) *Client {
	tb.Helper()
	info := centrifuge.TransportInfo{Protobuf: format.Protobuf(), Unidirectional: format.Uni(), Generation: centrifuge.GenerationV2}
	if format.V1() {
		info.Generation = centrifuge.GenerationV1
	}
	return DialTransport(ctx, tb, n, info, format)
}

// DialTransport is Dial over a transport of the caller's choice. Format is what
// the client speaks.
func DialTransport(ctx context.Context, tb testing.TB, n *centrifuge.Node, info centrifuge.TransportInfo, format protocol.Format) *Client {
	tb.Helper()
	return &Client{
		Transport: NewTransport(ctx, tb, n, info), tb: tb, format: format, kinds: make(map[uint32]protocol.MessageKind),
	}
}

// Connect dials and connects as user.
func Connect(ctx context.Context, tb testing.TB, n *centrifuge.Node, format protocol.Format, user string) *Client {
	tb.Helper()
	ctx = centrifuge.SetCredentials(ctx, &centrifuge.Credentials{UserID: user})
	c := Dial(ctx, tb, n, format)
	if reply := c.Do(&protocol.Command{Connect: &protocol.ConnectRequest{}}); reply == nil || reply.Error != nil {
		tb.Fatalf("connecting: %+v; want a reply without error", reply)
	}
	return c
}

// Send sends commands in one message, giving ids to those that want a reply.
func (c *Client) Send(commands ...*protocol.Command) {
	c.tb.Helper()
	frames := make([]*protocol.Encoded, len(commands))
	for i, command := range commands {
		if command.ID == 0 && command.Send == nil && *command != (protocol.Command{}) {
			c.lastID++
			command.ID = c.lastID
		}
		c.kinds[command.ID] = command.Kind()
		encoded, err := protocol.AppendCommand(nil, c.format, command)
		if err != nil {
			c.tb.Fatalf("encoding a command: %v", err)
		}
		frames[i] = &protocol.Encoded{Bytes: encoded}
	}
	c.SendRaw(protocol.AppendBatch(nil, c.format, frames))
}

// SendRaw sends one transport message.
func (c *Client) SendRaw(message []byte) { c.Conn().Receive(message) }

// Do sends a command and waits for its reply; pushes that come before it are
// kept for Push. It returns nil when the connection ends instead.
func (c *Client) Do(command *protocol.Command) *protocol.Reply {
	c.tb.Helper()
	c.Send(command)
	for {
		reply := c.read()
		switch {
		case reply == nil || reply.ID == command.ID:
			return reply
		case reply.ID != 0:
			c.tb.Fatalf("a reply to command %d came; want one to %d", reply.ID, command.ID)
		}
	}
}

// Read returns the next message whatever it is, in the order of the wire; nil
// at the end of the connection. Pushes that Do has kept are not seen again.
func (c *Client) Read() *protocol.Reply {
	c.tb.Helper()
	frame, ok := c.Next()
	if !ok {
		return nil
	}
	kind := func(id uint32) protocol.MessageKind { return c.kinds[id] }
	reply, err := clientcodec.ReplyDecoder{Format: c.format, Kind: kind}.Decode(frame)
	if err != nil {
		c.tb.Fatalf("decoding %q: %v", frame, err)
	}
	return reply
}

// read is Read; pushes are kept, pings counted.
func (c *Client) read() *protocol.Reply {
	c.tb.Helper()
	reply := c.Read()
	switch {
	case reply == nil:
	case reply.Push != nil:
		c.pushes = append(c.pushes, reply.Push)
	case reply.ID == 0:
		c.pings++
	}
	return reply
}

// Push waits for the next push; nil means that the connection ended.
func (c *Client) Push() *protocol.Push {
	c.tb.Helper()
	for len(c.pushes) == 0 {
		if c.read() == nil {
			return nil
		}
	}
	push := c.pushes[0]
	c.pushes = c.pushes[1:]
	return push
}

// WaitPing waits for a ping of the server.
func (c *Client) WaitPing() {
	c.tb.Helper()
	for seen := c.pings; c.pings == seen; {
		if c.read() == nil {
			c.tb.Fatal("the connection ended; want a ping")
		}
	}
}

// Buffered returns how many pushes have been read and not taken by Push.
func (c *Client) Buffered() int { return len(c.pushes) }

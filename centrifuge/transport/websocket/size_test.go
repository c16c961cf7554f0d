package websocket

import (
	"context"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"
)

// newCountingServer runs a node whose RPC answers how many bytes it got.
func newCountingServer(t *testing.T, config Config, wire wire) *server {
	t.Helper()
	node, err := centrifuge.New(centrifuge.Config{PingInterval: -1, WriteTimeout: time.Minute}) // 20 MB may take long
	if err != nil {
		t.Fatal(err)
	}
	node.Handle(centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{}}, nil
		},
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: []byte(strconv.Itoa(len(e.Data)))}, nil
		},
	})
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	s := &server{}
	s.serveOn(t, NewHandler(node, config).accept, config, wire)
	t.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	return s
}

// say sends commands as one message, compressed where that is asked.
func (p *peer) say(f protocol.Format, compress bool, commands ...*protocol.Command) (size int) {
	p.t.Helper()
	var frames []*protocol.Encoded
	for _, command := range commands {
		b, err := protocol.AppendCommand(nil, f, command)
		if err != nil {
			p.t.Fatal(err)
		}
		frames = append(frames, &protocol.Encoded{Bytes: b})
	}
	message, first := string(protocol.AppendBatch(nil, f, frames)), firstByte(f.Protobuf())
	if compress {
		message, first = deflate(p.t, message), first|bitRSV1
	}
	p.send(frame(first, message))
	return len(message)
}

// reply reads the reply to an RPC: what its data is.
func (p *peer) reply(f protocol.Format) string {
	p.t.Helper()
	first, payload, err := p.message()
	if err != nil || first != firstByte(f.Protobuf()) {
		p.t.Fatalf("got %x %q, %v; want %x", first, payload, err, firstByte(f.Protobuf()))
	}
	message, _, err := protocol.Split(f, payload)
	if err != nil {
		p.t.Fatal(err)
	}
	decoder := clientcodec.ReplyDecoder{Format: f, Kind: func(id uint32) protocol.MessageKind {
		return map[uint32]protocol.MessageKind{1: protocol.KindConnect, 2: protocol.KindRPC}[id]
	}}
	reply, err := decoder.Decode(message)
	switch {
	case err != nil:
		p.t.Fatal(err)
	case reply.RPC != nil:
		return string(reply.RPC.Data)
	case reply.Connect == nil:
		p.t.Fatalf("got %q; want a reply to connect or RPC", payload)
	}
	return "connected"
}

// A command is as large as the configured size of a message allows: nothing
// below it has a bound of its own.
func TestCommandsMayFillAMessage(t *testing.T) {
	quoted := func(n int) protocol.Raw { return protocol.Raw(`"` + strings.Repeat("x", n-2) + `"`) }
	for _, c := range []struct {
		name     string
		config   Config
		compress bool
		size     int // of the payload
		code     uint16
	}{
		{name: "default", size: 65000},
		{name: "above the default", size: 65536, code: closeTooBig},
		{name: "configured", config: Config{MessageSizeLimit: 200_000}, size: 100_000},
		{name: "above the configured", config: Config{MessageSizeLimit: 200_000}, size: 200_000, code: closeTooBig},
		{name: "20 MB", config: Config{MessageSizeLimit: 20 << 20}, size: 20<<20 - 100},
		{name: "any", config: Config{MessageSizeLimit: math.MaxInt}, size: 1 << 20},
		{name: "inflated", config: Config{Compression: true}, compress: true, size: 600_000},
		{name: "inflated too large", config: Config{Compression: true}, compress: true, size: 655_360, code: closeTooBig},
		{name: "inflated, configured", config: Config{Compression: true, DecompressedSizeLimit: 5 << 20}, compress: true, size: 5<<20 - 100},
		{name: "inflated, any", config: Config{Compression: true, MessageSizeLimit: math.MaxInt}, compress: true, size: 1 << 20},
		{name: "below the default", config: Config{MessageSizeLimit: 1000}, size: 900},
		{name: "above one below the default", config: Config{MessageSizeLimit: 1000}, size: 1000, code: closeTooBig},
	} {
		for path, f := range map[string]protocol.Format{
			"/?cf_protocol_version=v2":                 0,
			"/?cf_protocol_version=v2&format=protobuf": protocol.FormatProtobuf,
			"/?cf_protocol_version=v1":                 protocol.FormatV1,
			"/?cf_protocol_version=v1&format=protobuf": protocol.FormatProtobuf | protocol.FormatV1,
		} {
			t.Run(c.name+path[1:], func(t *testing.T) {
				s := newCountingServer(t, c.config, wireTCP)
				p := s.dialRaw(t, handshake(path, deflateOfferLine))
				p.say(f, false, &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{}})
				p.reply(f)
				p.say(f, c.compress, &protocol.Command{ID: 2, RPC: &protocol.RPCRequest{Data: quoted(c.size)}})
				if c.code != 0 {
					p.expectClose(c.code)
				} else if got := p.reply(f); got != strconv.Itoa(c.size) {
					t.Fatalf("%s bytes arrived, want %d", got, c.size)
				}
			})
		}
	}
}

// A node's client has the early budget until its connect command has succeeded.
func TestEarlyBudgetOfANode(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newCountingServer(t, Config{MessageSizeLimit: 1 << 20}, wire)
		large := protocol.Raw(`"` + strings.Repeat("x", 300_000) + `"`)
		p := s.dialRaw(t, handshake("/"))
		p.say(0, false, &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{Data: large}})
		p.expectClose(closeTooBig)
		p = s.dialRaw(t, handshake("/"))
		p.say(0, false, &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{Token: strings.Repeat("t", 250_000)}})
		p.reply(0)
		p.say(0, false, &protocol.Command{ID: 2, RPC: &protocol.RPCRequest{Data: large}})
		if got := p.reply(0); got != "300002" {
			t.Fatalf("%s bytes arrived; want \"300002\"", got)
		}
	})
}

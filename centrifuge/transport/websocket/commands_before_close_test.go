package websocket

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
	"centrifugo/protocol"
)

// publishingServer runs a node whose clients may publish. The first publication
// of a connection waits for what hold returns.
type publishingServer struct {
	*server
	node *centrifuge.Node
	ends chan centrifuge.Disconnect // of connections that had connected
	held chan struct{}              // one for each publication that waits
	hold atomic.Pointer[chan struct{}]

	mu   sync.Mutex
	sent []string // data of send commands
}

// wait holds a command if it is the first one.
func (s *publishingServer) wait() {
	if hold := s.hold.Swap(nil); hold != nil {
		s.held <- struct{}{}
		<-*hold
	}
}

func newPublishingServer(t *testing.T, nodeConfig centrifuge.Config, config Config, wire wire) *publishingServer {
	t.Helper()
	node, err := centrifuge.New(nodeConfig)
	if err != nil {
		t.Fatal(err)
	}
	s := &publishingServer{
		server: &server{}, node: node, ends: make(chan centrifuge.Disconnect, 8), held: make(chan struct{}, 8),
	}
	node.Handle(centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{}}, nil
		},
		Publish: func(ctx context.Context, e centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
			s.wait()
			if err := ctx.Err(); err != nil {
				return centrifuge.PublishReply{}, err // as a call of a backend would fail
			}
			return centrifuge.PublishReply{Options: centrifuge.PublishOptions{HistorySize: 100_000, HistoryTTL: waitLimit}}, nil
		},
		Message: func(_ context.Context, e centrifuge.MessageEvent) error {
			s.wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sent = append(s.sent, string(e.Data))
			return nil
		},
		Disconnected: func(_ context.Context, e centrifuge.DisconnectedEvent) { s.ends <- e.Disconnect },
	})
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	s.serveOn(t, NewHandler(node, config).accept, config, wire)
	t.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	return s
}

// published returns the data of the publications that were made.
func (s *publishingServer) published(t *testing.T, channel string) (list []string) {
	t.Helper()
	result, err := s.node.History(t.Context(), channel, centrifuge.HistoryOptions{Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range result.Publications {
		list = append(list, string(p.Data))
	}
	return list
}

// tcpOf is the connection beneath TLS, if there is any.
func tcpOf(c net.Conn) *net.TCPConn {
	if c, ok := c.(interface{ NetConn() net.Conn }); ok {
		return c.NetConn().(*net.TCPConn)
	}
	return c.(*net.TCPConn)
}

// ways in which a client may end. Each gets what is to be sent last.
var ways = []struct {
	name string
	end  func(p *peer, last []byte)
	code uint32 // that the application is told
}{
	{"close frame", func(p *peer, last []byte) { p.send(last, frame(finClose, "\x03\xe8")) }, 3000},
	{"close frame and FIN", func(p *peer, last []byte) {
		p.send(last, frame(finClose, "\x03\xe8"))
		_ = p.Close()
	}, 3000},
	{"half close", func(p *peer, last []byte) {
		p.send(last)
		_ = p.Conn.(interface{ CloseWrite() error }).CloseWrite()
	}, 3000},
	{"FIN", func(p *peer, last []byte) {
		p.send(last)
		_ = p.Close()
	}, 3000},
	{"FIN without the end of TLS", func(p *peer, last []byte) {
		p.send(last)
		_ = tcpOf(p.Conn).Close()
	}, 3000},
	{"reset", func(p *peer, last []byte) {
		p.send(last)
		_ = tcpOf(p.Conn).SetLinger(0)
		_ = tcpOf(p.Conn).Close()
	}, 3000},
	{"violation", func(p *peer, last []byte) { p.send(last, frame(finText|0x20, "x")) }, 1002},
	{"message too big", func(p *peer, last []byte) { p.send(last, declared(finText, 1<<62)) }, 1009},
	{"cut off", func(p *peer, last []byte) {
		p.send(last, frame(finText, strings.Repeat("x", 1000))[:20])
		_ = p.Close()
	}, 3000},
}

// TestCommandsBeforeClose: the commands that a client sent before it left are executed in
// order, before the connection ends.
func TestCommandsBeforeClose(t *testing.T) {
	formats := map[string]protocol.Format{
		"v2-json": 0, "v2-protobuf": protocol.FormatProtobuf, "v1-json": protocol.FormatV1, "v1-protobuf": protocol.FormatProtobuf | protocol.FormatV1,
	}
	for _, concurrency := range []int{1, 8} {
		for _, way := range ways {
			t.Run(fmt.Sprintf("%s/%d", way.name, concurrency), func(t *testing.T) {
				allWires(t, func(t *testing.T, wire wire) {
					s := newPublishingServer(t, centrifuge.Config{Concurrency: concurrency}, Config{}, wire)
					for name, f := range formats {
						for _, count := range []int{1, 30} {
							channel := fmt.Sprintf("%s-%d", name, count)
							p := s.dialRaw(t, handshake(queryOf(f)))
							p.say(f, false, &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{}})
							p.reply(f)
							way.end(p, publishCommands(t, f, channel, count, 1))
							if d := await.Receive(t, s.ends, "Disconnected"); d.Code != way.code {
								t.Errorf("%s: ended with %v; want Code %v", channel, d, way.code)
							}
							checkNumbers(t, s.published(t, channel), count)
						}
					}
				})
			})
		}
	}
}

// The same where a handler waits until the connection is no more, and where more
// comes than is read while it waits.
func TestLastWordsBehindASlowHandler(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			allWires(t, func(t *testing.T, wire wire) {
				s := newPublishingServer(t, centrifuge.Config{}, Config{}, wire)
				for _, c := range []struct {
					channel string
					send    bool
					count   int
				}{
					{channel: "few", count: 20},
					// Without replies: to one of them the peer's kernel would answer with a
					// reset, and throw away what it has not sent yet.
					{channel: "many", send: true, count: 300},
				} {
					if c.send && way.name == "reset" {
						continue
					}
					p := s.dialRaw(t, handshake("/?cf_protocol_version=v2"))
					p.say(0, false, &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{}})
					p.reply(0)
					hold := make(chan struct{})
					s.hold.Store(&hold)
					commands := publishCommands(t, 0, c.channel, c.count, 10)
					if c.send {
						commands = sendCommands(t, c.count, 1000)
					}
					way.end(p, commands)
					await.Receive(t, s.held, "command")
					if !c.send {
						_, _ = io.Copy(io.Discard, p.r) // until the server has seen the end
					}
					close(hold)
					if d := await.Receive(t, s.ends, "Disconnected"); d.Code != way.code {
						t.Errorf("ended with %v; want Code %v", d, way.code)
					}
					got := s.published(t, c.channel)
					if c.send {
						got = s.messages()
					}
					checkNumbers(t, got, c.count)
				}
			})
		})
	}
}

func (s *publishingServer) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// queryOf asks for a format.
func queryOf(f protocol.Format) string {
	query := "/?cf_protocol_version=v2"
	if f.V1() {
		query = "/?cf_protocol_version=v1"
	}
	if f.Protobuf() {
		query += "&format=protobuf"
	}
	return query
}

// publishCommands is a message for each of count publications of at least size bytes.
func publishCommands(t *testing.T, f protocol.Format, channel string, count, size int) []byte {
	t.Helper()
	return numbered(t, f, count, size, func(c *protocol.Command, data protocol.Raw) {
		c.Publish = &protocol.PublishRequest{Channel: channel, Data: data}
	})
}

// sendCommands is the same with commands that have no reply.
func sendCommands(t *testing.T, count, size int) []byte {
	t.Helper()
	return numbered(t, 0, count, size, func(c *protocol.Command, data protocol.Raw) {
		c.Send = &protocol.SendRequest{Data: data}
	})
}

func numbered(t *testing.T, f protocol.Format, count, size int, fill func(*protocol.Command, protocol.Raw)) (in []byte) {
	t.Helper()
	for i := range count {
		command := &protocol.Command{ID: uint32(i + 2)} //nolint:gosec // small
		fill(command, protocol.Raw(fmt.Sprintf(`"%0*d"`, size, i)))
		b, err := protocol.AppendCommand(nil, f, command)
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, frame(firstByte(f.Protobuf()), string(protocol.AppendBatch(nil, f, []*protocol.Encoded{{Bytes: b}})))...)
	}
	return in
}

func checkNumbers(t *testing.T, got []string, count int) {
	t.Helper()
	if len(got) != count {
		t.Errorf("%d commands were executed; want %d", len(got), count)
	}
	for i, data := range got {
		if n, err := strconv.Atoi(strings.Trim(data, `"`)); err != nil || n != i {
			t.Errorf("command %d is %.40s, %v; want %d", i, data, err, i)
			return
		}
	}
}

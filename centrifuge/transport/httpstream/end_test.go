package httpstream

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"
)

// watched runs a node that reports the ends of its connections.
func watched(t testing.TB) (*centrifuge.Node, chan centrifuge.Disconnect) {
	t.Helper()
	ends := make(chan centrifuge.Disconnect, 10)
	n := transporttest.RunNode(t, centrifuge.Config{PingInterval: -1, Handlers: centrifuge.Handlers{
		Disconnected: func(_ context.Context, e centrifuge.DisconnectedEvent) { ends <- e.Disconnect },
	}})
	return n, ends
}

// The end of the client is noticed without a write, whatever it sends before.
func TestPeerEnds(t *testing.T) {
	for _, route := range []route{routeTCP, routeTLS, routeForeignTLS} {
		for _, tt := range []struct {
			name string
			end  func(p *stream) error
		}{
			{"closes", func(p *stream) error { return p.conn.Close() }},
			{"resets", func(p *stream) error {
				if c, ok := p.conn.(*net.TCPConn); ok {
					if err := c.SetLinger(0); err != nil {
						return err
					}
				}
				return p.conn.Close()
			}},
			{"closes its side", func(p *stream) error { return p.conn.(interface{ CloseWrite() error }).CloseWrite() }},
			{"sends another request first", func(p *stream) error {
				if _, err := io.WriteString(p.conn, post("{}")); err != nil {
					return err
				}
				return p.conn.Close()
			}},
			{"floods", func(p *stream) error {
				_, _ = io.WriteString(p.conn, strings.Repeat("x", 4*maxDiscarded)) // the connection may end meanwhile
				return nil
			}},
		} {
			t.Run(route.String()+"/"+tt.name, func(t *testing.T) {
				n, ends := watched(t)
				p := serve(t, n, Config{}, route).stream(Stream)
				if err := p.open(`{"id":1,"connect":{}}`); err != nil {
					t.Fatal(err)
				}
				p.expect(`{"id":1,"connect":`)
				if err := tt.end(p); err != nil {
					t.Fatal(err)
				}
				if got := await.Receive(t, ends, "end of the connection"); got != centrifuge.DisconnectConnectionClosed {
					t.Errorf("the connection ended with %v; want %v", got, centrifuge.DisconnectConnectionClosed)
				}
			})
		}
	}
}

// A request that comes with another one behind it is answered, and the other one is not.
func TestPipelinedRequest(t *testing.T) {
	n := transporttest.RunNode(t, centrifuge.Config{Handlers: centrifuge.Handlers{
		Connected: func(_ context.Context, e centrifuge.ConnectedEvent) {
			e.Client.Disconnect(centrifuge.DisconnectForceReconnect)
		},
	}})
	s := serve(t, n, Config{}, routeTCP)
	response := s.exchange(post(`{"id":1,"connect":{}}`) + post(`{"id":1,"connect":{}}`))
	if got := strings.Count(response, "HTTP/1.1 "); got != 1 || !strings.HasSuffix(response, "\r\n0\r\n\r\n") {
		t.Errorf("the response has %d heads: %q; want 1, and the last chunk at its end", got, response)
	}
}

// A node that shuts down tells new connections so.
func TestRefusedByTheNode(t *testing.T) {
	for _, route := range []route{routeTCP, routeHTTP2} {
		t.Run(route.String(), func(t *testing.T) {
			n := transporttest.RunNode(t, centrifuge.Config{})
			p := serve(t, n, Config{}, route).stream(Stream)
			transporttest.Shutdown(t, n)
			if err := p.open(`{"id":1,"connect":{}}`); err != nil {
				t.Fatal(err)
			}
			p.expectEnd(centrifuge.DisconnectShutdown)
		})
	}
}

// With ConnectStatus a connect request that is refused is answered with a status.
func TestConnectStatus(t *testing.T) {
	config := Config{Wire: Events, Unidirectional: true, ConnectStatus: func(code uint32) (int, string) {
		if code == centrifuge.DisconnectPermissionDenied.Code {
			return 403, "no"
		}
		return 500, "other"
	}}
	for _, route := range []route{routeTCP, routeForeignTLS, routeHTTP2} {
		t.Run(route.String(), func(t *testing.T) {
			n := transporttest.RunNode(t, centrifuge.Config{Handlers: centrifuge.Handlers{
				Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
					return centrifuge.ConnectingReply{}, centrifuge.ErrorPermissionDenied
				},
			}})
			s := serve(t, n, config, route)
			response, err := s.client.Get(s.http.URL + streamPath)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != 403 || string(body) != "no" {
				t.Errorf("status %d, body %q, %v; want 403, %q", response.StatusCode, body, err, "no")
			}
		})
	}
}

// The end of the body is written before the end of the stream, though the socket accepts
// what waited while the connection is being closed.
func TestCloseDuringAFlush(t *testing.T) {
	socket := &transporttest.FullSocket{}
	c := &conn{handler: NewHandler(nil, Config{}), framing: framing{chunked: true}, session: refused{}}
	c.writer.Socket = socket
	c.handler.group.Begin()
	defer c.Closed(io.EOF)
	if pending, err := c.writeBody([]byte("body"), true); pending != len("body") || err != nil {
		t.Fatalf("%d bytes are pending, %v; want %d", pending, err, len("body"))
	}
	closed := make(chan struct{}, 1)
	socket.Accepts, socket.Writing = true, func() {
		go func() {
			c.Close(centrifuge.DisconnectForceReconnect.Code, "")
			closed <- struct{}{}
		}()
		if !await.Reached(func() bool { return c.stateIs(stateClosing) }) {
			t.Error("the connection is not being closed; want Close to begin")
		}
	}
	c.Writable()
	await.Receive(t, closed, "end of Close")
	if want := []string{"body", lastChunk, "CloseWrite"}; !slices.Equal(socket.Calls, want) {
		t.Errorf("the socket accepted %q; want %q", socket.Calls, want)
	}
}

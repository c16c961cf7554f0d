package http2

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"centrifugo/centrifuge/internal/eventloop"

	"golang.org/x/net/http2/hpack"
)

// Server serves connections over HTTP/2. It is safe for concurrent use.
type Server struct {
	// Static after construction.
	config Config
	group  *eventloop.Group

	// Guarded by mu.
	mu      sync.Mutex
	conns   map[*conn]struct{}
	leaving bool
}

// NewServer returns a Server. Close it after Shutdown.
func NewServer(config Config) *Server {
	s := &Server{config: config.withDefaults(), conns: make(map[*conn]struct{})}
	s.group = eventloop.NewGroup(eventloop.Config{
		Pollers: s.config.Pollers, ScheduledWrites: s.config.ScheduledWrites,
		Panicked: func(value any, stack []byte) {
			s.config.OnError(fmt.Errorf("panic in a connection over HTTP/2: %v\n%s", value, stack))
		},
	})
	return s
}

// serve takes over a connection that speaks HTTP/2. It reports false for one that cannot be
// polled.
func (s *Server) serve(t net.Conn) bool {
	loop, err := s.group.Loop()
	if err != nil {
		s.config.OnError(fmt.Errorf("starting event loop: %w", err))
		return false
	}
	c := s.newConn(t, t.RemoteAddr().String(), t.LocalAddr())
	s.mu.Lock()
	leaving := s.leaving
	if !leaving {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if leaving {
		_ = t.Close() // the client has to go elsewhere
		return true
	}
	polled, err := c.start(loop, t)
	if err != nil || !polled {
		s.forget(c)
		return false
	}
	return true
}

func (s *Server) newConn(t net.Conn, remote string, local net.Addr) *conn {
	c := &conn{
		server: s, remote: remote, local: local,
		budget:  budget{since: time.Now()},
		streams: make(map[uint32]*stream, 1), window: windowStream, initialWindow: windowStream, received: windowConn,
	}
	c.tls, _ = t.(*tls.Conn)
	c.decoder = hpack.NewDecoder(tableSize, c.emit)
	c.decoder.SetMaxStringLength(s.config.MaxHeaderBytes)
	return c
}

// forget takes note of the end of a connection.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	_, ok := s.conns[c]
	delete(s.conns, c)
	s.mu.Unlock()
	if ok && c.writer.Socket != nil {
		s.group.End()
	}
}

// Shutdown tells the clients that the server processes no more requests (GOAWAY), and
// waits until those that there are have ended and the clients have closed their connections, at
// most some seconds after the last request. It returns the error of ctx if that is done
// first. Streams that a transport has taken over are ended by that.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.leaving = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.leave()
	}
	return s.group.Drain(ctx) //nolint:wrapcheck // that of ctx
}

// Close ends all connections and the goroutines of the event loop. Handlers that run see that
// their contexts are done.
func (s *Server) Close() {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	s.group.Close()
}

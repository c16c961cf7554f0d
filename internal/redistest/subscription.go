package redistest

import (
	"bufio"
	"net"
	"testing"
	"time"
)

// Subscription receives what is published, as it is on the wire. It is for the goroutine of
// the test.
type Subscription struct {
	t testing.TB
	r *bufio.Reader
}

// Subscribe subscribes to patterns until the test ends.
func (s *Server) Subscribe(patterns ...string) *Subscription {
	s.t.Helper()
	conn, err := net.DialTimeout("tcp", s.Address(), 10*time.Second)
	if err != nil {
		s.t.Fatalf("connecting to redis: %v", err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	if err := writeCommand(conn, append([]string{"PSUBSCRIBE"}, patterns...)); err != nil {
		s.t.Fatalf("subscribing: %v", err)
	}
	sub := &Subscription{t: s.t, r: bufio.NewReader(conn)}
	for range patterns {
		sub.read()
	}
	return sub
}

func (s *Subscription) read() []any {
	s.t.Helper()
	reply, err := parseReply(s.r)
	parts, ok := reply.([]any)
	if err != nil || !ok {
		s.t.Fatalf("receiving from redis: %v, %v; want a list", reply, err)
	}
	return parts
}

// Next waits for a message and returns it behind its channel.
func (s *Subscription) Next() (channel, message string) {
	s.t.Helper()
	parts := s.read()
	if len(parts) != 4 || parts[0] != "pmessage" {
		s.t.Fatalf("received %q; want a message", parts)
	}
	return parts[2].(string), parts[3].(string)
}

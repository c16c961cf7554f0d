package grpcstream

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// silentStreams counts, for each HTTP/2 connection, the streams that have not sent a message
// yet. gRPC keeps up to a window of each stream until a whole message has arrived (64 KiB or
// more), so that a client which sends none could make the server hold a window for each of
// the streams that HTTP/2 allows it. Streams that have sent a message are bounded by the
// limits of connections.
type silentStreams struct {
	limit int // static

	mu    sync.Mutex
	count map[string]int // by remote address; without entries of zero
}

// add counts a stream. The status of its error is the answer if there are too many.
func (s *silentStreams) add(address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[address] >= s.limit {
		return status.Errorf(codes.ResourceExhausted, "%d streams of this connection have not sent a message yet", s.limit)
	}
	s.count[address]++
	return nil
}

// remove undoes an add that returned nil.
func (s *silentStreams) remove(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[address]--; s.count[address] == 0 {
		delete(s.count, address)
	}
}

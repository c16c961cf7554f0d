package eventloop

import (
	"context"
	"sync"
	"sync/atomic"
)

// Group is the connections of one transport: a Loop that starts with the first of them,
// and their number. It is safe for concurrent use.
type Group struct {
	// Static after construction.
	config Config

	live    atomic.Int64  // connections between Begin and End
	drained chan struct{} // one token when live falls to zero

	// Guarded by mu.
	mu     sync.Mutex
	loop   *Loop // nil before the first connection
	closed bool
}

// NewGroup returns a Group whose Loop has the given configuration.
func NewGroup(config Config) *Group {
	return &Group{config: config, drained: make(chan struct{}, 1)}
}

// Loop returns the loop and starts it if it is not running. After Close it returns
// ErrClosed.
func (g *Group) Loop() (*Loop, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, ErrClosed
	}
	if g.loop != nil {
		return g.loop, nil
	}
	loop, err := New(g.config)
	if err == nil {
		g.loop = loop
	}
	return loop, err
}

// Begin counts a connection. End must follow once.
func (g *Group) Begin() { g.live.Add(1) }

// End counts the end of a connection.
func (g *Group) End() {
	if g.live.Add(-1) > 0 {
		return
	}
	select {
	case g.drained <- struct{}{}:
	default: // there is a token
	}
}

// Drain waits until every connection has ended. It returns the error of ctx if that is
// done first.
func (g *Group) Drain(ctx context.Context) error {
	for g.live.Load() > 0 {
		select {
		case <-g.drained:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close closes the connections of the loop and ends its goroutines.
func (g *Group) Close() {
	g.mu.Lock()
	loop := g.loop
	g.closed = true
	g.mu.Unlock()
	if loop != nil {
		loop.Close()
	}
}

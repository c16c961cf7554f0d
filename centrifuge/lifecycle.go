package centrifuge

import (
	"sync"
	"sync/atomic"
)

// lifecycle tells whether a node runs.
type lifecycle struct {
	// built is set when Run has succeeded, and stays set: what ends a connection needs
	// the engine after Shutdown too.
	built atomic.Bool

	// Guarded by mu, which is held during Handle, the beginning and the end of Run, and
	// the beginning of Shutdown.
	mu       sync.Mutex
	starting chan struct{} // made by the first Run, which closes it at its end
	stopped  chan struct{} // made by the first Shutdown, which closes it at its end
}

// begin notes that Run has begun, unless it was called before or the node is closing.
func (l *lifecycle) begin(starting chan struct{}, closing *atomic.Bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case closing.Load():
		return ErrShutdown
	case l.starting != nil:
		return ErrStarted
	}
	l.starting = starting
	return nil
}

// end makes the node run. It reports false if Shutdown was called meanwhile.
func (l *lifecycle) end(closing *atomic.Bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if closing.Load() {
		return false
	}
	l.built.Store(true)
	return true
}

// started returns ErrNotRunning or ErrShutdown for a node whose Run was not called or has
// failed.
func (n *Node) started() error {
	switch {
	case n.life.built.Load():
		return nil
	case n.closing.Load():
		return ErrShutdown
	}
	return ErrNotRunning
}

// running returns nil between Run and Shutdown, otherwise ErrNotRunning or ErrShutdown.
func (n *Node) running() error {
	if n.closing.Load() {
		return ErrShutdown
	}
	return n.started()
}

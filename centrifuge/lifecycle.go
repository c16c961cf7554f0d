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

	// Guarded by mu, which is held during Handle, Run and the beginning of Shutdown.
	mu      sync.Mutex
	stopped chan struct{} // made by the first Shutdown, which closes it at its end
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

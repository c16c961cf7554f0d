package app

import (
	"context"
	"net/http"
	"sync"
)

// transports lists the transports of the server. A transport is one file, with a
// function that returns nil when the configuration disables it, and one line here:
// mounting, counting, the list of endpoints, the warnings about exposure and the
// shutdown follow.
var transports = []struct {
	name string // in metrics
	make func(*App) *transport
}{
	{"websocket", (*App).newWebSocket},
}

// transport is an enabled transport.
type transport struct {
	path    string // of its endpoint
	handler http.Handler
	// drain waits until the connections that the node has closed are closed by
	// their peers too, or until the context ends.
	drain func(context.Context) error
	// close ends all connections at once.
	close func()
}

// transportNames returns the names of all transports, enabled or not.
func transportNames() []string {
	names := make([]string, len(transports))
	for i, t := range transports {
		names[i] = t.name
	}
	return names
}

// newTransports makes the transports that are enabled. They need the node.
func (a *App) newTransports() {
	for _, t := range transports {
		if enabled := t.make(a); enabled != nil {
			a.transports = append(a.transports, enabled)
		}
	}
}

// drainTransports gives the peers of all transports time to close their side, then
// closes what is left. A peer that does not answer is not an error.
func (a *App) drainTransports(ctx context.Context) {
	var draining sync.WaitGroup
	for _, t := range a.transports {
		draining.Go(func() {
			_ = t.drain(ctx)
			t.close()
		})
	}
	draining.Wait()
}

func (a *App) closeTransports() {
	for _, t := range a.transports {
		t.close()
	}
}

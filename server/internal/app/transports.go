package app

import (
	"context"
	"net/http"
	"slices"
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
	{"http_stream", (*App).newHTTPStream},
	{"sse", (*App).newSSE},
	{"webtransport", (*App).newWebTransport},
	{"uni_websocket", (*App).newUniWebSocket},
	{"uni_http_stream", (*App).newUniHTTPStream},
	{"uni_sse", (*App).newUniSSE},
}

// transport is an enabled transport.
type transport struct {
	name    string // in metrics
	path    string // of its endpoint
	handler http.Handler
	// drain waits until the connections that the node has closed are closed by
	// their peers too, or until the context ends.
	drain func(context.Context) error
	// close ends all connections at once.
	close func()
	// config is that of the transport, for tests.
	config any
	// emulation is set if clients send their commands by the endpoint of emulation.
	emulation bool
}

// transportNames returns the names of all transports, enabled or not.
func transportNames() []string {
	names := make([]string, 0, len(transports)+len(grpcTransports))
	for _, t := range transports {
		names = append(names, t.name)
	}
	for _, t := range grpcTransports {
		names = append(names, t.section)
	}
	return names
}

// newTransports makes the transports that are enabled. They need the node.
func (a *App) newTransports() {
	for _, t := range transports {
		if enabled := t.make(a); enabled != nil {
			enabled.name = t.name
			a.transports = append(a.transports, enabled)
		}
	}
	a.adminSocket = a.newAdminSocket()
}

// allTransports returns those of clients and that of the admin interface.
func (a *App) allTransports() []*transport {
	if a.adminSocket == nil {
		return a.transports
	}
	return append(slices.Clone(a.transports), a.adminSocket)
}

// endpoints returns the paths of the transports that are enabled, and that of emulation.
func (a *App) endpoints() map[string]string {
	paths := map[string]string{"emulation": path(a.config.Emulation.HandlerPrefix)}
	for _, t := range a.transports {
		paths[t.name] = t.path
	}
	return paths
}

// drainTransports gives the peers of all transports time to close their side, then
// closes what is left. A peer that does not answer is not an error.
func (a *App) drainTransports(ctx context.Context) {
	var draining sync.WaitGroup
	for _, t := range a.allTransports() {
		draining.Go(func() {
			_ = t.drain(ctx)
			t.close()
		})
	}
	draining.Wait()
}

func (a *App) closeTransports() {
	for _, t := range a.allTransports() {
		t.close()
	}
}

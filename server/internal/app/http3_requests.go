package app

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// maxQUICHeaderBytes bounds the header of a request over HTTP/3. Its buffer is allocated when
// the length arrives, for each stream of a connection.
const maxQUICHeaderBytes = 64 << 10

// requestWatch closes a QUIC connection over which no request runs for some time. HTTP/3 has
// no limit of its own for the header of a request: a stream whose header does not arrive would
// keep its connection without a limit. While another request runs such a stream is left alone; what it
// holds is bounded by the number of streams.
type requestWatch struct {
	// Static after construction.
	conn  *quic.Conn
	timer *time.Timer
	idle  time.Duration // after the last request

	// Guarded by mu.
	mu      sync.Mutex
	running int
}

// watchKey is the key of a connection's requestWatch in the contexts of its requests.
type watchKey struct{}

// watchRequests begins to watch a connection, whose first request must arrive within the time
// for a header.
func watchRequests(conn *quic.Conn, t timeouts) *requestWatch {
	w := &requestWatch{conn: conn, idle: t.idle + t.readHeader}
	w.timer = time.AfterFunc(t.readHeader, func() { closeQUIC(conn) })
	context.AfterFunc(conn.Context(), func() { w.timer.Stop() })
	return w
}

// begin notes that a request runs.
func (w *requestWatch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running++
	w.timer.Stop()
}

// end notes that a request has ended.
func (w *requestWatch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running--; w.running == 0 && w.conn.Context().Err() == nil {
		w.timer.Reset(w.idle)
	}
}

// watched reports the requests of a handler to the watches of their connections.
func watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if watch, ok := r.Context().Value(watchKey{}).(*requestWatch); ok {
			watch.begin()
			defer watch.end()
		}
		next.ServeHTTP(w, r)
	})
}

// requestCount counts requests that run.
type requestCount struct {
	// Guarded by mu.
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n falls to zero; nil unless wait runs
}

func (c *requestCount) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.add(1)
		defer c.add(-1)
		next.ServeHTTP(w, r)
	})
}

func (c *requestCount) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n += n; c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// wait returns when no request runs, or with the error of ctx. There is one caller.
func (c *requestCount) wait(ctx context.Context) error {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return nil
	}
	idle := make(chan struct{})
	c.idle = idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller says what took too long
	}
}

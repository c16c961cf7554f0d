package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"strconv"
	"sync"
	"time"
)

// backendService is the name of a Backend in net/rpc.
const backendService = "Backend"

// BackendOrder says what a backend does.
type BackendOrder struct {
	Address  string        // that it listens at
	Time     time.Duration // that a call takes
	Parallel int           // calls that it works on at the same time; others wait
	Outage   time.Duration // from the first call on, for which it answers with status 503
}

// BackendCounts is what a backend has counted since it began to listen.
type BackendCounts struct {
	Calls       uint64 // that have come
	Answered    uint64
	Unavailable uint64 // answered with status 503
	Abandoned   uint64 // whose caller went away before the answer: it has timed out
	MaxInFlight int    // calls that were there at the same time at most, those that wait included
}

// Backend is a backend of an application that admits every client to every channel: it answers the calls of
// a connect proxy. Its exported methods are called over net/rpc.
type Backend struct {
	mu       sync.Mutex
	server   *http.Server  // Guarded by mu.
	counts   BackendCounts // Guarded by mu.
	inFlight int           // Guarded by mu.
	back     time.Time     // when the outage ends. Guarded by mu.

	// Static after Listen.
	order  BackendOrder
	places chan struct{} // one value for each call that is worked on
	ended  chan struct{} // closed when the server has ended
}

// Listen begins to answer calls. It may be called once.
func (b *Backend) Listen(o BackendOrder, _ *Nothing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server != nil {
		return errors.New("the backend listens already")
	}
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	b.order, b.places, b.ended = o, make(chan struct{}, o.Parallel), make(chan struct{})
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: apiTimeout}
	go func() {
		defer close(b.ended)
		_ = b.server.Serve(listener) // ends with close
	}()
	return nil
}

// Counts returns what was counted until now.
func (b *Backend) Counts(_ Nothing, c *BackendCounts) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	*c = b.counts
	return nil
}

// ServeHTTP answers one call.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Channels []string `json:"channels"`
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxCall)) // once it is read, net/http notices when the caller goes away
	_ = json.Unmarshal(body, &asked)                       // without channels nothing but the connection is granted
	number, unavailable := b.arrived()
	switch {
	case unavailable:
		w.WriteHeader(http.StatusServiceUnavailable)
		b.left(&b.counts.Unavailable)
	case b.work(r.Context()) && admit(w, number, asked.Channels):
		b.left(&b.counts.Answered)
	default:
		b.left(&b.counts.Abandoned)
	}
}

// maxCall bounds the body of a call, in bytes.
const maxCall = 1 << 20

// admit writes the answer that admits a client, with the channels that it asks for. It reports
// false when the caller has gone away.
func admit(w http.ResponseWriter, number uint64, channels []string) bool {
	type result struct {
		User     string   `json:"user"`
		Channels []string `json:"channels,omitempty"`
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]result{"result": {"bench-" + strconv.FormatUint(number, 10), channels}}) == nil
}

// arrived counts a call and returns its number; unavailable is true during the outage.
func (b *Backend) arrived() (number uint64, unavailable bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.Calls++
	b.inFlight++
	b.counts.MaxInFlight = max(b.counts.MaxInFlight, b.inFlight)
	if b.counts.Calls == 1 {
		b.back = time.Now().Add(b.order.Outage)
	}
	return b.counts.Calls, time.Now().Before(b.back)
}

// left counts the end of a call, by its outcome.
func (b *Backend) left(outcome *uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	*outcome++
}

// work waits for a place and takes the time of a call. It reports false when the caller has
// gone away.
func (b *Backend) work(ctx context.Context) bool {
	select {
	case b.places <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-b.places }()
	return pause(ctx, b.order.Time)
}

// close ends the backend and waits for it.
func (b *Backend) close() {
	b.mu.Lock()
	server := b.server
	b.mu.Unlock()
	if server != nil {
		_ = server.Close() // the calls in flight are lost
		<-b.ended
	}
}

// backend is a process with a Backend, seen from the controller.
type backend struct {
	client *rpc.Client
	wait   func() // for the end of the process
}

// newBackend starts a process that listens as the options say.
func newBackend(ctx context.Context, o Options) (*backend, error) {
	client, wait, err := startProcess(o.WorkerCommand)
	if err != nil {
		return nil, err
	}
	b := &backend{client, wait}
	order := BackendOrder{Address: o.Backend, Time: o.BackendTime, Parallel: o.BackendParallel, Outage: o.BackendOutage}
	if err := callService(ctx, client, backendService, "Listen", order, new(Nothing)); err != nil {
		b.close()
		return nil, fmt.Errorf("starting the backend: %w", err)
	}
	return b, nil
}

func (b *backend) counts(ctx context.Context) (c BackendCounts, err error) {
	err = callService(ctx, b.client, backendService, "Counts", Nothing(0), &c)
	return c, err
}

func (b *backend) close() {
	_ = b.client.Close()
	b.wait()
}

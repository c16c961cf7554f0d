package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"sync"
	"time"
)

// Share is what one worker does of a run.
type Share struct {
	Options     Options
	Run         uint32
	First       int // number of its first client
	Clients     int
	Index       int // of the worker
	Workers     int
	SampleEvery int // every n-th delivery goes into the latencies
}

// ConnectRequest tells a worker to connect its clients.
type ConnectRequest struct {
	Window int     // clients at a time
	Rate   float64 // a second; 0 means no limit
}

// PublishRequest tells a worker to publish.
type PublishRequest struct {
	Way      string // into the API
	Start    int64  // when, Unix nanoseconds
	Duration time.Duration
	Count    int // publications of the whole run; 0 means as many as the duration allows
}

// Nothing is the argument or result of calls without one; net/rpc requires a type.
type Nothing int

// Worker does a share of a run. Its methods are called over net/rpc, from one
// controller.
type Worker struct {
	mu         sync.Mutex
	share      Share        // Guarded by mu.
	fleet      *fleet       // Guarded by mu.
	publishers []*publisher // Guarded by mu.
}

var errNotBegun = errors.New("the worker has no share yet")

// Begin gives the worker its share. It may be called once.
func (w *Worker) Begin(share Share, _ *Nothing) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fleet != nil {
		return errors.New("the worker has a share already")
	}
	if share.Clients < 1 || share.First < 0 || share.Workers < 1 || share.Index < 0 || share.Index >= share.Workers {
		return errors.New("malformed share")
	}
	if err := share.Options.Validate(); err != nil {
		return err
	}
	f, err := newFleet(&share)
	if err != nil {
		return err
	}
	publishers, err := newPublishers(f, share.Index, share.Workers)
	if err == nil {
		err = checkFiles(share.Clients + len(publishers))
	}
	if err != nil {
		f.shut()
		return err
	}
	w.share, w.fleet, w.publishers = share, f, publishers
	return nil
}

func (w *Worker) begun() (*fleet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fleet == nil {
		return nil, errNotBegun
	}
	return w.fleet, nil
}

// Connect connects every client that is not, and returns when each is connected or has failed.
func (w *Worker) Connect(o ConnectRequest, _ *Nothing) error {
	f, err := w.begun()
	if err != nil {
		return err
	}
	return f.connect(f.stop, o.Window, o.Rate)
}

// Publish publishes, and returns when all publications were answered.
func (w *Worker) Publish(o PublishRequest, _ *Nothing) error {
	f, err := w.begun()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(f.stop, time.Unix(0, o.Start).Add(o.Duration))
	defer cancel()
	if !pause(ctx, time.Until(time.Unix(0, o.Start))) {
		return nil
	}
	var wg sync.WaitGroup
	for _, p := range w.publishers {
		count := 0
		if o.Count > 0 { // publisher i of n makes every n-th
			count = (o.Count - p.index + p.group.size - 1) / p.group.size
			if count <= 0 {
				continue
			}
		}
		wg.Go(func() { p.run(ctx, o.Way, o.Start, count) })
	}
	if f.plan.scenario.echo {
		share := float64(w.share.Clients) / float64(w.share.Options.Clients)
		wg.Go(func() { f.echo(ctx, o.Start, f.plan.echoRate*share) })
	}
	wg.Go(func() { f.churn(ctx) })
	wg.Wait()
	return nil
}

// Drop cuts all connections.
func (w *Worker) Drop(Nothing, *Nothing) error {
	f, err := w.begun()
	if err == nil {
		f.drop()
	}
	return err
}

// Snapshot returns what was counted until now.
func (w *Worker) Snapshot(_ Nothing, s *Snapshot) error {
	f, err := w.begun()
	if err != nil {
		return err
	}
	*s = f.snapshot()
	s.CPU = ownCPU()
	return nil
}

// shut ends the worker's clients.
func (w *Worker) shut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fleet != nil {
		w.fleet.shut()
	}
}

// service is the name of a worker in net/rpc.
const service = "Worker"

// serve answers the controller until the connection ends.
func serve(conn io.ReadWriteCloser, w *Worker) error {
	server := rpc.NewServer()
	b := new(Backend)
	if err := errors.Join(server.RegisterName(service, w), server.RegisterName(backendService, b)); err != nil {
		return fmt.Errorf("registering worker: %w", err)
	}
	server.ServeConn(watched{conn, w})
	w.shut()
	b.close()
	return nil
}

// watched is a connection whose end ends what the worker is doing: ServeConn
// itself waits until every call has returned.
type watched struct {
	io.ReadWriteCloser
	worker *Worker
}

func (c watched) Read(b []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(b)
	if err != nil {
		if f, err := c.worker.begun(); err == nil {
			f.cancel()
		}
	}
	return n, err //nolint:wrapcheck // an io.Reader gives io.EOF as it is
}

// pipes is a connection of two of them.
type pipes struct {
	io.Reader
	io.WriteCloser
}

// ServeWorker is the whole work of a worker process: it does what the controller
// says over r and w until r ends. The backend of a run is such a process too. CPU times in its snapshots are those of the process.
func ServeWorker(r io.Reader, w io.WriteCloser) error {
	return serve(pipes{r, w}, new(Worker))
}

package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"sync"
	"time"
)

// crew is the workers of a run. Its methods are safe for concurrent use.
type crew struct {
	options Options
	members []*rpc.Client
	cleanup []func() // of each member, after its client is closed
}

// newCrew starts the workers: one in this process, or processes.
func newCrew(ctx context.Context, o Options, runID uint32) (*crew, error) {
	c := &crew{options: o}
	for i := range o.Workers {
		var err error
		if o.Workers == 1 {
			c.inProcess()
		} else {
			err = c.process()
		}
		if err != nil {
			c.close()
			return nil, err
		}
		first, end := i*o.Clients/o.Workers, (i+1)*o.Clients/o.Workers
		share := Share{Options: o, Run: runID, First: first, Clients: end - first, Index: i, Workers: o.Workers, SampleEvery: sampleEvery(o)}
		share.Options.WorkerCommand = nil
		if err := call(ctx, c.members[i], "Begin", share, new(Nothing)); err != nil {
			c.close()
			return nil, fmt.Errorf("starting worker %d: %w", i+1, err)
		}
	}
	return c, nil
}

// sampleEvery says how many deliveries there are for each latency: all of them
// count while that is cheap. Seven has no factor in common with usual numbers
// of clients, so that not always the same clients are asked.
func sampleEvery(o Options) int {
	if o.Rate > 0 && o.Rate*float64(o.Clients) <= 20_000 {
		return 1
	}
	return 7
}

func (c *crew) inProcess() {
	ours, theirs := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { _ = serve(theirs, new(Worker)) }) // a Worker can be registered
	c.members = append(c.members, rpc.NewClient(ours))
	c.cleanup = append(c.cleanup, wg.Wait)
}

// process starts a worker process.
func (c *crew) process() error {
	client, wait, err := startProcess(c.options.WorkerCommand)
	if err != nil {
		return err
	}
	c.members = append(c.members, client)
	c.cleanup = append(c.cleanup, wait)
	return nil
}

// startProcess starts a process that serves ServeWorker; it ends when its standard input
// does, and so never outlives this one. Wait is to be called after the client is closed.
func startProcess(command []string) (client *rpc.Client, wait func(), err error) {
	if len(command) == 0 {
		return nil, nil, errors.New("several workers need a command that starts one, and so does a backend")
	}
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec // our own binary
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("starting a worker: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("starting a worker: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("starting a worker: %w", err)
	}
	return rpc.NewClient(pipes{out, in}), func() {
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // its last word was said by rpc
	}, nil
}

// call calls a method of a worker and waits for the answer or the end of ctx.
func call(ctx context.Context, member *rpc.Client, method string, args, reply any) error {
	return callService(ctx, member, service, method, args, reply)
}

func callService(ctx context.Context, member *rpc.Client, service, method string, args, reply any) error {
	pending := member.Go(service+"."+method, args, reply, make(chan *rpc.Call, 1))
	select {
	case <-pending.Done:
		return pending.Error
	case <-ctx.Done():
		return ctx.Err()
	}
}

// each calls a method of every worker at the same time.
func (c *crew) each(ctx context.Context, method string, args any) error {
	errs := make([]error, len(c.members))
	var wg sync.WaitGroup
	for i, m := range c.members {
		wg.Go(func() { errs[i] = call(ctx, m, method, args, new(Nothing)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *crew) connect(ctx context.Context, rate float64) error {
	n := len(c.members)
	return c.each(ctx, "Connect", ConnectRequest{Window: (c.options.Concurrency + n - 1) / n, Rate: rate / float64(n)})
}

func (c *crew) publish(ctx context.Context, way string, d time.Duration, count int) error {
	const head = 50 * time.Millisecond // for the order to reach every worker
	return c.each(ctx, "Publish", PublishRequest{Way: way, Start: time.Now().Add(head).UnixNano(), Duration: d, Count: count})
}

func (c *crew) drop(ctx context.Context) error { return c.each(ctx, "Drop", Nothing(0)) }

// snapshot adds up what the workers have counted.
func (c *crew) snapshot(ctx context.Context) (Snapshot, error) {
	parts := make([]Snapshot, len(c.members))
	errs := make([]error, len(c.members))
	var wg sync.WaitGroup
	for i, m := range c.members {
		wg.Go(func() { errs[i] = call(ctx, m, "Snapshot", Nothing(0), &parts[i]) })
	}
	wg.Wait()
	var total Snapshot
	if err := errors.Join(errs...); err != nil {
		return total, err // an answer without a reader may still be written
	}
	for i := range parts {
		total.add(&parts[i])
	}
	return total, nil
}

// close ends all workers.
func (c *crew) close() {
	for _, m := range c.members {
		_ = m.Close()
	}
	for _, wait := range c.cleanup {
		wait()
	}
}

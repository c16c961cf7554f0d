package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"centrifugo/internal/logsample"
	"centrifugo/server/internal/api"
)

// Source reads messages of one type of queue or stream. The methods are called by one
// goroutine.
type Source interface {
	// Format says how messages are decoded.
	Format() Format
	// Attempts bounds how often Process calls a method. Zero means any number: Process
	// then keeps the message, and so the order. A source that would deliver other messages
	// meanwhile has a bound.
	Attempts() int
	// Run reads messages and calls p.Process for each until ctx is done. It acknowledges a
	// message after Process has returned nil, and finishes the messages in work before it
	// returns. An error before ctx is done makes the consumer call Run again after a pause.
	Run(ctx context.Context, p *Processor) error
}

// Options of a consumer.
type Options struct {
	// Name is unique among the consumers. It is the label of metrics.
	Name string
	// Source is read.
	Source Source
	// API executes methods whose payloads are JSON, Binary those whose payloads are bytes.
	API, Binary *api.API
	// Received returns ctx with the trace context that the attributes of a message carry, once
	// for each message. It is called by any goroutine and may be nil.
	Received func(ctx context.Context, attributes []Attribute) context.Context
	// Log receives errors and refused messages; nil means slog.Default.
	Log *slog.Logger
}

// Consumer reads one source.
type Consumer struct {
	// Static after construction.
	name      string
	source    Source
	processor *Processor
}

// New returns a consumer. It makes no connections.
func New(o Options) *Consumer {
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	return &Consumer{name: o.Name, source: o.Source, processor: &Processor{
		api: o.API, binary: o.Binary, received: o.Received, format: o.Source.Format(), attempts: o.Source.Attempts(), stats: new(Stats),
		log: log.With("consumer", o.Name), sampler: logsample.New(logLines, logInterval),
	}}
}

// Name returns the name of the consumer.
func (c *Consumer) Name() string { return c.name }

// Stats returns the counters of the consumer.
func (c *Consumer) Stats() *Stats { return c.processor.stats }

// Run reads the source until ctx is done and the messages in work are finished.
func (c *Consumer) Run(ctx context.Context) {
	c.processor.log.Info("consumer started")
	c.processor.Restart(ctx, "consumer failed", func(ctx context.Context) error { return c.source.Run(ctx, c.processor) })
	c.processor.log.Info("consumer stopped")
}

// Restart calls run again after each error, with growing pauses, until ctx is done. The
// pauses are short again if messages were processed meanwhile. A panic of run is an error.
// The text what is the message of the log.
func (p *Processor) Restart(ctx context.Context, what string, run func(ctx context.Context) error) {
	for failures := 0; ctx.Err() == nil; {
		before := p.stats.Processed.Load()
		err := p.Guard(ctx, run)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) {
				p.log.Warn("consumer did not stop cleanly, messages may be delivered again", "error", err)
			}
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		if p.stats.Processed.Load() != before {
			failures = 0
		}
		failures++
		delay := pause(failures)
		p.stats.Errors.Add(1)
		p.log.Error(what, "error", err, "retry_in", delay.String())
		if sleep(ctx, delay) != nil {
			return
		}
	}
}

// Guard calls run. A panic is logged and is an error.
func (p *Processor) Guard(ctx context.Context, run func(ctx context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			p.log.Error("panic", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return run(ctx)
}

// Together runs functions at the same time and returns when all have returned. The first
// error ends the context of the others and is returned. A panic is an error.
func (p *Processor) Together(ctx context.Context, functions ...func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, f := range functions {
		all.Go(func() {
			if err := p.Guard(ctx, f); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx) //nolint:wrapcheck // of a function
}

// stopTime is how long a source may take to finish after it was told to stop.
const stopTime = 5 * time.Second

// Finishing returns a context for the calls that finish the messages in work, such as
// acknowledgements: it ends stopTime after ctx. The caller must call the function that is returned.
func Finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	finishing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(stopTime)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-finishing.Done():
		}
	})
	return finishing, func() {
		stop()
		cancel()
	}
}

// While calls work, and meanwhile keep as Every does, also after ctx is done: until work has
// returned, and the last call of keep with it.
func (p *Processor) While(ctx context.Context, interval time.Duration, what string, keep func(ctx context.Context) error, work func() error) error {
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer stop()
	keeper.Go(func() { p.Every(keeping, interval, what, keep) })
	return work()
}

// Every calls f in each interval until ctx is done. Errors are logged, not returned: it is
// for what the processing does not depend on.
func (p *Processor) Every(ctx context.Context, interval time.Duration, what string, f func(ctx context.Context) error) {
	for sleep(ctx, interval) == nil {
		limited, cancel := context.WithTimeout(ctx, interval)
		if err := f(limited); err != nil && ctx.Err() == nil {
			p.sampled(slog.LevelWarn, what, "error", err)
		}
		cancel()
	}
}

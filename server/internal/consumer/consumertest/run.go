package consumertest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
)

// New returns a consumer of a source that calls a node. Channels have no namespace.
func New(source consumer.Source, node api.Node, log io.Writer) (*consumer.Consumer, error) {
	rules, err := channels.New(config.Channel{
		PrivatePrefix: "$", NamespaceBoundary: ":", UserBoundary: "#", UserSeparator: ",",
	}, channels.Settings{})
	if err != nil {
		return nil, fmt.Errorf("making rules of channels: %w", err)
	}
	o := api.Options{
		Protocol: "consuming", Node: node, Rules: func() *channels.Rules { return rules }, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	asJSON := api.New(o)
	o.Binary = true
	return consumer.New(consumer.Options{Name: "test", Source: source, API: asJSON, Binary: api.New(o), Log: o.Log}), nil
}

// Running is a consumer that runs inside a test.
type Running struct {
	*consumer.Consumer
	// Log is what the consumer has logged.
	Log *await.Output

	cancel context.CancelFunc
	done   chan struct{} // closed when the consumer has returned
}

// Start runs a consumer until the test ends or Stop is called.
func Start(t testing.TB, source consumer.Source, node api.Node) *Running {
	t.Helper()
	log := new(await.Output)
	c, err := New(source, node, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Running{Consumer: c, Log: log, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		c.Run(ctx)
	}()
	t.Cleanup(r.Stop)
	return r
}

// Interrupt tells the consumer to stop and does not wait for it.
func (r *Running) Interrupt() { r.cancel() }

// Stop stops the consumer and waits for it.
func (r *Running) Stop() {
	r.Interrupt()
	<-r.done
}

// Processed waits until a number of messages were processed.
func (r *Running) Processed(t testing.TB, messages uint64) {
	t.Helper()
	if !await.Reached(func() bool { return r.Stats().Processed.Load() >= messages }) {
		t.Fatalf("processed %d messages; want %d\n%s", r.Stats().Processed.Load(), messages, r.Log)
	}
}

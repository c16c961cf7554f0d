package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// nodeCalls are the methods of a Node that return an error.
var nodeCalls = map[string]func(ctx context.Context, n *centrifuge.Node) error{
	"Accept": func(ctx context.Context, n *centrifuge.Node) error {
		_, err := n.Accept(ctx, batchTransport{})
		return err
	},
	"Publish": func(ctx context.Context, n *centrifuge.Node) error {
		_, err := n.Publish(ctx, "a", []byte(`1`), centrifuge.PublishOptions{})
		return err
	},
	"History": func(ctx context.Context, n *centrifuge.Node) error {
		_, err := n.History(ctx, "a", centrifuge.HistoryOptions{})
		return err
	},
	"RemoveHistory": func(ctx context.Context, n *centrifuge.Node) error { return n.RemoveHistory(ctx, "a") },
	"Presence": func(ctx context.Context, n *centrifuge.Node) error {
		_, err := n.Presence(ctx, "a")
		return err
	},
	"PresenceStats": func(ctx context.Context, n *centrifuge.Node) error {
		_, err := n.PresenceStats(ctx, "a")
		return err
	},
	"Subscribe": func(ctx context.Context, n *centrifuge.Node) error {
		return n.Subscribe(ctx, centrifuge.Target{User: "u"}, "a", centrifuge.SubscribeOptions{})
	},
	"Unsubscribe": func(ctx context.Context, n *centrifuge.Node) error {
		return n.Unsubscribe(ctx, centrifuge.Target{User: "u"}, "a", centrifuge.UnsubscribeServer)
	},
	"Disconnect": func(ctx context.Context, n *centrifuge.Node) error {
		return n.Disconnect(ctx, centrifuge.Target{User: "u"}, centrifuge.DisconnectForceReconnect)
	},
	"Refresh": func(ctx context.Context, n *centrifuge.Node) error {
		return n.Refresh(ctx, centrifuge.Target{User: "u"}, centrifuge.RefreshOptions{})
	},
	"Channels": func(ctx context.Context, n *centrifuge.Node) error {
		_, err := n.Channels(ctx, "")
		return err
	},
	"Info": func(ctx context.Context, n *centrifuge.Node) error {
		_, err := n.Info(ctx)
		return err
	},
}

// afterShutdown still answer when the node is shut down.
var afterShutdown = map[string]bool{
	"History": true, "RemoveHistory": true, "Presence": true, "PresenceStats": true, "Channels": true, "Info": true,
}

// TestCallsBeforeRun: every method of a node that does not run yet returns
// ErrNotRunning or a zero; none panics.
func TestCallsBeforeRun(t *testing.T) {
	node, err := centrifuge.New(centrifuge.Config{})
	must(t, err)
	for name, call := range nodeCalls {
		if err := call(t.Context(), node); !errors.Is(err, centrifuge.ErrNotRunning) {
			t.Errorf("%s before Run = %v; want %v", name, err, centrifuge.ErrNotRunning)
		}
	}
	if stats := node.Stats(); stats.Clients+stats.Channels+stats.Subscriptions != 0 {
		t.Errorf("Stats before Run = %+v; want zeros", stats)
	}
	if n, m := node.NumSubscribers("a"), node.NumClients(); n != 0 || m != 0 {
		t.Errorf("NumSubscribers, NumClients before Run = %d, %d; want 0, 0", n, m)
	}
	node.SetLogLevel(centrifuge.LogNone)
	node.SetMetrics(&centrifuge.NodeMetrics{})
	node.CountTransports("x")
	if node.ID() == "" || node.ShuttingDown() {
		t.Errorf("ID, ShuttingDown before Run = %q, %v; want an id, false", node.ID(), node.ShuttingDown())
	}
}

// TestCallsDuringRun: every method may be called by another goroutine while the node starts.
func TestCallsDuringRun(t *testing.T) {
	calls := maps.Clone(nodeCalls)
	calls["others"] = func(_ context.Context, n *centrifuge.Node) error {
		n.Stats()
		n.NumSubscribers("a")
		n.NumClients()
		n.ShuttingDown()
		n.SetLogLevel(centrifuge.LogNone)
		n.SetMetrics(&centrifuge.NodeMetrics{})
		n.CountTransports("x")
		for range n.Connections() {
		}
		for range n.UserConnections("u") {
		}
		return nil
	}
	for range 20 {
		node, err := centrifuge.New(centrifuge.Config{
			WriteDelay: time.Millisecond, LogLevel: centrifuge.LogNone,
			ChannelBatch: func(string) centrifuge.BatchOptions { return centrifuge.BatchOptions{} },
		})
		must(t, err)
		var called, tasks sync.WaitGroup
		var running atomic.Bool
		for name, call := range calls {
			if name == "Accept" { // its connection would have to be ended
				continue
			}
			called.Add(1)
			tasks.Go(func() {
				_ = call(t.Context(), node)
				called.Done()
				for !running.Load() {
					_ = call(t.Context(), node)
				}
			})
		}
		called.Wait()
		must(t, node.Run())
		running.Store(true)
		tasks.Wait()
		must(t, node.Shutdown(t.Context()))
	}
}

// TestCallsAfterShutdown: nothing panics, and what would change something is refused.
func TestCallsAfterShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, runs := range []bool{true, false} {
			node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogNone})
			must(t, err)
			if runs {
				must(t, node.Run())
			}
			must(t, node.Shutdown(t.Context()))
			for name, call := range nodeCalls {
				err := call(t.Context(), node)
				if runs && afterShutdown[name] {
					continue
				}
				if !errors.Is(err, centrifuge.ErrShutdown) {
					t.Errorf("%s after Shutdown (was running: %v) = %v; want %v", name, runs, err, centrifuge.ErrShutdown)
				}
			}
			node.Stats()
			if err := node.Run(); !errors.Is(err, centrifuge.ErrShutdown) {
				t.Errorf("Run after Shutdown = %v; want %v", err, centrifuge.ErrShutdown)
			}
			must(t, node.Shutdown(t.Context()))
		}
	})
}

// TestRunTwice: the second Run and a later Handle change nothing.
func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, err := centrifuge.New(centrifuge.Config{})
		must(t, err)
		must(t, node.Handle(allow(centrifuge.SubscribeOptions{})))
		must(t, node.Run())
		if err := node.Run(); !errors.Is(err, centrifuge.ErrStarted) {
			t.Errorf("second Run = %v; want %v", err, centrifuge.ErrStarted)
		}
		if err := node.Handle(centrifuge.Handlers{}); !errors.Is(err, centrifuge.ErrStarted) {
			t.Errorf("Handle after Run = %v; want %v", err, centrifuge.ErrStarted)
		}
		p := centrifugetest.Connect(t.Context(), t, node, jsonV2, "u")
		p.SendRaw([]byte(`{"id":2,"rpc":{"data":1}}`))
		if reply := p.Read(); reply == nil || reply.RPC == nil {
			t.Errorf("an RPC got %+v; want the answer of the first handlers", reply)
		}
		must(t, node.Shutdown(t.Context()))
	})
}

// TestShutdownTwice: the second call waits for the first, as long as its context lasts.
func TestShutdownTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := allow(centrifuge.SubscribeOptions{})
		handlers.Disconnected = func(context.Context, centrifuge.DisconnectedEvent) { time.Sleep(time.Minute) }
		node, err := centrifuge.New(centrifuge.Config{})
		must(t, err)
		must(t, node.Handle(handlers))
		must(t, node.Run())
		centrifugetest.Connect(t.Context(), t, node, jsonV2, "u")
		start := time.Now()
		var calls sync.WaitGroup
		calls.Go(func() { must(t, node.Shutdown(context.Background())) })
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := node.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("second Shutdown = %v; want %v", err, context.DeadlineExceeded)
		}
		must(t, node.Shutdown(context.Background()))
		if took := time.Since(start); took != time.Minute {
			t.Errorf("second Shutdown returned after %v; want %v, when the first does", took, time.Minute)
		}
		calls.Wait()
	})
}

// slowTransport takes a minute for each write when slow is set, and notes that it was closed.
type slowTransport struct {
	batchTransport
	slow, closed *atomic.Bool
}

// Write implements centrifuge.Transport.
func (s slowTransport) Write(context.Context, []*protocol.Encoded) (int, error) {
	if s.slow.Load() {
		time.Sleep(time.Minute)
	}
	return 0, nil
}

// Close implements centrifuge.Transport.
func (s slowTransport) Close(uint32, string) { s.closed.Store(true) }

// TestShutdownTellsTransports: Shutdown does not return before Transport.Close was called,
// also where that waits for a write.
func TestShutdownTellsTransports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, err := centrifuge.New(centrifuge.Config{})
		must(t, err)
		must(t, node.Handle(allow(centrifuge.SubscribeOptions{})))
		must(t, node.Run())
		transport := slowTransport{slow: &atomic.Bool{}, closed: &atomic.Bool{}}
		ctx := centrifuge.SetCredentials(t.Context(), &centrifuge.Credentials{UserID: "u"})
		conn, err := node.Accept(ctx, transport)
		must(t, err)
		conn.Receive([]byte(`{"id":1,"connect":{}}`))
		synctest.Wait()
		transport.slow.Store(true)
		go conn.Receive([]byte(`{"id":2,"subscribe":{"channel":"a"}}`))
		time.Sleep(time.Second) // the reply is being written
		must(t, node.Shutdown(t.Context()))
		if !transport.closed.Load() {
			t.Error("Shutdown has returned, and the transport was not closed; want it told before")
		}
	})
}

// TestLifecycleRaces: everything at once, for the race detector.
func TestLifecycleRaces(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogNone, Lanes: 1})
			must(t, err)
			var calls sync.WaitGroup
			for range 2 {
				calls.Go(func() { _ = node.Run() })
				calls.Go(func() { _ = node.Handle(allow(centrifuge.SubscribeOptions{})) })
				calls.Go(func() { _ = node.Shutdown(context.Background()) })
				calls.Go(func() { node.Stats() })
			}
			for _, call := range nodeCalls {
				calls.Go(func() { _ = call(context.Background(), node) })
			}
			calls.Wait()
			must(t, node.Shutdown(t.Context()))
		})
	}
}

// slowStart is a broker whose start takes until release is closed.
type slowStart struct {
	*centrifuge.MemoryBroker
	entered, release chan struct{}
	closed           atomic.Bool
}

// Start implements centrifuge.Broker.
func (b *slowStart) Start(h centrifuge.BrokerHandler) error {
	close(b.entered)
	<-b.release
	return b.MemoryBroker.Start(h)
}

// Close implements centrifuge.Broker.
func (b *slowStart) Close(ctx context.Context) error {
	b.closed.Store(true)
	return b.MemoryBroker.Close(ctx)
}

// TestShutdownWhileEngineStarts: Shutdown waits for a start that hangs as long as its
// context lasts, and what has started at last is stopped.
func TestShutdownWhileEngineStarts(t *testing.T) {
	for _, waits := range []bool{false, true} {
		t.Run(fmt.Sprintf("waits=%v", waits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := &slowStart{
					MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{}),
					entered:      make(chan struct{}), release: make(chan struct{}),
				}
				node, err := centrifuge.New(centrifuge.Config{Broker: broker})
				must(t, err)
				ran := make(chan error, 1)
				go func() { ran <- node.Run() }()
				<-broker.entered
				if err := node.Handle(centrifuge.Handlers{}); !errors.Is(err, centrifuge.ErrStarted) {
					t.Errorf("Handle during Run = %v; want %v", err, centrifuge.ErrStarted)
				}
				if err := node.Run(); !errors.Is(err, centrifuge.ErrStarted) {
					t.Errorf("Run during Run = %v; want %v", err, centrifuge.ErrStarted)
				}
				if _, err := node.Publish(t.Context(), "a", []byte(`1`), centrifuge.PublishOptions{}); !errors.Is(err, centrifuge.ErrNotRunning) {
					t.Errorf("Publish during Run = %v; want %v", err, centrifuge.ErrNotRunning)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				if waits {
					time.AfterFunc(time.Second, func() { close(broker.release) })
				}
				begin := time.Now()
				err = node.Shutdown(ctx)
				switch took := time.Since(begin); {
				case waits && (err != nil || took != time.Second):
					t.Errorf("Shutdown() = %v after %v; want no error after 1s", err, took)
				case !waits && (!errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second):
					t.Errorf("Shutdown() = %v after %v; want the end of its context after 5s", err, took)
				}
				if !waits {
					close(broker.release)
				}
				if err := <-ran; !errors.Is(err, centrifuge.ErrShutdown) {
					t.Errorf("Run = %v; want %v", err, centrifuge.ErrShutdown)
				}
				if !broker.closed.Load() {
					t.Error("the broker was not closed; want it closed")
				}
				if _, err := node.Accept(t.Context(), batchTransport{}); !errors.Is(err, centrifuge.ErrShutdown) {
					t.Errorf("Accept = %v; want %v", err, centrifuge.ErrShutdown)
				}
			})
		})
	}
}

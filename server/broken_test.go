package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/centrifuge/transport/websocket"
	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
	"centrifugo/server/internal/app/apptest"
)

// brokenEngine is an engine with one defect.
type brokenEngine struct {
	centrifuge.HistoryBroker

	// publish is called with the number of a publication, and with what publishes it.
	publish func(ctx context.Context, n int, publish publishFunc) (centrifuge.PublishResult, error)
	// history changes what was read.
	history func(r *centrifuge.HistoryResult)
	// keepsEpoch: all data is told to be of the first epoch.
	keepsEpoch bool

	// Guarded by mu.
	mu    sync.Mutex
	first string // epoch
}

type publishFunc func(ctx context.Context) (centrifuge.PublishResult, error)

// epoch returns the epoch that is told for one that is real.
func (b *brokenEngine) epoch(real string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.keepsEpoch {
		return real
	}
	if b.first == "" {
		b.first = real
	}
	return b.first
}

// Start implements centrifuge.Broker.
func (b *brokenEngine) Start(h centrifuge.BrokerHandler) error {
	return b.HistoryBroker.Start(&brokenHandler{h, b})
}

// Publish implements centrifuge.Broker.
func (b *brokenEngine) Publish(ctx context.Context, channel string, pub *centrifuge.Publication, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	var n int
	if _, err := fmt.Sscanf(string(pub.Data), `{"n":%d}`, &n); err != nil {
		return centrifuge.PublishResult{}, err
	}
	return b.publish(ctx, n, func(ctx context.Context) (centrifuge.PublishResult, error) {
		owned := *pub // by the engine, which may be called twice
		return b.HistoryBroker.Publish(ctx, channel, &owned, opts)
	})
}

// History implements centrifuge.HistoryBroker.
func (b *brokenEngine) History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (centrifuge.HistoryResult, error) {
	if b.keepsEpoch && opts.Since != nil {
		opts.Since = &centrifuge.StreamPosition{Offset: opts.Since.Offset}
	}
	r, err := b.HistoryBroker.History(ctx, channel, opts)
	if err == nil {
		r.Epoch = b.epoch(r.Epoch)
		b.history(&r)
	}
	return r, err
}

type brokenHandler struct {
	centrifuge.BrokerHandler
	engine *brokenEngine
}

// HandlePublication implements centrifuge.BrokerHandler.
func (h *brokenHandler) HandlePublication(channel string, pub *centrifuge.Publication, epoch string, prev []byte) {
	h.BrokerHandler.HandlePublication(channel, pub, h.engine.epoch(epoch), prev)
}

// watchedHistory holds more than the publications of a test.
var watchedHistory = centrifuge.PublishOptions{HistorySize: 1000, HistoryTTL: time.Hour}

// watchedNode is a node of this process with an engine of the test, and clients that watch it.
type watchedNode struct {
	t        *testing.T
	node     *centrifuge.Node
	entry    sync.RWMutex // locked: clients that connect have to wait
	watchers []*watcher
	last     int // number
}

// startWatched starts a node and three clients, which have subscribed when it returns.
func startWatched(t *testing.T, broker centrifuge.Broker, lossy bool) *watchedNode {
	t.Helper()
	w := &watchedNode{t: t}
	node, err := centrifuge.New(centrifuge.Config{Broker: broker, Handlers: centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			w.entry.RLock()
			defer w.entry.RUnlock()
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u"}}, nil
		},
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Recovery: true}}, nil
		},
	}})
	if err == nil {
		err = node.Run()
	}
	if err != nil {
		t.Fatal(err)
	}
	w.node = node
	handler := websocket.NewHandler(node, websocket.Config{})
	mux := http.NewServeMux()
	mux.Handle(apptest.Path, handler)
	server := httptest.NewServer(mux)
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		tasks.Wait()
		if err := node.Shutdown(context.Background()); err != nil {
			t.Errorf("shutting down: %v", err)
		}
		handler.Close()
		server.Close()
	})
	addresses := []string{server.Listener.Addr().String()}
	for range 3 {
		one := &watcher{addresses: func() []string { return addresses }, channel: "x", stop: ctx, judge: judge{lossy: lossy}}
		w.watchers = append(w.watchers, one)
		tasks.Go(one.run)
	}
	w.awaitSubscribers(len(w.watchers))
	return w
}

func (w *watchedNode) awaitSubscribers(n int) {
	w.t.Helper()
	await.Until(w.t, fmt.Sprintf("%d subscribers", n), func() bool { return w.node.NumSubscribers("x") == n })
}

// publish publishes the next n numbers.
func (w *watchedNode) publish(n int) {
	w.t.Helper()
	for range n {
		w.last++
		_, err := w.node.Publish(w.t.Context(), "x", fmt.Appendf(nil, `{"n":%d}`, w.last), watchedHistory)
		if err != nil {
			w.t.Fatalf("publishing %d: %v", w.last, err)
		}
	}
}

// away disconnects all clients, and does something before they may connect again.
func (w *watchedNode) away(do func()) {
	w.t.Helper()
	w.entry.Lock()
	defer w.entry.Unlock()
	if err := w.node.Disconnect(w.t.Context(), centrifuge.Target{User: "u"}, centrifuge.DisconnectForceReconnect); err != nil {
		w.t.Fatal(err)
	}
	w.awaitSubscribers(0)
	do()
}

// kinds returns the kinds of complaints of a watcher, sorted.
func (w *watcher) kinds() (kinds []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.judge.complaints {
		kinds = append(kinds, c.kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// engines returns brokers for one test, and what makes them lose the data of the channel x, which
// has no subscribers then.
var engines = map[string]func(t *testing.T, redis *redistest.Server) (broker centrifuge.HistoryBroker, lose func()){
	"redis": func(t *testing.T, redis *redistest.Server) (centrifuge.HistoryBroker, func()) {
		r, err := redisengine.New(redisengine.Config{
			Prefix: strings.NewReplacer("/", "_", ",", "").Replace(t.Name()), Shards: []redisengine.ShardConfig{{Address: redis.Address()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return redisengine.NewBroker(r, redisengine.BrokerConfig{}), func() { redis.Do("FLUSHALL") }
	},
	"memory": func(t *testing.T, _ *redistest.Server) (centrifuge.HistoryBroker, func()) {
		b := centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{HistoryMaxChannels: 1})
		return b, func() {
			_, err := b.Publish(t.Context(), "other", &centrifuge.Publication{Data: []byte("1")}, watchedHistory)
			if evicted := b.Stats().Evicted; err != nil || evicted != 1 {
				t.Fatalf("%d channels were evicted, %v; want 1", evicted, err)
			}
		}
	},
}

// TestBrokenEngines: real clients of a real node find out what is wrong with an engine. They
// get 20 publications live, miss 30, which they recover, and get 10 more.
func TestBrokenEngines(t *testing.T) {
	redis := redistest.Start(t)
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			testBrokenEngines(t, func(t *testing.T) (centrifuge.HistoryBroker, func()) { return engine(t, redis) })
		})
	}
}

func testBrokenEngines(t *testing.T, start func(t *testing.T) (broker centrifuge.HistoryBroker, lose func())) {
	publish := func(ctx context.Context, _ int, publish publishFunc) (centrifuge.PublishResult, error) {
		return publish(ctx)
	}
	// Every seventh publication is concerned where single ones are.
	const one = 7
	for _, c := range []struct {
		name    string
		loses   bool // all data is lost while the clients are away
		defect  func(b *brokenEngine)
		want    []string // kinds of complaints of each client, sorted
		notTold bool     // although there was a loss
	}{
		{name: "none", defect: func(*brokenEngine) {}},
		{name: "none, and data is lost", loses: true, defect: func(*brokenEngine) {}},
		{name: "loses publications", defect: func(b *brokenEngine) {
			b.publish = func(ctx context.Context, n int, publish publishFunc) (centrifuge.PublishResult, error) {
				if n%one == 0 {
					return centrifuge.PublishResult{}, nil
				}
				return publish(ctx)
			}
		}, want: []string{numberMissing}},
		{name: "publishes twice", defect: func(b *brokenEngine) {
			b.publish = func(ctx context.Context, n int, publish publishFunc) (centrifuge.PublishResult, error) {
				if n%one == 0 {
					if r, err := publish(ctx); err != nil {
						return r, err
					}
				}
				return publish(ctx)
			}
		}, want: []string{numberRepeated}},
		{name: "swaps publications", defect: func(b *brokenEngine) {
			var late publishFunc
			b.publish = func(ctx context.Context, n int, publish publishFunc) (centrifuge.PublishResult, error) {
				if n%one == 0 {
					late = publish
					return centrifuge.PublishResult{}, nil
				}
				r, err := publish(ctx)
				if err == nil && late != nil {
					_, err = late(ctx)
					late = nil
				}
				return r, err
			}
		}, want: []string{numberBack, numberMissing}},
		{name: "keeps the epoch after a loss", loses: true, notTold: true, defect: func(b *brokenEngine) { b.keepsEpoch = true }, want: []string{numberMissing}},
		{name: "omits the middle of the history", defect: func(b *brokenEngine) {
			b.history = func(r *centrifuge.HistoryResult) {
				if n := len(r.Publications); n > 2 {
					r.Publications = slices.Delete(slices.Clone(r.Publications), n/2, n/2+1)
				}
			}
		}, want: []string{numberMissing, offsetMissing}},
		{name: "reads an old state of the stream", defect: func(b *brokenEngine) {
			var mu sync.Mutex
			var old *centrifuge.HistoryResult
			b.history = func(r *centrifuge.HistoryResult) {
				mu.Lock()
				defer mu.Unlock()
				if old == nil {
					copied := *r
					old = &copied
				}
				*r = *old
			}
		}, want: []string{needlessLoss}},
	} {
		t.Run(c.name, func(t *testing.T) {
			broker, lose := start(t)
			engine := &brokenEngine{HistoryBroker: broker, publish: publish, history: func(*centrifuge.HistoryResult) {}}
			c.defect(engine)
			w := startWatched(t, engine, c.loses)
			w.publish(20)
			awaitNumber(t, w.watchers, w.last)
			w.away(func() {
				if c.loses {
					lose()
				}
				w.publish(30)
			})
			w.awaitSubscribers(len(w.watchers))
			w.publish(10)
			for i, one := range w.watchers {
				await.Until(t, "the last publication or the complaints", func() bool {
					return one.reached(w.last) || len(c.want) > 0 && slices.Equal(one.kinds(), c.want)
				})
				if got := one.kinds(); !slices.Equal(got, c.want) {
					t.Errorf("client %d complains about %q; want %q", i, got, c.want)
				}
				one.mu.Lock()
				if told := one.judge.told > 0; c.loses && told == c.notTold {
					t.Errorf("client %d was told of the loss: %v; want %v", i, told, !c.notTold)
				}
				one.mu.Unlock()
			}
		})
	}
}

package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/centrifuge/internal/keylock"
	"centrifugo/centrifuge/internal/wheel"
	"centrifugo/internal/logsample"
	"centrifugo/internal/wildcard"
	"centrifugo/protocol"
)

// wheelTick is how precise deadlines of connections are. The pings of a tick go
// out together, and so do the pongs come in: with 50 ms an idle connection took
// 1.5 µs of CPU a second, with this 1.1.
const wheelTick = 250 * time.Millisecond

// Node is one server: it knows the connections on it, their subscriptions, and
// through its engine those of the other nodes. Its methods are safe for
// concurrent use.
type Node struct {
	// Static after Run.
	id        string
	config    Config
	handlers  Handlers
	logger    logger
	refusals  *logsample.Sampler // of lines that clients can provoke
	broker    Broker
	spans     sync.Map // with Config.Spans, the contexts of publications that the broker has, by *Publication
	software  *softwareTable
	latency   *latencySampler // nil if nothing is measured
	multi     *guardedMulti   // nil if the broker is no MultiSubscriber
	presence  PresenceManager
	hub       *fanout.Hub
	coalescer *fanout.Coalescer // nil if no channel's publications are gathered
	setbacks  setbacks
	outboxes  outboxes
	channels  channelStates
	patterns  wildcard.Trie // that have subscribers on this node
	wheel     *wheel.Wheel
	// immediateBroker and immediatePresence: the engine answers from memory, so that
	// sharing its results or calling it from several goroutines costs more than it saves.
	immediateBroker, immediatePresence bool
	locks                              *keylock.Locks
	registry                           *registry
	cluster                            *cluster
	pings                              [protocol.NumFormats]*protocol.Encoded
	timeline                           timeline
	ctx                                context.Context // cancelled by Shutdown
	cancel                             context.CancelFunc

	accepted atomic.Uint64
	life     lifecycle
	draining atomic.Bool // Shutdown was called: there are no new connections
	closing  atomic.Bool // Shutdown has released the connections, or Run failed
	stats    counters
	ranges   rangeCache
	gaps     gapChecker
	reads    *streamReader // for subscriptions that start
	checks   *streamReader // for the checks of positions, which can do with older results
	metrics  atomic.Pointer[NodeMetrics]
	tracing  atomic.Pointer[tracing] // nil: off
}

// New returns a node that is not running: Run starts it.
func New(c Config) (*Node, error) {
	c = c.withDefaults()
	if c.PongTimeout > 0 && c.PingInterval > 0 && c.PongTimeout >= c.PingInterval {
		return nil, fmt.Errorf("pong timeout (%v) must be less than ping interval (%v)", c.PongTimeout, c.PingInterval)
	}
	n := &Node{
		id: newID(), config: c, handlers: c.Handlers, logger: newLogger(c.LogHandler, c.LogLevel), refusals: newRefusals(),
		locks: keylock.New(), registry: newRegistry(), software: newSoftwareTable(c.SoftwareNames), channels: channelStates{seed: maphash.MakeSeed()},
	}
	n.latency = newLatencySampler(c.LatencySample)
	n.stats.prepare(&n.config, n.logger, len(n.software.names))
	if n.config.Broker == nil {
		n.config.Broker = NewMemoryBroker(MemoryBrokerConfig{HistoryMetaTTL: c.HistoryMetaTTL})
	}
	_, n.immediateBroker = n.config.Broker.(*MemoryBroker)
	n.reads = newStreamReader(readLife)
	n.checks = newStreamReader(min(maxCheckLife, c.PositionCheckDelay/8))
	n.broker = guardBroker(n.config.Broker, n.logger, &n.stats)
	n.multi = guardMulti(n.config.Broker, n.logger, &n.stats)
	if n.config.Name == "" {
		n.config.Name = n.id
	}
	if n.config.MatchChannel == nil {
		n.config.MatchChannel = matchChannel
	}
	var err error
	if n.outboxes, err = newOutboxes(&n.config); err != nil {
		return nil, err
	}
	n.cluster = newCluster(n, c.Controller)
	for f := range n.pings {
		if !protocol.Format(f).V1() { //nolint:gosec // a small index
			frame, err := protocol.Encode(protocol.Format(f), &protocol.Reply{}) //nolint:gosec // a small index
			if err != nil {
				return nil, fmt.Errorf("encoding ping: %w", err)
			}
			n.pings[f] = frame
		}
	}
	return n, nil
}

func matchChannel(pattern string) (func(string) bool, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, err
	}
	return func(channel string) bool { ok, _ := path.Match(pattern, channel); return ok }, nil
}

// Handle replaces Config.Handlers, for handlers that need the node. Once Run was called,
// it changes nothing and returns ErrStarted.
func (n *Node) Handle(h Handlers) error {
	n.life.mu.Lock()
	defer n.life.mu.Unlock()
	if n.life.starting != nil {
		return ErrStarted
	}
	n.handlers = h
	return nil
}

// ID is unique to this run of the node.
func (n *Node) ID() string { return n.id }

// Run starts the node and returns when it accepts connections. It can be called once:
// a second call returns ErrStarted, a call after Shutdown ErrShutdown. If it fails, the
// node is shut down. If Shutdown is called while the engine starts, Run stops what it has
// started when the engine has, and returns ErrShutdown.
func (n *Node) Run() error {
	starting := make(chan struct{})
	if err := n.life.begin(starting, &n.closing); err != nil {
		return err
	}
	defer close(starting)
	n.timeline = newTimeline()
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.hub = fanout.NewHub(n.config.Lanes)
	if n.config.ChannelBatch != nil {
		n.coalescer = fanout.NewCoalescer(n.hub)
	}
	n.outboxes.start(&n.config)
	n.wheel = wheel.New(wheelTick, n.config.Lanes)
	presence := n.config.PresenceManager
	if presence == nil {
		presence = NewMemoryPresence(0)
	}
	_, n.immediatePresence = presence.(*MemoryPresence)
	n.presence = guardedPresence{presence, n.logger, &n.stats, bound{n.immediatePresence}}
	err := n.start()
	if err == nil && n.life.end(&n.closing) {
		return nil
	}
	if err == nil {
		err = ErrShutdown
	}
	n.closing.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	return errors.Join(err, n.halt(ctx))
}

// start starts what calls the node.
func (n *Node) start() error {
	if err := n.broker.Start((*brokerEvents)(n)); err != nil {
		return fmt.Errorf("starting broker: %w", err)
	}
	if err := n.cluster.start(); err != nil {
		return fmt.Errorf("starting controller: %w", err)
	}
	return nil
}

// halt stops everything that Run started.
func (n *Node) halt(ctx context.Context) error {
	n.cancel()
	n.cluster.close(ctx)
	err := errors.Join(n.broker.Close(ctx), n.presence.Close(ctx))
	n.endBatches()
	n.hub.Close()
	n.outboxes.close()
	n.wheel.Close()
	return err
}

// ShuttingDown reports whether Shutdown was called, or Run has failed.
func (n *Node) ShuttingDown() bool { return n.draining.Load() || n.closing.Load() }

// Shutdown accepts no new connections, closes those that there are with
// DisconnectShutdown at Config.ReleaseRate, waits until they have ended or ctx is done,
// and stops the node. Until its turn comes a connection is served as before. The node
// waits for the callbacks and the writes of a connection too; if any of them have not
// returned when ctx is done, the error says how many connections were left and wraps
// ctx's error.
//
// While the engine starts within Run, which cannot be interrupted, Shutdown waits for it as
// long as ctx lasts; Run then stops the node.
//
// A node that does not run cannot be started after Shutdown. A second call waits for the
// end of the first, and returns nil, or its own ctx's error.
func (n *Node) Shutdown(ctx context.Context) error {
	n.life.mu.Lock()
	stopped, first := n.life.stopped, n.life.stopped == nil
	if first {
		stopped = make(chan struct{})
		n.life.stopped = stopped
	}
	starting, built := n.life.starting, n.life.built.Load()
	n.draining.Store(true)
	failed := n.closing.Load() // by Run, which has cleaned up
	if !built {
		n.closing.Store(true) // for Run, which may be under way
	}
	n.life.mu.Unlock()
	if !first {
		select {
		case <-stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(stopped)
	if starting != nil {
		select {
		case <-starting:
		case <-ctx.Done():
			return fmt.Errorf("shutting down: the engine is starting: %w", ctx.Err())
		}
	}
	if failed || !n.life.built.Load() {
		return nil
	}
	n.endBatches() // while there are subscribers to receive them
	n.release(ctx)
	n.closing.Store(true)
	n.cluster.sendShutdownNotice(ctx)
	for c := range n.registry.all() { // those that were being accepted
		c.Disconnect(DisconnectShutdown)
	}
	err := n.registry.waitEmpty(ctx)
	if err != nil {
		err = fmt.Errorf("shutting down: %d connections are left: %w", n.NumClients(), err)
	}
	return errors.Join(err, n.halt(ctx))
}

// Accept registers a new connection. Handlers see the values of ctx; cancelling ctx does
// not close the connection. A connection that does not connect within
// Config.StaleCloseDelay is closed. Before Run the error is ErrNotRunning, after
// Shutdown ErrShutdown.
func (n *Node) Accept(ctx context.Context, t Transport) (*Conn, error) {
	if err := n.running(); err != nil {
		return nil, err
	}
	if n.draining.Load() {
		return nil, ErrShutdown
	}
	conn := newConn(ctx, n, t)
	c := conn.Client()
	n.registry.add(c)
	n.stats.actions.add(actionAddClient)
	c.counted.current.Add(1)
	if n.draining.Load() { // Shutdown may not have seen it
		c.Disconnect(DisconnectShutdown)
	}
	return conn, nil
}

// recovered is deferred by goroutines that work for one connection: a panic in
// one never takes another down.
func (n *Node) recovered(doing string, c *Client) {
	p := recover()
	if p == nil {
		return
	}
	n.logger.panicked(doing, p, "client", c.id)
	go c.close(DisconnectServerError, false)
}

package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/centrifuge/internal/keylock"
	"centrifugo/centrifuge/internal/wheel"
	"centrifugo/internal/logsample"
	"centrifugo/protocol"
)

// wheelTick is how precise deadlines of connections are. The pings of a tick go
// out together, and so do the pongs come in: with 50 ms an idle connection took
// 1.5 µs of CPU a second, with this 1.1.
const wheelTick = 250 * time.Millisecond

// maxLeave bounds the calls of the engine that undo a subscription: its channel
// and its connection wait for them.
const maxLeave = 10 * time.Second

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
	presence  PresenceManager
	hub       *fanout.Hub
	coalescer *fanout.Coalescer // nil if no channel's publications are gathered
	setbacks  setbacks
	outboxes  outboxes
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
	closing  atomic.Bool // Shutdown was called, or Run failed
	stats    counters
	ranges   rangeCache
	gaps     gapChecker
	reads    *streamReader // for subscriptions that start
	checks   *streamReader // for the checks of positions, which can do with older results
	metrics  atomic.Pointer[NodeMetrics]
}

// New returns a node that is not running: Run starts it.
func New(c Config) (*Node, error) {
	c = c.withDefaults()
	if c.PongTimeout > 0 && c.PingInterval > 0 && c.PongTimeout >= c.PingInterval {
		return nil, fmt.Errorf("pong timeout (%v) must be less than ping interval (%v)", c.PongTimeout, c.PingInterval)
	}
	n := &Node{
		id: newID(), config: c, handlers: c.Handlers, logger: newLogger(c.LogHandler, c.LogLevel), refusals: newRefusals(),
		locks: keylock.New(), registry: newRegistry(),
	}
	if n.config.Broker == nil {
		n.config.Broker = NewMemoryBroker(MemoryBrokerConfig{HistoryMetaTTL: c.HistoryMetaTTL})
	}
	_, n.immediateBroker = n.config.Broker.(*MemoryBroker)
	n.reads = newStreamReader(readLife)
	n.checks = newStreamReader(min(maxCheckLife, c.PositionCheckDelay/8))
	n.broker = guardBroker(n.config.Broker, n.logger, &n.stats.actions)
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

// Handle replaces Config.Handlers, for handlers that need the node. Once the node runs,
// it changes nothing and returns ErrStarted.
func (n *Node) Handle(h Handlers) error {
	n.life.mu.Lock()
	defer n.life.mu.Unlock()
	if n.life.built.Load() {
		return ErrStarted
	}
	n.handlers = h
	return nil
}

// ID is unique to this run of the node.
func (n *Node) ID() string { return n.id }

// Run starts the node and returns when it accepts connections. It can be called once:
// a second call returns ErrStarted, a call after Shutdown ErrShutdown. If it fails, the
// node is shut down.
func (n *Node) Run() error {
	n.life.mu.Lock()
	defer n.life.mu.Unlock()
	switch {
	case n.closing.Load():
		return ErrShutdown
	case n.life.built.Load():
		return ErrStarted
	}
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
	n.presence = guardedPresence{presence, n.logger, &n.stats.actions, bound{n.immediatePresence}}
	if err := n.start(); err != nil {
		n.closing.Store(true)
		return errors.Join(err, n.halt(context.Background()))
	}
	n.life.built.Store(true)
	return nil
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
func (n *Node) ShuttingDown() bool { return n.closing.Load() }

// Shutdown closes every connection with DisconnectShutdown, waits until they have ended
// or ctx is done, and stops the node. The node waits for the callbacks and the writes of
// a connection too; if any of them have not returned when ctx is done, the error says
// how many connections were left and wraps ctx's error.
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
	failed := n.closing.Swap(true) // by Run, which has cleaned up
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
	if failed || !n.life.built.Load() {
		return nil
	}
	n.cluster.sendShutdownNotice(ctx)
	n.endBatches() // while there are subscribers to receive them
	for c := range n.registry.all() {
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
	conn := newConn(context.WithoutCancel(ctx), n, t)
	c := conn.Client()
	n.registry.add(c)
	n.stats.actions.add(actionAddClient)
	c.counted.current.Add(1)
	if n.closing.Load() { // Shutdown may not have seen it
		c.Disconnect(DisconnectShutdown)
	}
	return conn, nil
}

// join makes s a subscriber at the hub and, if it is the first, at the broker. On
// an error it is neither.
func (n *Node) join(ctx context.Context, s *subscription, most int) (err error) {
	lock := n.locks.Lock(s.Channel)
	defer lock.Unlock()
	if most > 0 && n.hub.NumSubscribers(s.Channel) >= most {
		return ErrorLimitExceeded
	}
	n.stats.actions.add(actionAddSubscription)
	if first := n.hub.Add(&s.Subscriber); !first {
		return nil
	}
	defer func() {
		if err != nil {
			n.stats.actions.add(actionRemoveSubscription)
			n.hub.Remove(&s.Subscriber)
			n.reads.invalidate(s.Channel)
			n.dropBatch(s.Channel)
		}
	}()
	if err := n.openBatch(s.Channel); err != nil {
		return err
	}
	if err := n.broker.Subscribe(ctx, s.Channel); err != nil {
		// The call may have been cancelled, and take effect all the same.
		ctx, cancel := context.WithTimeout(n.ctx, maxLeave)
		defer cancel()
		return errors.Join(err, n.broker.Unsubscribe(ctx, s.Channel))
	}
	return nil
}

// leave undoes join and what followed it.
func (n *Node) leave(c *Client, s *subscription) {
	ctx, cancel := context.WithTimeout(n.ctx, maxLeave)
	defer cancel()
	if err := n.unjoin(ctx, s); err != nil {
		// Publications that still come find no subscriber; the next Subscribe repairs it.
		n.logger.log(LogWarn, "unsubscribing from channel", "channel", s.Channel, "error", err)
	}
	if s.presence {
		if err := n.presence.RemovePresence(ctx, s.Channel, c.id, c.UserID()); err != nil {
			n.logger.log(LogWarn, "removing presence", "client", c.id, "channel", s.Channel, "error", err)
		}
	}
	if s.joinLeave {
		n.stats.LeavesSent.Add(1)
		if err := n.broker.PublishLeave(ctx, s.Channel, c.infoFor(s)); err != nil {
			n.logger.log(LogWarn, "publishing leave", "client", c.id, "channel", s.Channel, "error", err)
		}
	}
}

func (n *Node) unjoin(ctx context.Context, s *subscription) error {
	lock := n.locks.Lock(s.Channel)
	defer lock.Unlock()
	n.stats.actions.add(actionRemoveSubscription)
	if last := n.hub.Remove(&s.Subscriber); !last {
		return nil
	}
	n.dropBatch(s.Channel)
	n.reads.invalidate(s.Channel)
	return n.broker.Unsubscribe(ctx, s.Channel)
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

package centrifuge_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"centrifugo/centrifuge"
)

// lossyBroker loses what is published while lose is set: it enters the stream
// and reaches no node.
type lossyBroker struct {
	*centrifuge.MemoryBroker
	lose atomic.Bool
}

// Start implements centrifuge.Broker.
func (b *lossyBroker) Start(h centrifuge.BrokerHandler) error {
	return b.MemoryBroker.Start(lossyHandler{h, b})
}

type lossyHandler struct {
	centrifuge.BrokerHandler
	broker *lossyBroker
}

// HandlePublication implements centrifuge.BrokerHandler.
func (h lossyHandler) HandlePublication(channel string, pub *centrifuge.Publication, epoch string, prev []byte) {
	if !h.broker.lose.Load() {
		h.BrokerHandler.HandlePublication(channel, pub, epoch, prev)
	}
}

var errEngine = errors.New("engine is down")

// errLate is a call that was cancelled and takes effect all the same.
var errLate = errors.New("cancelled")

// faultyEngine is a broker and a presence manager of which one call fails, or
// panics, or blocks until its context ends, or runs a hook.
type faultyEngine struct {
	*centrifuge.MemoryBroker
	presence *centrifuge.MemoryPresence
	// hook is called first with the name of each call; nil for none.
	hook       atomic.Pointer[func(ctx context.Context, call string) error]
	subscribed channelSet
}

// channelSet are the channels that a broker is subscribed to.
type channelSet struct {
	mu       sync.Mutex
	channels map[string]bool
}

func (s *channelSet) set(channel string, subscribed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels == nil {
		s.channels = make(map[string]bool)
	}
	if s.channels[channel] = subscribed; !subscribed {
		delete(s.channels, channel)
	}
}

// Load counts them.
func (s *channelSet) Load() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.channels)
}

func newFaultyEngine() *faultyEngine {
	return &faultyEngine{
		MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{}), presence: centrifuge.NewMemoryPresence(0),
	}
}

func (e *faultyEngine) config() centrifuge.Config {
	return centrifuge.Config{Broker: e, PresenceManager: faultyPresence{e.presence, e}}
}

// fail makes one call return err.
func (e *faultyEngine) fail(call string, err error) {
	e.on(func(_ context.Context, c string) error {
		if c == call {
			return err
		}
		return nil
	})
}

func (e *faultyEngine) on(hook func(ctx context.Context, call string) error) { e.hook.Store(&hook) }

// do has a call take effect, unless the hook is against it.
func (e *faultyEngine) do(ctx context.Context, call string, effect func(ctx context.Context) error) error {
	if hook := e.hook.Load(); hook != nil {
		err := (*hook)(ctx, call)
		if errors.Is(err, errLate) {
			_ = effect(context.Background())
		}
		if err != nil {
			return err
		}
	}
	return effect(ctx)
}

// Subscribe implements centrifuge.Broker.
func (e *faultyEngine) Subscribe(ctx context.Context, channel string) error {
	return e.do(ctx, "Subscribe", func(ctx context.Context) error {
		err := e.MemoryBroker.Subscribe(ctx, channel)
		if err == nil {
			e.subscribed.set(channel, true)
		}
		return err
	})
}

// Unsubscribe implements centrifuge.Broker.
func (e *faultyEngine) Unsubscribe(ctx context.Context, channel string) error {
	return e.do(ctx, "Unsubscribe", func(ctx context.Context) error {
		e.subscribed.set(channel, false)
		return e.MemoryBroker.Unsubscribe(ctx, channel)
	})
}

// Publish implements centrifuge.Broker.
func (e *faultyEngine) Publish(ctx context.Context, channel string, pub *centrifuge.Publication, opts centrifuge.PublishOptions) (result centrifuge.PublishResult, err error) {
	err = e.do(ctx, "Publish", func(ctx context.Context) (err error) {
		result, err = e.MemoryBroker.Publish(ctx, channel, pub, opts)
		return err
	})
	return result, err
}

// PublishJoin implements centrifuge.Broker.
func (e *faultyEngine) PublishJoin(ctx context.Context, channel string, info *centrifuge.ClientInfo) error {
	return e.do(ctx, "PublishJoin", func(ctx context.Context) error { return e.MemoryBroker.PublishJoin(ctx, channel, info) })
}

// PublishLeave implements centrifuge.Broker.
func (e *faultyEngine) PublishLeave(ctx context.Context, channel string, info *centrifuge.ClientInfo) error {
	return e.do(ctx, "PublishLeave", func(ctx context.Context) error { return e.MemoryBroker.PublishLeave(ctx, channel, info) })
}

// History implements centrifuge.HistoryBroker.
func (e *faultyEngine) History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (result centrifuge.HistoryResult, err error) {
	err = e.do(ctx, "History", func(ctx context.Context) (err error) {
		result, err = e.MemoryBroker.History(ctx, channel, opts)
		return err
	})
	return result, err
}

// RemoveHistory implements centrifuge.HistoryBroker.
func (e *faultyEngine) RemoveHistory(ctx context.Context, channel string) error {
	return e.do(ctx, "RemoveHistory", func(ctx context.Context) error { return e.MemoryBroker.RemoveHistory(ctx, channel) })
}

type faultyPresence struct {
	*centrifuge.MemoryPresence
	engine *faultyEngine
}

// AddPresence implements centrifuge.PresenceManager.
func (p faultyPresence) AddPresence(ctx context.Context, channel, client string, info *centrifuge.ClientInfo) error {
	return p.engine.do(ctx, "AddPresence", func(ctx context.Context) error {
		return p.MemoryPresence.AddPresence(ctx, channel, client, info)
	})
}

// RemovePresence implements centrifuge.PresenceManager.
func (p faultyPresence) RemovePresence(ctx context.Context, channel, client, user string) error {
	return p.engine.do(ctx, "RemovePresence", func(ctx context.Context) error {
		return p.MemoryPresence.RemovePresence(ctx, channel, client, user)
	})
}

// Presence implements centrifuge.PresenceManager.
func (p faultyPresence) Presence(ctx context.Context, channel string) (clients map[string]*centrifuge.ClientInfo, err error) {
	err = p.engine.do(ctx, "Presence", func(ctx context.Context) (err error) {
		clients, err = p.MemoryPresence.Presence(ctx, channel)
		return err
	})
	return clients, err
}

// PresenceStats implements centrifuge.PresenceManager.
func (p faultyPresence) PresenceStats(ctx context.Context, channel string) (stats centrifuge.PresenceStats, err error) {
	err = p.engine.do(ctx, "PresenceStats", func(ctx context.Context) (err error) {
		stats, err = p.MemoryPresence.PresenceStats(ctx, channel)
		return err
	})
	return stats, err
}

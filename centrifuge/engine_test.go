package centrifuge_test

import (
	"context"
	"errors"
	"sync/atomic"

	"centrifugo/centrifuge"
)

// lossyBroker loses what is published while lose is set: it enters the stream
// and reaches nobody.
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
func (h lossyHandler) HandlePublication(channel string, pub *centrifuge.Publication, position centrifuge.StreamPosition, prev []byte) {
	if !h.broker.lose.Load() {
		h.BrokerHandler.HandlePublication(channel, pub, position, prev)
	}
}

var errEngine = errors.New("engine is down")

// faultyEngine is a broker and a presence manager of which one call fails, or
// blocks until its context ends, or runs a hook.
type faultyEngine struct {
	*centrifuge.MemoryBroker
	presence *centrifuge.MemoryPresence
	// hook is called first with the name of each call; nil for none.
	hook atomic.Pointer[func(ctx context.Context, call string) error]
	// subscribed counts Subscribe less Unsubscribe.
	subscribed atomic.Int64
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

func (e *faultyEngine) enter(ctx context.Context, call string) error {
	if hook := e.hook.Load(); hook != nil {
		return (*hook)(ctx, call)
	}
	return nil
}

// Subscribe implements centrifuge.Broker.
func (e *faultyEngine) Subscribe(ctx context.Context, channel string) error {
	if err := e.enter(ctx, "Subscribe"); err != nil {
		return err
	}
	err := e.MemoryBroker.Subscribe(ctx, channel)
	if err == nil {
		e.subscribed.Add(1)
	}
	return err
}

// Unsubscribe implements centrifuge.Broker.
func (e *faultyEngine) Unsubscribe(ctx context.Context, channel string) error {
	e.subscribed.Add(-1)
	if err := e.enter(ctx, "Unsubscribe"); err != nil {
		return err
	}
	return e.MemoryBroker.Unsubscribe(ctx, channel)
}

// Publish implements centrifuge.Broker.
func (e *faultyEngine) Publish(ctx context.Context, channel string, pub *centrifuge.Publication, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	if err := e.enter(ctx, "Publish"); err != nil {
		return centrifuge.PublishResult{}, err
	}
	return e.MemoryBroker.Publish(ctx, channel, pub, opts)
}

// PublishJoin implements centrifuge.Broker.
func (e *faultyEngine) PublishJoin(ctx context.Context, channel string, info *centrifuge.ClientInfo) error {
	if err := e.enter(ctx, "PublishJoin"); err != nil {
		return err
	}
	return e.MemoryBroker.PublishJoin(ctx, channel, info)
}

// History implements centrifuge.HistoryBroker.
func (e *faultyEngine) History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (centrifuge.HistoryResult, error) {
	if err := e.enter(ctx, "History"); err != nil {
		return centrifuge.HistoryResult{}, err
	}
	return e.MemoryBroker.History(ctx, channel, opts)
}

type faultyPresence struct {
	*centrifuge.MemoryPresence
	engine *faultyEngine
}

// AddPresence implements centrifuge.PresenceManager.
func (p faultyPresence) AddPresence(ctx context.Context, channel, client string, info *centrifuge.ClientInfo) error {
	if err := p.engine.enter(ctx, "AddPresence"); err != nil {
		return err
	}
	return p.MemoryPresence.AddPresence(ctx, channel, client, info)
}

// Presence implements centrifuge.PresenceManager.
func (p faultyPresence) Presence(ctx context.Context, channel string) (map[string]*centrifuge.ClientInfo, error) {
	if err := p.engine.enter(ctx, "Presence"); err != nil {
		return nil, err
	}
	return p.MemoryPresence.Presence(ctx, channel)
}

// PresenceStats implements centrifuge.PresenceManager.
func (p faultyPresence) PresenceStats(ctx context.Context, channel string) (centrifuge.PresenceStats, error) {
	if err := p.engine.enter(ctx, "PresenceStats"); err != nil {
		return centrifuge.PresenceStats{}, err
	}
	return p.MemoryPresence.PresenceStats(ctx, channel)
}

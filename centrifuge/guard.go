package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// errPanic is what a call of an engine or a transport that panicked returns. It
// has been logged.
var errPanic = errors.New("panic")

// caught is deferred around calls of code that is not the node's own: a panic
// becomes the error of the call, so that what has to be undone is undone, and the
// goroutines of the node go on.
func (l logger) caught(err *error, doing string) {
	if p := recover(); p != nil {
		l.panicked(doing, p)
		*err = fmt.Errorf("%s: %w: %v", doing, errPanic, p)
	}
}

func (l logger) panicked(doing string, p any, fields ...any) {
	l.log(LogError, "panic", append(fields, "doing", doing, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))...)
}

// guardBroker makes panics of a broker errors. The result is a HistoryBroker if
// the broker is one.
func guardBroker(b Broker, l logger, stats *counters) Broker {
	_, immediate := b.(*MemoryBroker)
	guarded := guardedBroker{b, l, stats, bound{immediate}}
	if history, ok := b.(HistoryBroker); ok {
		return guardedHistory{guarded, history}
	}
	return guarded
}

// engineTimeout bounds the calls of an engine that may block.
const engineTimeout = 10 * time.Second

// bound gives the calls of an engine their deadline. An immediate engine answers from
// memory and needs none.
type bound struct{ immediate bool }

func (b bound) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if b.immediate {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, engineTimeout)
}

type guardedBroker struct {
	broker Broker
	logger
	stats *counters
	bound
}

// Start implements Broker.
func (g guardedBroker) Start(h BrokerHandler) (err error) {
	defer g.caught(&err, "starting broker")
	return g.broker.Start(h)
}

// Subscribe implements Broker.
func (g guardedBroker) Subscribe(ctx context.Context, channel string) (err error) {
	defer g.caught(&err, "subscribing at broker")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	g.stats.of(channel).actions.add(actionBrokerSubscribe)
	return g.broker.Subscribe(ctx, channel)
}

// Unsubscribe implements Broker.
func (g guardedBroker) Unsubscribe(ctx context.Context, channel string) (err error) {
	defer g.caught(&err, "unsubscribing at broker")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	g.stats.of(channel).actions.add(actionBrokerUnsubscribe)
	return g.broker.Unsubscribe(ctx, channel)
}

// Publish implements Broker.
func (g guardedBroker) Publish(ctx context.Context, channel string, pub *Publication, opts PublishOptions) (result PublishResult, err error) {
	defer g.caught(&err, "publishing at broker")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	return g.broker.Publish(ctx, channel, pub, opts)
}

// PublishJoin implements Broker.
func (g guardedBroker) PublishJoin(ctx context.Context, channel string, info *ClientInfo) (err error) {
	defer g.caught(&err, "publishing join at broker")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	return g.broker.PublishJoin(ctx, channel, info)
}

// PublishLeave implements Broker.
func (g guardedBroker) PublishLeave(ctx context.Context, channel string, info *ClientInfo) (err error) {
	defer g.caught(&err, "publishing leave at broker")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	return g.broker.PublishLeave(ctx, channel, info)
}

// Close implements Broker.
func (g guardedBroker) Close(ctx context.Context) (err error) {
	defer g.caught(&err, "closing broker")
	return g.broker.Close(ctx)
}

// guardedMulti makes panics of a MultiSubscriber errors.
type guardedMulti struct {
	broker MultiSubscriber
	logger
	stats *counters
	bound
}

// guardMulti returns nil if b is no MultiSubscriber.
func guardMulti(b Broker, l logger, stats *counters) *guardedMulti {
	multi, ok := b.(MultiSubscriber)
	if !ok {
		return nil
	}
	return &guardedMulti{multi, l, stats, bound{}}
}

// SubscribeMany implements MultiSubscriber. The result has an error, or nil, for each
// channel.
func (g *guardedMulti) SubscribeMany(ctx context.Context, channels []string) []error {
	g.add(actionBrokerSubscribe, channels)
	return g.call(ctx, "subscribing at broker", channels, g.broker.SubscribeMany)
}

// UnsubscribeMany implements MultiSubscriber, as SubscribeMany does.
func (g *guardedMulti) UnsubscribeMany(ctx context.Context, channels []string) []error {
	g.add(actionBrokerUnsubscribe, channels)
	return g.call(ctx, "unsubscribing at broker", channels, g.broker.UnsubscribeMany)
}

func (g *guardedMulti) add(a action, channels []string) {
	for _, channel := range channels {
		g.stats.of(channel).actions.add(a)
	}
}

func (g *guardedMulti) call(ctx context.Context, doing string, channels []string, f func(context.Context, []string) []error) []error {
	errs, err := func() (errs []error, err error) {
		defer g.caught(&err, doing)
		ctx, cancel := g.limit(ctx)
		defer cancel()
		return f(ctx, channels), nil
	}()
	switch {
	case err == nil && len(errs) == len(channels):
		return errs
	case err == nil && len(errs) != 0:
		err = fmt.Errorf("%s: %d errors for %d channels", doing, len(errs), len(channels))
	}
	errs = make([]error, len(channels))
	for i := range errs {
		errs[i] = err
	}
	return errs
}

type guardedHistory struct {
	guardedBroker
	history HistoryBroker
}

// History implements HistoryBroker.
func (g guardedHistory) History(ctx context.Context, channel string, opts HistoryOptions) (result HistoryResult, err error) {
	defer g.caught(&err, "reading history")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	return g.history.History(ctx, channel, opts)
}

// RemoveHistory implements HistoryBroker.
func (g guardedHistory) RemoveHistory(ctx context.Context, channel string) (err error) {
	defer g.caught(&err, "removing history")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	g.stats.of(channel).actions.add(actionHistoryRemove)
	return g.history.RemoveHistory(ctx, channel)
}

// guardedPresence makes panics of a presence manager errors.
type guardedPresence struct {
	presence PresenceManager
	logger
	stats *counters
	bound
}

// Presence implements PresenceManager.
func (g guardedPresence) Presence(ctx context.Context, channel string) (clients map[string]*ClientInfo, err error) {
	defer g.caught(&err, "reading presence")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	g.stats.of(channel).actions.add(actionPresence)
	return g.presence.Presence(ctx, channel)
}

// PresenceStats implements PresenceManager.
func (g guardedPresence) PresenceStats(ctx context.Context, channel string) (stats PresenceStats, err error) {
	defer g.caught(&err, "reading presence stats")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	g.stats.of(channel).actions.add(actionPresenceStats)
	return g.presence.PresenceStats(ctx, channel)
}

// AddPresence implements PresenceManager.
func (g guardedPresence) AddPresence(ctx context.Context, channel, client string, info *ClientInfo) (err error) {
	defer g.caught(&err, "adding presence")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	g.stats.of(channel).actions.add(actionAddPresence)
	return g.presence.AddPresence(ctx, channel, client, info)
}

// RemovePresence implements PresenceManager.
func (g guardedPresence) RemovePresence(ctx context.Context, channel, client, user string) (err error) {
	defer g.caught(&err, "removing presence")
	ctx, cancel := g.limit(ctx)
	defer cancel()
	g.stats.of(channel).actions.add(actionRemovePresence)
	return g.presence.RemovePresence(ctx, channel, client, user)
}

// Close implements PresenceManager.
func (g guardedPresence) Close(ctx context.Context) (err error) {
	defer g.caught(&err, "closing presence manager")
	return g.presence.Close(ctx)
}

// guardedController makes panics of a controller errors.
type guardedController struct {
	controller Controller
	logger
}

// Start implements Controller.
func (g guardedController) Start(nodeID string, h ControlHandler) (err error) {
	defer g.caught(&err, "starting controller")
	return g.controller.Start(nodeID, h)
}

// PublishControl implements Controller.
func (g guardedController) PublishControl(ctx context.Context, nodeID string, message []byte) (err error) {
	defer g.caught(&err, "publishing control message")
	return g.controller.PublishControl(ctx, nodeID, message)
}

// Close implements Controller.
func (g guardedController) Close(ctx context.Context) (err error) {
	defer g.caught(&err, "closing controller")
	return g.controller.Close(ctx)
}

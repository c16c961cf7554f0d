package centrifugetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"centrifugo/centrifuge"
)

// ErrFault is what a call of a FaultyBroker returns that was made to fail.
var ErrFault = errors.New("the engine is made to fail")

// Faults are what a FaultyBroker does to the calls and deliveries of a broker. Each
// number is a probability.
type Faults struct {
	// Fail makes a call fail before it takes effect, FailLate after that.
	Fail, FailLate float64
	// MaxDelay is the longest time that a call of Publish, History or PublishJoin takes
	// before it takes effect, and a call of History after that.
	MaxDelay time.Duration
	// Drop loses a publication on its way to the node, Duplicate delivers it twice, and
	// Reorder delivers it after the next one of its channel.
	Drop, Duplicate, Reorder float64
	// TellGaps reports what was dropped with BrokerHandler.HandleGap, a while later.
	TellGaps bool
}

// FaultyBroker is a broker with faults. A node that uses it must still keep its
// promise: a subscriber gets a channel's publications in order and without gaps, or is
// told of the gap.
type FaultyBroker struct {
	centrifuge.HistoryBroker

	mu     sync.Mutex
	rand   *rand.Rand
	faults Faults
}

// NewFaultyBroker returns broker with faults, which seed chooses.
func NewFaultyBroker(broker centrifuge.HistoryBroker, seed uint64, faults Faults) *FaultyBroker {
	return &FaultyBroker{HistoryBroker: broker, rand: rand.New(rand.NewPCG(seed, 0)), faults: faults} //nolint:gosec // for tests
}

// Set replaces the faults.
func (b *FaultyBroker) Set(faults Faults) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = faults
}

// happens reports whether a fault with the probability that f chooses happens now.
func (b *FaultyBroker) happens(f func(Faults) float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := f(b.faults)
	return p > 0 && b.rand.Float64() < p
}

func (b *FaultyBroker) delay() {
	b.mu.Lock()
	d := b.faults.MaxDelay
	if d > 0 {
		d = time.Duration(b.rand.Int64N(int64(d)))
	}
	b.mu.Unlock()
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		<-timer.C
	}
}

// do makes a call with the faults.
func (b *FaultyBroker) do(call func() error) error {
	if b.happens(func(f Faults) float64 { return f.Fail }) {
		return ErrFault
	}
	err := call()
	if err == nil && b.happens(func(f Faults) float64 { return f.FailLate }) {
		return ErrFault
	}
	return err
}

// Start implements centrifuge.Broker.
func (b *FaultyBroker) Start(h centrifuge.BrokerHandler) error {
	return b.HistoryBroker.Start(&faultyHandler{BrokerHandler: h, broker: b, late: make(map[string]func())})
}

// Subscribe implements centrifuge.Broker. It fails only before it takes effect.
func (b *FaultyBroker) Subscribe(ctx context.Context, channel string) error {
	if b.happens(func(f Faults) float64 { return f.Fail }) {
		return ErrFault
	}
	return b.HistoryBroker.Subscribe(ctx, channel)
}

// Unsubscribe implements centrifuge.Broker.
func (b *FaultyBroker) Unsubscribe(ctx context.Context, channel string) error {
	return b.do(func() error { return b.HistoryBroker.Unsubscribe(ctx, channel) })
}

// SubscribeMany implements centrifuge.MultiSubscriber, also for a broker that does not.
// The channels fail one by one.
func (b *FaultyBroker) SubscribeMany(ctx context.Context, channels []string) []error {
	return b.each(ctx, channels, (*FaultyBroker).Subscribe)
}

// UnsubscribeMany implements centrifuge.MultiSubscriber, as SubscribeMany does.
func (b *FaultyBroker) UnsubscribeMany(ctx context.Context, channels []string) []error {
	return b.each(ctx, channels, (*FaultyBroker).Unsubscribe)
}

func (b *FaultyBroker) each(ctx context.Context, channels []string, call func(*FaultyBroker, context.Context, string) error) []error {
	errs := make([]error, len(channels))
	for i, channel := range channels {
		errs[i] = call(b, ctx, channel)
	}
	return errs
}

// Publish implements centrifuge.Broker.
func (b *FaultyBroker) Publish(ctx context.Context, channel string, pub *centrifuge.Publication, opts centrifuge.PublishOptions) (result centrifuge.PublishResult, err error) {
	b.delay()
	err = b.do(func() (err error) {
		result, err = b.HistoryBroker.Publish(ctx, channel, pub, opts)
		return err
	})
	return result, err
}

// PublishJoin implements centrifuge.Broker.
func (b *FaultyBroker) PublishJoin(ctx context.Context, channel string, info *centrifuge.ClientInfo) error {
	b.delay()
	return b.do(func() error { return b.HistoryBroker.PublishJoin(ctx, channel, info) })
}

// History implements centrifuge.HistoryBroker.
func (b *FaultyBroker) History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (result centrifuge.HistoryResult, err error) {
	b.delay()
	err = b.do(func() (err error) {
		result, err = b.HistoryBroker.History(ctx, channel, opts)
		return err
	})
	b.delay()
	return result, err
}

// faultyHandler is the way from the broker to the node.
type faultyHandler struct {
	centrifuge.BrokerHandler
	broker *FaultyBroker

	mu   sync.Mutex
	late map[string]func() // by channel: the delivery that the next one overtakes
}

// HandlePublication implements centrifuge.BrokerHandler.
func (h *faultyHandler) HandlePublication(channel string, pub *centrifuge.Publication, epoch string, prev []byte) {
	deliver := func() { h.BrokerHandler.HandlePublication(channel, pub, epoch, prev) }
	h.mu.Lock()
	late := h.late[channel]
	delete(h.late, channel)
	h.mu.Unlock()
	switch b := h.broker; {
	case b.happens(func(f Faults) float64 { return f.Drop }):
		if b.happens(func(f Faults) float64 { return map[bool]float64{true: 1}[f.TellGaps] }) {
			time.AfterFunc(time.Second, func() { h.HandleGap(func(c string) bool { return c == channel }) })
		}
	case late == nil && b.happens(func(f Faults) float64 { return f.Reorder }):
		h.mu.Lock()
		h.late[channel] = deliver
		h.mu.Unlock()
	case b.happens(func(f Faults) float64 { return f.Duplicate }):
		deliver()
		deliver()
	default:
		deliver()
	}
	if late != nil {
		late()
	}
}

// Command broker shows a broker of your own: one that carries messages and
// keeps no history, here over channels of Go within a process. A real one
// would talk to your message queue.
package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"centrifugo/centrifuge"
)

// Bus connects the brokers of several nodes.
type Bus struct {
	mu      sync.Mutex
	brokers []*Broker
}

// Broker is one node's end of a Bus.
type Broker struct {
	bus     *Bus
	handler centrifuge.BrokerHandler

	mu         sync.Mutex
	subscribed map[string]bool
	closed     bool
}

var _ centrifuge.Broker = (*Broker)(nil) // and no HistoryBroker: it says so by its type

// Join adds a node.
func (b *Bus) Join() *Broker { return &Broker{bus: b, subscribed: make(map[string]bool)} }

// Start implements centrifuge.Broker.
func (b *Broker) Start(h centrifuge.BrokerHandler) error {
	b.handler = h
	b.bus.mu.Lock()
	defer b.bus.mu.Unlock()
	b.bus.brokers = append(b.bus.brokers, b)
	return nil
}

// Subscribe implements centrifuge.Broker.
func (b *Broker) Subscribe(_ context.Context, channel string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribed[channel] = true
	return nil
}

// Unsubscribe implements centrifuge.Broker.
func (b *Broker) Unsubscribe(_ context.Context, channel string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subscribed, channel)
	return nil
}

// each calls f for every node that wants the channel. The bus's lock keeps the
// calls for one channel one after another, as BrokerHandler asks.
func (b *Bus) each(channel string, f func(centrifuge.BrokerHandler)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, broker := range b.brokers {
		broker.mu.Lock()
		wanted := broker.subscribed[channel]
		broker.mu.Unlock()
		if wanted {
			f(broker.handler)
		}
	}
}

// Publish implements centrifuge.Broker.
func (b *Broker) Publish(_ context.Context, channel string, pub *centrifuge.Publication, _ centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return centrifuge.PublishResult{}, centrifuge.ErrShutdown
	}
	b.bus.each(channel, func(h centrifuge.BrokerHandler) {
		h.HandlePublication(channel, pub, "", nil)
	})
	return centrifuge.PublishResult{}, nil
}

// PublishJoin implements centrifuge.Broker.
func (b *Broker) PublishJoin(_ context.Context, channel string, info *centrifuge.ClientInfo) error {
	b.bus.each(channel, func(h centrifuge.BrokerHandler) { h.HandleJoin(channel, info) })
	return nil
}

// PublishLeave implements centrifuge.Broker.
func (b *Broker) PublishLeave(_ context.Context, channel string, info *centrifuge.ClientInfo) error {
	b.bus.each(channel, func(h centrifuge.BrokerHandler) { h.HandleLeave(channel, info) })
	return nil
}

// Close implements centrifuge.Broker.
func (b *Broker) Close(context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.bus.mu.Lock()
	defer b.bus.mu.Unlock()
	for i, other := range b.bus.brokers {
		if other == b {
			b.bus.brokers = append(b.bus.brokers[:i], b.bus.brokers[i+1:]...)
			break
		}
	}
	return nil
}

// newNode starts a node on the bus.
func newNode(bus *Bus) (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{Broker: bus.Join(), Handlers: centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{}}, nil
		},
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{}, nil
		},
	}})
	if err != nil {
		return nil, err
	}
	return node, node.Run()
}

func main() {
	bus := &Bus{}
	a, errA := newNode(bus)
	b, errB := newNode(bus)
	if errA != nil || errB != nil {
		log.Fatal(errA, errB)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := a.Publish(ctx, "news", []byte(`"published on one node, delivered on all"`), centrifuge.PublishOptions{})
	_, noHistory := b.History(ctx, "news", centrifuge.HistoryOptions{})
	fmt.Println("published:", err, "- history:", noHistory)
	if err := a.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	if err := b.Shutdown(ctx); err != nil {
		log.Print(err)
	}
}

package main

import (
	"context"
	"errors"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

func TestBrokerKeepsThePromisesOfTheSeam(t *testing.T) {
	centrifugetest.TestBroker(t, func(*testing.T) centrifuge.Broker { return (&Bus{}).Join() },
		centrifugetest.Without(centrifugetest.Idempotency))
}

func TestPublishReachesOtherNodes(t *testing.T) {
	bus := &Bus{}
	a, err := newNode(bus)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Shutdown(context.Background()) }()
	b, err := newNode(bus)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Shutdown(context.Background()) }()
	client := centrifugetest.Connect(t.Context(), t, b, 0, "42")
	if r := client.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "news"}}); r == nil || r.Error != nil {
		t.Fatalf("subscribe: %+v; want a result", r)
	}
	if _, err := a.Publish(t.Context(), "news", []byte(`{}`), centrifuge.PublishOptions{}); err != nil {
		t.Fatal(err)
	}
	if push := client.Push(); push == nil || push.Pub == nil || string(push.Pub.Data) != `{}` {
		t.Errorf("got %+v; want Pub.Data %q", push, `{}`)
	}
	if _, err := a.History(t.Context(), "news", centrifuge.HistoryOptions{}); !errors.Is(err, centrifuge.ErrNoHistory) {
		t.Errorf("history: %v; want %v", err, centrifuge.ErrNoHistory)
	}
}

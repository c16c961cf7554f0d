package centrifuge_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
)

// latencies returns the histogram of a label for the transport of the tests.
func (s *site) latencies(label string) centrifuge.HistogramSnapshot {
	return s.Stats().Transports["memory"].PublicationLatency[label]
}

// wantLatencies compares the number of the latencies of a label and their sum.
func (s *site) wantLatencies(label string, count uint64, sum time.Duration) {
	s.t.Helper()
	synctest.Wait()
	got := s.latencies(label)
	if off := got.Sum - sum.Seconds(); got.Count != count || off < -1e-3 || off > 1e-3 {
		s.t.Errorf("label %q: %d latencies, %v s in all; want %d, %v s", label, got.Count, got.Sum, count, sum.Seconds())
	}
}

// copyingBroker delivers copies of publications after a while, as a broker on another machine
// does. It cannot keep history.
type copyingBroker struct {
	centrifuge.Broker
	handler centrifuge.BrokerHandler
}

// Start implements centrifuge.Broker.
func (b *copyingBroker) Start(h centrifuge.BrokerHandler) error {
	b.handler = h
	return b.Broker.Start(h)
}

// Publish implements centrifuge.Broker.
func (b *copyingBroker) Publish(_ context.Context, channel string, pub *centrifuge.Publication, _ centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	switch channel {
	case "lost":
		return centrifuge.PublishResult{}, centrifuge.ErrorNotAvailable
	case "suppressed":
		return centrifuge.PublishResult{Suppressed: centrifuge.SuppressedIdempotency}, nil
	}
	copied := &centrifuge.Publication{Data: append([]byte(nil), pub.Data...)}
	time.AfterFunc(5*time.Second, func() { b.handler.HandlePublication(channel, copied, "", nil) })
	return centrifuge.PublishResult{}, nil
}

// TestPublicationLatency checks where the latency of a publication begins and ends.
func TestPublicationLatency(t *testing.T) {
	start := func(t *testing.T, config centrifuge.Config) (*site, *peer) {
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		for id, channel := range []string{"a:1", "b:1", "lost", "suppressed"} {
			p.commands(`{"id":` + string(rune('2'+id)) + `,"subscribe":{"channel":"` + channel + `"}}`)
		}
		p.received()
		return s, p
	}
	received := func(before time.Duration) centrifuge.PublishOptions {
		return centrifuge.PublishOptions{Received: time.Now().Add(-before)}
	}
	for name, test := range map[string]func(t *testing.T){
		"from the arrival": func(t *testing.T) {
			s, p := start(t, centrifuge.Config{LatencySample: 1, ChannelLabel: byNamespace})
			s.publish("a:1", "1", received(3*time.Second))
			s.publish("b:1", "1", received(time.Second))
			s.publish("b:1", "2", centrifuge.PublishOptions{})
			s.publish("b:2", "1", received(time.Second))
			p.commands(`{"id":9,"publish":{"channel":"a:1","data":1}}`)
			s.wantLatencies("a", 2, 3*time.Second)
			s.wantLatencies("b", 2, time.Second)
			s.wantLatencies("", 0, 0)
		},
		"some of them": func(t *testing.T) {
			s, _ := start(t, centrifuge.Config{LatencySample: 3, ChannelLabel: byNamespace})
			for range 7 {
				s.publish("a:1", "1", received(time.Second))
			}
			s.publish("b:1", "1", received(time.Second)) // the first of its label
			s.wantLatencies("a", 3, 3*time.Second)
			s.wantLatencies("b", 1, time.Second)
		},
		"a time in the future": func(t *testing.T) {
			s, _ := start(t, centrifuge.Config{LatencySample: 1})
			s.publish("a:1", "1", received(-time.Hour))
			s.wantLatencies("", 1, 0)
		},
		"until the socket has accepted it": func(t *testing.T) {
			s, p := start(t, centrifuge.Config{LatencySample: 1, WriteTimeout: time.Minute})
			p.Stick(true)
			s.publish("a:1", "1", received(time.Second))
			synctest.Wait()
			time.Sleep(2 * time.Second)
			s.publish("a:1", "2", centrifuge.PublishOptions{}) // waits behind it
			s.wantLatencies("", 0, 0)
			p.Stick(false)
			s.wantLatencies("", 2, 3*time.Second) // the second was written when the socket was free
		},
		"a connection that ends first": func(t *testing.T) {
			s, p := start(t, centrifuge.Config{LatencySample: 1, WriteTimeout: time.Second})
			p.Stick(true)
			s.publish("a:1", "1", received(time.Second))
			time.Sleep(time.Minute) // the write times out
			synctest.Wait()
			s.wantLatencies("", 0, 0)
			if _, ended := p.Ended(); !ended {
				t.Error("the connection goes on; want its end")
			}
		},
		"copies that the broker delivers": func(t *testing.T) {
			s, _ := start(t, centrifuge.Config{LatencySample: 1, Broker: &copyingBroker{Broker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}})
			s.publish("a:1", "1", received(time.Second))
			for _, channel := range []string{"lost", "suppressed"} {
				_, _ = s.Publish(t.Context(), channel, []byte("1"), centrifuge.PublishOptions{})
			}
			time.Sleep(6 * time.Second)
			s.wantLatencies("", 1, 6*time.Second)
		},
		"a publication that the broker never delivers": func(t *testing.T) {
			broker := &copyingBroker{Broker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
			s, _ := start(t, centrifuge.Config{LatencySample: 1, Broker: broker})
			s.publish("a:1", "1", centrifuge.PublishOptions{})
			broker.handler.HandlePublication("a:1", &centrifuge.Publication{Data: []byte("other")}, "", nil)
			s.wantLatencies("", 0, 0)
			s.publish("a:1", "2", centrifuge.PublishOptions{}) // the first one may still come
			time.Sleep(time.Minute)
			s.wantLatencies("", 1, 5*time.Second)
		},
		"none": func(t *testing.T) {
			s, _ := start(t, centrifuge.Config{})
			s.publish("a:1", "1", received(time.Second))
			synctest.Wait()
			if got := s.Stats().Transports["memory"].PublicationLatency; got != nil {
				t.Errorf("latencies %v; want nil", got)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

// TestPublicationLatencyBlocking checks a transport whose writes wait for the network.
func TestPublicationLatencyBlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{LatencySample: 1}, allow(centrifuge.SubscribeOptions{}))
		info := transport(jsonV2)
		info.Blocking = true
		p := s.dial(jsonV2, info, "u")
		p.commands(`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"a"}}`)
		p.received()
		s.publish("a", "1", centrifuge.PublishOptions{Received: time.Now().Add(-time.Second)})
		s.wantLatencies("", 1, time.Second)
	})
}

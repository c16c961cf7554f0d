//go:build !race

package fanout

import (
	"testing"

	"centrifugo/protocol"
)

// signalSink tells when the last subscriber was served.
type signalSink struct {
	ownerless
	served chan struct{}
}

func (s *signalSink) WriteFrames([]*protocol.Encoded) (int, error) {
	if s.served != nil {
		s.served <- struct{}{}
	}
	return 0, nil
}

func (s *signalSink) Failed(error) {}

// TestBroadcastAllocations: as many for a thousand subscribers as for one.
func TestBroadcastAllocations(t *testing.T) {
	measure := func(subscribers int) float64 {
		h := NewHub(1)
		defer h.Close()
		served := make(chan struct{})
		for i := range subscribers {
			s := newSubscriber(0, jsonFormat)
			sink := &signalSink{}
			if i == subscribers-1 {
				sink.served = served // added last, flushed last
			}
			s.out.Init(sink, 0, 64, false)
			s.join(h, "a")
			s.Open(false, 0, "")
		}
		pub := &protocol.Publication{Data: []byte(`{"x":1}`)}
		return testing.AllocsPerRun(200, func() {
			h.Broadcast(&Push{Channel: "a", Pub: pub})
			<-served
		})
	}
	one, many := measure(1), measure(1000)
	t.Logf("allocations: %.1f for one subscriber, %.1f for a thousand", one, many)
	if many > one+2 || one > 6 {
		t.Errorf("allocations: %.1f for one subscriber, %.1f for a thousand; want at most %v and at most 6", one, many, one+2)
	}
}

// TestEncodeAllocations: a frame and its bytes, and the message of a join or leave.
// What cannot be sent as it is must not cost those that can.
func TestEncodeAllocations(t *testing.T) {
	info := &protocol.ClientInfo{User: "u", Client: "c"}
	for _, test := range []struct {
		push *Push
		most float64
	}{
		{&Push{Channel: "a", Pub: &protocol.Publication{Data: []byte(`{"x":1}`), Info: info}}, 2},
		{&Push{Channel: "a", Join: info}, 3},
		{&Push{Channel: "a", Leave: info}, 3},
	} {
		for f := range protocol.Format(protocol.NumFormats) {
			if got := testing.AllocsPerRun(100, func() { _, _, _ = test.push.encode(f, formPlain, 0) }); got > test.most {
				t.Errorf("%+v, format %d: %v allocations; want at most %v", test.push, f, got, test.most)
			}
		}
	}
}

package centrifugetest

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/centrifuge"
)

// receiver is a BrokerHandler that keeps what it gets. It checks that calls for
// one channel do not overlap, for the one channel that a case watches.
type receiver struct {
	events  chan event
	watched string
	inside  atomic.Int32
	overlap atomic.Bool

	subscribed sync.Map // channel names, while the broker is subscribed to them
}

// event is one call of the handler.
type event struct {
	kind    string // "publication", "join", "leave" or "gap"
	channel string
	pub     *centrifuge.Publication
	epoch   string
	prev    []byte
	info    *centrifuge.ClientInfo
}

func newReceiver(watched string) *receiver {
	return &receiver{watched: watched, events: make(chan event, 10_000)}
}

// HandlePublication implements centrifuge.BrokerHandler.
func (r *receiver) HandlePublication(channel string, pub *centrifuge.Publication, epoch string, prev []byte) {
	r.put(event{kind: "publication", channel: channel, pub: pub, epoch: epoch, prev: prev})
}

// Subscribed implements centrifuge.BrokerHandler.
func (r *receiver) Subscribed(channel string) bool {
	_, subscribed := r.subscribed.Load(channel)
	return subscribed
}

// HandleGap implements centrifuge.BrokerHandler.
func (r *receiver) HandleGap(affected func(channel string) bool) {
	r.subscribed.Range(func(channel, _ any) bool {
		if name, ok := channel.(string); ok && (affected == nil || affected(name)) {
			r.put(event{kind: "gap", channel: name})
		}
		return true
	})
}

// HandleJoin implements centrifuge.BrokerHandler.
func (r *receiver) HandleJoin(channel string, info *centrifuge.ClientInfo) {
	r.put(event{kind: "join", channel: channel, info: info})
}

// HandleLeave implements centrifuge.BrokerHandler.
func (r *receiver) HandleLeave(channel string, info *centrifuge.ClientInfo) {
	r.put(event{kind: "leave", channel: channel, info: info})
}

func (r *receiver) put(e event) {
	if e.channel == r.watched {
		if r.inside.Add(1) != 1 {
			r.overlap.Store(true)
		}
		defer r.inside.Add(-1)
		runtime.Gosched() // let a call in that should have waited
	}
	r.events <- e
}

// next waits for the next call.
func (r *receiver) next(t *testing.T) event {
	t.Helper()
	timeout := time.NewTimer(waitLimit)
	defer timeout.Stop()
	select {
	case e := <-r.events:
		return e
	case <-timeout.C:
		t.Fatal("the handler was not called; want a call")
		return event{}
	}
}

// wantPublication waits for the next call and checks that it brings this payload.
func (r *receiver) wantPublication(t *testing.T, channel, data string) event {
	t.Helper()
	e := r.next(t)
	if e.kind != "publication" || e.channel != channel || string(e.pub.Data) != data {
		t.Fatalf("got %s in %q with %+v, want publication of %s in %q", e.kind, e.channel, e.pub, data, channel)
	}
	return e
}

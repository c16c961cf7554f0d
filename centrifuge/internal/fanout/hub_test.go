package fanout

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"centrifugo/protocol"
)

// testSubscriber is a Subscriber with a sink of its own.
type testSubscriber struct {
	Subscriber
	out  Outbox
	sink recordingSink

	mu         sync.Mutex
	losses     []Loss
	without    protocol.Omitted
	superseded atomic.Int64
}

func (s *testSubscriber) Superseded(n int) { s.superseded.Add(int64(n)) }

func (*testSubscriber) ID() string { return "me" }

func (s *testSubscriber) Omitted(_ *Subscriber, _ *Push, what protocol.Omitted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.without.Publications += what.Publications
	s.without.Payloads += what.Payloads
}

func (s *testSubscriber) Lost(_ *Subscriber, why Loss) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses = append(s.losses, why)
}

func newSubscriber(lane uint16, format protocol.Format) *testSubscriber {
	s := &testSubscriber{}
	s.out.Init(&s.sink, 0, 64, false)
	s.sink.Owner = s
	s.Out, s.Lane, s.Format = &s.out, lane, format
	return s
}

func (s *testSubscriber) join(h *Hub, channel string) (first bool) {
	s.Channel = channel
	return h.Add(&s.Subscriber)
}

func newPush(channel string, offset uint64) *Push {
	return &Push{Channel: channel, Offset: offset, Epoch: "e", Pub: &protocol.Publication{
		Data: []byte(strconv.FormatUint(offset, 10)), Offset: offset,
	}}
}

// TestHubChanges: subscribers come and go while pushes are broadcast. Whoever is
// added gets everything from then on, whoever is removed nothing any more.
func TestHubChanges(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			h := NewHub(3)
			defer h.Close()
			const channels, each = 3, 200
			var work sync.WaitGroup
			names := [channels]string{"a", "b", "c"}
			// One lock for each channel, as the node has.
			var locks [channels]sync.Mutex
			var tops [channels]uint64
			for i, name := range names {
				work.Go(func() {
					for range each {
						locks[i].Lock()
						tops[i]++
						h.Broadcast(newPush(name, tops[i]))
						locks[i].Unlock()
						runtime.Gosched()
					}
				})
			}
			for range 6 {
				work.Go(func() {
					for range 20 {
						i := rand.IntN(channels)
						s := newSubscriber(h.Lane(rand.Uint64()), jsonFormat)
						locks[i].Lock()
						s.join(h, names[i])
						from := tops[i]
						locks[i].Unlock()
						s.Open(true, from, "e")
						for range rand.IntN(20) {
							runtime.Gosched()
						}
						h.Remove(&s.Subscriber)
						s.mu.Lock()
						if len(s.losses) > 0 {
							t.Errorf("a subscriber lost something: %v; want none", s.losses)
						}
						s.mu.Unlock()
						s.checkRun(t, from)
					}
				})
			}
			work.Wait()
			synctest.Wait()
			if channels, subs := h.Count(); channels != 0 || subs != 0 {
				t.Errorf("%d channels and %d subscribers are left; want 0 and 0", channels, subs)
			}
		})
	}
}

var jsonFormat protocol.Format

// checkRun checks that what came is a run that begins behind from.
func (s *testSubscriber) checkRun(t *testing.T, from uint64) {
	t.Helper()
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for i, f := range s.sink.frames {
		want := `"offset":` + strconv.FormatUint(from+uint64(i)+1, 10) + "}"
		if from+uint64(i) == 0 {
			want = `"offset":1,"epoch":"e"}`
		}
		if !strings.Contains(string(f.Bytes), want) {
			t.Fatalf("frame %d is %s, want %s", i, f.Bytes, want)
		}
	}
}

// TestFirstPublicationTellsTheEpoch, also without a payload that JSON cannot carry. The
// publication itself, which others may share, does not change.
func TestFirstPublicationTellsTheEpoch(t *testing.T) {
	p := newPush("a", 1)
	second := newPush("a", 2)
	badInfo := newPush("a", 1)
	badInfo.Pub.Info = &protocol.ClientInfo{ConnInfo: []byte("{")}
	for name, test := range map[string]struct {
		push *Push
		want bool
	}{"first": {p, true}, "first, info left out": {badInfo, true}, "second": {second, false}} {
		encoded, _, err := test.push.encode(jsonFormat, formPlain, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(encoded.Bytes), `"epoch":"e"`); got != test.want {
			t.Errorf("%s: %s has the epoch: %v, want %v", name, encoded.Bytes, got, test.want)
		}
		if test.push.Pub.Epoch != "" {
			t.Errorf("%s: the publication has got the epoch %q; want it unchanged", name, test.push.Pub.Epoch)
		}
	}
}

// watchFilter notices pushes that pass the gate after a moment.
type watchFilter struct{ over, late atomic.Bool }

func (f *watchFilter) Match(map[string]string) bool {
	if f.over.Load() {
		f.late.Store(true)
	}
	return true
}

// TestRemovedGetNothing: after Remove has returned nothing passes the gate.
func TestRemovedGetNothing(t *testing.T) {
	h := NewHub(1)
	var broadcasting sync.WaitGroup
	stop := make(chan struct{})
	broadcasting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				h.Broadcast(newPush("a", 0))
			}
		}
	})
	var filters []*watchFilter
	for range 2000 {
		s, f := newSubscriber(0, jsonFormat), &watchFilter{}
		s.Options = &SubscriberOptions{Filter: f}
		s.join(h, "a")
		s.Open(false, 0, "")
		runtime.Gosched()
		h.Remove(&s.Subscriber)
		f.over.Store(true)
		filters = append(filters, f)
	}
	close(stop)
	broadcasting.Wait()
	h.Close()
	for i, f := range filters {
		if f.late.Load() {
			t.Fatalf("subscriber %d got something after its removal; want nothing", i)
		}
	}
}

// TestFirstAndLast of a channel's subscribers.
func TestFirstAndLast(t *testing.T) {
	h := NewHub(2)
	defer h.Close()
	a, b := newSubscriber(0, jsonFormat), newSubscriber(1, jsonFormat)
	if !a.join(h, "x") || b.join(h, "x") {
		t.Error("the first subscriber is not reported as first, or the second is; want the first only")
	}
	if h.NumSubscribers("x") != 2 || h.NumSubscribers("y") != 0 {
		t.Error("the count is wrong; want 2 and 0")
	}
	seen := make(map[string]int)
	h.Each(func(channel string, n int) { seen[channel] = n })
	if len(seen) != 1 || seen["x"] != 2 {
		t.Errorf("Each has %v; want length 1 and 2", seen)
	}
	if h.Remove(&a.Subscriber) || !h.Remove(&b.Subscriber) {
		t.Error("the first removal is reported as the last, or the second is not; want the second only")
	}
	if channels, subs := h.Count(); channels+subs != 0 {
		t.Errorf("%d channels, %d subscriptions are left; want none", channels, subs)
	}
}

// TestSoleBecomesCrowd: the order of what the first subscriber gets does not
// change when a second one comes, and channels of both kinds are counted alike.
func TestSoleBecomesCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, release := held(t)
		first, second := newSubscriber(0, jsonFormat), newSubscriber(0, jsonFormat)
		if !first.join(h, "a") {
			t.Error("join of the first = false; want true")
		}
		first.Open(true, 0, "e")
		h.Broadcast(newPush("a", 1))
		h.Broadcast(newPush("a", 2))
		if first.set != nil {
			t.Error("one subscriber uses the memory of many; want no set")
		}
		if second.join(h, "a") {
			t.Error("join of the second = true; want false")
		}
		second.Open(true, 2, "e")
		h.Broadcast(newPush("a", 3))
		release()
		synctest.Wait()
		if first.sink.count() != 3 || second.sink.count() != 1 {
			t.Errorf("%d and %d pushes, want 3 and 1", first.sink.count(), second.sink.count())
		}
		first.checkRun(t, 0)
		second.checkRun(t, 2)
		if h.Remove(&first.Subscriber) {
			t.Error("Remove of the first = true; want false")
		}
		h.Broadcast(newPush("a", 4))
		synctest.Wait()
		if first.sink.count() != 3 || second.sink.count() != 2 {
			t.Errorf("%d and %d pushes, want 3 and 2", first.sink.count(), second.sink.count())
		}
		if n := h.NumSubscribers("a"); n != 1 {
			t.Errorf("%d subscribers; want 1", n)
		}
		if !h.Remove(&second.Subscriber) || h.NumSubscribers("a") != 0 {
			t.Errorf("Remove of the last = false, or %d subscribers are left; want true, none", h.NumSubscribers("a"))
		}
		h.Close()
	})
}

package fanout

import (
	"testing"
	"testing/synctest"

	"centrifugo/protocol"
)

// held is a lane that a subscriber of another channel keeps busy.
func held(t *testing.T) (h *Hub, release func()) {
	t.Helper()
	h = NewHub(1)
	s := newSubscriber(0, jsonFormat)
	s.sink.entered, s.sink.release = make(chan struct{}), make(chan struct{})
	s.join(h, "held")
	s.Open(false, 0, "")
	h.Broadcast(newPush("held", 0))
	<-s.sink.entered
	return h, func() { close(s.sink.release) }
}

// TestLaneBatches: the busier the lane, the more messages share a write.
func TestLaneBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, release := held(t)
		s := newSubscriber(0, jsonFormat)
		s.join(h, "a")
		newSubscriber(0, jsonFormat).join(h, "b")
		s.Open(false, 0, "")
		for i := range uint64(30) {
			h.Broadcast(newPush("a", i+1))
			h.Broadcast(newPush("b", i+1))
		}
		release()
		synctest.Wait()
		if len(s.sink.calls) != 1 || s.sink.calls[0] != 30 {
			t.Errorf("writes of %v frames; want length 1 and [0] 30", s.sink.calls)
		}
		s.checkRun(t, 0)
		h.Close()
	})
}

// TestLaneBehind: a reader that keeps up gets everything, however far the lane
// was behind.
func TestLaneBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, release := held(t)
		s := newSubscriber(0, jsonFormat)
		s.out.Init(&s.sink, 256<<10, 64, false)
		s.join(h, "a")
		s.Open(true, 0, "e")
		const pushes = 40_000
		for i := range uint64(pushes) {
			h.Broadcast(newPush("a", i+1))
		}
		release()
		synctest.Wait()
		if len(s.losses) != 0 || s.sink.count() != pushes {
			t.Errorf("losses %v, %d pushes; want none, %d", s.losses, s.sink.count(), pushes)
		}
		s.checkRun(t, 0)
		h.Close()
	})
}

// TestRemovedWhileBehind: what a lane has not delivered at the time of a Remove
// does not reach the subscriber any more.
func TestRemovedWhileBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, release := held(t)
		s := newSubscriber(0, jsonFormat)
		s.join(h, "a")
		s.Open(false, 0, "")
		h.Broadcast(newPush("a", 1))
		h.Remove(&s.Subscriber)
		release()
		synctest.Wait()
		if s.sink.count() != 0 {
			t.Errorf("%d pushes after the removal; want 0", s.sink.count())
		}
		h.Close()
	})
}

// TestLaneIsBounded: a publisher that is ahead of a lane waits, and is released
// by the lane or by the end of the hub.
func TestLaneIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, release := held(t)
		const subscribers = 64
		for range subscribers {
			s := newSubscriber(0, jsonFormat)
			s.join(h, "a")
		}
		published, done := make(chan int, 10*maxPending), make(chan struct{})
		go func() {
			defer close(done)
			for i := range 2 * maxPending / subscribers {
				h.Broadcast(newPush("a", uint64(i+1)))
				published <- i
			}
		}()
		synctest.Wait()
		if n := len(published); n != maxPending/subscribers {
			t.Errorf("%d pushes were taken; want %d", n, maxPending/subscribers)
		}
		release()
		<-done
		h.Close()
	})
}

// TestLaneIsBoundedByBytes: large payloads wait with their publisher.
func TestLaneIsBoundedByBytes(t *testing.T) {
	for _, test := range []struct {
		name         string
		size, pushes int
		join         bool // instead of publications
		want         int
	}{
		{name: "512 KiB", size: 512 << 10, pushes: 100, want: 16},
		{name: "1 MiB", size: 1 << 20, pushes: 100, want: 8},
		{name: "one beyond the bound", size: 100 << 20, pushes: 3, want: 1},
		{name: "4 KiB", size: 4 << 10, pushes: 10_000, want: maxInbox/(4<<10+64) + 1},
		{name: "small ones are bounded by their number", size: 1, pushes: 2 * maxPending, want: maxPending},
		{name: "joins", join: true, pushes: 2 * maxPending, want: maxPending},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, end := range []string{"released", "closed"} {
				synctest.Test(t, func(t *testing.T) {
					h, release := held(t)
					s := newSubscriber(0, jsonFormat)
					s.join(h, "a")
					pub := &protocol.Publication{Data: make([]byte, test.size)}
					published, done := make(chan struct{}, test.pushes), make(chan struct{})
					go func() {
						defer close(done)
						for range test.pushes {
							p := &Push{Channel: "a", Pub: pub}
							if test.join {
								p = &Push{Channel: "a", Join: &protocol.ClientInfo{}}
							}
							h.Broadcast(p)
							published <- struct{}{}
						}
					}()
					synctest.Wait()
					if n := len(published); n != test.want {
						t.Errorf("%d pushes were taken; want %d", n, test.want)
					}
					if end == "closed" {
						go h.Close()
						synctest.Wait()
					}
					release()
					<-done
					if end == "released" {
						h.Close()
					}
				})
			}
		})
	}
}

// TestCoalescedPushesAreBoundedByBytes: so do the lists of a coalescer.
func TestCoalescedPushesAreBoundedByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, release := held(t)
		s := newSubscriber(0, jsonFormat)
		s.join(h, "a")
		target := h.targets("a", nil)[0]
		list := []*Push{{Channel: "a", Pub: &protocol.Publication{Data: make([]byte, 1<<20)}}}
		posted, done := make(chan struct{}, 100), make(chan struct{})
		go func() {
			defer close(done)
			for range cap(posted) {
				h.lanes[0].postPushes(target, list)
				posted <- struct{}{}
			}
		}()
		synctest.Wait()
		if got, want := len(posted), 8; got != want {
			t.Errorf("the inbox took %d lists of 1 MiB; want %d", got, want)
		}
		release()
		<-done
		h.Close()
	})
}

// TestLaneShrinks after most subscribers have left.
func TestLaneShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(1)
		var many []*testSubscriber
		for range 1000 {
			s := newSubscriber(0, jsonFormat)
			s.Open(false, 0, "")
			s.join(h, "a")
			many = append(many, s)
		}
		for _, s := range many[5:] {
			h.Remove(&s.Subscriber)
		}
		h.Broadcast(newPush("a", 1))
		synctest.Wait()
		for i, s := range many {
			if got := s.sink.count(); got != 1 && i < 5 || got != 0 && i >= 5 {
				t.Errorf("subscriber %d got %d pushes; want one for those below 5", i, got)
			}
		}
		set := many[0].set
		if n := cap(set.members[0]); n > 64 {
			t.Errorf("capacity for %d subscribers is kept; want at most 64", n)
		}
		h.Close()
	})
}

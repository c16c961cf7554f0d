package fanout

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/protocol"
)

// batched is a hub with a batcher for channel "a", and its first subscriber.
func batched(o CoalesceOptions) (h *Hub, b *Coalescer, s *testSubscriber) {
	h = NewHub(2)
	b = NewCoalescer(h)
	s = newSubscriber(0, jsonFormat)
	s.join(h, "a")
	b.Open("a", o)
	s.Open(true, 0, "e")
	return h, b, s
}

// writes waits until nothing happens and returns the frames of each write since.
func (s *testSubscriber) writes() []int {
	synctest.Wait()
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	calls := s.sink.calls
	s.sink.calls = nil
	return calls
}

func (s *testSubscriber) wantWrites(t *testing.T, what string, want ...int) {
	t.Helper()
	if got := s.writes(); !slices.Equal(got, want) {
		t.Errorf("%s: writes of %v frames, want %v", what, got, want)
	}
}

// TestBatchTriggers: what sends a batch, and that it goes out in one write.
func TestBatchTriggers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b, s := batched(CoalesceOptions{MaxSize: 3, MaxDelay: 100 * time.Millisecond})
		b.Broadcast(newPush("a", 1))
		time.Sleep(60 * time.Millisecond)
		b.Broadcast(newPush("a", 2))
		time.Sleep(39 * time.Millisecond)
		b.find("a").flush(true) // as the timer of a batch before, which came late
		s.wantWrites(t, "before its time")
		time.Sleep(time.Millisecond)
		s.wantWrites(t, "a delay after the first", 2)

		b.Broadcast(newPush("a", 3))
		b.Broadcast(newPush("a", 4))
		time.Sleep(10 * time.Millisecond)
		b.Broadcast(newPush("a", 5))
		s.wantWrites(t, "full", 3)

		time.Sleep(50 * time.Millisecond)
		b.Broadcast(newPush("a", 6))
		time.Sleep(99 * time.Millisecond) // the time of the batch before passes meanwhile
		s.wantWrites(t, "before the time of its own")
		time.Sleep(time.Millisecond)
		s.wantWrites(t, "a delay after its own first", 1)

		time.Sleep(time.Second)
		s.wantWrites(t, "an empty batch")
		s.checkRun(t, 0)
		b.Close()
		h.Close()
	})
}

// TestBatchBytes: a batch of large payloads leaves before the lane would cut it.
func TestBatchBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b, s := batched(CoalesceOptions{MaxDelay: time.Second})
		for i := range uint64(3) {
			p := newPush("a", i+1)
			p.Pub.Data = []byte(`"` + strings.Repeat("x", 50<<10) + `"`)
			b.Broadcast(p)
		}
		s.wantWrites(t, "150 KiB", 3)
		b.Close()
		h.Close()
	})
}

// TestBatchCarriesJoinsAndLeaves in their order.
func TestBatchCarriesJoinsAndLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, latest := range []bool{false, true} {
			h, b, s := batched(CoalesceOptions{MaxDelay: time.Second, FlushLatest: latest})
			s.PushJoinLeave = true
			info := &protocol.ClientInfo{User: "u", Client: "c"}
			b.Broadcast(newPush("a", 1))
			b.Broadcast(&Push{Channel: "a", Join: info})
			b.Broadcast(newPush("a", 2))
			b.Broadcast(&Push{Channel: "a", Leave: info})
			time.Sleep(time.Second)
			synctest.Wait()
			want := []string{`"offset":1,"epoch":"e"}`, `"join":`, `"offset":2}`, `"leave":`}
			if latest {
				want = want[1:]
			}
			if len(s.sink.frames) != len(want) {
				t.Fatalf("%d frames, want %d", len(s.sink.frames), len(want))
			}
			for i, f := range s.sink.frames {
				if !strings.Contains(string(f.Bytes), want[i]) {
					t.Errorf("frame %d is %s, want %s", i, f.Bytes, want[i])
				}
			}
			b.Close()
			h.Close()
		}
	})
}

// TestBatchLatest: what is left of a batch. A publication is written as
// offset/epoch/tag/key; what is left as first-offset.
func TestBatchLatest(t *testing.T) {
	for _, test := range []struct {
		name, batch, want string
		byTags            bool
	}{
		{"run", "1 2 3", "1-3", false},
		{"one", "7", "7-7", false},
		{"without offsets", "0 0 0", "0-0", false},
		{"mixed", "1 0 2 0", "1-2 0-0", false},
		{"hole", "1 2 4 5", "1-2 4-5", false},
		{"twice", "1 2 2 3", "1-2 2-3", false},
		{"late", "2 3 1 4", "2-3 1-1 4-4", false},
		{"epochs", "1/e 2/e 1/f 2/f", "1-2 1-2", false},
		{"another epoch that seems to go on", "1/e 2/f", "1-1 2-2", false},
		{"tags do not matter", "1//x 2//y 3//x", "1-3", false},
		{"tags", "1//x 2//y 3//x 4//y", "1-3 4-4", true},
		{"no tags are tags", "1 2//y 3 4//y", "1-3 4-4", true},
		{"the same tags", "1//x 2//x 3//x", "1-3", true},
		{"tags with a hole", "1//x 3//y 4//x", "1-1 3-3 4-4", true},
		{"keys", "1///k 2///l 3///k", "1-2 3-3", false},
		{"the same key", "1///k 2///k", "1-2", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := coalescing{options: CoalesceOptions{FlushLatest: true, ByTags: test.byTags}}
			superseded := 0
			for _, text := range strings.Fields(test.batch) {
				part := append(strings.Split(text, "/"), "", "", "")
				offset, _ := strconv.ParseUint(part[0], 10, 64)
				p := newPush("a", offset)
				p.Epoch, p.Pub.Key = part[1], part[3]
				if part[2] != "" {
					p.Pub.Tags = map[string]string{"t": part[2]}
				}
				if _, did := g.add(p); did {
					superseded++
				}
			}
			bytes, count := g.bytes, g.count
			pushes := g.take(nil)
			var got []string
			for _, p := range pushes {
				got = append(got, fmt.Sprintf("%d-%d", p.First(), p.Offset))
				bytes -= p.size()
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("left are %v, want %s", got, test.want)
			}
			if bytes != 0 || count != len(pushes)+superseded || g.bytes+g.count+len(g.pushes) != 0 {
				t.Errorf("the account is wrong: %d bytes too many, %d came, %d left out; want 0, %v and 0",
					bytes, count, superseded, len(pushes)+superseded)
			}
		})
	}
}

// TestLatestIsNoGap for positioned subscribers, wherever in its range they are.
func TestLatestIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b, s := batched(CoalesceOptions{MaxDelay: time.Second, MaxSize: 5, FlushLatest: true})
		others := make([]*testSubscriber, 8)
		for at := range others {
			others[at] = newSubscriber(1, jsonFormat)
			others[at].join(h, "a")
			others[at].Open(true, uint64(at), "e")
		}
		for i := range uint64(4) { // 3 to 6, without those that others has before 2
			b.Broadcast(newPush("a", i+3))
		}
		b.Broadcast(newPush("a", 7))
		s.wantWrites(t, "a gap")
		if len(s.losses) != 1 || s.losses[0] != LossGap {
			t.Errorf("1 and 2 are missing: %v; want length 1 and [0] %v", s.losses, LossGap)
		}
		for at, other := range others {
			got, lost := other.sink.count(), len(other.losses)
			wantGot, wantLost := 1, 0
			switch {
			case at < 2:
				wantGot, wantLost = 0, 1
			case at == 7:
				wantGot = 0
			}
			if got != wantGot || lost != wantLost {
				t.Errorf("at %d: got %d pushes and %d losses, want %d and %d", at, got, lost, wantGot, wantLost)
			}
			if offset, _, ok := other.Position(); at >= 2 && (offset != 7 || !ok) {
				t.Errorf("at %d: the position afterwards is %d, %v; want 7, true", at, offset, ok)
			}
		}
		if b.Superseded() != 4 {
			t.Errorf("%d were left out, want 4", b.Superseded())
		}
		b.Close()
		h.Close()
	})
}

// TestLatestAndFilters: with ByTags every subscriber gets the newest that its
// filter lets through.
func TestLatestAndFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b, s := batched(CoalesceOptions{MaxDelay: time.Second, FlushLatest: true, ByTags: true})
		s.Options = &SubscriberOptions{Filter: oddTags{}}
		for i := range uint64(6) {
			p := newPush("a", i+1)
			if i%2 == 0 {
				p.Pub.Tags = map[string]string{"odd": "1"}
			}
			b.Broadcast(p)
		}
		time.Sleep(time.Second)
		s.wantWrites(t, "the newest that is odd", 1)
		if got := string(s.sink.frames[0].Bytes); !strings.Contains(got, `"offset":5,`) {
			t.Errorf("got %s, want 5", got)
		}
		if offset, _, ok := s.Position(); offset != 6 || !ok {
			t.Errorf("position %d %v, want 6", offset, ok)
		}
		b.Close()
		h.Close()
	})
}

// TestLatestAndDeltas: no subscriber gets a difference to a removed publication.
func TestLatestAndDeltas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b, s := batched(CoalesceOptions{MaxDelay: time.Second, FlushLatest: true})
		mid := newSubscriber(1, jsonFormat)
		s.Options, mid.Options = &SubscriberOptions{Delta: true}, &SubscriberOptions{Delta: true}
		mid.join(h, "a")
		mid.HasBase(3, "e")
		mid.Open(true, 3, "e")
		var prev []byte
		send := func(offset uint64) {
			p := newPush("a", offset)
			p.Pub.Data = []byte(`"` + strings.Repeat("the same again and again ", 20) + strconv.FormatUint(offset, 10) + `"`)
			p.Prev, prev = prev, p.Pub.Data
			b.Broadcast(p)
		}
		for i := range uint64(4) {
			send(i + 1)
		}
		time.Sleep(time.Second)
		synctest.Wait() // the timer goes off in the same moment
		send(5)
		time.Sleep(time.Second)
		synctest.Wait()
		for _, test := range []struct {
			name  string
			s     *testSubscriber
			delta []bool
		}{
			{"has none of the batch", s, []bool{false, true}},
			{"has the one before the newest", mid, []bool{true, true}},
		} {
			if len(test.s.sink.frames) != len(test.delta) {
				t.Fatalf("%s: %d frames, losses %v; want %v", test.name, len(test.s.sink.frames), test.s.losses, len(test.delta))
			}
			for i, f := range test.s.sink.frames {
				if got := strings.Contains(string(f.Bytes), `"delta":true`); got != test.delta[i] {
					t.Errorf("%s: frame %d: delta is %v: %s; want %v", test.name, i, got, f.Bytes, test.delta[i])
				}
			}
		}
		b.Close()
		h.Close()
	})
}

// TestBatchAndNewcomers: who comes in the middle of a batch has no duplicate and
// no gap.
func TestBatchAndNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, latest := range []bool{false, true} {
			h, b, _ := batched(CoalesceOptions{MaxDelay: time.Second, FlushLatest: latest})
			b.Broadcast(newPush("a", 1))
			b.Broadcast(newPush("a", 2))
			s := newSubscriber(1, jsonFormat)
			s.join(h, "a")
			s.Open(true, 2, "e") // the history has both
			b.Broadcast(newPush("a", 3))
			time.Sleep(time.Second)
			s.wantWrites(t, "the rest of the batch", 1)
			s.checkRun(t, 2)
			if len(s.losses) > 0 {
				t.Errorf("losses: %v; want none", s.losses)
			}
			b.Close()
			h.Close()
		}
	})
}

// TestBatchIsDropped with the last subscriber; those who come later get nothing of it.
func TestBatchIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b, s := batched(CoalesceOptions{MaxDelay: time.Second})
		b.Broadcast(newPush("a", 1))
		g := b.find("a")
		h.Remove(&s.Subscriber)
		b.Drop("a")
		b.Drop("a") // once more does nothing
		if n := b.open.Load(); n != 0 {
			t.Errorf("%d channels are gathered; want 0", n)
		}
		next := newSubscriber(0, jsonFormat)
		next.join(h, "a")
		b.Open("a", CoalesceOptions{})
		next.Open(false, 0, "")
		time.Sleep(2 * time.Second)
		g.flush(true) // as a timer that went off before it could be stopped
		next.wantWrites(t, "a batch of before")
		b.Broadcast(newPush("a", 2))
		next.wantWrites(t, "not gathered any more", 1)
		next.checkRun(t, 1)
		if got := s.sink.count(); got != 0 {
			t.Errorf("who has left got something: s.sink.count() = %v; want 0", got)
		}
		b.Close()
		h.Close()
	})
}

// TestCoalescerClose sends what waits, and lets nothing wait any more.
func TestCoalescerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b, s := batched(CoalesceOptions{MaxDelay: time.Second})
		b.Broadcast(newPush("a", 1))
		b.Broadcast(newPush("a", 2))
		b.Close()
		s.wantWrites(t, "what waited", 2)
		b.Broadcast(newPush("a", 3))
		s.wantWrites(t, "after the end", 1)
		other := newSubscriber(1, jsonFormat)
		other.join(h, "b")
		b.Open("b", CoalesceOptions{MaxDelay: time.Second})
		other.Open(false, 0, "")
		b.Broadcast(newPush("b", 1))
		other.wantWrites(t, "a channel of after the end", 1)
		time.Sleep(2 * time.Second)
		s.checkRun(t, 0)
		h.Close()
	})
}

// TestBatchWaitsForLanes: a batch does not grow while its lane is behind; the
// publisher waits as it would without one. Subscribers come and go meanwhile.
func TestBatchWaitsForLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, release := held(t)
		b := NewCoalescer(h)
		s := newSubscriber(0, jsonFormat)
		s.join(h, "a")
		b.Open("a", CoalesceOptions{MaxSize: 1000, MaxDelay: time.Hour})
		s.Open(true, 0, "e")
		const pushes = maxPending + 4000
		published := make(chan uint64, pushes)
		go func() {
			for i := range uint64(pushes) {
				b.Broadcast(newPush("a", i+1))
				published <- i
			}
		}()
		synctest.Wait()
		if n := len(published); n < maxPending || n > maxPending+3000 {
			t.Errorf("%d pushes were taken; want at least %d and at most two batches more", n, maxPending)
		}
		done := make(chan struct{})
		go func() {
			h.Remove(&s.Subscriber)
			b.Drop("a")
			close(done)
		}()
		<-done // although a batch is waiting for the lane
		release()
		synctest.Wait()
		b.Close()
		h.Close()
	})
}

// TestBatchOrder: many publishers, batches that leave for every reason at once,
// and subscribers that come and go. Each gets a run without holes.
func TestBatchOrder(t *testing.T) {
	const each, publishers = 300, 4
	run := func(t *testing.T, pause func()) {
		h := NewHub(2)
		defer h.Close()
		b := NewCoalescer(h)
		defer b.Close()
		var mu sync.Mutex // the broker's lock of the channel
		var keylock sync.Mutex
		var top uint64
		var work sync.WaitGroup
		for range publishers {
			work.Go(func() {
				for range each {
					mu.Lock()
					top++
					b.Broadcast(newPush("a", top))
					mu.Unlock()
					pause()
				}
			})
		}
		for range 4 {
			work.Go(func() {
				for range 20 {
					s := newSubscriber(h.Lane(rand.Uint64()), jsonFormat)
					keylock.Lock()
					if s.join(h, "a") {
						b.Open("a", CoalesceOptions{MaxSize: 1 + rand.IntN(8), MaxDelay: time.Duration(1 + rand.IntN(50_000))})
					}
					keylock.Unlock()
					mu.Lock()
					from := top
					mu.Unlock()
					s.Open(true, from, "e")
					for range rand.IntN(20) {
						pause()
					}
					keylock.Lock()
					if h.Remove(&s.Subscriber) {
						b.Drop("a")
					}
					keylock.Unlock()
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
		if n := b.open.Load(); n != 0 {
			t.Errorf("%d channels are still gathered; want 0", n)
		}
	}
	t.Run("fake time", func(t *testing.T) {
		for range 20 {
			synctest.Test(t, func(t *testing.T) {
				run(t, func() { time.Sleep(time.Duration(rand.IntN(20_000))) })
			})
		}
	})
	t.Run("real time", func(t *testing.T) { run(t, runtime.Gosched) })
}

// TestBatchComplete: one subscriber that stays gets everything, in order, while
// size and time race for each batch.
func TestBatchComplete(t *testing.T) {
	h, b, s := batched(CoalesceOptions{MaxSize: 7, MaxDelay: 20 * time.Microsecond})
	const pushes = 20_000
	for i := range uint64(pushes) {
		b.Broadcast(newPush("a", i+1))
	}
	b.Close()
	h.Close()
	if len(s.losses) > 0 || s.sink.count() != pushes {
		t.Fatalf("losses %v, %d pushes; want none, %d", s.losses, s.sink.count(), pushes)
	}
	s.checkRun(t, 0)
	if fewer := len(s.sink.calls); fewer > pushes/2 {
		t.Errorf("%d writes for %d pushes; want at most %v", fewer, pushes, pushes/2)
	}
}

package fanout

import (
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/protocol"
)

// TestSubHolds: what comes before Open follows the replies, from the position on.
func TestSubHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(1)
		s := newSubscriber(0, jsonFormat)
		s.join(h, "a")
		for i := range uint64(5) {
			h.Broadcast(newPush("a", i+1))
		}
		synctest.Wait()
		if got := s.sink.count(); got != 0 {
			t.Errorf("a held gate let something through: s.sink.count() = %v; want 0", got)
		}
		reply := &protocol.Encoded{Bytes: []byte("reply")}
		dirty, ok, loss := s.Open(true, 3, "e", reply)
		if !dirty || !ok || loss != LossNone {
			t.Fatalf("Open = %v, %v, %v; want true, true, none", dirty, ok, loss)
		}
		s.out.Flush()
		if s.sink.frames[0] != reply || s.sink.count() != 3 {
			t.Fatalf("%d frames, the first is %s; want s.sink.frames[0] %v and 3", s.sink.count(), s.sink.frames[0].Bytes, reply)
		}
		s.sink.frames = s.sink.frames[1:]
		s.checkRun(t, 3)
		if offset, epoch, ok := s.Position(); offset != 5 || epoch != "e" || !ok {
			t.Errorf("position %d %s %v; want 5 e true", offset, epoch, ok)
		}
		if _, ok, _ := s.Open(true, 0, ""); ok {
			t.Error("Open of an open gate = true; want false")
		}
		h.Close()
	})
}

// TestSubHoldIsBounded by the size of the outbox; without a size it is not.
func TestSubHoldIsBounded(t *testing.T) {
	for _, limit := range []int{1000, 0} {
		synctest.Test(t, func(t *testing.T) {
			h := NewHub(1)
			s := newSubscriber(0, jsonFormat)
			s.out.Init(&s.sink, limit, 4, false)
			s.join(h, "a")
			for i := range uint64(100) {
				h.Broadcast(newPush("a", i+1))
			}
			synctest.Wait()
			_, ok, _ := s.Open(true, 0, "e")
			if bounded := limit > 0; ok == bounded || len(s.losses) != map[bool]int{true: 1}[bounded] {
				t.Errorf("limit %d: opened %v, losses %v; want %v and a loss if it is not opened", limit, ok, s.losses, !bounded)
			}
			h.Close()
		})
	}
}

// TestSubLosses: what ends a subscriber.
func TestSubLosses(t *testing.T) {
	for _, test := range []struct {
		name string
		push *Push
		want Loss
	}{
		{"gap", newPush("a", 7), LossGap},
		{"epoch", &Push{Channel: "a", Offset: 6, Epoch: "other", Pub: &protocol.Publication{Data: []byte(`1`)}}, LossGap},
		{"slow", &Push{Channel: "a", Offset: 6, Epoch: "e", Pub: &protocol.Publication{Data: []byte(`"` + strings.Repeat("x", 2000) + `"`)}}, LossSlow},
		{"encoding", &Push{Channel: "a", Offset: 6, Epoch: "e", Pub: &protocol.Publication{Data: []byte(`{`)}}, LossNone},
		{"duplicate", newPush("a", 5), LossNone},
		{"next", newPush("a", 6), LossNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, when := range []string{"live", "held"} {
				synctest.Test(t, func(t *testing.T) {
					h := NewHub(1)
					s := newSubscriber(0, jsonFormat)
					s.out.Init(&s.sink, 1000, 4, false)
					s.sink.stick(true)
					s.out.Put(frameOf(500)) // half of the bound waits for the client
					s.out.Flush()
					s.join(h, "a")
					if when == "held" {
						s.out.max = 10_000 // the hold is within its bound, the outbox is not
						h.Broadcast(test.push)
						synctest.Wait()
						s.out.max = 1000
					}
					_, ok, loss := s.Open(true, 5, "e")
					if when == "live" {
						h.Broadcast(test.push)
						synctest.Wait()
						loss = LossNone
						if len(s.losses) > 0 {
							loss = s.losses[0]
						}
					}
					if !ok || loss != test.want {
						t.Errorf("%s: opened %v, loss %d, want %d", when, ok, loss, test.want)
					}
					h.Close()
				})
			}
		})
	}
}

// TestSubJoinsAndLeaves go to those who want them, and need no position.
func TestSubJoinsAndLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(1)
		wants, not := newSubscriber(0, jsonFormat), newSubscriber(0, jsonFormat)
		wants.PushJoinLeave = true
		for _, s := range []*testSubscriber{wants, not} {
			s.join(h, "a")
			s.Open(true, 4, "e")
		}
		info := &protocol.ClientInfo{User: "u", Client: "c"}
		h.Broadcast(&Push{Channel: "a", Join: info})
		h.Broadcast(&Push{Channel: "a", Leave: info})
		synctest.Wait()
		if wants.sink.count() != 2 || not.sink.count() != 0 {
			t.Errorf("%d and %d frames; want 2 and 0", wants.sink.count(), not.sink.count())
		}
		if offset, _, ok := wants.Position(); offset != 4 || !ok {
			t.Errorf("the position after a join is %d, %v; want 4, true", offset, ok)
		}
		h.Close()
	})
}

// TestBreak: a position that was found to be wrong ends the subscription, unless
// it has moved on.
func TestBreak(t *testing.T) {
	s := newSubscriber(0, jsonFormat)
	if s.Break(0) {
		t.Error("Break of a held gate = true; want false")
	}
	s.Open(true, 4, "e")
	if s.Break(3) || !s.Break(4) || s.Break(4) {
		t.Error("Break with positions 3, 4, 4 is not false, true, false; want it to break at the position of the gate only")
	}
	if _, _, ok := s.Position(); ok {
		t.Error("a broken gate has a position; want none")
	}
}

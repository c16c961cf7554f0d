package fanout

import (
	"testing"
	"testing/synctest"
)

// TestPositionPush: a push that only tells the position of the stream's top ends the
// positioned subscriptions that have not been served up to there, and no others.
func TestPositionPush(t *testing.T) {
	for _, test := range []struct {
		name       string
		positioned bool
		offset     uint64 // at which the gate opens
		epoch      string
		held       bool // the push arrives before the gate opens
		lost       bool
	}{
		{"at the top", true, 5, "e", false, false},
		{"beyond the top", true, 6, "e", false, false},
		{"behind the top", true, 4, "e", false, true},
		{"another epoch", true, 5, "f", false, true},
		{"no epoch yet, behind", true, 0, "", false, true},
		{"not positioned", false, 0, "", false, false},
		{"held, at the top", true, 5, "e", true, false},
		{"held, behind the top", true, 4, "e", true, true},
		{"held, not positioned", false, 0, "", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub(1)
				s := newSubscriber(0, jsonFormat)
				s.PushJoinLeave = true
				s.join(h, "a")
				top := &Push{Channel: "a", Offset: 5, Epoch: "e"}
				if test.held {
					h.Broadcast(top)
					synctest.Wait()
				}
				_, ok, loss := s.Open(test.positioned, test.offset, test.epoch)
				if !ok {
					t.Fatal("the gate did not open; want it open")
				}
				if !test.held {
					h.Broadcast(top)
					synctest.Wait()
				}
				lost := loss == LossGap || len(s.losses) == 1 && s.losses[0] == LossGap
				if lost != test.lost {
					t.Errorf("lost = %v, want %v", lost, test.lost)
				}
				h.Broadcast(newPush("a", test.offset+1))
				synctest.Wait()
				if got, want := s.sink.count() == 1, !test.lost && (test.epoch == "e" || !test.positioned); got != want {
					t.Errorf("the next publication was delivered: %v, want %v", got, want)
				}
				h.Close()
			})
		})
	}
}

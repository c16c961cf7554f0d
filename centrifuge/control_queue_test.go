package centrifuge

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge/internal/clusterwire"
)

// TestControlQueues checks the order of each queue and that queues do not wait for each
// other.
func TestControlQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex
		got := make(map[string][]uint32)
		q := newControlQueues(func(m *controlMessage) {
			user := targetOf(m).User
			if user == "slow" {
				<-release
			}
			mu.Lock()
			defer mu.Unlock()
			got[user] = append(got[user], m.Disconnect.Code)
		})
		users := []string{"slow", "a", "b"}
		for i := range uint32(100) {
			for _, user := range users {
				if !q.add(disconnectMessage(user, i)) {
					t.Fatalf("message %d of %q was dropped; want it queued", i, user)
				}
			}
		}
		synctest.Wait()
		mu.Lock()
		if len(got["a"]) != 100 || len(got["b"]) != 100 || len(got["slow"]) != 0 {
			t.Errorf("%d, %d and %d messages of a, b and slow were processed; want 100, 100, 0", len(got["a"]), len(got["b"]), len(got["slow"]))
		}
		mu.Unlock()
		close(release)
		synctest.Wait()
		for _, user := range users {
			for i, code := range got[user] {
				if code != uint32(i) { //nolint:gosec // a small index
					t.Fatalf("message %d of %q was processed as %d; want their order", code, user, i)
				}
			}
		}
		if len(q.queues) != 0 || q.total != 0 {
			t.Errorf("%d queues with %d messages are left; want none", len(q.queues), q.total)
		}
	})
}

// TestControlQueuesBound checks that the messages of one user and of all are bounded, and
// that the queues accept messages again once they are shorter.
func TestControlQueuesBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		q := newControlQueues(func(*controlMessage) { <-release })
		taken := 0
		for user := range 20 {
			of := 0
			for range maxControlQueue + 1 {
				if q.add(disconnectMessage(fmt.Sprint(user), 0)) {
					of++
				}
			}
			if of > maxControlQueue {
				t.Fatalf("%d messages of one user wait; want at most %d", of, maxControlQueue)
			}
			taken += of
		}
		if taken != maxControlTotal {
			t.Errorf("%d messages wait; want %d", taken, maxControlTotal)
		}
		close(release)
		synctest.Wait()
		if !q.add(disconnectMessage("0", 0)) {
			t.Error("a message was dropped by empty queues; want it queued")
		}
	})
}

func disconnectMessage(user string, code uint32) *controlMessage {
	return &controlMessage{Op: clusterwire.OpDisconnect, Disconnect: &clusterwire.Disconnect{Target: clusterwire.Target{User: user}, Code: code}}
}

package centrifugetest

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
)

// TestPresenceManager is the conformance suite of centrifuge.PresenceManager.
// NewManager returns a manager whose entries live for ttl; the suite closes it.
func TestPresenceManager(t *testing.T, newManager func(t *testing.T, ttl time.Duration) centrifuge.PresenceManager, options ...Option) {
	s := newSuite(options)
	for _, c := range []struct {
		name string
		ttl  time.Duration
		test func(t *testing.T, p *presenceCase)
	}{
		{"an unused channel is empty", time.Minute, testNobody},
		{"lists who was added", time.Minute, testAddPresence},
		{"counts users", time.Minute, testCountUsers},
		{"forgets who was removed", time.Minute, testRemovePresence},
		{"replaces an entry", time.Minute, testReplacePresence},
		{"keeps channels apart", time.Minute, testPresenceChannels},
		{"forgets who was not renewed", 2 * shortTTL, testPresenceTTL},
		{"is safe for concurrent use", time.Minute, testPresenceInParallel},
	} {
		s.run(t, c.name, func(t *testing.T) {
			p := &presenceCase{PresenceManager: newManager(t, c.ttl), channel: uniqueChannel(t), ttl: c.ttl}
			closeAtEnd(t, p)
			c.test(t, p)
		})
	}
}

type presenceCase struct {
	centrifuge.PresenceManager
	channel string
	ttl     time.Duration
}

func (p *presenceCase) add(t *testing.T, client, user string) *centrifuge.ClientInfo {
	t.Helper()
	info := &centrifuge.ClientInfo{User: user, Client: client, ConnInfo: []byte(`{"a":1}`), ChanInfo: []byte(`{"b":2}`)}
	if err := p.AddPresence(t.Context(), p.channel, client, info); err != nil {
		t.Fatalf("adding %s: %v", client, err)
	}
	return info
}

func (p *presenceCase) remove(t *testing.T, client, user string) {
	t.Helper()
	if err := p.RemovePresence(t.Context(), p.channel, client, user); err != nil {
		t.Fatalf("removing %s: %v", client, err)
	}
}

// want checks who is there, and that the statistics agree.
func (p *presenceCase) want(t *testing.T, infos ...*centrifuge.ClientInfo) {
	t.Helper()
	want := make(map[string]*centrifuge.ClientInfo)
	users := make(map[string]bool)
	for _, info := range infos {
		want[info.Client], users[info.User] = info, true
	}
	got, err := p.Presence(t.Context(), p.channel)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || (len(want) > 0 && !reflect.DeepEqual(got, want)) {
		t.Errorf("present are %v, want %v", got, want)
	}
	stats, err := p.PresenceStats(t.Context(), p.channel)
	if wantStats := (centrifuge.PresenceStats{NumClients: len(want), NumUsers: len(users)}); err != nil || stats != wantStats {
		t.Errorf("stats are %+v, %v, want %+v", stats, err, wantStats)
	}
}

func testNobody(t *testing.T, p *presenceCase) {
	p.want(t)
	p.remove(t, "c", "u")
	p.want(t)
}

func testAddPresence(t *testing.T, p *presenceCase) {
	a := p.add(t, "a", "1")
	p.want(t, a)
	b := p.add(t, "b", "2")
	p.want(t, a, b)
	p.add(t, "a", "1")
	p.want(t, a, b)
	p.remove(t, "a", "1") // once, although added twice
	p.want(t, b)
}

func testCountUsers(t *testing.T, p *presenceCase) {
	a, b, c, d := p.add(t, "a", "1"), p.add(t, "b", "1"), p.add(t, "c", ""), p.add(t, "d", "")
	p.want(t, a, b, c, d)
	p.remove(t, "a", "1")
	p.want(t, b, c, d)
	p.remove(t, "b", "1")
	p.want(t, c, d)
	p.remove(t, "c", "")
	p.remove(t, "d", "")
	p.want(t)
}

func testRemovePresence(t *testing.T, p *presenceCase) {
	a, b := p.add(t, "a", "1"), p.add(t, "b", "2")
	p.remove(t, "unknown", "1")
	p.want(t, a, b)
	p.remove(t, "a", "1")
	p.want(t, b)
	p.remove(t, "a", "1")
	p.want(t, b)
}

func testReplacePresence(t *testing.T, p *presenceCase) {
	p.add(t, "a", "1")
	info := &centrifuge.ClientInfo{User: "1", Client: "a", ChanInfo: []byte(`"new"`)}
	if err := p.AddPresence(t.Context(), p.channel, "a", info); err != nil {
		t.Fatal(err)
	}
	p.want(t, info)
}

func testPresenceChannels(t *testing.T, p *presenceCase) {
	other := &presenceCase{PresenceManager: p.PresenceManager, channel: p.channel + "other"}
	a := p.add(t, "a", "1")
	b := other.add(t, "b", "1")
	p.want(t, a)
	other.want(t, b)
	p.remove(t, "b", "1")
	other.want(t, b)
}

func testPresenceTTL(t *testing.T, p *presenceCase) {
	p.add(t, "a", "1")
	p.add(t, "b", "1")
	var c *centrifuge.ClientInfo
	await.Until(t, "a and b expired", func() bool {
		c = p.add(t, "c", "2") // renewed all the time
		stats, err := p.PresenceStats(t.Context(), p.channel)
		if err != nil || stats.NumClients == 0 {
			t.Fatalf("stats are %+v, %v; want more than 0", stats, err)
		}
		return stats.NumClients == 1
	})
	p.want(t, c)
	await.Until(t, "c expired", func() bool {
		present, err := p.Presence(t.Context(), p.channel)
		if err != nil {
			t.Fatal(err)
		}
		return len(present) == 0
	})
	p.want(t)
}

func testPresenceInParallel(t *testing.T, p *presenceCase) {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				client, user := fmt.Sprintf("%d-%d", worker, i), fmt.Sprint(i%3)
				info := &centrifuge.ClientInfo{User: user, Client: client}
				err := p.AddPresence(t.Context(), p.channel, client, info)
				if err == nil {
					_, err = p.Presence(t.Context(), p.channel)
				}
				if err == nil {
					_, err = p.PresenceStats(t.Context(), p.channel)
				}
				if err == nil && i > 0 {
					err = p.RemovePresence(t.Context(), p.channel, client, user)
				}
				if err != nil {
					t.Errorf("worker %d: %v", worker, err)
					return
				}
			}
		})
	}
	wg.Wait()
	stats, err := p.PresenceStats(t.Context(), p.channel)
	if want := (centrifuge.PresenceStats{NumClients: 8, NumUsers: 1}); err != nil || stats != want {
		t.Errorf("stats are %+v, %v, want %+v", stats, err, want)
	}
}

package centrifuge_test

import (
	"errors"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/internal/memtest"
)

func TestMemoryPresence(t *testing.T) {
	centrifugetest.TestPresenceManager(t, func(_ *testing.T, ttl time.Duration) centrifuge.PresenceManager {
		return centrifuge.NewMemoryPresence(ttl)
	}, centrifugetest.InBubble())
}

func TestMemoryPresenceErrors(t *testing.T) {
	p := centrifuge.NewMemoryPresence(0)
	ctx := t.Context()
	if err := p.AddPresence(ctx, "ch", "c", nil); err == nil {
		t.Error("adding nothing succeeded; want an error")
	}
	for range 2 {
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	_, errPresence := p.Presence(ctx, "ch")
	_, errStats := p.PresenceStats(ctx, "ch")
	for name, err := range map[string]error{
		"presence": errPresence,
		"stats":    errStats,
		"add":      p.AddPresence(ctx, "ch", "c", &centrifuge.ClientInfo{}),
		"remove":   p.RemovePresence(ctx, "ch", "c", ""),
	} {
		if !errors.Is(err, centrifuge.ErrShutdown) {
			t.Errorf("%s after close: %v; want %v", name, err, centrifuge.ErrShutdown)
		}
	}
}

// TestMemoryPresenceGivesMemoryBack lets very many entries expire, half of them
// each in a channel of its own, without reading any.
func TestMemoryPresenceGivesMemoryBack(t *testing.T) {
	const n = 100_000
	synctest.Test(t, func(t *testing.T) {
		p := centrifuge.NewMemoryPresence(0)
		empty := memtest.Heap()
		for i := range n {
			if i == n/2 {
				time.Sleep(10 * time.Second)
			}
			client, channel := strconv.Itoa(i), "channel"
			if i%2 == 0 {
				channel += client
			}
			if err := p.AddPresence(t.Context(), channel, client, &centrifuge.ClientInfo{Client: client, User: client}); err != nil {
				t.Fatal(err)
			}
		}
		full := memtest.Heap() - empty
		time.Sleep(75 * time.Second)
		synctest.Wait()
		left := memtest.Heap() - empty
		t.Logf("%d bytes each, %d bytes left", full/n, left)
		if full < 100*n {
			t.Errorf("%d bytes each: the measurement is wrong; want at least %v", full/n, 100*n)
		}
		if left > 1<<20 {
			t.Errorf("of %d bytes %d are left; want at most %v", full, left, 1<<20)
		}
		runtime.KeepAlive(p)
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkMemoryPresence(b *testing.B) {
	p := centrifuge.NewMemoryPresence(0)
	ctx := b.Context()
	clients := make([]string, 1000)
	info := &centrifuge.ClientInfo{User: "u"}
	for i := range clients {
		clients[i] = strconv.Itoa(i)
	}
	b.Run("renew", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := p.AddPresence(ctx, "ch", clients[i%len(clients)], info); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stats", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.PresenceStats(ctx, "ch"); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := p.Close(ctx); err != nil {
		b.Fatal(err)
	}
}

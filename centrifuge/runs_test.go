package centrifuge

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func publicationsFrom(first uint64, n, size int) []*Publication {
	pubs := make([]*Publication, n)
	for i := range pubs {
		pubs[i] = &Publication{Offset: first + uint64(i), Data: bytes.Repeat([]byte("1"), size)}
	}
	return pubs
}

func TestRunsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		one := r.of("a", "e", publicationsFrom(3, 5, 10))
		if one == nil || r.of("a", "e", publicationsFrom(3, 5, 10)) != one {
			t.Fatal("the same part of a stream is not the same run")
		}
		for name, other := range map[string]func() bool{
			"channel": func() bool { return r.of("b", "e", publicationsFrom(3, 5, 10)) == one },
			"epoch":   func() bool { return r.of("a", "f", publicationsFrom(3, 5, 10)) == one },
			"first":   func() bool { return r.of("a", "e", publicationsFrom(4, 4, 10)) == one },
			"last":    func() bool { return r.of("a", "e", publicationsFrom(3, 4, 10)) == one },
		} {
			if other() {
				t.Errorf("another %s gives the same run", name)
			}
		}
		gap := publicationsFrom(3, 5, 10)
		gap[2] = &Publication{Offset: 100}
		gap[4] = &Publication{Offset: 9}
		if r.of("a", "e", gap) != nil || r.of("a", "e", nil) != nil {
			t.Error("a run with a gap, or of nothing")
		}
		time.Sleep(runLife + runLife/2)
		if r.of("a", "e", publicationsFrom(3, 5, 10)) != one {
			t.Error("forgotten too early")
		}
		time.Sleep(runLife)
		if r.of("a", "e", publicationsFrom(3, 5, 10)) != one {
			t.Error("forgotten although it was needed")
		}
		time.Sleep(3 * runLife)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.young != nil || r.old != nil || r.size != 0 || r.turning {
			t.Errorf("not all is forgotten: %d bytes", r.size)
		}
	})
}

func TestRunsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r runs
		const size = maxRunBytes / 10
		for i := range uint64(10) {
			if r.of("a", "e", publicationsFrom(i+1, 1, size)) == nil {
				t.Fatal("no room")
			}
		}
		if r.of("a", "e", publicationsFrom(100, 1, size)) != nil {
			t.Error("more than the bound is kept")
		}
		if r.of("a", "e", publicationsFrom(1, 1, size)) == nil {
			t.Error("what is kept is not found")
		}
		time.Sleep(3 * runLife)
		if r.of("a", "e", publicationsFrom(100, 1, size)) == nil {
			t.Error("no room although all is forgotten")
		}
		time.Sleep(3 * runLife) // its timer
	})
}

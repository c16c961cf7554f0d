package logsample

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// take asks n times and returns what was let through and what was told as left out.
func take(s *Sampler, key Key, n int) (lines int, suppressed uint64) {
	for range n {
		ok, left := s.Take(key)
		if ok {
			lines++
		}
		suppressed += left
	}
	return lines, suppressed
}

func TestSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(3, time.Second)
		a, b := Key{"refused", 102}, Key{"refused", 103}
		for _, step := range []struct {
			key        Key
			n, lines   int
			suppressed uint64
			wait       time.Duration
		}{
			{a, 1000, 3, 0, 0},
			{a, 1, 0, 0, 0},
			{b, 2, 2, 0, 0}, // another kind has lines of its own
			{b, 2, 1, 0, time.Second},
			{a, 5, 3, 998, time.Second},
			{a, 1, 1, 2, time.Hour},
			{b, 1, 1, 1, 0},
		} {
			lines, suppressed := take(s, step.key, step.n)
			if lines != step.lines || suppressed != step.suppressed {
				t.Errorf("%d lines of %v: %d were let through and %d told as left out; want %d and %d",
					step.n, step.key, lines, suppressed, step.lines, step.suppressed)
			}
			time.Sleep(step.wait)
		}
	})
}

func TestSamplerIsBounded(t *testing.T) {
	s := New(1, time.Hour)
	total := 0
	for i := range 100_000 {
		lines, _ := take(s, Key{fmt.Sprint("message ", i), 0}, 1)
		total += lines
	}
	if len(s.kinds) > maxKeys+1 || total > maxKeys+1 {
		t.Errorf("100000 kinds keep %d entries and make %d lines; want at most %d", len(s.kinds), total, maxKeys+1)
	}
}

package centrifuge

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestTimeline(t *testing.T) {
	const year = 365 * 24 * 3600
	for _, test := range []struct {
		name string
		wall time.Time // zero for the bubble's
		exp  int64     // from the wall clock's seconds, unless absolute
		abs  bool
		want time.Duration // from now; -1 for never, -2 for passed
		ttl  uint32
	}{
		{name: "in a second", exp: 1, want: time.Second, ttl: 1},
		{name: "in a year and a second", exp: year + 1, want: (year + 1) * time.Second, ttl: year},
		{name: "now", exp: 0, want: -2, ttl: 1},
		{name: "a second ago", exp: -1, want: -2, ttl: 1},
		{name: "1970", abs: true, exp: 1, want: -2, ttl: 1},
		{name: "zero", abs: true, exp: 0, want: -1},
		{name: "negative", abs: true, exp: -1, want: -1},
		{name: "the most negative", abs: true, exp: math.MinInt64, want: -1},
		{name: "year 2286", abs: true, exp: 9999999999, want: time.Duration(farAway), ttl: year},
		{name: "year 9999", abs: true, exp: 253402300799, want: time.Duration(farAway), ttl: year},
		{name: "milliseconds", abs: true, exp: 1795646406000, want: time.Duration(farAway), ttl: year},
		{name: "nanoseconds", abs: true, exp: 1795646406000000000, want: time.Duration(farAway), ttl: year},
		{name: "just what seconds can hold", abs: true, exp: math.MaxInt64 / 1_000_000_000, want: time.Duration(farAway), ttl: year},
		{name: "the largest", abs: true, exp: math.MaxInt64, want: time.Duration(farAway), ttl: year},
		{name: "the largest, clock before 1970", wall: time.Unix(-1, 5), abs: true, exp: math.MaxInt64, want: time.Duration(farAway), ttl: year},
		{name: "clock before 1970", wall: time.Unix(-1, 0), abs: true, exp: 1, want: 2 * time.Second, ttl: 2},
		{name: "a fraction of a second", wall: time.Unix(1000, 3e8), abs: true, exp: 1010, want: 9700 * time.Millisecond, ttl: 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tl := newTimeline()
				time.Sleep(time.Hour)
				if !test.wall.IsZero() {
					tl.wall = func() time.Time { return test.wall }
				}
				exp := test.exp
				if !test.abs {
					exp += tl.wall().Unix()
				}
				now, got := tl.now(), tl.expiry(exp)
				var want moment
				switch test.want {
				case -1:
				case -2:
					want = 1
				case time.Duration(farAway):
					want = farAway
				default:
					want = now.add(test.want)
				}
				if got != want {
					t.Errorf("expires at %d, want %d; it is %d", got, want, now)
				}
				if passed := test.want == -2; tl.expired(exp) != passed {
					t.Errorf("expired = %v; want %v", !passed, passed)
				}
				if got == 0 {
					return
				}
				if ttl := tl.ttl(got); ttl != test.ttl {
					t.Errorf("TTL %d, want %d", ttl, test.ttl)
				}
				if later := got.add(maxDuration); later < got {
					t.Errorf("%d and a hundred years are %d; want no less", got, later)
				}
			})
		})
	}
}

func TestMoment(t *testing.T) {
	for _, test := range []struct {
		m         moment
		d         time.Duration
		added, in moment
	}{
		{1, 1, 2, 2},
		{1, 0, 1, 0},
		{1, -1, 1, 0},
		{1, math.MinInt64, 1, 0},
		{1, math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64, 1, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64 - 1, 1, math.MaxInt64, math.MaxInt64},
	} {
		if got := test.m.add(test.d); got != test.added {
			t.Errorf("%d and %d are %d, want %d", test.m, test.d, got, test.added)
		}
		if got := test.m.in(test.d); got != test.in {
			t.Errorf("%d in %d is %d, want %d", test.m, test.d, got, test.in)
		}
	}
}

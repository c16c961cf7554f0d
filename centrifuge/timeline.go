package centrifuge

import (
	"math"
	"time"
)

const (
	// maxDuration is what longer durations of a configuration are taken for: a
	// hundred years.
	maxDuration = 100 * 365 * 24 * time.Hour
	// farAway is the latest moment that a point in wall-clock time becomes. A
	// maxDuration can be added to it.
	farAway = moment(math.MaxInt64 - int64(maxDuration))
	// maxTTL caps the seconds that are told to clients: a year (protocol.md 5.4).
	maxTTL = 365 * 24 * 3600
)

// moment is a point in time on a node's monotonic clock, in nanoseconds since the
// node started plus one. Zero means none. Moments are compared and subtracted
// without overflow: none is negative.
type moment int64

// add saturates; a negative d counts as zero.
func (m moment) add(d time.Duration) moment {
	d = max(d, 0)
	if m > math.MaxInt64-moment(d) {
		return math.MaxInt64
	}
	return m + moment(d)
}

// in is the moment after d; none if d is not positive.
func (m moment) in(d time.Duration) moment {
	if d <= 0 {
		return 0
	}
	return m.add(d)
}

// since is the time that has passed from earlier to m.
func (m moment) since(earlier moment) time.Duration { return time.Duration(m - earlier) }

// timeline turns time from outside into deadlines, and deadlines into time that is
// told to others. Nothing else in this package reads the wall clock, which may be
// set at any time: a deadline is a moment, and a point in wall-clock time becomes
// one when it arrives.
type timeline struct {
	start time.Time // with a reading of the monotonic clock
	// wall is the wall clock, time.Now. Tests replace it.
	wall func() time.Time
}

func newTimeline() timeline { return timeline{start: time.Now(), wall: time.Now} }

func (t *timeline) now() moment { return t.moment(time.Now()) }

// moment converts a time that comes from time.Now.
func (t *timeline) moment(now time.Time) moment {
	return moment(1).add(now.Sub(t.start))
}

// expiry converts Unix seconds. Zero and less mean never (server.md 3.2),
// which is no moment. A time that has passed becomes the first moment.
func (t *timeline) expiry(unix int64) moment {
	if unix <= 0 {
		return 0
	}
	wall := t.wall() // read first: the deadline is never too early
	now := t.now()
	seconds := secondsUntil(unix, wall)
	switch {
	case seconds <= 0:
		return 1
	case seconds > int64(maxDuration/time.Second):
		return farAway
	}
	left := time.Duration(seconds)*time.Second - time.Duration(wall.Nanosecond())
	return min(now.add(left), farAway)
}

// expired reports whether Unix seconds have passed.
func (t *timeline) expired(unix int64) bool {
	return unix > 0 && unix <= t.wall().Unix()
}

// ttl is the seconds from now until m, at least one: zero would mean never.
func (t *timeline) ttl(m moment) uint32 {
	left := max(m.since(t.now()), 1)
	return uint32(min((left-1)/time.Second+1, maxTTL)) //nolint:gosec // between 1 and a year
}

// unixMilli is the wall clock for clients.
func (t *timeline) unixMilli() int64 { return t.wall().UnixMilli() }

// secondsUntil saturates.
func secondsUntil(unix int64, wall time.Time) int64 {
	now := wall.Unix()
	if now < 0 && unix > math.MaxInt64+now {
		return math.MaxInt64
	}
	return unix - now
}

// sinceUnixMilli is the time that has passed since a point in wall-clock time of
// this node or another, not negative.
func (t *timeline) sinceUnixMilli(unix int64) time.Duration {
	passed := t.wall().UnixMilli() - max(unix, 0)
	return time.Duration(min(max(passed, 0), int64(maxDuration/time.Millisecond))) * time.Millisecond
}

// wallTime returns the point in wall-clock time of a moment, zero for none.
func (t *timeline) wallTime(m moment) time.Time {
	if m == 0 {
		return time.Time{}
	}
	return t.wall().Add(m.since(t.now()))
}

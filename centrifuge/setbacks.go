package centrifuge

import (
	"sync"
	"time"
)

const (
	// maxSetbacks recoveries from one position may fail; the next is refused.
	maxSetbacks = 2
	// setbackLife is how long a failure is remembered, numSetbacks how many are.
	setbackLife = 5 * time.Minute
	numSetbacks = 1024
)

// attempt is a recovery as a client asks for it again when it failed.
type attempt struct {
	user, channel string
	since         StreamPosition
}

// setbacks remembers the large recoveries that did not reach their clients: the
// connection ended while the reply was on its way, because the client was too slow
// for what came behind it, or did not wait. Such a client would request the
// same recovery again without end, so it is told that it is not recovered. The zero value
// is ready.
type setbacks struct {
	mu     sync.Mutex
	failed map[attempt]setback // nil while empty
}

type setback struct {
	times int
	until time.Time
}

// add counts a failure of each attempt.
func (s *setbacks) add(attempts []attempt) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range attempts {
		if s.failed == nil {
			s.failed = make(map[attempt]setback)
		}
		known := s.failed[a]
		if known.times == 0 || !now.Before(known.until) {
			s.makeSpaceLocked(now)
			known.times = 0
		}
		s.failed[a] = setback{times: known.times + 1, until: now.Add(setbackLife)}
	}
}

// makeSpaceLocked forgets what is old where there is too much, or else anything.
func (s *setbacks) makeSpaceLocked(now time.Time) {
	if len(s.failed) < numSetbacks {
		return
	}
	for a, known := range s.failed {
		if !now.Before(known.until) {
			delete(s.failed, a)
		}
	}
	for a := range s.failed {
		if len(s.failed) < numSetbacks {
			return
		}
		delete(s.failed, a)
	}
}

// exhausted reports whether a has failed too often. It may then be tried again.
func (s *setbacks) exhausted(a attempt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.failed[a]
	if known.times == 0 {
		return false
	}
	expired := !time.Now().Before(known.until)
	if !expired && known.times < maxSetbacks {
		return false
	}
	if delete(s.failed, a); len(s.failed) == 0 {
		s.failed = nil
	}
	return !expired
}

// givesUp decides about a recovery whose publications have taken their space: it
// reports whether it has failed too often, and watches a large one otherwise.
func (p *pendingSubscription) givesUp() bool {
	c := p.client
	a := attempt{user: c.UserID(), channel: p.Channel, since: p.request.since}
	if c.node.setbacks.exhausted(a) {
		c.node.logger.log(LogInfo, "recovery given up: the client did not take it before", "client", c.id, "user", a.user,
			"channel", a.channel, "offset", a.since.Offset)
		return true
	}
	if c.outbox.IsLarge(p.space.total()) {
		c.pacing().watch(a, c.outbox.HasLarge())
	}
	return false
}

// watch remembers an attempt. Unless a large message is on its way, those before
// have reached the client.
func (m *pacing) watch(a attempt, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !more {
		m.attempts = nil
	}
	m.attempts = append(m.attempts, a)
}

// setBack counts the recoveries that a connection which is being closed leaves
// unread. It must be called before the outbox is closed.
func (c *Client) setBack(d Disconnect) {
	m := c.paced.Load()
	if m == nil || !c.outbox.HasLarge() {
		return
	}
	switch d {
	case DisconnectSlow, DisconnectWriteError, DisconnectNoPong, DisconnectConnectionClosed:
		m.mu.Lock()
		attempts := m.attempts
		m.attempts = nil
		m.mu.Unlock()
		c.node.setbacks.add(attempts)
	}
}

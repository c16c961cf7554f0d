package proxy

import (
	"sync"
	"time"
)

// streams are those of one connection, by channel.
type streams struct {
	mu   sync.Mutex
	open map[string]*sessionStream
}

type sessionStream struct {
	*Subscription
	// unannounced closes the stream of a subscription that has not begun; nil when it has.
	unannounced *time.Timer
}

// AddStream keeps the stream of a subscription that is about to begin. It closes the stream,
// unless Announce is called within limit. A stream of the channel that is still there is
// closed: its subscription has ended or has never begun.
func (s *Session) AddStream(channel string, sub *Subscription, limit time.Duration) {
	entry := &sessionStream{Subscription: sub}
	s.streams.mu.Lock()
	old := s.streams.open[channel]
	if s.streams.open == nil {
		s.streams.open = make(map[string]*sessionStream)
	}
	s.streams.open[channel] = entry
	entry.unannounced = time.AfterFunc(limit, func() { s.RemoveStream(channel, sub) })
	s.streams.mu.Unlock()
	if old != nil {
		old.end()
	}
}

func (s *sessionStream) end() {
	if s.unannounced != nil {
		s.unannounced.Stop()
	}
	s.Close()
}

// Announce returns the stream of a subscription that has begun, nil if there is none.
func (s *Session) Announce(channel string) *Subscription {
	if s == nil {
		return nil
	}
	s.streams.mu.Lock()
	defer s.streams.mu.Unlock()
	entry := s.streams.open[channel]
	if entry == nil || entry.unannounced == nil {
		return nil
	}
	entry.unannounced.Stop()
	entry.unannounced = nil
	return entry.Subscription
}

// Stream returns the stream of a subscription that has begun, nil if there is none.
func (s *Session) Stream(channel string) *Subscription {
	if s == nil {
		return nil
	}
	s.streams.mu.Lock()
	defer s.streams.mu.Unlock()
	if entry := s.streams.open[channel]; entry != nil && entry.unannounced == nil {
		return entry.Subscription
	}
	return nil
}

// RemoveStream closes a stream and reports whether it was that of the channel until now.
func (s *Session) RemoveStream(channel string, sub *Subscription) bool {
	if s == nil {
		return false
	}
	s.streams.mu.Lock()
	entry := s.streams.open[channel]
	mine := entry != nil && entry.Subscription == sub
	if mine {
		delete(s.streams.open, channel)
	}
	s.streams.mu.Unlock()
	if mine {
		entry.end()
	}
	return mine
}

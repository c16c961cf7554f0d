package consumer

import "sync/atomic"

// Stats counts what a consumer does. It is safe for concurrent use.
type Stats struct {
	// Processed counts messages that are to be acknowledged, with effect or without.
	Processed atomic.Uint64
	// Errors counts failures of the source and of calls, each repetition included, and
	// refused messages.
	Errors atomic.Uint64
	// Retries counts repetitions of calls.
	Retries atomic.Uint64

	refused [len(Reasons)]atomic.Uint64
	lag     atomic.Int64 // plus one, so that zero means unknown
}

// Refused returns how many messages were acknowledged without effect for a reason.
func (s *Stats) Refused(reason Reason) uint64 {
	for i, r := range Reasons {
		if r == reason {
			return s.refused[i].Load()
		}
	}
	return 0
}

func (s *Stats) refuse(reason Reason) {
	for i, r := range Reasons {
		if r == reason {
			s.refused[i].Add(1)
		}
	}
	s.Errors.Add(1)
}

// SetLag sets how many messages wait in the source for this node.
func (s *Stats) SetLag(messages int64) { s.lag.Store(max(messages, 0) + 1) }

// Lag returns how many messages wait in the source for this node, and whether the source
// has told.
func (s *Stats) Lag() (messages int64, known bool) {
	lag := s.lag.Load()
	return lag - 1, lag > 0
}

package redisengine

import (
	"strings"
	"sync"

	"centrifugo/centrifuge"
)

const (
	positionShards = 64
	// maxPositions bounds the positions kept in one of positionShards.
	maxPositions = 4096
)

// positions remembers where streams were last seen. A server that has lost data may
// continue a stream at an offset that was used before, in the same epoch: a client would be
// told that it has recovered although it has missed something. The scripts get the last
// position that the node has seen, and begin a new epoch if the stream is behind it, or was
// when the present run of the server began.
type positions struct {
	// Static after construction.
	renewed func(channel string) // called when a stream has another epoch than it had

	shards [positionShards]positionShard
}

type positionShard struct {
	// Guarded by mu.
	mu   sync.Mutex
	seen map[string]seenPosition
}

// seenPosition is a position with the id of the server's run in which it was seen, empty if
// that is not known.
type seenPosition struct {
	centrifuge.StreamPosition
	run string
}

func newPositions(renewed func(channel string)) *positions {
	p := &positions{renewed: renewed}
	for i := range p.shards {
		p.shards[i].seen = make(map[string]seenPosition)
	}
	return p
}

func (p *positions) shard(channel string) *positionShard {
	return &p.shards[hash(channel)%positionShards]
}

func (p *positions) get(channel string) seenPosition {
	s := p.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[channel]
}

// receive notes the position of a message. An offset below the one that was seen in the
// same epoch is of a message that was late. What was seen in another run of the server is
// kept until a script has compared it.
func (p *positions) receive(channel string, position seenPosition) { p.note(channel, position, false) }

// confirm notes a position that a script has returned.
func (p *positions) confirm(channel string, position seenPosition) { p.note(channel, position, true) }

func (p *positions) note(channel string, position seenPosition, confirmed bool) {
	if position.Epoch != "" && p.shard(channel).note(channel, position, confirmed) {
		p.renewed(channel)
	}
}

// note reports whether the stream had another epoch before.
func (s *positionShard) note(channel string, position seenPosition, confirmed bool) (renewed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.seen[channel]
	if before.Epoch == position.Epoch {
		if before.run == position.run && before.Offset >= position.Offset {
			return false
		}
		if before.run != position.run && !confirmed {
			return false
		}
	}
	if !known {
		if len(s.seen) >= maxPositions {
			for other := range s.seen { // a random one
				delete(s.seen, other)
				break
			}
		}
		channel = strings.Clone(channel) // a client's message must not be kept
	}
	s.seen[channel] = position
	return known && before.Epoch != position.Epoch
}

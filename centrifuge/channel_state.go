package centrifuge

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"centrifugo/centrifuge/internal/fanout"
)

const channelStateShards = 16

// channelStates are what a node keeps of the channels whose subscribers use numeric
// channel ids or deltas. It is safe for concurrent use.
type channelStates struct {
	// Static after construction.
	seed maphash.Seed

	lastID atomic.Int64
	// numDelta counts the channels with subscribers that use deltas.
	numDelta atomic.Int64
	deltas   atomic.Uint64 // deltas that were computed
	shards   [channelStateShards]channelStateShard
}

type channelStateShard struct {
	// Guarded by mu, which is a leaf.
	mu       sync.Mutex
	channels map[string]*channelState
}

// channelState is guarded by the shard's mu.
type channelState struct {
	// id is the numeric id of the channel. The node gives no id twice, so that the
	// messages of a channel that has lost its subscribers are never taken for those of
	// another one.
	id       int64
	idUsers  int // subscriptions that use id
	delta    int // subscriptions that use deltas
	sequence uint64
	latest   []byte // the payload of the latest publication, while delta is positive
}

func (cs *channelStates) shard(channel string) *channelStateShard {
	return &cs.shards[maphash.String(cs.seed, channel)%channelStateShards]
}

// enter counts a subscription that is about to join its channel, and sets its channel id
// if compact is set.
func (cs *channelStates) enter(s *subscription, compact bool) {
	if s.Options == nil || !compact && !s.Options.Delta {
		return
	}
	sh := cs.shard(s.Channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	state := sh.channels[s.Channel]
	if state == nil {
		if sh.channels == nil {
			sh.channels = make(map[string]*channelState)
		}
		state = &channelState{}
		sh.channels[strings.Clone(s.Channel)] = state
	}
	if compact {
		if state.idUsers == 0 {
			state.id = cs.lastID.Add(1)
		}
		state.idUsers++
		s.Options.ChannelID = state.id
	}
	if s.Options.Delta {
		if state.delta == 0 {
			cs.numDelta.Add(1)
		}
		state.delta++
	}
}

// exit undoes enter.
func (cs *channelStates) exit(s *subscription) {
	if s.Options == nil || s.Options.ChannelID == 0 && !s.Options.Delta {
		return
	}
	sh := cs.shard(s.Channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	state := sh.channels[s.Channel]
	if s.Options.ChannelID != 0 {
		state.idUsers--
	}
	if s.Options.Delta {
		if state.delta--; state.delta == 0 {
			state.latest = nil // sequence stays: lanes may be behind
			cs.numDelta.Add(-1)
		}
	}
	if state.idUsers == 0 && state.delta == 0 {
		delete(sh.channels, s.Channel)
	}
}

// link makes p, a publication, follow the publication that was delivered before it, if
// its channel has subscribers that use deltas. Calls for one channel are made one after
// another. Publications with an offset have the payload before them from the broker.
func (cs *channelStates) link(p *fanout.Push) {
	if cs.numDelta.Load() == 0 {
		return
	}
	sh := cs.shard(p.Channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	state := sh.channels[p.Channel]
	if state == nil || state.delta == 0 {
		return
	}
	state.sequence++
	p.Seq, p.Deltas = state.sequence, &cs.deltas
	if p.Offset == 0 && p.Pub.UseDelta && state.latest != nil {
		p.Prev = state.latest
	}
	state.latest = p.Pub.Data
}

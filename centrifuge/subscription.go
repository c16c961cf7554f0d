package centrifuge

import (
	"time"

	"centrifugo/centrifuge/internal/fanout"
)

// Subscription is one subscription of one client: channel, options, position
// and gate in one object, whose identity is its pointer. An old attempt to
// subscribe can thus never undo a newer one.
type Subscription struct {
	fanout.Sub

	// Static after construction.
	client     *Client
	channel    string
	serverSide bool

	// Static before it goes live.
	clientSideRefresh bool
	presence          bool
	joinLeave         bool
	positioned        bool
	recoverable       bool
	metaTTL           time.Duration

	// Guarded by client.mu.
	state    subState
	expireAt int64
	info     []byte
	settled  chan struct{} // closed when joining, ending or a renewal is over; nil otherwise

	// Owned by the client's tick.
	checkedAt     time.Time
	checkedOffset uint64
}

type subState uint8

const (
	subJoining subState = iota // made by whoever reserved it
	subLive
	subEnding // unmade by whoever claimed it
)

// needsTick reports whether there is something to look after from time to time.
func (s *Subscription) needsTick() bool {
	return s.presence || s.positioned || s.expireAt != 0
}

// Lost is called by a lane when the subscription cannot go on; it must not block.
func (s *Subscription) Lost(_ *fanout.Sub, why fanout.Loss) {
	switch why {
	case fanout.LossSlow:
		go s.client.close(DisconnectSlow, false)
	case fanout.LossEncoding:
		go s.client.Disconnect(DisconnectInappropriateProtocol)
	case fanout.LossGap:
		go s.client.insufficient(s)
	case fanout.LossNone:
	}
}

// subscriptions is a set of subscriptions by channel. Most connections have a
// few, for which a slice is smaller than a map and as fast.
type subscriptions struct {
	few  []*Subscription
	many map[string]*Subscription // used instead of few beyond maxFew
}

const maxFew = 8

func (ss *subscriptions) len() int { return len(ss.few) + len(ss.many) }

func (ss *subscriptions) get(channel string) *Subscription {
	if ss.many != nil {
		return ss.many[channel]
	}
	for _, s := range ss.few {
		if s.channel == channel {
			return s
		}
	}
	return nil
}

func (ss *subscriptions) add(s *Subscription) {
	switch {
	case ss.many != nil:
		ss.many[s.channel] = s
	case len(ss.few) < maxFew:
		ss.few = append(ss.few, s)
	default:
		ss.many = make(map[string]*Subscription, 2*maxFew)
		for _, other := range append(ss.few, s) {
			ss.many[other.channel] = other
		}
		ss.few = nil
	}
}

// remove forgets s, and only s.
func (ss *subscriptions) remove(s *Subscription) {
	if ss.many[s.channel] == s {
		delete(ss.many, s.channel)
		if len(ss.many) == 0 {
			ss.many = nil
		}
		return
	}
	for i, other := range ss.few {
		if other == s {
			ss.few = append(ss.few[:i], ss.few[i+1:]...)
			return
		}
	}
}

func (ss *subscriptions) each(f func(*Subscription)) {
	for _, s := range ss.few {
		f(s)
	}
	for _, s := range ss.many {
		f(s)
	}
}

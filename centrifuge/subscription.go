package centrifuge

import (
	"slices"
	"time"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/centrifuge/internal/nametable"
)

// subscription is one subscription of one client: channel, options, position
// and gate in one object, whose identity is its pointer. An old attempt to
// subscribe can thus never undo a newer one.
//
// A node may have millions: it is 112 bytes, and the state that few need is in details.
type subscription struct {
	fanout.Subscriber

	// Guarded by client.mu, but for what the tick owns.
	details *details // nil while nothing in it is needed

	// Static before it goes live.
	serverSide        bool
	clientSideRefresh bool
	positioned        bool

	// Owned by the goroutine that makes, holds or claims it.
	joinLeave bool // the channel was told of its join

	// Guarded by client.mu.
	presence bool // written by the goroutine that makes or holds it
	state    subState
	event    eventState // of Subscribed
	busy     bool       // being made, renewed or ended
}

// details are what few subscriptions have.
type details struct {
	// Guarded by client.mu.
	expires moment // none if it never does
	info    []byte
	settled chan struct{} // closed when it is not busy any more; made by the first that waits
	overlap *overlap      // nil for most

	recoverable bool // static before it goes live

	// Owned by the client's tick.
	check positionCheck
}

// overlap is the state of a subscription whose events overlap with those of another
// subscription, or with each other.
type overlap struct {
	// ended is set if the subscription ends while the application is being told of
	// it. The goroutine that tells reads it.
	ended *Unsubscribe
	// after is closed when the application knows that the subscription which had
	// the channel before has ended; nil if it does. Static.
	after <-chan struct{}
}

// positionCheck is the last position that checkPosition has seen, and when. Positioned
// subscriptions get theirs before they go live.
type positionCheck struct {
	metaTTL time.Duration // static
	at      moment
	offset  uint64
}

type subState uint8

const (
	subJoining subState = iota // being made, after reserve
	subLive
	subEnding // being ended, after claim
	subEnded  // only the application may have to be told
)

// eventState is what the application knows of a connection or a subscription. It is not
// told of one that ended before its first event.
type eventState uint8

const (
	eventNone    eventState = iota // it was told nothing
	eventDue                       // the maker is about to tell
	eventCalling                   // the callback is under way
	eventTold                      // it was told, so it must be told of the end
)

func (s *subscription) detailsLocked() *details {
	if s.details == nil {
		s.details = &details{}
	}
	return s.details
}

func (s *subscription) overlapLocked() *overlap {
	d := s.detailsLocked()
	if d.overlap == nil {
		d.overlap = &overlap{}
	}
	return d.overlap
}

// channelID is the number that pushes have in place of the channel's name, or zero.
func (s *subscription) channelID() int64 {
	if s.Options == nil {
		return 0
	}
	return s.Options.ChannelID
}

// expiryLocked is no moment if the subscription never expires.
func (s *subscription) expiryLocked() moment {
	if s.details == nil {
		return 0
	}
	return s.details.expires
}

// needsTickLocked reports whether there is something to look after in t.
func (s *subscription) needsTickLocked(t tick) bool {
	return t.presence && s.presence || t.rest && (s.positioned || s.expiryLocked() != 0)
}

// settledLocked is closed when the subscription, which is busy, is not any more.
func (s *subscription) settledLocked() <-chan struct{} {
	d := s.detailsLocked()
	if d.settled == nil {
		d.settled = make(chan struct{})
	}
	return d.settled
}

func (s *subscription) settleLocked() {
	s.busy = false
	if d := s.details; d != nil && d.settled != nil {
		close(d.settled)
		d.settled = nil
	}
}

// lost is called by a lane when a subscription cannot go on; it must not block.
func (c *Client) lost(lost *fanout.Subscriber, why fanout.Loss) {
	switch why {
	case fanout.LossSlow:
		go c.close(DisconnectSlow, false)
	case fanout.LossGap, fanout.LossSlowGap:
		if why == fanout.LossSlowGap {
			c.node.stats.slowGaps.Add(1)
		}
		go func() {
			if s := c.find(lost.Channel); s != nil && &s.Subscriber == lost { // otherwise it has ended
				c.insufficient(s)
			}
		}()
	case fanout.LossNone:
	}
}

// subscriptions is a set of subscriptions by channel. Most connections have a
// few, for which a slice is smaller than a table and as fast.
type subscriptions struct {
	few  []*subscription
	many *nametable.Table[*subscription] // used instead of few beyond maxFew
}

const maxFew = 8

func (ss *subscriptions) len() int {
	if ss.many != nil {
		return ss.many.Len()
	}
	return len(ss.few)
}

func (ss *subscriptions) get(channel string) *subscription {
	if ss.many != nil {
		s, _ := ss.many.Get(channel)
		return s
	}
	for _, s := range ss.few {
		if s.Channel == channel {
			return s
		}
	}
	return nil
}

// add adds s. Its channel must not have a subscription yet.
func (ss *subscriptions) add(s *subscription) {
	switch {
	case ss.many != nil:
		ss.many.Put(s)
	case len(ss.few) < maxFew:
		ss.few = append(ss.few, s)
	default:
		ss.many = nametable.New[*subscription]()
		for _, other := range append(ss.few, s) {
			ss.many.Put(other)
		}
		ss.few = nil
	}
}

// remove removes s, and no other subscription of its channel.
func (ss *subscriptions) remove(s *subscription) {
	if ss.get(s.Channel) != s {
		return
	}
	if ss.many != nil {
		ss.many.Delete(s.Channel)
		if ss.many.Len() == 0 {
			ss.many = nil
		}
		return
	}
	at := slices.Index(ss.few, s)
	ss.few = slices.Delete(ss.few, at, at+1)
}

func (ss *subscriptions) each(f func(*subscription)) {
	for _, s := range ss.few {
		f(s)
	}
	if ss.many != nil {
		ss.many.Each(f)
	}
}

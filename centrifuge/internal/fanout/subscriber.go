package fanout

import (
	"sync/atomic"

	"centrifugo/protocol"
)

// Subscriber is the subscription of one connection to one channel. A node may hold
// millions, so rarely used fields are in SubscriberOptions.
type Subscriber struct {
	Gate

	// Static after Hub.Add.
	Out     *Outbox
	Options *SubscriberOptions // nil for none
	Channel string             // its name
	Format  protocol.Format
	// PushJoinLeave passes joins and leaves. After Hub.Add, SetJoinLeave changes it.
	PushJoinLeave bool
	Lane          uint16

	index int32          // in subscriberSet.members; owned by the lane
	set   *subscriberSet // nil for the channel's single subscriber; guarded by the hub shard's mu
}

// Name implements nametable.Named.
func (s *Subscriber) Name() string { return s.Channel }

// SubscriberOptions are the options that few subscribers use.
type SubscriberOptions struct {
	// Static after Hub.Add.
	Filter   Filter         // nil passes everything
	Filtered *atomic.Uint64 // counts what Filter did not pass, nil for none
	// Delta sends publications in the form that protocol.md 6.7 asks for.
	Delta bool
	// Slow is what becomes of publications while the connection reads too slowly.
	Slow SlowPolicy
	// ChannelID, if not zero, is sent with pushes in place of the channel's name
	// (protocol.md 4.4).
	ChannelID int64

	// Guarded by Gate.mu.

	base    base
	newest  *Push // the newest publication of those that are being put
	waiting *Push // SlowLatest: what is sent when the connection has read enough
}

// base identifies the publication that was sent to a subscriber last, which the next
// delta may refer to: by its position or, if it has no offset, by Push.Seq. The zero
// value means that the publication before the next one was not sent.
type base struct {
	offset, seq uint64
	epoch       string
}

// precedes reports whether b is the publication directly before p.
func (b *base) precedes(p *Push) bool {
	if p.Offset == 0 {
		return b.seq > 0 && b.seq+1 == p.Seq
	}
	return b.offset > 0 && b.offset+1 == p.Offset && b.epoch == p.Epoch
}

// channelID returns zero if the channel is sent by name.
func (s *Subscriber) channelID() int64 {
	if s.Options == nil {
		return 0
	}
	return s.Options.ChannelID
}

// Owner is notified of problems of the subscriptions of its connection. Its methods
// must not block, and must not call the hub or the subscriber.
type Owner interface {
	// Lost is called from a lane when s cannot continue, at most once for a gap.
	Lost(s *Subscriber, why Loss)
	// Omitted is called for each push that is not sent to s because the payload has
	// no form in the connection's format, and once for a push that is sent to all
	// connections of that format without some payloads.
	Omitted(s *Subscriber, p *Push, what protocol.Omitted)
	// Superseded is called when n publications are not sent because of SlowLatest.
	Superseded(n int)
	// ID is the id of the connection, for Push.Exclude.
	ID() string
}

// isExcluded reports whether p is not for the connection of s.
func (s *Subscriber) isExcluded(p *Push) bool { return s.Out.sink.ID() == p.Exclude }

// Loss is the reason why a subscriber cannot continue.
type Loss uint8

// The reasons.
const (
	LossNone    Loss = iota
	LossGap          // a publication was missed
	LossSlow         // the connection's outbox is full
	LossSlowGap      // the outbox is full: publications were dropped (SlowDropOldest)
)

// Filter decides by tags whether a subscriber gets a publication.
type Filter interface {
	Match(tags map[string]string) bool
}

// delivery is a list of consecutive pushes of one channel that a lane delivers to
// its subscribers.
type delivery struct {
	pushes   []*Push
	trace    TraceScope          // the widest of the pushes
	messages []*protocol.Encoded // scratch: the pushes as one subscriber gets them
}

func (d *delivery) reset(pushes []*Push) {
	d.pushes = pushes
	d.trace = TraceNone
	for _, p := range pushes {
		d.trace = max(d.trace, p.Trace)
	}
	clear(d.messages)
	d.messages = d.messages[:0]
}

// deliver puts the pushes into the outbox. It reports whether the outbox was idle
// and needs a flush.
func (s *Subscriber) deliver(d *delivery) (dirty bool) {
	if d.trace != TraceNone && s.isTraced(d.trace) {
		return s.deliverTraced(d)
	}
	s.mu.Lock()
	messages, loss := s.admittedLocked(d.messages[:0], d.pushes)
	d.messages = messages
	if len(messages) > 0 {
		dirty, loss = s.putLocked(messages, loss)
	}
	s.mu.Unlock()
	if loss != LossNone {
		s.Out.sink.Lost(s, loss)
	}
	return dirty
}

// putLocked puts the messages of pushes that were admitted. The gate's lock is held, so
// that pushes keep their order. It returns the loss that there was before, or that of the
// put.
func (s *Subscriber) putLocked(messages []*protocol.Encoded, before Loss) (dirty bool, loss Loss) {
	loss = before
	var result PutResult
	if s.Options == nil || s.Options.Slow == SlowDisconnect {
		result = s.Out.Put(messages...)
	} else {
		var slow Loss
		if result, slow = s.putByPolicyLocked(messages); slow != LossNone {
			loss = slow
		}
	}
	switch result {
	case PutDirty:
		dirty = true
	case PutOverflow:
		loss = LossSlow
	case PutQueued, PutFull, PutClosed, PutSlow:
	}
	return dirty, loss
}

// Open opens the held gate at the position of the stream that was read while it
// was held. It puts first, followed by the held pushes. If loss is set, the
// subscription must be ended; the owner is not notified. ok is false if the gate was
// closed or broken meanwhile. If dirty is set, the caller must Flush the outbox.
func (s *Subscriber) Open(positioned bool, offset uint64, epoch string, first ...*protocol.Encoded) (dirty, ok bool, loss Loss) {
	result, ok, loss := s.open(s.Out.Put, positioned, offset, epoch, first)
	return result == PutDirty, ok, loss
}

// OpenReply is Open for the reply to a command; see Outbox.PutReply. If full is set,
// the caller must Flush the outbox before it puts more.
func (s *Subscriber) OpenReply(positioned bool, offset uint64, epoch string, reply ...*protocol.Encoded) (full, ok bool, loss Loss) {
	result, ok, loss := s.open(s.Out.PutReply, positioned, offset, epoch, reply)
	return result == PutFull, ok, loss
}

func (s *Subscriber) open(put func(...*protocol.Encoded) PutResult, positioned bool, offset uint64, epoch string, first []*protocol.Encoded) (PutResult, bool, Loss) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.openLocked(positioned, offset, epoch)
	if !ok {
		return PutQueued, false, LossNone
	}
	messages, loss := s.admittedTracedLocked(first, held)
	if s.Options != nil {
		s.Options.newest = nil
	}
	result := put(messages...)
	if result == PutOverflow {
		loss = LossSlow
	}
	return result, true, loss
}

// SetJoinLeave sets whether joins and leaves are passed from now on.
func (s *Subscriber) SetJoinLeave(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.PushJoinLeave = on
}

// PutPosition puts the message that encode returns for the subscriber's position,
// which is zero unless the gate is positioned. No push is put between the call of
// encode and the message. PutPosition returns PutClosed if the gate is not open. If
// encode returns nil, nothing is put.
func (s *Subscriber) PutPosition(encode func(offset uint64, epoch string) *protocol.Encoded) PutResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != gateOpen {
		return PutClosed
	}
	var offset uint64
	var epoch string
	if s.positioned {
		offset, epoch = s.next-1, s.epoch
	}
	message := encode(offset, epoch)
	if message == nil {
		return PutQueued
	}
	return s.Out.Put(message)
}

// HasBase records that the client has the publication with this position, which may
// be the base of the next delta. It is called before the gate is opened, for a
// subscriber with SubscriberOptions.Delta.
func (s *Subscriber) HasBase(offset uint64, epoch string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Options.base = base{offset: offset, epoch: epoch}
}

// admittedLocked appends to dst the encoded form of each push that passes the gate
// and the filter.
func (s *Subscriber) admittedLocked(dst []*protocol.Encoded, pushes []*Push) ([]*protocol.Encoded, Loss) {
	for _, p := range pushes {
		if p.Pub == nil {
			if p.isPosition() {
				if s.compareLocked(p, s.Out.max) == gap {
					return dst, LossGap
				}
				continue
			}
			if !s.PushJoinLeave {
				continue
			}
		}
		switch s.admitLocked(p, s.Out.max) {
		case drop:
			continue
		case gap:
			return dst, LossGap
		case pass:
		}
		// The position has moved, also for what is not sent.
		if s.Options == nil && p.Exclude == "" { // nearly all
			if message := p.plain[s.Format].Load(); message != nil && message != unencodable {
				dst = append(dst, message)
				continue
			}
		}
		if message := s.messageLocked(p); message != nil {
			dst = append(dst, message)
		}
	}
	return dst, LossNone
}

// messageLocked returns the message of an admitted push, or nil if it is not sent.
func (s *Subscriber) messageLocked(p *Push) *protocol.Encoded {
	if s.Options != nil && s.Options.excludes(p) || p.Exclude != "" && s.isExcluded(p) {
		s.skippedLocked()
		return nil
	}
	form := s.formLocked(p)
	message := p.encoded(s, form)
	if message == nil {
		// A payload of another client does not end the subscription.
		s.Out.sink.Omitted(s, p, protocol.Omitted{Publications: 1})
		s.skippedLocked()
		return nil
	}
	if s.Options != nil && p.Pub != nil {
		s.Options.sent(p, form)
	}
	return message
}

// skippedLocked notes that a publication is not sent, so that the next one cannot be a
// delta to it.
func (s *Subscriber) skippedLocked() {
	if s.Options != nil {
		s.Options.base = base{}
	}
}

// sent notes that p is about to be put.
func (o *SubscriberOptions) sent(p *Push, form form) {
	if form != formPlain {
		o.base = base{offset: p.Offset, seq: p.Seq, epoch: p.Epoch}
	}
	if o.Slow != SlowDisconnect {
		o.newest = p
	}
}

// excludes reports whether p is a publication that does not match the filter.
func (o *SubscriberOptions) excludes(p *Push) bool {
	if o.Filter == nil || p.Pub == nil || o.Filter.Match(p.Pub.Tags) {
		return false
	}
	if o.Filtered != nil {
		o.Filtered.Add(1)
	}
	return true
}

// formLocked chooses between plain, full and delta. A delta is sent only to a client
// that has its base, the publication directly before this one.
func (s *Subscriber) formLocked(p *Push) form {
	if s.Options == nil || !s.Options.Delta || p.Pub == nil {
		return formPlain
	}
	if s.Options.base.precedes(p) && p.hasDelta() {
		return formDelta
	}
	return formFull
}

package fanout

import "centrifugo/protocol"

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
	Filter Filter // nil passes everything
	// Delta sends publications in the form that protocol.md 6.7 asks for.
	Delta bool

	// Guarded by Gate.mu: the offset of the publication that was sent last, which is
	// the base of the next delta.
	base uint64
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
}

func (s *Subscriber) lost(why Loss) {
	if owner, ok := s.Out.sink.(Owner); ok {
		owner.Lost(s, why)
	}
}

func (s *Subscriber) omitted(p *Push, what protocol.Omitted) {
	if owner, ok := s.Out.sink.(Owner); ok {
		owner.Omitted(s, p, what)
	}
}

// Loss is the reason why a subscriber cannot continue.
type Loss uint8

// The reasons.
const (
	LossNone Loss = iota
	LossGap       // a publication was missed
	LossSlow      // the connection's outbox is full
)

// Filter decides by tags whether a subscriber gets a publication.
type Filter interface {
	Match(tags map[string]string) bool
}

// delivery is a list of consecutive pushes of one channel that a lane delivers to
// its subscribers.
type delivery struct {
	pushes   []*Push
	messages []*protocol.Encoded // scratch: the pushes as one subscriber gets them
}

func (d *delivery) reset(pushes []*Push) {
	d.pushes = pushes
	clear(d.messages)
	d.messages = d.messages[:0]
}

// deliver puts the pushes into the outbox. It reports whether the outbox was idle
// and needs a flush.
func (s *Subscriber) deliver(d *delivery) (dirty bool) {
	s.mu.Lock()
	messages, loss := s.admittedLocked(d.messages[:0], d.pushes)
	d.messages = messages
	if len(messages) > 0 {
		// The gate's lock is held, so that pushes keep their order.
		switch s.Out.Put(messages...) {
		case PutDirty:
			dirty = true
		case PutOverflow:
			loss = LossSlow
		case PutQueued, PutFull, PutClosed:
		}
	}
	s.mu.Unlock()
	if loss != LossNone {
		s.lost(loss)
	}
	return dirty
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
	messages, loss := s.admittedLocked(first, held)
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

// HasBase records that the client has the publication with this offset, which may
// be the base of the next delta. It is called before the gate is opened, for a
// subscriber with SubscriberOptions.Delta.
func (s *Subscriber) HasBase(offset uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Options.base = offset
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
		if s.Options != nil && s.Options.excludes(p) {
			continue // the position has moved nevertheless
		}
		form := s.formLocked(p)
		message := p.encoded(s, form)
		if message == nil {
			// The position has moved here too: a payload of another client does not end
			// the subscription.
			s.omitted(p, protocol.Omitted{Publications: 1})
			continue
		}
		if form != formPlain {
			s.Options.base = p.Offset
		}
		dst = append(dst, message)
	}
	return dst, LossNone
}

// excludes reports whether p is a publication that does not match the filter.
func (o *SubscriberOptions) excludes(p *Push) bool {
	return o.Filter != nil && p.Pub != nil && !o.Filter.Match(p.Pub.Tags)
}

// formLocked chooses between plain, full and delta. A delta is sent only to a client
// that has its base, the publication directly before this one.
func (s *Subscriber) formLocked(p *Push) form {
	if s.Options == nil || !s.Options.Delta || p.Pub == nil {
		return formPlain
	}
	follows := p.Offset > 1 && s.Options.base == p.Offset-1
	if follows && p.hasDelta() {
		return formDelta
	}
	return formFull
}

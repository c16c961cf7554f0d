package fanout

import "centrifugo/protocol"

// Sub is one subscriber of one channel. A node may have millions: what few of
// them need is in Extra.
type Sub struct {
	Gate

	// Static after Hub.Add.
	Out   *Outbox
	Extra *Extra // may be nil
	// Channel is its name.
	Channel string
	Format  protocol.Format
	// PushJoinLeave lets joins and leaves through; after Hub.Add it is changed by
	// LetJoinLeave.
	PushJoinLeave bool
	Lane          uint16

	index int32    // in Channel.subs; owned by the lane
	crowd *Channel // nil for the channel's only subscriber; guarded by the hub shard's mu
}

// ChannelName implements Named.
func (s *Sub) ChannelName() string { return s.Channel }

// Extra is what few subscribers have.
type Extra struct {
	// Static after Hub.Add.
	Filter Filter // nil passes everything
	// Delta sends publications in the form that client-protocol 1.10 asks for.
	Delta bool

	// Guarded by Gate.mu: the offset of the publication that the client got
	// last, which is the base of the next delta.
	base uint64
}

// Owner is told what goes wrong with a subscription of its connection. Its
// methods must not block, nor call the hub or the subscription.
type Owner interface {
	// Lost is called from a lane when s cannot go on, at most once for a gap.
	Lost(s *Sub, why Loss)
	// Omitted is called for each push that s is not sent because the payload has no
	// form in the connection's format, and once for a push that is sent to all
	// connections of that format without some payloads.
	Omitted(s *Sub, p *Push, what protocol.Omitted)
}

func (s *Sub) lost(why Loss) {
	if owner, ok := s.Out.sink.(Owner); ok {
		owner.Lost(s, why)
	}
}

func (s *Sub) omitted(p *Push, what protocol.Omitted) {
	if owner, ok := s.Out.sink.(Owner); ok {
		owner.Omitted(s, p, what)
	}
}

// Loss says why a subscriber cannot go on.
type Loss uint8

// The reasons.
const (
	LossNone Loss = iota
	LossGap       // a publication was missed
	LossSlow      // the connection's outbox is full
)

// Filter decides by tags whether a subscriber wants a publication.
type Filter interface {
	Match(tags map[string]string) bool
}

// batch is what a lane delivers to the subscribers of one channel: pushes that
// came one after another. frames is room for their encoded form.
type batch struct {
	pushes []*Push
	frames []*protocol.Encoded
}

func (b *batch) reset(pushes []*Push) {
	b.pushes = pushes
	clear(b.frames)
	b.frames = b.frames[:0]
}

// deliver reports whether the outbox was idle and so wants a flush.
func (s *Sub) deliver(b *batch) (dirty bool) {
	s.mu.Lock()
	frames, loss := s.collectLocked(b.frames[:0], b.pushes)
	b.frames = frames
	if len(frames) > 0 {
		// Under the gate's lock, so that nothing overtakes.
		switch s.Out.Put(frames...) {
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

// Open ends the hold of the gate, at the position of the stream that was read
// while it held. What is to be sent first is put ahead of everything. After a
// loss, which is returned instead of told to the owner, the subscription must be
// given up. ok is false when the gate was closed or broken meanwhile. dirty asks
// for a Flush of the outbox.
func (s *Sub) Open(positioned bool, offset uint64, epoch string, first ...*protocol.Encoded) (dirty, ok bool, loss Loss) {
	result, ok, loss := s.open(s.Out.Put, positioned, offset, epoch, first)
	return result == PutDirty, ok, loss
}

// OpenReply is Open behind the reply to a command; see Outbox.PutReply. full asks
// for a Flush before more is put.
func (s *Sub) OpenReply(positioned bool, offset uint64, epoch string, reply ...*protocol.Encoded) (full, ok bool, loss Loss) {
	result, ok, loss := s.open(s.Out.PutReply, positioned, offset, epoch, reply)
	return result == PutFull, ok, loss
}

func (s *Sub) open(put func(...*protocol.Encoded) PutResult, positioned bool, offset uint64, epoch string, first []*protocol.Encoded) (PutResult, bool, Loss) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.openLocked(positioned, offset, epoch)
	if !ok {
		return PutQueued, false, LossNone
	}
	frames, loss := s.collectLocked(first, held)
	result := put(frames...)
	if result == PutOverflow {
		loss = LossSlow
	}
	return result, true, loss
}

// LetJoinLeave sets whether joins and leaves are let through from now on.
func (s *Sub) LetJoinLeave(let bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.PushJoinLeave = let
}

// PutPosition puts a frame that tells the position up to which the subscriber has
// been served, which is zero unless the gate is positioned: no push comes in
// between. It is refused with PutClosed when the gate is not open; a nil frame is
// not put.
func (s *Sub) PutPosition(encode func(offset uint64, epoch string) *protocol.Encoded) PutResult {
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
	frame := encode(offset, epoch)
	if frame == nil {
		return PutQueued
	}
	return s.Out.Put(frame)
}

// HasBase tells that the client, which wants deltas, holds the publication with
// this offset, before the gate is opened: it may be the base of the next.
func (s *Sub) HasBase(offset uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Extra.base = offset
}

// collectLocked appends the frames of those pushes that pass.
func (s *Sub) collectLocked(frames []*protocol.Encoded, pushes []*Push) ([]*protocol.Encoded, Loss) {
	for _, p := range pushes {
		if p.Pub == nil && !s.PushJoinLeave {
			continue
		}
		switch s.admitLocked(p, s.Out.max) {
		case drop:
			continue
		case gap:
			return frames, LossGap
		case pass:
		}
		if s.Extra != nil && s.Extra.leavesOut(p) {
			continue // the position has moved all the same
		}
		form := s.formLocked(p)
		f := p.frame(s, form)
		if f == nil {
			// The position has moved here too: nobody loses a subscription for what
			// somebody else has published.
			s.omitted(p, protocol.Omitted{Publications: 1})
			continue
		}
		if form != formPlain {
			s.Extra.base = p.Offset
		}
		frames = append(frames, f)
	}
	return frames, LossNone
}

// leavesOut reports whether p is a publication that the filter does not want.
func (e *Extra) leavesOut(p *Push) bool {
	return e.Filter != nil && p.Pub != nil && !e.Filter.Match(p.Pub.Tags)
}

// formLocked chooses between plain, full and delta. A delta is only sent to a
// client that holds its base: the very publication before this one.
func (s *Sub) formLocked(p *Push) form {
	if s.Extra == nil || !s.Extra.Delta || p.Pub == nil {
		return formPlain
	}
	follows := p.Offset > 1 && s.Extra.base == p.Offset-1
	if follows && p.hasDelta() {
		return formDelta
	}
	return formFull
}

package fanout

import "sync"

// Gate keeps one subscription's view of a channel gapless.
//
// It starts held: while the subscription is being made and history is read, the gate
// keeps the pushes that arrive. Subscriber.Open sends the reply and the held pushes.
// From then on the gate passes pushes whose offsets follow each other; a push may
// cover a range of offsets. When it detects a gap, the gate breaks and reports it
// once; the subscription must then be ended.
type Gate struct {
	mu    sync.Mutex
	state gateState
	// Label is the number of the label under which the channel is counted, zero for none.
	// It is static after Hub.Add, and not the gate's; here it takes no space of its own.
	Label uint16
	// positioned gates check offsets; others pass everything.
	positioned bool
	next       uint64 // the offset expected next
	epoch      string // empty until the first publication sets it
	hold       *hold  // nil if no push is held
}

// hold is the list of pushes that arrived while the gate was held.
type hold struct {
	pushes []*Push
	bytes  int
}

type gateState uint8

const (
	gateHeld gateState = iota
	gateOpen
	gateBroken
	gateClosed
)

type verdict uint8

const (
	drop verdict = iota
	pass
	gap
)

// admitLocked decides whether a push passes. maxHeld bounds the held bytes; zero means
// no limit.
func (g *Gate) admitLocked(p *Push, maxHeld int) verdict {
	switch {
	case g.state == gateHeld:
		return g.holdLocked(p, maxHeld)
	case g.state != gateOpen:
		return drop
	case !g.positioned || p.Offset == 0:
		return pass
	case g.epoch == "":
		g.epoch = p.Epoch // the stream did not exist at the time of subscribing
	}
	switch {
	case p.Epoch != g.epoch || p.First() > g.next:
		return g.breakLocked()
	case p.Offset < g.next:
		return drop // the history that was read has it
	}
	// The other offsets that p covers were superseded. The subscriber may have got
	// some of their publications from the history.
	g.next = p.Offset + 1
	return pass
}

// compareLocked decides about a push that is the position of the stream's top: a gap
// if the subscriber has not been served up to there.
func (g *Gate) compareLocked(p *Push, maxHeld int) verdict {
	switch {
	case g.state == gateHeld:
		return g.holdLocked(p, maxHeld)
	case g.state != gateOpen || !g.positioned:
		return drop
	case p.Offset >= g.next || g.epoch != "" && p.Epoch != g.epoch:
		return g.breakLocked()
	}
	return drop
}

func (g *Gate) holdLocked(p *Push, maxHeld int) verdict {
	if g.hold == nil {
		g.hold = &hold{}
	}
	g.hold.bytes += p.size()
	if maxHeld > 0 && g.hold.bytes > maxHeld && len(g.hold.pushes) > 0 {
		return g.breakLocked() // a single push may be larger, as in an outbox
	}
	g.hold.pushes = append(g.hold.pushes, p)
	return drop
}

func (g *Gate) breakLocked() verdict {
	g.state, g.hold = gateBroken, nil
	return gap
}

// openLocked opens a held gate and returns the held pushes. The position is that of
// the stream when it was read, after the subscriber was added to the hub.
func (g *Gate) openLocked(positioned bool, offset uint64, epoch string) (held []*Push, ok bool) {
	if g.state != gateHeld {
		return nil, false
	}
	if g.hold != nil {
		held = g.hold.pushes
	}
	g.state, g.hold = gateOpen, nil
	g.positioned, g.next, g.epoch = positioned, offset+1, epoch
	return held, true
}

// Close makes the gate drop all later pushes.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state, g.hold = gateClosed, nil
}

// Position returns the offset and epoch of the last push that passed; ok is false
// unless the gate is open and positioned.
func (g *Gate) Position() (offset uint64, epoch string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.next - 1, g.epoch, g.state == gateOpen && g.positioned
}

// Last returns the offset and epoch of the last push that passed, also after the gate was
// closed or broken. They mean nothing unless the gate was opened positioned.
func (g *Gate) Last() (offset uint64, epoch string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.next - 1, g.epoch
}

// Break breaks an open gate whose position was found to be wrong by other means. It
// reports false, and does nothing, if the gate is not at offset any more or not open.
func (g *Gate) Break(offset uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != gateOpen || g.next-1 != offset {
		return false
	}
	g.breakLocked()
	return true
}

package fanout

import "sync"

// Gate keeps one subscription's view of a channel gapless.
//
// It starts held: pushes are kept while the subscription is being made and
// history is read. Open puts the reply and then what was held, and lets pushes
// through from then on, one offset after another; a push may stand for a range
// of them. A gate that sees a gap breaks and says so once; the subscription must
// then end.
type Gate struct {
	mu    sync.Mutex
	state gateState
	// positioned gates look at offsets, others pass everything on in its order.
	positioned bool
	next       uint64 // the offset expected next
	epoch      string // empty until the first publication tells it
	hold       *hold  // nil when nothing was held
}

// hold is what a gate keeps while it is held.
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

// admitLocked decides about the next push that arrived. A maxHeld of zero is no limit.
func (g *Gate) admitLocked(p *Push, maxHeld int) verdict {
	switch {
	case g.state == gateHeld:
		return g.holdLocked(p, maxHeld)
	case g.state != gateOpen:
		return drop
	case !g.positioned || p.Offset == 0:
		return pass
	case g.epoch == "":
		g.epoch = p.Epoch // there was no stream yet at the time of subscribing
	}
	switch {
	case p.Epoch != g.epoch || p.first() > g.next:
		return g.breakLocked()
	case p.Offset < g.next:
		return drop // the history that was read had it already
	}
	// What p stands for beside itself was left out on purpose; the subscriber may
	// have had some of it from the history.
	g.next = p.Offset + 1
	return pass
}

func (g *Gate) holdLocked(p *Push, maxHeld int) verdict {
	if g.hold == nil {
		g.hold = &hold{}
	}
	g.hold.bytes += p.size()
	if maxHeld > 0 && g.hold.bytes > maxHeld && len(g.hold.pushes) > 0 {
		return g.breakLocked() // one alone may be larger, as in an outbox
	}
	g.hold.pushes = append(g.hold.pushes, p)
	return drop
}

func (g *Gate) breakLocked() verdict {
	g.state, g.hold = gateBroken, nil
	return gap
}

// openLocked sets the position, at which the stream was read after the gate had
// been registered, and returns what was held.
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

// Close lets nothing through any more.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state, g.hold = gateClosed, nil
}

// Position returns the offset and epoch up to which the subscriber has been
// served; ok is false unless the gate is open and positioned.
func (g *Gate) Position() (offset uint64, epoch string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.next - 1, g.epoch, g.state == gateOpen && g.positioned
}

// Break ends an open gate because its position was found to be wrong by other
// means. It reports false when the gate had moved on from offset, or was not open.
func (g *Gate) Break(offset uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != gateOpen || g.next-1 != offset {
		return false
	}
	g.breakLocked()
	return true
}

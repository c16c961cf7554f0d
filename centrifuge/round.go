package centrifuge

import (
	"sync"
	"time"

	"centrifugo/protocol"
)

// patience is how long replies wait for those of the later commands of their
// message, while one of these is carried out.
const patience = time.Millisecond

// round is the carrying out of one incoming message. The replies to its
// commands leave together: they are queued, and the round owes a flush. A
// command may take its time, in a handler of the application or an engine;
// so that neither the replies before it nor the publications queued behind
// them wait for it, a timer then stands in for the round.
type round struct {
	client *Client
	owing  bool
	timer  *time.Timer
	// starting are the subscribe commands that have begun and are not answered yet.
	starting []*startingCommand

	// The command that is carried out, where they are one after another.
	command  protocol.Command
	requests protocol.RequestScratch
}

// rounds are lent out: decoding the commands of a message allocates nothing.
var rounds = sync.Pool{New: func() any { return new(round) }}

func beginRound(c *Client) *round {
	r, _ := rounds.Get().(*round)
	r.client = c
	return r
}

// end sends what is owed.
func (r *round) end() {
	r.flush()
	*r = round{}
	rounds.Put(r)
}

// owe notes that something was queued.
func (r *round) owe() { r.owing = true }

// flush sends what is owed.
func (r *round) flush() {
	if r.owing {
		r.owing = false
		r.client.outbox.Flush()
	}
}

// impatient arms the timer if something is owed; the caller disarms it.
func (r *round) impatient() (disarm func() bool) {
	switch {
	case !r.owing:
		return func() bool { return true }
	case r.timer == nil:
		r.timer = time.AfterFunc(patience, r.client.outbox.Flush)
	default:
		r.timer.Reset(patience)
	}
	return r.timer.Stop
}

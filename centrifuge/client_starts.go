package centrifuge

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/protocol"
)

const (
	// maxTogether bounds the calls of an engine that one connection makes at a time.
	maxTogether = 128
	// maxRecoveringTogether bounds the recoveries among them: their results are in
	// memory until they are sent.
	maxRecoveringTogether = 32
)

// together calls f for 0 to n-1 and returns when all calls have returned. With
// parallel it makes up to maxTogether calls at a time.
func (n *Node) together(count int, parallel bool, c *Client, f func(i int)) {
	if !parallel || count < 2 {
		for i := range count {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(count, maxTogether) {
		workers.Go(func() {
			defer n.recovered("calling an engine", c)
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	workers.Wait()
}

// immediate reports whether both engines answer from memory.
func (n *Node) immediate() bool { return n.immediateBroker && n.immediatePresence }

// startAll starts the subscriptions of a connect. An error ends those that have not
// started yet; the caller abandons all.
func (c *Client) startAll(pending []*pendingSubscription) error {
	if c.node.immediate() {
		for _, p := range pending {
			if err := p.start(c.Context()); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	var once sync.Once
	first := errPanic // unless all calls return
	var returned atomic.Int64
	c.node.together(len(pending), true, c, func(i int) {
		if err := pending[i].start(ctx); err != nil {
			once.Do(func() { first = err })
			cancel()
		}
		returned.Add(1)
	})
	if ctx.Err() == nil && returned.Load() == int64(len(pending)) {
		return nil
	}
	once.Do(func() {
		if c.Context().Err() != nil {
			first = errLeft
		}
	})
	return first
}

// goLiveAll makes the subscriptions of a connect live.
func (c *Client) goLiveAll(pending []*pendingSubscription) error {
	parallel := false
	for _, p := range pending {
		parallel = parallel || p.opts.JoinLeave && !c.node.immediate()
	}
	if !parallel {
		for _, p := range pending {
			if err := p.goLive(nil); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(pending))
	c.node.together(len(pending), true, c, func(i int) { errs[i] = pending[i].goLive(nil) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// abandonAll undoes those subscriptions that did not go live.
func (c *Client) abandonAll(pending []*pendingSubscription) {
	c.node.together(len(pending), !c.node.immediate(), c, func(i int) { pending[i].abandon() })
}

// startingCommand is a subscribe command whose subscription starts on a goroutine of
// its own while the later commands of its message are handled.
type startingCommand struct {
	*pendingSubscription
	id    uint32
	began time.Time
	done  chan struct{} // closed when the subscription has started or failed
	err   error         // written before done is closed
}

// mayStart reports whether the subscription of a subscribe command starts while
// others of the same message do. Those for one channel come one after another.
func (r *replyBatch) mayStart(request *protocol.SubscribeRequest) bool {
	recovering := 0
	for _, s := range r.starting {
		if s.Channel == request.Channel {
			return false
		}
		if s.request.recover {
			recovering++
		}
	}
	return len(r.starting) < maxTogether && (!request.Recover || recovering < maxRecoveringTogether)
}

// startSubscribe begins with a subscribe command that others of its message follow,
// up to where the engine is called. finishStarts does the rest.
func (c *Client) startSubscribe(r *replyBatch, command *protocol.Command) (more bool) {
	began := time.Now()
	p, err := c.prepareSubscribe(command.Subscribe)
	if err != nil {
		if !c.finishStarts(r) { // their replies come first
			return false
		}
		c.node.stats.command(protocol.KindSubscribe, time.Since(began))
		return c.refuse(r, command, protocol.KindSubscribe, err)
	}
	s := &startingCommand{pendingSubscription: p, id: command.ID, began: began, done: make(chan struct{}), err: errPanic}
	r.starting = append(r.starting, s)
	ctx := c.Context()
	go func() {
		defer close(s.done)
		defer c.node.recovered("starting a subscription", c)
		s.err = s.start(ctx)
	}()
	return true
}

// finishStarts answers the subscribe commands that have begun, in their order. False
// means that nothing more is processed of this connection.
func (c *Client) finishStarts(r *replyBatch) (more bool) {
	if len(r.starting) == 0 {
		return true
	}
	for len(r.starting) > 0 {
		s := r.starting[0]
		r.starting = r.starting[1:]
		if !c.finishStart(r, s) {
			c.dropStarts(r)
			return false
		}
	}
	return !c.isClosed()
}

func (c *Client) finishStart(r *replyBatch, s *startingCommand) (more bool) {
	err := c.answerStart(r, s)
	c.node.stats.command(protocol.KindSubscribe, time.Since(s.began))
	if err == nil {
		c.succeeded()
		return true
	}
	command := &protocol.Command{ID: s.id, Subscribe: &protocol.SubscribeRequest{Channel: s.Channel}}
	return c.refuse(r, command, protocol.KindSubscribe, err)
}

func (c *Client) answerStart(r *replyBatch, s *startingCommand) error {
	disarm := r.flushLater()
	defer disarm()
	<-s.done
	defer s.abandon() // unless it went live
	if s.err != nil {
		return s.err
	}
	return c.finishSubscribe(r, s.id, s.pendingSubscription)
}

// dropStarts undoes the subscriptions of the commands that are not answered any more.
func (c *Client) dropStarts(r *replyBatch) {
	for _, s := range r.starting {
		<-s.done
		s.abandon()
	}
	r.starting = nil
}

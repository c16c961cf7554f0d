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
	c.node.joinTogether(ctx, pending)
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
	var joined []*pendingSubscription
	var subs []*subscription
	for _, p := range pending {
		if p.joined && !p.live {
			joined, subs = append(joined, p), append(subs, p.subscription)
		}
	}
	for i, unjoined := range c.node.unjoinTogether(c, subs) {
		joined[i].unjoined = unjoined
	}
	c.node.together(len(pending), !c.node.immediate(), c, func(i int) { pending[i].abandon() })
}

// maxGathered bounds the subscribe commands that are started with one call of a broker
// that is a MultiSubscriber.
const maxGathered = 1024

// startingCommand is a subscribe command whose subscription starts on a goroutine of
// its own while the later commands of its message are handled.
type startingCommand struct {
	*pendingSubscription
	id      uint32
	began   time.Time
	started bool          // owned by the goroutine that handles the message
	done    chan struct{} // closed when the subscription has started or failed
	err     error         // written before done is closed
}

// starts are the subscribe commands of a message that have begun and are not answered.
type starts struct {
	// Owned by the goroutine that handles the message.
	commands []*startingCommand
	gathered []*startingCommand // the last ones, which have not been started
	begun    chan struct{}      // closed when the subscriptions of all others have begun to start

	// Static. A subscription takes an element of calls while it starts, and one of
	// recoveries, if it recovers, until it is answered. Those of recoveries are taken in
	// the order of the answers, because an answer frees the next one.
	calls, recoveries chan struct{}
}

// starting reports whether there are such commands.
func (r *replyBatch) starting() bool { return r.starts != nil && len(r.starts.commands) > 0 }

// mayStart reports whether the subscription of a subscribe command starts while
// others of the same message do. Those for one channel come one after another.
func (r *replyBatch) mayStart(request *protocol.SubscribeRequest) bool {
	if !r.starting() {
		return true
	}
	most := maxTogether
	if r.client.node.multi != nil {
		most = maxGathered
	}
	return len(r.starts.commands) < most && r.client.find(request.Channel) == nil
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
		c.node.stats.of(command.Subscribe.Channel).command(protocol.KindSubscribe, time.Since(began))
		return c.refuse(r, command, protocol.KindSubscribe, err)
	}
	if r.starts == nil {
		r.starts = &starts{calls: make(chan struct{}, maxTogether), recoveries: make(chan struct{}, maxRecoveringTogether)}
	}
	s := &startingCommand{pendingSubscription: p, id: command.ID, began: began, done: make(chan struct{}), err: errPanic}
	r.starts.commands = append(r.starts.commands, s)
	r.starts.gathered = append(r.starts.gathered, s)
	// One call of the broker for many channels is worth a short wait, but not a wait for
	// handlers of the application that take long.
	if c.node.multi == nil || time.Since(r.starts.gathered[0].began) >= maxReplyDelay {
		c.startGathered(r.starts)
	}
	return true
}

// startGathered starts the subscriptions of the commands that have been gathered.
func (c *Client) startGathered(all *starts) {
	gathered, before, begun := all.gathered, all.begun, make(chan struct{})
	if len(gathered) == 0 {
		return
	}
	for _, s := range gathered {
		s.started = true
	}
	all.gathered, all.begun = nil, begun
	ctx := c.Context()
	go func() {
		defer close(begun)
		c.joinGathered(ctx, gathered)
		if before != nil {
			<-before
		}
		for _, s := range gathered {
			if s.request.recover {
				all.recoveries <- struct{}{}
			}
			all.calls <- struct{}{}
			go s.run(ctx, all)
		}
	}()
}

func (c *Client) joinGathered(ctx context.Context, gathered []*startingCommand) {
	defer c.node.recovered("starting subscriptions", c)
	pending := make([]*pendingSubscription, len(gathered))
	for i, s := range gathered {
		pending[i] = s.pendingSubscription
	}
	c.node.joinTogether(ctx, pending)
}

func (s *startingCommand) run(ctx context.Context, all *starts) {
	defer func() { <-all.calls }()
	defer close(s.done)
	defer s.client.node.recovered("starting a subscription", s.client)
	s.err = s.start(ctx)
}

// finishStarts answers the subscribe commands that have begun, in their order. False
// means that nothing more is processed of this connection.
func (c *Client) finishStarts(r *replyBatch) (more bool) {
	if !r.starting() {
		return true
	}
	c.startGathered(r.starts)
	for len(r.starts.commands) > 0 {
		s := r.starts.commands[0]
		if s.request.recover {
			c.waitDrained() // its reply may be large
		}
		r.starts.commands = r.starts.commands[1:]
		if !c.finishStart(r, s) {
			c.dropStarts(r)
			return false
		}
	}
	return !c.isClosed()
}

func (c *Client) finishStart(r *replyBatch, s *startingCommand) (more bool) {
	err := c.answerStart(r, s)
	c.node.stats.numbered(s.Label).command(protocol.KindSubscribe, time.Since(s.began))
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
	defer r.starts.settle(s) // unless it went live
	<-s.done
	if s.err != nil {
		return s.err
	}
	return c.finishSubscribe(r, s.id, s.pendingSubscription)
}

// settle waits until a command's subscription has started or failed, and undoes it
// unless it went live.
func (a *starts) settle(s *startingCommand) {
	if s.started {
		<-s.done
		if s.request.recover {
			<-a.recoveries
		}
	}
	s.abandon()
}

// dropStarts undoes the subscriptions of the commands that are not answered any more.
func (c *Client) dropStarts(r *replyBatch) {
	if r.starts == nil {
		return
	}
	for _, s := range r.starts.commands {
		r.starts.settle(s)
	}
	r.starts.commands, r.starts.gathered = nil, nil
}

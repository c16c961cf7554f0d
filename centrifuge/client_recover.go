package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/protocol"
)

// readStream finds the position at which the subscription starts, and what its
// client missed. The gate holds meanwhile. Source: protocol.md 6.4.
func (p *pendingSubscription) readStream(ctx context.Context) error {
	n := p.client.node
	automatic := p.opts.AutoRecover && p.opts.RecoveryMode == RecoverCache
	if !p.opts.Recovery || !p.request.recover && !automatic {
		position, err := n.readShared(ctx, p.Channel, HistoryOptions{MetaTTL: p.opts.HistoryMetaTTL}, actionHistoryStreamTop)
		if err != nil {
			return fmt.Errorf("reading position: %w", err)
		}
		p.top = position.StreamPosition
		p.result.Epoch, p.result.Offset = p.top.Epoch, p.top.Offset
		return nil
	}
	read := p.readMissed
	if p.opts.RecoveryMode == RecoverCache {
		read = p.readCached
	}
	missed, recovered, err := read(ctx)
	if err != nil {
		return fmt.Errorf("recovering: %w", err)
	}
	if p.space == nil {
		p.space = p.client.replySpace()
	}
	if n := p.space.take(missed); n < len(missed) {
		missed, recovered = nil, false
	}
	if recovered && len(missed) > 0 && p.givesUp() {
		missed, recovered = nil, false
	}
	n.stats.numbered(p.Label).recovered(recovered, len(missed))
	if !recovered && p.request.rejectUnrecoverable {
		return ErrorUnrecoverablePosition
	}
	p.recovered(missed, recovered)
	return nil
}

// recovered fills in the result. V1 clients are always told the top, and get
// what there is even when something is missing.
func (p *pendingSubscription) recovered(missed []*Publication, recovered bool) {
	r := p.result
	v1 := p.Format.V1()
	r.WasRecovering, r.Recovered, r.Epoch = true, recovered, p.top.Epoch
	r.Offset = p.top.Offset
	if recovered && !v1 {
		r.Offset = p.request.since.Offset
	}
	if recovered || v1 {
		r.Publications = p.wanted(missed)
	}
	if p.Options != nil && p.Options.Delta {
		p.recoverDeltas()
	} else if p.sharesRecovery(r.Publications) { // others get the very same
		p.setRange(p.client.node.ranges.of(p.Channel, r.Epoch, rangePlain, r.Publications, nil))
	}
}

// setRange makes the reply share the encoded publications of a range; nil is none.
func (p *pendingSubscription) setRange(shared *protocol.EncodedRange) {
	if p.result.Range = shared; shared != nil {
		p.client.omitted(p.Channel, shared.Omitted(p.Format))
	}
}

// recoverDeltas gives the recovered publications the form of a subscription with deltas.
// Clients that recover the same publications share the deltas and the encoded messages.
func (p *pendingSubscription) recoverDeltas() {
	r := p.result
	if p.sharesRecovery(r.Publications) {
		form := rangeDeltaJSON
		if p.Format.Protobuf() {
			form = rangeDeltaProtobuf
		}
		p.setRange(p.client.node.ranges.of(p.Channel, r.Epoch, form, r.Publications, func(pubs []*Publication) []*Publication {
			if _, omitted := deliverable(p.Format, pubs); omitted > 0 {
				return nil
			}
			return fanout.ChainForm(p.Format, pubs)
		}))
		if r.Range != nil {
			r.Publications = r.Range.Publications()
			p.hasBase(r.Publications)
			return
		}
	}
	// Deltas travel in JSON strings, where invalid JSON would not be detected.
	var omitted int
	r.Publications, omitted = deliverable(p.Format, r.Publications)
	p.client.omitted(p.Channel, protocol.Omitted{Publications: omitted})
	p.hasBase(r.Publications)
	r.Publications = fanout.ChainForm(p.Format, r.Publications)
}

// hasBase notes that the next publication may come as a delta to the last of those that
// were recovered.
func (p *pendingSubscription) hasBase(recovered []*Publication) {
	if n := len(recovered); n > 0 && recovered[n-1].Offset == p.top.Offset {
		p.HasBase(p.top.Offset, p.top.Epoch)
	}
}

// sharesRecovery reports whether other subscriptions that recover the same part of the
// stream are sent the same publications.
func (p *pendingSubscription) sharesRecovery(pubs []*Publication) bool {
	return (p.Options == nil || p.Options.Filter == nil) && !p.excludedFrom(pubs)
}

// wanted leaves out what the subscriber's filter does, and what is not for its
// connection.
func (p *pendingSubscription) wanted(pubs []*Publication) []*Publication {
	if (p.Options == nil || p.Options.Filter == nil) && !p.excludedFrom(pubs) {
		return pubs
	}
	kept := make([]*Publication, 0, len(pubs))
	for _, pub := range pubs {
		if pub.ExcludeClient != p.client.id && (p.Options == nil || p.Options.Filter == nil || p.Options.Filter.Match(pub.Tags)) {
			kept = append(kept, pub)
		}
	}
	return kept
}

// excludedFrom reports whether one of the publications is not for the connection.
func (p *pendingSubscription) excludedFrom(pubs []*Publication) bool {
	return slices.ContainsFunc(pubs, func(pub *Publication) bool { return pub.ExcludeClient == p.client.id })
}

// replySpace is how many bytes of publications a reply still takes.
type replySpace struct {
	// Guarded by mu, which is a leaf.
	mu    sync.Mutex
	left  int
	taken int
}

func (c *Client) replySpace() *replySpace {
	limit := c.node.config.ReplyMaxSize
	if limit <= 0 {
		limit = math.MaxInt
	}
	return &replySpace{left: limit}
}

// take returns how many of the first publications fit. The space is taken if all do.
func (s *replySpace) take(pubs []*Publication) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, p := range pubs {
		size := publicationSize(p)
		if size > s.left-total {
			return n
		}
		total += size
		n++
	}
	s.left -= total
	s.taken += total
	return n
}

func (s *replySpace) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// publicationSize is about what a publication takes in a reply.
func publicationSize(p *Publication) int {
	const overhead = 32
	size := overhead + len(p.Data)
	if p.Info != nil {
		size += len(p.Info.ConnInfo) + len(p.Info.ChanInfo) + overhead
	}
	for key, value := range p.Tags {
		size += len(key) + len(value)
	}
	return size
}

// readMissed reads everything since the client's position. It is recovered if
// nothing between there and the top is missing.
func (p *pendingSubscription) readMissed(ctx context.Context) (missed []*Publication, recovered bool, err error) {
	limit := p.client.node.config.RecoveryMaxPublications
	if limit == 0 {
		limit = -1
	}
	since := p.request.since
	history, err := p.client.node.readShared(ctx, p.Channel, HistoryOptions{Since: &since, Limit: limit, MetaTTL: p.opts.HistoryMetaTTL}, actionHistoryRecover)
	if errors.Is(err, ErrorUnrecoverablePosition) {
		history, err = p.client.node.readShared(ctx, p.Channel, HistoryOptions{MetaTTL: p.opts.HistoryMetaTTL}, actionHistoryStreamTop)
		p.top = history.StreamPosition
		return nil, false, err
	}
	if err != nil {
		return nil, false, err
	}
	p.top, missed = history.StreamPosition, history.Publications
	if since.Epoch != "" && since.Epoch != p.top.Epoch {
		return missed, false, nil
	}
	if len(missed) == 0 {
		return nil, p.top.Offset == since.Offset, nil
	}
	first, last := missed[0].Offset, missed[len(missed)-1].Offset
	return missed, first == since.Offset+1 && last == p.top.Offset, nil
}

// readCached reads the newest publication, which is the state of the channel.
func (p *pendingSubscription) readCached(ctx context.Context) (missed []*Publication, recovered bool, err error) {
	n, opts := p.client.node, HistoryOptions{Limit: 1, Reverse: true, MetaTTL: p.opts.HistoryMetaTTL}
	history, err := n.readShared(ctx, p.Channel, opts, actionHistoryRecoverCache)
	if err == nil && len(history.Publications) == 0 {
		var populated bool
		if populated, err = p.populateCache(ctx); populated && err == nil {
			n.reads.invalidate(p.Channel) // what others have read is empty
			history, err = n.readShared(ctx, p.Channel, opts, actionHistoryRecoverCache)
		}
	}
	if err != nil {
		return nil, false, err
	}
	p.top = history.StreamPosition
	atTop := p.request.since.Offset == p.top.Offset && p.request.since.Epoch == p.top.Epoch
	switch pubs := history.Publications; {
	case len(pubs) == 0:
		return nil, atTop, nil
	case atTop && p.top.Offset != 0:
		return nil, true, nil
	default:
		return pubs, pubs[0].Offset == p.top.Offset, nil
	}
}

// checkPosition compares a subscription's position with the stream's, in case the
// broker lost a publication without reporting a gap (protocol.md 6.5). The position
// of the stream is read once for all subscriptions of the channel. A result that is
// older than the check serves: the subscription has received nothing for longer.
func (c *Client) checkPosition(ctx context.Context, s *subscription, now moment) {
	delay := c.node.config.PositionCheckDelay
	offset, epoch, ok := s.Position()
	if !ok || delay <= 0 {
		return
	}
	check := &s.details.check // positioned: they were made before it went live
	if check.at == 0 || offset != check.offset {
		check.at, check.offset = now, offset // something was delivered since
		return
	}
	if now.since(check.at) < delay {
		return
	}
	check.at = now
	top, err := c.node.checkedTop(ctx, s.Channel, check.metaTTL)
	if err != nil {
		c.node.logger.log(LogDebug, "checking position", "client", c.id, "channel", s.Channel, "error", err)
		return // next time
	}
	if top.Offset == offset && (epoch == "" || top.Epoch == epoch) {
		return
	}
	// A publication may be on its way: give it the time that a lane may be behind.
	timer := time.NewTimer(c.node.onItsWay())
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		if s.Break(offset) {
			c.insufficient(s)
		}
	}
}

// onItsWay is the time that a publication may take from the stream to a gate: in
// a batch, if publications are batched, and then behind others in a lane.
func (n *Node) onItsWay() time.Duration {
	const inLane = 500 * time.Millisecond
	if n.coalescer == nil {
		return inLane
	}
	return MaxBatchDelay + inLane
}

// insufficient ends a subscription whose position is lost: the client recovers
// it, by subscribing or, where only that helps, by connecting again.
func (c *Client) insufficient(s *subscription) {
	defer c.node.recovered("ending a subscription", c)
	c.node.stats.InsufficientState.Add(1)
	if s.serverSide || s.Format.V1() {
		c.Disconnect(DisconnectInsufficientState)
		return
	}
	c.unsubscribePush(s, UnsubscribeInsufficient)
}

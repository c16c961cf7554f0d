package centrifuge

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge/internal/fanout"
)

const (
	// gapReads is how many streams are read at the same time after a gap.
	gapReads = 64
	// gapChunk is how many channels are compared together.
	gapChunk = 1024
	// gapAttempts bounds the reads of one stream after a gap. If all fail, the periodic
	// check of positions finds what was lost.
	gapAttempts = 6
	// gapRetry is the time before the second attempt. It doubles with each one.
	gapRetry = 500 * time.Millisecond
	// gapPause is the shortest time between two passes over the subscriptions: an
	// engine may report gaps faster than they can be checked.
	gapPause = 100 * time.Millisecond
)

// gapChecker compares the positions of subscribers with their streams after an engine
// has reported that publications may have been lost. It runs on one goroutine, which
// exists only while there is something to compare.
type gapChecker struct {
	// Guarded by mu.
	mu       sync.Mutex
	reported []func(channel string) bool // nil functions stand for all channels
	running  bool
}

// gapCheck is a channel whose stream has to be read.
type gapCheck struct {
	metaTTL  time.Duration
	attempts int
	due      time.Time // of the next attempt
}

// handleGap notes a gap that the broker reports, and makes sure that a goroutine
// checks the streams of the affected channels.
func (n *Node) handleGap(affected func(channel string) bool) {
	if _, ok := n.broker.(HistoryBroker); !ok || n.closing.Load() {
		return // no subscription has a position, or none will soon
	}
	g := &n.gaps
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reported = append(g.reported, affected)
	if !g.running {
		g.running = true
		go n.checkGaps()
	}
}

// take returns what was reported since the last call. If that is nothing and the
// caller has nothing left to do, the goroutine must end.
func (g *gapChecker) take(idle bool) (reported []func(string) bool, end bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	reported, g.reported = g.reported, nil
	if idle && len(reported) == 0 {
		g.running = false
		return nil, true
	}
	return reported, false
}

// checkGaps checks the reported gaps until there are none left.
func (n *Node) checkGaps() {
	channels := make(map[string]gapCheck)
	for n.ctx.Err() == nil {
		reported, end := n.gaps.take(len(channels) == 0)
		if end {
			return
		}
		if len(reported) > 0 {
			n.addPositioned(channels, reported)
		}
		n.compareAll(channels)
		timer := time.NewTimer(gapPause)
		select {
		case <-n.ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// addPositioned adds the channels in which a gap was reported and that have
// positioned subscribers.
func (n *Node) addPositioned(channels map[string]gapCheck, reported []func(string) bool) {
	for c := range n.registry.all() {
		for channel, metaTTL := range c.positionedChannels() {
			if n.affected(channel, reported) {
				channels[channel] = gapCheck{metaTTL: metaTTL}
			}
		}
	}
}

// positionedChannels returns the channels in which c has a position, or is about to
// get one, with the metadata TTL of their streams; nil if there are none.
func (c *Client) positionedChannels() (channels map[string]time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subs.each(func(s *subscription) {
		if !s.positioned || s.state != subLive && s.state != subJoining {
			return
		}
		if channels == nil {
			channels = make(map[string]time.Duration)
		}
		channels[s.Channel] = s.details.check.metaTTL
	})
	return channels
}

// affected reports whether a gap was reported in channel. A function of the engine
// that panics is taken to mean all channels.
func (n *Node) affected(channel string, reported []func(string) bool) (affected bool) {
	var err error
	defer func() { affected = affected || err != nil }()
	defer n.logger.caught(&err, "asking for the channels of a gap")
	for _, f := range reported {
		if f == nil || f(channel) {
			return true
		}
	}
	return false
}

// compareAll reads the streams of the channels that are due, and has their subscribers
// compared. It removes the channels that are done or have failed too often.
func (n *Node) compareAll(channels map[string]gapCheck) {
	chunk := make([]string, 0, min(len(channels), gapChunk))
	now := time.Now()
	for channel, check := range channels {
		if check.due.After(now) {
			continue
		}
		if chunk = append(chunk, channel); len(chunk) == gapChunk {
			n.compareChunk(channels, chunk)
			chunk = chunk[:0]
		}
	}
	n.compareChunk(channels, chunk)
}

func (n *Node) compareChunk(channels map[string]gapCheck, chunk []string) {
	positions := n.readPositions(channels, chunk)
	var tops []*fanout.Push
	for i, channel := range chunk {
		check := channels[channel]
		check.attempts++
		if position := positions[i]; position != nil {
			tops = append(tops, &fanout.Push{Channel: channel, Offset: position.Offset, Epoch: position.Epoch})
			delete(channels, channel)
		} else if check.attempts < gapAttempts {
			check.due = time.Now().Add(gapRetry << (check.attempts - 1))
			channels[channel] = check
		} else {
			n.logger.log(LogWarn, "position after a gap not read", "channel", channel, "attempts", check.attempts)
			delete(channels, channel)
		}
	}
	if len(tops) == 0 {
		return
	}
	// Publications up to the top may be on their way.
	time.AfterFunc(n.onItsWay(), func() {
		for _, top := range tops {
			n.reads.invalidate(top.Channel)
			n.toLanes(top)
		}
	})
}

// readPositions reads the tops of the streams of some channels, in parallel. The
// position of one that could not be read is nil.
func (n *Node) readPositions(channels map[string]gapCheck, some []string) []*StreamPosition {
	positions := make([]*StreamPosition, len(some))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(gapReads, len(some)) {
		readers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(some); i = int(next.Add(1)) - 1 {
				positions[i] = n.readPosition(some[i], channels[some[i]].metaTTL)
			}
		})
	}
	readers.Wait()
	return positions
}

func (n *Node) readPosition(channel string, metaTTL time.Duration) *StreamPosition {
	ctx, cancel := context.WithTimeout(n.ctx, maxSettle)
	defer cancel()
	top, err := n.History(ctx, channel, HistoryOptions{MetaTTL: metaTTL})
	if err != nil {
		n.logger.log(LogDebug, "reading position after a gap", "channel", channel, "error", err)
		return nil
	}
	return &top.StreamPosition
}

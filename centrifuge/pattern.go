package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/internal/wildcard"
)

// PatternBroker is a Broker that can subscribe to patterns of channels; see
// Config.PatternPrefix.
type PatternBroker interface {
	Broker
	// SubscribePattern is Subscribe for the channels that begin with prefix and whose
	// rest matches pattern. Publications reach the handler with the name of their
	// channel, once also if the broker is subscribed to the channel or to other
	// patterns that match.
	SubscribePattern(ctx context.Context, prefix, pattern string) error
	// UnsubscribePattern ends what SubscribePattern began.
	UnsubscribePattern(ctx context.Context, prefix, pattern string) error
}

// Reasons for refusing a subscription to a pattern.
var (
	errPatternBroker  = errors.New("the broker does not support wildcard subscriptions")
	errPatternStream  = errors.New("a wildcard subscription has no position and cannot recover")
	errPatternMembers = errors.New("a wildcard subscription has no joins and leaves")
	errPatternV1      = errors.New("protocol V1 cannot tell the channels of a wildcard subscription")
)

// splitPattern splits a channel into the prefix that patterns must have and the rest. Ok
// reports whether clients may subscribe to patterns there. Patterns that have subscribers
// stay, also if that is not allowed any more.
func (n *Node) splitPattern(channel string) (prefix, rest string, ok bool) {
	if n.config.PatternPrefix == nil {
		return "", channel, false
	}
	length, ok := n.patternPrefix(channel)
	if length < 0 || length > len(channel) {
		return "", channel, false
	}
	return channel[:length], channel[length:], ok
}

func (n *Node) patternPrefix(channel string) (length int, ok bool) {
	var err error
	defer func() { ok = ok && err == nil }()
	defer n.logger.caught(&err, "asking for the prefix of patterns")
	return n.config.PatternPrefix(channel)
}

// isPattern reports whether a channel's name is a pattern.
func (n *Node) isPattern(channel string) bool {
	if !strings.ContainsAny(channel, "*>") {
		return false // without asking for the prefix
	}
	_, rest, ok := n.splitPattern(channel)
	return ok && wildcard.IsPattern(rest)
}

// checkPattern sets p.pattern if the channel is a pattern, and then refuses what a
// pattern cannot have: the client would wait for it in vain.
func (p *pendingSubscription) checkPattern() error {
	n := p.client.node
	if !n.isPattern(p.Channel) {
		return nil
	}
	p.pattern = true
	_, rest, _ := n.splitPattern(p.Channel)
	if _, ok := n.config.Broker.(PatternBroker); !ok {
		return refusedFor(ErrorNotAvailable, errPatternBroker)
	}
	if err := wildcard.Check(rest); err != nil {
		return refusedFor(ErrorBadRequest, err)
	}
	switch r := &p.request; {
	case p.Format.V1():
		return refusedFor(ErrorNotAvailable, errPatternV1)
	case p.serverSide:
	case r.recover || r.positioned:
		return refusedFor(ErrorNotAvailable, errPatternStream)
	case r.joinLeave:
		return refusedFor(ErrorNotAvailable, errPatternMembers)
	}
	p.opts.restrictToPattern()
	p.request.recover = false
	return nil
}

// restrictToPattern removes the options that a subscription to a pattern cannot have.
func (o *SubscribeOptions) restrictToPattern() {
	o.Presence, o.JoinLeave, o.PushJoinLeave = false, false, false
	o.Positioning, o.Recovery, o.AutoRecover, o.RecoverSince = false, false, false, nil
	o.AllowDelta = false // the publications of different channels have little in common
	if o.Slow == SlowLatest {
		o.Slow = SlowDropOldest // the newest publication is not the newest of each channel
	}
}

// refusedFor answers with an error and a reason, which is logged.
func refusedFor(answer *Error, reason error) error { return fmt.Errorf("%w: %w", reason, answer) }

// enterPattern subscribes the broker to a pattern. The caller holds the channel's
// keylock.
func (n *Node) enterPattern(ctx context.Context, channel string) error {
	prefix, rest, _ := n.splitPattern(channel)
	if !n.patterns.Add(prefix, rest) {
		return nil // while the options changed, it was subscribed to as an ordinary channel
	}
	return n.callPatternBroker(ctx, "subscribing to a pattern at broker", PatternBroker.SubscribePattern, prefix, rest)
}

// hasPattern reports whether enterPattern was called for the channel.
func (n *Node) hasPattern(channel string) bool {
	if n.patterns.Len() == 0 {
		return false
	}
	_, _, ok := n.patterns.Find(channel)
	return ok
}

// exitPattern undoes enterPattern.
func (n *Node) exitPattern(ctx context.Context, channel string) error {
	prefix, rest, ok := n.patterns.Find(channel) // the application may not say the prefix any more
	if !ok {
		return nil
	}
	n.patterns.Remove(prefix, rest)
	return n.callPatternBroker(ctx, "unsubscribing from a pattern at broker", PatternBroker.UnsubscribePattern, prefix, rest)
}

// callPatternBroker calls the broker as guardedBroker does.
func (n *Node) callPatternBroker(
	ctx context.Context, doing string, call func(b PatternBroker, ctx context.Context, prefix, pattern string) error, prefix, pattern string,
) (err error) {
	broker, ok := n.config.Broker.(PatternBroker)
	if !ok {
		return errPatternBroker
	}
	defer n.logger.caught(&err, doing)
	ctx, cancel := bound{n.immediateBroker}.limit(ctx)
	defer cancel()
	return call(broker, ctx, prefix, pattern)
}

// matching appends to dst the patterns that have subscribers and match the channel.
func (n *Node) matching(dst []string, channel string) []string {
	if n.patterns.Len() == 0 {
		return dst
	}
	prefix, rest, _ := n.splitPattern(channel)
	return n.patterns.Match(dst, prefix, rest)
}

// broadcastToPatterns delivers a publication of a channel to the subscribers of the
// patterns that match it. They are told the channel, and no position: their subscription
// has none.
func (n *Node) broadcastToPatterns(p *fanout.Push, counted *channelCounters) {
	var buf [8]string
	patterns := n.matching(buf[:0], p.Channel)
	if len(patterns) == 0 {
		return
	}
	copied := *p.Pub
	copied.Channel, copied.Offset, copied.Epoch = p.Channel, 0, ""
	for _, pattern := range patterns {
		n.broadcast(&fanout.Push{Channel: pattern, Pub: &copied, Exclude: p.Exclude, Trace: p.Trace, Label: p.Label, Started: p.Started}, counted)
	}
}

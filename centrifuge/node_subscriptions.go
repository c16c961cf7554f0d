package centrifuge

import (
	"context"
	"errors"
	"time"

	"centrifugo/centrifuge/internal/keylock"
)

// maxLeave bounds the calls of the engine that undo a subscription: its channel
// and its connection wait for them.
const maxLeave = 10 * time.Second

// join makes p a subscriber at the hub and, if it is the first, at the broker. On
// an error it is neither.
func (n *Node) join(ctx context.Context, p *pendingSubscription) error {
	lock := n.locks.Lock(p.Channel)
	defer lock.Unlock()
	first, err := n.addLocked(p)
	if err != nil || !first && !p.pattern { // the broker may not know that it is a pattern
		return err
	}
	enter, exit := n.broker.Subscribe, n.broker.Unsubscribe
	if p.pattern {
		enter, exit = n.enterPattern, n.exitPattern
	}
	if err := enter(ctx, p.Channel); err != nil {
		defer n.removeLocked(p.client, p.subscription)
		// The call may have been cancelled, and take effect all the same.
		ctx, cancel := context.WithTimeout(n.ctx, maxLeave)
		defer cancel()
		return errors.Join(err, exit(ctx, p.Channel))
	}
	return nil
}

// joinTogether joins those of the subscriptions whose channels no other call locks, with
// one call of a broker that is a MultiSubscriber. It sets joined or refused of these;
// start joins the others. It waits for no lock, because it holds those of many channels.
func (n *Node) joinTogether(ctx context.Context, pending []*pendingSubscription) {
	if n.multi == nil || len(pending) < 2 {
		return
	}
	locks := make([]*keylock.Entry, 0, len(pending))
	defer func() { unlockAll(locks) }()
	channels := make([]string, 0, len(pending))
	firsts := make([]*pendingSubscription, 0, len(pending))
	for _, p := range pending {
		if p.pattern {
			continue
		}
		lock, free := n.locks.TryLock(p.Channel)
		if !free {
			continue
		}
		locks = append(locks, lock)
		first, err := n.addLocked(p)
		p.joined, p.refused = err == nil, err
		if first {
			channels, firsts = append(channels, p.Channel), append(firsts, p)
		}
	}
	if len(channels) == 0 {
		return
	}
	failed := channels[:0:0]
	for i, err := range n.multi.SubscribeMany(ctx, channels) {
		if err != nil {
			firsts[i].joined, firsts[i].refused = false, err
			failed = append(failed, channels[i])
		}
	}
	if len(failed) > 0 {
		n.undoFailed(firsts, failed)
	}
}

// undoFailed ends the subscriptions of the broker that failed: they may take effect all
// the same. The caller holds the locks of their channels.
func (n *Node) undoFailed(firsts []*pendingSubscription, failed []string) {
	ctx, cancel := context.WithTimeout(n.ctx, maxLeave)
	defer cancel()
	errs := n.multi.UnsubscribeMany(ctx, failed)
	i := 0
	for _, p := range firsts {
		if p.refused == nil {
			continue
		}
		p.refused = errors.Join(p.refused, errs[i])
		n.removeLocked(p.client, p.subscription)
		i++
	}
}

func unlockAll(locks []*keylock.Entry) {
	for _, lock := range locks {
		lock.Unlock()
	}
}

// addLocked adds p to the hub. The caller holds the lock of the channel, and subscribes
// at the broker if p is the first subscriber. On an error p was not added.
func (n *Node) addLocked(p *pendingSubscription) (first bool, err error) {
	s := p.subscription
	if most := p.opts.MaxSubscribers; most > 0 && n.hub.NumSubscribers(s.Channel) >= most {
		return false, ErrorLimitExceeded
	}
	n.stats.numbered(s.Label).actions.add(actionAddSubscription)
	p.client.countSubscription(s.Label, 1)
	n.channels.enter(s, p.compact)
	if first = n.hub.Add(&s.Subscriber); !first {
		return false, nil
	}
	if err := n.openBatch(s.Channel); err != nil {
		n.removeLocked(p.client, s)
		return false, err
	}
	return true, nil
}

// removeLocked undoes addLocked for a subscription of c. The caller holds the lock of the
// channel, and unsubscribes at the broker if s was the last subscriber.
func (n *Node) removeLocked(c *Client, s *subscription) (last bool) {
	n.stats.numbered(s.Label).actions.add(actionRemoveSubscription)
	c.countSubscription(s.Label, -1)
	if last = n.hub.Remove(&s.Subscriber); last {
		n.dropBatch(s.Channel)
		n.reads.invalidate(s.Channel)
	}
	n.channels.exit(s)
	return last
}

// leave undoes join and what followed it. Unjoined says that unjoinTogether has undone
// join already.
func (n *Node) leave(c *Client, s *subscription, unjoined bool) {
	ctx := n.ctx
	if !n.immediate() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, maxLeave)
		defer cancel()
	}
	if !unjoined {
		n.logUnsubscribe(s, n.unjoin(ctx, c, s))
	}
	if s.presence {
		if err := n.presence.RemovePresence(ctx, s.Channel, c.id, c.UserID()); err != nil {
			n.logger.log(LogWarn, "removing presence", "client", c.id, "channel", s.Channel, "error", err)
		}
	}
	if s.joinLeave {
		n.stats.numbered(s.Label).LeavesSent.Add(1)
		if err := n.broker.PublishLeave(ctx, s.Channel, c.infoFor(s)); err != nil {
			n.logger.log(LogWarn, "publishing leave", "client", c.id, "channel", s.Channel, "error", err)
		}
	}
}

func (n *Node) unjoin(ctx context.Context, c *Client, s *subscription) error {
	lock := n.locks.Lock(s.Channel)
	defer lock.Unlock()
	last := n.removeLocked(c, s)
	switch {
	case !last:
		return nil
	case n.hasPattern(s.Channel):
		return n.exitPattern(ctx, s.Channel)
	}
	return n.broker.Unsubscribe(ctx, s.Channel)
}

// unjoinTogether undoes the joins of those subscriptions of c whose channels no other call
// locks, with one call of a broker that is a MultiSubscriber. It reports which these
// are by their index; nil is none. Leave undoes the others.
func (n *Node) unjoinTogether(c *Client, subs []*subscription) (unjoined []bool) {
	if n.multi == nil || len(subs) < 2 {
		return nil
	}
	unjoined = make([]bool, len(subs))
	locks := make([]*keylock.Entry, 0, len(subs))
	defer func() { unlockAll(locks) }()
	channels := make([]string, 0, len(subs))
	lasts := make([]*subscription, 0, len(subs))
	for i, s := range subs {
		if n.hasPattern(s.Channel) {
			continue
		}
		lock, free := n.locks.TryLock(s.Channel)
		if !free {
			continue
		}
		locks = append(locks, lock)
		unjoined[i] = true
		if n.removeLocked(c, s) {
			channels, lasts = append(channels, s.Channel), append(lasts, s)
		}
	}
	if len(channels) == 0 {
		return unjoined
	}
	ctx, cancel := context.WithTimeout(n.ctx, maxLeave)
	defer cancel()
	for i, err := range n.multi.UnsubscribeMany(ctx, channels) {
		n.logUnsubscribe(lasts[i], err)
	}
	return unjoined
}

// logUnsubscribe logs an error of the broker. Publications that still come find no
// subscriber; the next Subscribe repairs it.
func (n *Node) logUnsubscribe(s *subscription, err error) {
	if err != nil {
		n.logger.log(LogWarn, "unsubscribing from channel", "channel", s.Channel, "error", err)
	}
}

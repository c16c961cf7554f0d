package centrifuge

import (
	"math"
	"time"

	"centrifugo/centrifuge/internal/clusterwire"
)

// clientAction is a call that acts on connections, in the types of the library.
type clientAction struct {
	op      clusterwire.Op
	target  Target
	channel string
	// One of them, by op.
	subscribe   SubscribeOptions
	unsubscribe Unsubscribe
	disconnect  Disconnect
	refresh     RefreshOptions
}

// wire returns the control message of an action.
func (a *clientAction) wire() *controlMessage {
	m := &controlMessage{Op: a.op}
	target := clusterwire.Target(a.target)
	switch a.op {
	case clusterwire.OpSubscribe:
		m.Subscribe = &clusterwire.Subscribe{Target: target, Channel: a.channel, Options: wireSubscribeOptions(&a.subscribe)}
	case clusterwire.OpUnsubscribe:
		m.Unsubscribe = &clusterwire.Unsubscribe{Target: target, Channel: a.channel, Code: a.unsubscribe.Code, Reason: a.unsubscribe.Reason}
	case clusterwire.OpDisconnect:
		m.Disconnect = &clusterwire.Disconnect{Target: target, Code: a.disconnect.Code, Reason: a.disconnect.Reason}
	case clusterwire.OpRefresh:
		m.Refresh = &clusterwire.Refresh{Target: target, Expired: a.refresh.Expired, ExpireAt: a.refresh.ExpireAt, Info: a.refresh.Info}
	}
	return m
}

// controlAction is the inverse of wire.
func controlAction(m *controlMessage) *clientAction {
	a := &clientAction{op: m.Op, target: Target(*targetOf(m))}
	switch m.Op {
	case clusterwire.OpSubscribe:
		a.channel, a.subscribe = m.Subscribe.Channel, subscribeOptions(&m.Subscribe.Options)
	case clusterwire.OpUnsubscribe:
		a.channel, a.unsubscribe = m.Unsubscribe.Channel, Unsubscribe{m.Unsubscribe.Code, m.Unsubscribe.Reason}
	case clusterwire.OpDisconnect:
		a.disconnect = Disconnect{m.Disconnect.Code, m.Disconnect.Reason}
	case clusterwire.OpRefresh:
		a.refresh = RefreshOptions{Expired: m.Refresh.Expired, ExpireAt: m.Refresh.ExpireAt, Info: m.Refresh.Info}
	}
	return a
}

func wireSubscribeOptions(o *SubscribeOptions) clusterwire.SubscribeOptions {
	return clusterwire.SubscribeOptions{
		ExpireAt: o.ExpireAt, Info: o.Info, Data: o.Data, Presence: o.Presence, JoinLeave: o.JoinLeave, PushJoinLeave: o.PushJoinLeave,
		Positioning: o.Positioning, Recovery: o.Recovery, RecoveryCache: o.RecoveryMode == RecoverCache, AutoRecover: o.AutoRecover,
		RecoverSince: (*clusterwire.Position)(o.RecoverSince), MetaTTLNano: int64(o.HistoryMetaTTL), MaxSubscribers: o.MaxSubscribers,
		AllowDelta: o.AllowDelta, AllowTagsFilter: o.AllowTagsFilter, ServerTagsFilter: wireFilter(o.ServerTagsFilter), Source: o.Source,
		AllowCompaction: o.AllowCompaction, Slow: uint8(o.Slow),
	}
}

func subscribeOptions(o *clusterwire.SubscribeOptions) SubscribeOptions {
	opts := SubscribeOptions{
		ExpireAt: o.ExpireAt, Info: o.Info, Data: o.Data, Presence: o.Presence, JoinLeave: o.JoinLeave, PushJoinLeave: o.PushJoinLeave,
		Positioning: o.Positioning, Recovery: o.Recovery, AutoRecover: o.AutoRecover,
		RecoverSince: (*StreamPosition)(o.RecoverSince), HistoryMetaTTL: time.Duration(o.MetaTTLNano), MaxSubscribers: o.MaxSubscribers,
		AllowDelta: o.AllowDelta, AllowTagsFilter: o.AllowTagsFilter, ServerTagsFilter: tagsFilter(o.ServerTagsFilter), Source: o.Source,
		AllowCompaction: o.AllowCompaction, Slow: SlowPolicy(o.Slow),
	}
	if o.RecoveryCache {
		opts.RecoveryMode = RecoverCache
	}
	return opts
}

func wireFilter(f *FilterNode) *clusterwire.FilterNode {
	if f == nil {
		return nil
	}
	w := &clusterwire.FilterNode{Op: f.Op, Key: f.Key, Cmp: f.Cmp, Val: f.Val, Vals: f.Vals}
	for _, child := range f.Nodes {
		w.Nodes = append(w.Nodes, wireFilter(child))
	}
	return w
}

func tagsFilter(w *clusterwire.FilterNode) *FilterNode {
	if w == nil {
		return nil
	}
	f := &FilterNode{Op: w.Op, Key: w.Key, Cmp: w.Cmp, Val: w.Val, Vals: w.Vals}
	for _, child := range w.Nodes {
		f.Nodes = append(f.Nodes, tagsFilter(child))
	}
	return f
}

func wireInfo(i NodeInfo) *clusterwire.Info {
	w := &clusterwire.Info{
		Name: i.Name, Version: i.Version, Clients: i.Clients, Users: i.Users,
		Channels: i.Channels, Subscriptions: i.Subscriptions, UptimeMilli: i.Uptime.Milliseconds(),
	}
	if i.Metrics != nil && finite(i.Metrics.Interval) {
		w.Metrics = &clusterwire.Metrics{IntervalSeconds: i.Metrics.Interval, Items: wireMetrics(i.Metrics.Items)}
	}
	return w
}

// wireMetrics leaves out what cannot be sent, so that the node is announced all the same.
func wireMetrics(items map[string]float64) map[string]float64 {
	sent := make(map[string]float64, len(items))
	for name, value := range items {
		if len(sent) < clusterwire.MaxMetrics && finite(value) {
			sent[name] = value
		}
	}
	return sent
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func nodeInfo(id string, w *clusterwire.Info) NodeInfo {
	i := NodeInfo{
		ID: id, Name: w.Name, Version: w.Version, Clients: w.Clients, Users: w.Users,
		Channels: w.Channels, Subscriptions: w.Subscriptions, Uptime: time.Duration(w.UptimeMilli) * time.Millisecond,
	}
	if w.Metrics != nil {
		i.Metrics = &NodeMetrics{Interval: w.Metrics.IntervalSeconds, Items: w.Metrics.Items}
	}
	return i
}

func wireError(e *Error) *clusterwire.Error {
	if e == nil {
		return nil
	}
	return &clusterwire.Error{Code: e.Code, Message: e.Message, Temporary: e.Temporary}
}

func answerError(w *clusterwire.Error) *Error {
	if w == nil {
		return nil
	}
	return &Error{Code: w.Code, Message: w.Message, Temporary: w.Temporary}
}

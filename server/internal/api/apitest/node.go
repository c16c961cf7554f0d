// Package apitest has a node for tests of the server API and its carriers. It records
// the calls and returns the results that the test sets.
package apitest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"centrifugo/centrifuge"
)

// Node implements api.Node. The exported fields are set before use.
type Node struct {
	// Err, if not nil, is what every call returns.
	Err error
	// The results of the calls.
	Published centrifuge.PublishResult
	Read      centrifuge.HistoryResult
	Present   map[string]*centrifuge.ClientInfo
	Stats     centrifuge.PresenceStats
	Nodes     []centrifuge.NodeInfo
	ByChannel map[string]centrifuge.ChannelStats
	Answers   map[string]centrifuge.SurveyResult
	// AnswersTo are those of an operation, in place of Answers.
	AnswersTo map[string]map[string]centrifuge.SurveyResult
	// OnPublish, if not nil, is called in every Publish.
	OnPublish func(channel string)

	// Guarded by mu
	mu    sync.Mutex
	calls []string
}

// Calls returns the calls in order, one text each.
func (n *Node) Calls() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

func (n *Node) called(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// Publish implements api.Node.
func (n *Node) Publish(
	_ context.Context, channel string, data []byte, opts centrifuge.PublishOptions,
) (centrifuge.PublishResult, error) {
	if n.OnPublish != nil {
		n.OnPublish(channel)
	}
	n.called("publish %s %s %s", channel, data, publishOptions(opts))
	return n.Published, n.Err
}

func publishOptions(o centrifuge.PublishOptions) string {
	var b strings.Builder
	if o.HistorySize != 0 {
		fmt.Fprintf(&b, "size=%d ttl=%s ", o.HistorySize, o.HistoryTTL)
	}
	if o.HistoryMetaTTL != 0 {
		fmt.Fprintf(&b, "meta=%s ", o.HistoryMetaTTL)
	}
	if o.Tags != nil {
		fmt.Fprintf(&b, "tags=%v ", o.Tags)
	}
	if o.IdempotencyKey != "" {
		fmt.Fprintf(&b, "key=%s ", o.IdempotencyKey)
	}
	if o.Version != 0 || o.VersionEpoch != "" {
		fmt.Fprintf(&b, "version=%d/%s ", o.Version, o.VersionEpoch)
	}
	if o.UseDelta {
		b.WriteString("delta ")
	}
	if o.ClientInfo != nil {
		b.WriteString("info ")
	}
	return b.String()
}

// History implements api.Node.
func (n *Node) History(
	_ context.Context, channel string, opts centrifuge.HistoryOptions,
) (centrifuge.HistoryResult, error) {
	since := "-"
	if opts.Since != nil {
		since = fmt.Sprintf("%d/%s", opts.Since.Offset, opts.Since.Epoch)
	}
	n.called("history %s limit=%d since=%s reverse=%v meta=%s", channel, opts.Limit, since, opts.Reverse, opts.MetaTTL)
	return n.Read, n.Err
}

// RemoveHistory implements api.Node.
func (n *Node) RemoveHistory(_ context.Context, channel string) error {
	n.called("remove_history %s", channel)
	return n.Err
}

// Presence implements api.Node.
func (n *Node) Presence(_ context.Context, channel string) (map[string]*centrifuge.ClientInfo, error) {
	n.called("presence %s", channel)
	return n.Present, n.Err
}

// PresenceStats implements api.Node.
func (n *Node) PresenceStats(_ context.Context, channel string) (centrifuge.PresenceStats, error) {
	n.called("presence_stats %s", channel)
	return n.Stats, n.Err
}

func target(t centrifuge.Target) string {
	text := fmt.Sprintf("user=%q", t.User)
	if t.Client != "" {
		text += " client=" + t.Client
	}
	if t.Session != "" {
		text += " session=" + t.Session
	}
	if t.Except != nil {
		text += fmt.Sprintf(" except=%v", t.Except)
	}
	return text
}

// Subscribe implements api.Node.
func (n *Node) Subscribe(_ context.Context, t centrifuge.Target, channel string, o centrifuge.SubscribeOptions) error {
	var b strings.Builder
	for _, flag := range []struct {
		name string
		on   bool
	}{
		{"presence", o.Presence},
		{"join_leave", o.JoinLeave},
		{"push_join_leave", o.PushJoinLeave},
		{"positioning", o.Positioning},
		{"recovery", o.Recovery},
		{"delta", o.AllowDelta},
		{"tags_filter", o.AllowTagsFilter},
		{"cache", o.RecoveryMode == centrifuge.RecoverCache},
		{"auto", o.AutoRecover},
	} {
		if flag.on {
			b.WriteString(" " + flag.name)
		}
	}
	if o.ExpireAt != 0 {
		fmt.Fprintf(&b, " expire_at=%d", o.ExpireAt)
	}
	if o.Info != nil {
		fmt.Fprintf(&b, " info=%s", o.Info)
	}
	if o.Data != nil {
		fmt.Fprintf(&b, " data=%s", o.Data)
	}
	if o.RecoverSince != nil {
		fmt.Fprintf(&b, " since=%d/%s", o.RecoverSince.Offset, o.RecoverSince.Epoch)
	}
	n.called("subscribe %s %s source=%d%s", target(t), channel, o.Source, b.String())
	return n.Err
}

// Unsubscribe implements api.Node.
func (n *Node) Unsubscribe(_ context.Context, t centrifuge.Target, channel string, u centrifuge.Unsubscribe) error {
	n.called("unsubscribe %s channel=%q %d", target(t), channel, u.Code)
	return n.Err
}

// Disconnect implements api.Node.
func (n *Node) Disconnect(_ context.Context, t centrifuge.Target, d centrifuge.Disconnect) error {
	n.called("disconnect %s %d %q", target(t), d.Code, d.Reason)
	return n.Err
}

// Refresh implements api.Node.
func (n *Node) Refresh(_ context.Context, t centrifuge.Target, o centrifuge.RefreshOptions) error {
	n.called("refresh %s expired=%v expire_at=%d info=%s", target(t), o.Expired, o.ExpireAt, o.Info)
	return n.Err
}

// Info implements api.Node.
func (n *Node) Info(context.Context) ([]centrifuge.NodeInfo, error) {
	n.called("info")
	return n.Nodes, n.Err
}

// Channels implements api.Node.
func (n *Node) Channels(_ context.Context, pattern string) (map[string]centrifuge.ChannelStats, error) {
	n.called("channels %q", pattern)
	return n.ByChannel, n.Err
}

// Survey implements api.Node.
func (n *Node) Survey(_ context.Context, op string, data []byte, toNode string) (map[string]centrifuge.SurveyResult, error) {
	n.called("survey %s %s %q", op, data, toNode)
	if answers, ok := n.AnswersTo[op]; ok {
		return answers, n.Err
	}
	return n.Answers, n.Err
}

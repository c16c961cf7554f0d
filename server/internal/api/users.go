package api

import (
	"context"
	"encoding/json"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/access/grant"
	"centrifugo/server/internal/channels"
)

// Target selects connections: those of User, an empty one meaning the anonymous
// connections, narrowed down by Client and Session (server-interface 1.5).
type Target struct {
	User    string `json:"user"`
	Client  string `json:"client"`
	Session string `json:"session"`
	// LabelFilter and AllUsers are PRO. Ignoring them would hit the anonymous
	// connections instead of those that were meant, so they are refused with
	// ErrorNotAvailable (server-interface 12, upstream defects).
	LabelFilter *FilterNode `json:"label_filter"`
	AllUsers    bool        `json:"all_users"`
}

// FilterNode is a PRO filter over the labels of connections.
type FilterNode struct {
	Op    string       `json:"op"`
	Key   string       `json:"key"`
	Cmp   string       `json:"cmp"`
	Val   string       `json:"val"`
	Vals  []string     `json:"vals"`
	Nodes []FilterNode `json:"nodes"`
}

func (t *Target) connections() (centrifuge.Target, *Error) {
	if t.AllUsers || t.LabelFilter != nil {
		return centrifuge.Target{}, ErrorNotAvailable
	}
	return centrifuge.Target{User: t.User, Client: t.Client, Session: t.Session, Anonymous: t.User == ""}, nil
}

// SubscribeRequest subscribes connections that exist now.
type SubscribeRequest struct {
	Channel string `json:"channel"`
	Target
	// ExpireAt is a Unix time in seconds, zero for never.
	ExpireAt int64 `json:"expire_at"`
	// Info is the channel info shown to others; B64Info wins over it.
	Info    json.RawMessage `json:"info"`
	B64Info string          `json:"b64info"`
	// Data goes into the subscribe push; B64Data wins over it.
	Data    json.RawMessage `json:"data"`
	B64Data string          `json:"b64data"`
	// RecoverSince makes the subscription begin with what came after a position.
	RecoverSince *StreamPosition    `json:"recover_since"`
	Override     *SubscribeOverride `json:"override"`
}

// StreamPosition is a place in a stream.
type StreamPosition struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

func (p *StreamPosition) position() *centrifuge.StreamPosition {
	if p == nil {
		return nil
	}
	return &centrifuge.StreamPosition{Offset: p.Offset, Epoch: p.Epoch}
}

// SubscribeOverride replaces options of the namespace, those that are not nil.
type SubscribeOverride struct {
	Presence           *BoolValue `json:"presence"`
	JoinLeave          *BoolValue `json:"join_leave"`
	ForceRecovery      *BoolValue `json:"force_recovery"`
	ForcePositioning   *BoolValue `json:"force_positioning"`
	ForcePushJoinLeave *BoolValue `json:"force_push_join_leave"`
}

// BoolValue is a bool that may be absent.
type BoolValue struct {
	Value bool `json:"value"`
}

func (v *BoolValue) pointer() *bool {
	if v == nil {
		return nil
	}
	return &v.Value
}

func (o *SubscribeOverride) override() channels.Override {
	if o == nil {
		return channels.Override{}
	}
	return channels.Override{
		Presence:           o.Presence.pointer(),
		JoinLeave:          o.JoinLeave.pointer(),
		ForcePushJoinLeave: o.ForcePushJoinLeave.pointer(),
		ForcePositioning:   o.ForcePositioning.pointer(),
		ForceRecovery:      o.ForceRecovery.pointer(),
	}
}

// EmptyResult is a success without anything to tell.
type EmptyResult struct{}

// subscribe subscribes the connections of a user to a channel. It succeeds also
// when there are none.
func (c call) subscribe(ctx context.Context, req *SubscribeRequest) (EmptyResult, *Error) {
	ns, apiErr := c.namespace(req.Channel)
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	target, apiErr := req.connections()
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	info, apiErr := payload("info", req.Info, req.B64Info)
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	data, apiErr := payload("data", req.Data, req.B64Data)
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	features := c.rules().Features(ns, channels.SourceServerAPI, req.User, channels.Wishes{}, req.Override.override())
	opts := grant.Options(ns, channels.SourceServerAPI, features)
	opts.ExpireAt, opts.Info, opts.Data = req.ExpireAt, info, data
	opts.RecoverSince = req.RecoverSince.position()
	if err := c.node.Subscribe(ctx, target, req.Channel, opts); err != nil {
		return EmptyResult{}, c.internal(ctx, req.Channel, err)
	}
	return EmptyResult{}, nil
}

// UnsubscribeRequest ends subscriptions; an empty channel means every channel.
type UnsubscribeRequest struct {
	Channel string `json:"channel"`
	Target
}

// unsubscribe ends subscriptions of a user's connections with code 2000.
func (c call) unsubscribe(ctx context.Context, req *UnsubscribeRequest) (EmptyResult, *Error) {
	if req.Channel != "" {
		if _, apiErr := c.namespace(req.Channel); apiErr != nil {
			return EmptyResult{}, apiErr
		}
	}
	target, apiErr := req.connections()
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	if err := c.node.Unsubscribe(ctx, target, req.Channel, centrifuge.UnsubscribeServer); err != nil {
		return EmptyResult{}, c.internal(ctx, req.Channel, err)
	}
	return EmptyResult{}, nil
}

// DisconnectRequest closes connections.
type DisconnectRequest struct {
	Target
	// Disconnect is used as it is, if it can be sent; without it the connections are
	// closed with 3503 "force disconnect".
	Disconnect *Disconnect `json:"disconnect"`
	// Whitelist lists client ids that are left alone.
	Whitelist []string `json:"whitelist"`
}

// Disconnect is a code and a reason that a client can be sent: those that cannot are
// error 107, where upstream takes any code.
type Disconnect struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

// disconnect closes the connections of a user.
func (c call) disconnect(ctx context.Context, req *DisconnectRequest) (EmptyResult, *Error) {
	target, apiErr := req.connections()
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	target.Except = req.Whitelist
	d := centrifuge.DisconnectForceNoReconnect
	if req.Disconnect != nil {
		d = centrifuge.Disconnect{Code: req.Disconnect.Code, Reason: req.Disconnect.Reason}
		if err := d.Validate(); err != nil {
			return EmptyResult{}, badRequest(err)
		}
	}
	if err := c.node.Disconnect(ctx, target, d); err != nil {
		return EmptyResult{}, c.internal(ctx, "", err)
	}
	return EmptyResult{}, nil
}

// RefreshRequest changes the expiry of connections.
type RefreshRequest struct {
	Target
	// Expired closes them with 3005, as does an ExpireAt in the past.
	Expired bool `json:"expired"`
	// ExpireAt is a Unix time in seconds; zero makes the connections eternal.
	ExpireAt int64 `json:"expire_at"`
	// Info, if given, replaces the connections' info.
	Info json.RawMessage `json:"info"`
}

// refresh changes the expiry of a user's connections.
func (c call) refresh(ctx context.Context, req *RefreshRequest) (EmptyResult, *Error) {
	target, apiErr := req.connections()
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	info, apiErr := payload("info", req.Info, "")
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	opts := centrifuge.RefreshOptions{Expired: req.Expired, ExpireAt: req.ExpireAt, Info: info}
	if err := c.node.Refresh(ctx, target, opts); err != nil {
		return EmptyResult{}, c.internal(ctx, "", err)
	}
	return EmptyResult{}, nil
}

package api

import (
	"context"
	"encoding/json"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/override"
	"centrifugo/server/internal/subscribeopts"
)

// Target selects connections (server.md 1.5).
type Target struct {
	// User selects the connections of a user. Empty means the anonymous connections.
	User string `json:"user"`
	// Client selects one of them by client id.
	Client string `json:"client"`
	// Session selects one of them by session id.
	Session string `json:"session"`
	// LabelFilter is a PRO feature. A call with it is refused: without the filter it
	// would affect other connections (docs/compatibility.md).
	LabelFilter *FilterNode `json:"label_filter"`
	// AllUsers is a PRO feature. A call with it is refused: without it the call would
	// affect the anonymous connections.
	AllUsers bool `json:"all_users"`
}

// FilterNode is a filter over the labels of connections, a PRO feature.
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

// SubscribeRequest subscribes the connections that exist when it is called.
type SubscribeRequest struct {
	// Channel is the name of the channel.
	Channel string `json:"channel" required:"true"`
	Target
	// ExpireAt is a Unix time in seconds. Zero means never.
	ExpireAt int64 `json:"expire_at"`
	// Info is the channel info that presence, joins and leaves show.
	Info json.RawMessage `json:"info"`
	// B64Info is the channel info in base64. If it is not empty, Info is ignored.
	B64Info string `json:"b64info"`
	// Data is sent to the client in the subscribe push.
	Data json.RawMessage `json:"data"`
	// B64Data is the data in base64. If it is not empty, Data is ignored.
	B64Data string `json:"b64data"`
	// RecoverSince starts the subscription with the publications after a position.
	RecoverSince *StreamPosition `json:"recover_since"`
	// Override replaces options of the namespace.
	Override *override.SubscribeOverride `json:"override"`
}

// StreamPosition is a position in the history of a channel.
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

// EmptyResult is a result without fields.
type EmptyResult struct{}

// subscribe succeeds also if the user has no connections.
func (c call) subscribe(ctx context.Context, req *SubscribeRequest) (EmptyResult, *Error) {
	ns, apiErr := c.namespace(req.Channel)
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	target, apiErr := req.connections()
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	info, apiErr := c.payload("info", req.Info, req.B64Info)
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	data, apiErr := c.payload("data", req.Data, req.B64Data)
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	features := c.rules().Features(ns, channels.SourceServerAPI, req.User, channels.Request{}, req.Override)
	opts := subscribeopts.New(ns, channels.SourceServerAPI, features)
	opts.ExpireAt, opts.Info, opts.Data = req.ExpireAt, info, data
	opts.RecoverSince = req.RecoverSince.position()
	if err := c.node.Subscribe(ctx, target, req.Channel, opts); err != nil {
		return EmptyResult{}, c.internal(ctx, req.Channel, err)
	}
	return EmptyResult{}, nil
}

// UnsubscribeRequest ends subscriptions.
type UnsubscribeRequest struct {
	// Channel is empty for every channel.
	Channel string `json:"channel"`
	Target
}

// unsubscribe ends subscriptions with code 2000.
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
	// Disconnect is the code and reason that clients receive. Default: code 3503,
	// "force disconnect".
	Disconnect *Disconnect `json:"disconnect"`
	// Whitelist lists the client ids of connections that stay.
	Whitelist []string `json:"whitelist"`
}

// Disconnect is a code and a reason that a close frame can carry; others are a bad
// request.
type Disconnect struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

func (c call) disconnect(ctx context.Context, req *DisconnectRequest) (EmptyResult, *Error) {
	target, apiErr := req.connections()
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	target.Except = req.Whitelist
	d := centrifuge.DisconnectForceNoReconnect
	if req.Disconnect != nil {
		d = centrifuge.Disconnect{Code: req.Disconnect.Code, Reason: req.Disconnect.Reason}
		if err := d.Validate(); err != nil { // upstream accepts any code
			return EmptyResult{}, badRequest(err)
		}
	}
	if err := c.node.Disconnect(ctx, target, d); err != nil {
		return EmptyResult{}, c.internal(ctx, "", err)
	}
	return EmptyResult{}, nil
}

// RefreshRequest changes when connections expire.
type RefreshRequest struct {
	Target
	// Expired closes the connections with code 3005, as an ExpireAt in the past does.
	Expired bool `json:"expired"`
	// ExpireAt is a Unix time in seconds. Zero means that the connections do not expire.
	ExpireAt int64 `json:"expire_at"`
	// Info replaces the info of the connections, if it is present.
	Info json.RawMessage `json:"info"`
}

func (c call) refresh(ctx context.Context, req *RefreshRequest) (EmptyResult, *Error) {
	target, apiErr := req.connections()
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	info, apiErr := c.payload("info", req.Info, "")
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	opts := centrifuge.RefreshOptions{Expired: req.Expired, ExpireAt: req.ExpireAt, Info: info}
	if err := c.node.Refresh(ctx, target, opts); err != nil {
		return EmptyResult{}, c.internal(ctx, "", err)
	}
	return EmptyResult{}, nil
}

package api

import (
	"context"
	"encoding/json"
)

// The methods of map and shared poll channels (server.md 1.4). Such channels
// are not implemented: a call on a channel of another subscription type is a bad
// request, and one on a channel of the right type is not available.

// MapPublishRequest sets a key of a map channel.
type MapPublishRequest struct {
	// Channel is the name of the channel.
	Channel        string            `json:"channel" required:"true"`
	Key            string            `json:"key" required:"true"`
	Data           json.RawMessage   `json:"data"`
	B64Data        string            `json:"b64data"`
	StreamData     json.RawMessage   `json:"stream_data"`
	B64StreamData  string            `json:"b64stream_data"`
	Tags           map[string]string `json:"tags"`
	IdempotencyKey string            `json:"idempotency_key"`
	Delta          bool              `json:"delta"`
	Version        uint64            `json:"version"`
	VersionEpoch   string            `json:"version_epoch"`
	Score          int64             `json:"score"`
	// KeyMode is empty, "if_new" or "if_exists".
	KeyMode string `json:"key_mode"`
}

// MapRemoveRequest removes a key of a map channel.
type MapRemoveRequest struct {
	// Channel is the name of the channel.
	Channel        string `json:"channel" required:"true"`
	Key            string `json:"key" required:"true"`
	IdempotencyKey string `json:"idempotency_key"`
}

// MapReadStateRequest reads a page of the keys of a map channel.
type MapReadStateRequest struct {
	// Channel is the name of the channel.
	Channel        string `json:"channel" required:"true"`
	Cursor         string `json:"cursor"`
	Limit          int32  `json:"limit"`
	Key            string `json:"key"`
	Asc            bool   `json:"asc"`
	RevisionOffset uint64 `json:"revision_offset"`
	RevisionEpoch  string `json:"revision_epoch"`
}

// MapReadStreamRequest reads the changes of a map channel.
type MapReadStreamRequest struct {
	// Channel is the name of the channel.
	Channel     string `json:"channel" required:"true"`
	SinceOffset uint64 `json:"since_offset"`
	SinceEpoch  string `json:"since_epoch"`
	Limit       int32  `json:"limit"`
	Reverse     bool   `json:"reverse"`
}

// MapStatsRequest counts the keys of a map channel.
type MapStatsRequest struct {
	// Channel is the name of the channel.
	Channel string `json:"channel" required:"true"`
}

// MapClearRequest removes all keys of a map channel.
type MapClearRequest struct {
	// Channel is the name of the channel.
	Channel string `json:"channel" required:"true"`
}

// SharedPollPublishRequest sets a key of a shared poll channel.
type SharedPollPublishRequest struct {
	// Channel is the name of the channel.
	Channel string          `json:"channel" required:"true"`
	Key     string          `json:"key" required:"true"`
	Data    json.RawMessage `json:"data"`
	B64Data string          `json:"b64data"`
	Version uint64          `json:"version" required:"true"`
	Epoch   string          `json:"epoch"`
}

func (c call) mapPublish(_ context.Context, req *MapPublishRequest) (EmptyResult, *Error) {
	if req.Channel == "" || req.Key == "" {
		return EmptyResult{}, ErrorBadRequest
	}
	switch req.KeyMode {
	case "", "if_new", "if_exists":
	default:
		return EmptyResult{}, ErrorBadRequest
	}
	if _, apiErr := c.payload("data", req.Data, req.B64Data); apiErr != nil {
		return EmptyResult{}, apiErr
	}
	if _, apiErr := c.payload("stream_data", req.StreamData, req.B64StreamData); apiErr != nil {
		return EmptyResult{}, apiErr
	}
	return EmptyResult{}, c.refuseKeyed(req.Channel, isMap)
}

func (c call) mapRemove(_ context.Context, req *MapRemoveRequest) (EmptyResult, *Error) {
	if req.Channel == "" || req.Key == "" {
		return EmptyResult{}, ErrorBadRequest
	}
	return EmptyResult{}, c.refuseKeyed(req.Channel, isMap)
}

func (c call) mapReadState(_ context.Context, req *MapReadStateRequest) (EmptyResult, *Error) {
	return EmptyResult{}, c.refuseKeyed(req.Channel, isMap)
}

func (c call) mapReadStream(_ context.Context, req *MapReadStreamRequest) (EmptyResult, *Error) {
	return EmptyResult{}, c.refuseKeyed(req.Channel, isMap)
}

func (c call) mapStats(_ context.Context, req *MapStatsRequest) (EmptyResult, *Error) {
	return EmptyResult{}, c.refuseKeyed(req.Channel, isMap)
}

func (c call) mapClear(_ context.Context, req *MapClearRequest) (EmptyResult, *Error) {
	return EmptyResult{}, c.refuseKeyed(req.Channel, isMap)
}

func (c call) sharedPollPublish(_ context.Context, req *SharedPollPublishRequest) (EmptyResult, *Error) {
	if req.Channel == "" || req.Key == "" || req.Version == 0 {
		return EmptyResult{}, ErrorBadRequest
	}
	if _, apiErr := c.payload("data", req.Data, req.B64Data); apiErr != nil {
		return EmptyResult{}, apiErr
	}
	return EmptyResult{}, c.refuseKeyed(req.Channel, isSharedPoll)
}

// refuseKeyed returns the error of a call that is valid otherwise: a bad request
// on a channel of another subscription type than the method needs.
func (c call) refuseKeyed(channel string, needed func(subscriptionType string) bool) *Error {
	ns, apiErr := c.namespace(channel)
	if apiErr != nil {
		return apiErr
	}
	if !needed(ns.Options.SubscriptionType) {
		return ErrorBadRequest
	}
	return ErrorNotAvailable
}

func isMap(subscriptionType string) bool {
	switch subscriptionType {
	case "map", "map_clients", "map_users":
		return true
	}
	return false
}

func isSharedPoll(subscriptionType string) bool { return subscriptionType == "shared_poll" }

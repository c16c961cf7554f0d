package api

import (
	"context"
	"encoding/json"
)

// The requests for map and shared poll channels (server-interface 1.4). This
// server does not keep such channels: where the namespace is of another
// subscription type the calls are bad requests, as everywhere, and where it is
// of theirs they are not available.

// MapPublishRequest sets a key.
type MapPublishRequest struct {
	Channel        string            `json:"channel"`
	Key            string            `json:"key"`
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

// MapRemoveRequest removes a key.
type MapRemoveRequest struct {
	Channel        string `json:"channel"`
	Key            string `json:"key"`
	IdempotencyKey string `json:"idempotency_key"`
}

// MapReadStateRequest reads a page of keys.
type MapReadStateRequest struct {
	Channel        string `json:"channel"`
	Cursor         string `json:"cursor"`
	Limit          int32  `json:"limit"`
	Key            string `json:"key"`
	Asc            bool   `json:"asc"`
	RevisionOffset uint64 `json:"revision_offset"`
	RevisionEpoch  string `json:"revision_epoch"`
}

// MapReadStreamRequest reads changes.
type MapReadStreamRequest struct {
	Channel     string `json:"channel"`
	SinceOffset uint64 `json:"since_offset"`
	SinceEpoch  string `json:"since_epoch"`
	Limit       int32  `json:"limit"`
	Reverse     bool   `json:"reverse"`
}

// MapStatsRequest counts keys.
type MapStatsRequest struct {
	Channel string `json:"channel"`
}

// MapClearRequest removes all keys.
type MapClearRequest struct {
	Channel string `json:"channel"`
}

// SharedPollPublishRequest sets a key of a shared poll channel.
type SharedPollPublishRequest struct {
	Channel string          `json:"channel"`
	Key     string          `json:"key"`
	Data    json.RawMessage `json:"data"`
	B64Data string          `json:"b64data"`
	Version uint64          `json:"version"`
	Epoch   string          `json:"epoch"`
}

// MapPublish sets a key.
func (a *API) MapPublish(ctx context.Context, req *MapPublishRequest) (EmptyResult, *Error) {
	return call(ctx, a, MethodMapPublish, req, func(a *API, _ context.Context, req *MapPublishRequest) (EmptyResult, *Error) {
		if req.Channel == "" || req.Key == "" {
			return EmptyResult{}, ErrorBadRequest
		}
		switch req.KeyMode {
		case "", "if_new", "if_exists":
		default:
			return EmptyResult{}, ErrorBadRequest
		}
		if _, apiErr := payload("data", req.Data, req.B64Data); apiErr != nil {
			return EmptyResult{}, apiErr
		}
		if _, apiErr := payload("stream_data", req.StreamData, req.B64StreamData); apiErr != nil {
			return EmptyResult{}, apiErr
		}
		return EmptyResult{}, a.keyed(req.Channel, isMap)
	})
}

// MapRemove removes a key.
func (a *API) MapRemove(ctx context.Context, req *MapRemoveRequest) (EmptyResult, *Error) {
	return call(ctx, a, MethodMapRemove, req, func(a *API, _ context.Context, req *MapRemoveRequest) (EmptyResult, *Error) {
		if req.Channel == "" || req.Key == "" {
			return EmptyResult{}, ErrorBadRequest
		}
		return EmptyResult{}, a.keyed(req.Channel, isMap)
	})
}

// MapReadState reads a page of keys.
func (a *API) MapReadState(ctx context.Context, req *MapReadStateRequest) (EmptyResult, *Error) {
	return call(ctx, a, MethodMapReadState, req, func(a *API, _ context.Context, req *MapReadStateRequest) (EmptyResult, *Error) {
		return EmptyResult{}, a.keyed(req.Channel, isMap)
	})
}

// MapReadStream reads changes.
func (a *API) MapReadStream(ctx context.Context, req *MapReadStreamRequest) (EmptyResult, *Error) {
	return call(ctx, a, MethodMapReadStream, req, func(a *API, _ context.Context, req *MapReadStreamRequest) (EmptyResult, *Error) {
		return EmptyResult{}, a.keyed(req.Channel, isMap)
	})
}

// MapStats counts keys.
func (a *API) MapStats(ctx context.Context, req *MapStatsRequest) (EmptyResult, *Error) {
	return call(ctx, a, MethodMapStats, req, func(a *API, _ context.Context, req *MapStatsRequest) (EmptyResult, *Error) {
		return EmptyResult{}, a.keyed(req.Channel, isMap)
	})
}

// MapClear removes all keys.
func (a *API) MapClear(ctx context.Context, req *MapClearRequest) (EmptyResult, *Error) {
	return call(ctx, a, MethodMapClear, req, func(a *API, _ context.Context, req *MapClearRequest) (EmptyResult, *Error) {
		return EmptyResult{}, a.keyed(req.Channel, isMap)
	})
}

// SharedPollPublish sets a key of a shared poll channel.
func (a *API) SharedPollPublish(ctx context.Context, req *SharedPollPublishRequest) (EmptyResult, *Error) {
	return call(ctx, a, MethodSharedPollPublish, req,
		func(a *API, _ context.Context, req *SharedPollPublishRequest) (EmptyResult, *Error) {
			if req.Channel == "" || req.Key == "" || req.Version == 0 {
				return EmptyResult{}, ErrorBadRequest
			}
			if _, apiErr := payload("data", req.Data, req.B64Data); apiErr != nil {
				return EmptyResult{}, apiErr
			}
			return EmptyResult{}, a.keyed(req.Channel, isSharedPoll)
		})
}

// keyed answers a valid call on a channel of a subscription type that is needed.
func (a *API) keyed(channel string, needed func(subscriptionType string) bool) *Error {
	ns, apiErr := a.namespace(channel)
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

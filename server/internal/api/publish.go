package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
	"centrifugo/server/internal/channels"
)

// PublishRequest publishes into one channel (server.md 1.4).
type PublishRequest struct {
	// Channel is the name of the channel.
	Channel string `json:"channel" required:"true"`
	Publication
}

// Publication holds the fields that PublishRequest and BroadcastRequest share.
type Publication struct {
	// Data is the payload, any JSON value including null.
	Data json.RawMessage `json:"data"`
	// B64Data is a binary payload in standard base64. If it is not empty, Data is ignored.
	B64Data string `json:"b64data"`
	// SkipHistory keeps the publication out of the history.
	SkipHistory bool `json:"skip_history"`
	// Tags are delivered with the publication; tag filters use them.
	Tags map[string]string `json:"tags"`
	// IdempotencyKey suppresses publications in the same channel with the same key for
	// 300 seconds.
	IdempotencyKey string `json:"idempotency_key"`
	// Delta enables delta compression, as delta_publish of the namespace does.
	Delta bool `json:"delta"`
	// ExcludeClient is the ID of a client that does not get the publication.
	ExcludeClient string `json:"exclude_client"`
	// Version suppresses the publication unless it is greater than the version of the
	// latest publication in the channel.
	Version uint64 `json:"version"`
	// VersionEpoch identifies what versions are comparable. With a new one, any version
	// is greater.
	VersionEpoch string `json:"version_epoch"`
}

// PublishResult is the position of the publication in the history of the channel.
// Without history it is empty. A suppressed publication is a success; its position
// is that of the earlier publication or the current one.
type PublishResult struct {
	// Offset is the number of the publication in the history.
	Offset uint64 `json:"offset,omitempty"`
	// Epoch identifies the history; it changes when the history is lost.
	Epoch string `json:"epoch,omitempty"`
}

// BroadcastRequest publishes into several channels at once.
type BroadcastRequest struct {
	// Channels are the names of the channels.
	Channels []string `json:"channels" required:"true"`
	Publication
}

// BroadcastResult holds one response for each channel, in the order of the request.
type BroadcastResult struct {
	Responses []PublishResponse `json:"responses"`
}

// PublishResponse has either an error or a result.
type PublishResponse struct {
	Error  *Error         `json:"error,omitempty"`
	Result *PublishResult `json:"result,omitempty"`
}

func (c call) publish(ctx context.Context, req *PublishRequest) (PublishResult, *Error) {
	ns, apiErr := c.namespace(req.Channel)
	if apiErr != nil {
		return PublishResult{}, apiErr
	}
	if !stream(ns) {
		return PublishResult{}, ErrorBadRequest
	}
	data, apiErr := c.payload("data", req.Data, req.B64Data)
	if apiErr != nil {
		return PublishResult{}, apiErr
	}
	return c.publishInto(ctx, req.Channel, ns, data, &req.Publication)
}

// broadcast publishes into many channels, at most MaxParallel at a time. An error of
// one channel is in the response of that channel.
func (c call) broadcast(ctx context.Context, req *BroadcastRequest) (BroadcastResult, *Error) {
	if len(req.Channels) == 0 {
		return BroadcastResult{}, ErrorBadRequest
	}
	data, apiErr := c.payload("data", req.Data, req.B64Data)
	if apiErr != nil {
		return BroadcastResult{}, apiErr
	}
	responses := make([]PublishResponse, len(req.Channels))
	parallel(ctx, len(responses), func(ctx context.Context, i int) {
		channel := req.Channels[i]
		// A broadcast does not check the subscription type (server.md 1.4).
		ns, apiErr := c.namespace(channel)
		if apiErr != nil {
			responses[i].Error = apiErr
			return
		}
		res, apiErr := c.publishInto(ctx, channel, ns, data, &req.Publication)
		if apiErr != nil {
			responses[i].Error = apiErr
			return
		}
		responses[i].Result = &res
	})
	return BroadcastResult{Responses: responses}, nil
}

func (c call) publishInto(
	ctx context.Context, channel string, ns *channels.Namespace, data []byte, pub *Publication,
) (PublishResult, *Error) {
	if !ns.Format.Valid(data) || c.rules().Pattern(channel) {
		return PublishResult{}, ErrorBadRequest
	}
	opts := centrifuge.PublishOptions{
		Tags:           pub.Tags,
		HistoryMetaTTL: ns.HistoryMetaTTL,
		IdempotencyKey: pub.IdempotencyKey,
		Version:        pub.Version,
		VersionEpoch:   pub.VersionEpoch,
		UseDelta:       pub.Delta || ns.Options.DeltaPublish,
		ExcludeClient:  pub.ExcludeClient,
		Source:         c.source,
	}
	if c.latency {
		opts.Received, _ = ctx.Value(arrivalKey{}).(time.Time)
	}
	if !pub.SkipHistory {
		opts.HistorySize, opts.HistoryTTL = ns.Options.HistorySize, ns.Options.HistoryTTL
	}
	res, err := c.node.Publish(ctx, channel, data, opts)
	if err != nil {
		return PublishResult{}, c.internal(ctx, channel, err)
	}
	return PublishResult{Offset: res.Offset, Epoch: res.Epoch}, nil
}

func stream(ns *channels.Namespace) bool {
	return ns.Options.SubscriptionType == "" || ns.Options.SubscriptionType == "stream"
}

// payload returns the base64 alternative of a field, decoded, or else its value. It
// refuses JSON that clients cannot receive: encoding/json accepts values that are nested
// deeper or contain invalid UTF-8.
func (a *API) payload(field string, value json.RawMessage, b64 string) ([]byte, *Error) {
	if b64 == "" {
		if len(value) == 0 || a.binary {
			return value, nil
		}
		if err := protocol.CheckJSON(value); err != nil {
			return nil, badRequest(fmt.Errorf("%s: %w", field, err))
		}
		return value, nil
	}
	data, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		return nil, ErrorBadRequest
	}
	return data, nil
}

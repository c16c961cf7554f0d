package api

import (
	"context"
	"encoding/json"
	"errors"

	"centrifugo/centrifuge"
)

// HistoryRequest reads a channel's stream.
type HistoryRequest struct {
	Channel string `json:"channel"`
	// Limit is the greatest number of publications: zero for none, so that only
	// the position is returned, negative for all.
	Limit int32 `json:"limit"`
	// Since is exclusive.
	Since *StreamPosition `json:"since"`
	// Reverse reads the newest first.
	Reverse bool `json:"reverse"`
}

// HistoryResult is a part of a stream and the position of its top. No field is
// ever left out.
type HistoryResult struct {
	Publications []HistoryPublication `json:"publications"`
	Epoch        string               `json:"epoch"`
	Offset       uint64               `json:"offset"`
}

// HistoryPublication is a publication without its channel and time.
type HistoryPublication struct {
	Data   json.RawMessage   `json:"data,omitempty"`
	Info   *ClientInfo       `json:"info,omitempty"`
	Offset uint64            `json:"offset,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
}

// history reads a channel's stream.
func (c call) history(ctx context.Context, req *HistoryRequest) (HistoryResult, *Error) {
	ns, apiErr := c.namespace(req.Channel)
	if apiErr != nil {
		return HistoryResult{}, apiErr
	}
	if !ns.HistoryEnabled() {
		return HistoryResult{}, ErrorNotAvailable
	}
	read, err := c.node.History(ctx, req.Channel, centrifuge.HistoryOptions{
		Limit:   int(req.Limit),
		Since:   req.Since.position(),
		Reverse: req.Reverse,
		MetaTTL: ns.HistoryMetaTTL,
	})
	if errors.Is(err, centrifuge.ErrorUnrecoverablePosition) {
		return HistoryResult{}, ErrorUnrecoverablePosition
	}
	if err != nil {
		// That goes for a reverse read from offset zero as well, and for a
		// broker without history (server-interface 1.4, trap 40).
		return HistoryResult{}, c.internal(ctx, req.Channel, err)
	}
	publications := make([]HistoryPublication, len(read.Publications))
	for i, pub := range read.Publications {
		publications[i] = HistoryPublication{Data: json.RawMessage(pub.Data), Offset: pub.Offset, Tags: pub.Tags}
		if pub.Info != nil {
			info := clientInfo(pub.Info)
			publications[i].Info = &info
		}
	}
	return HistoryResult{Publications: publications, Epoch: read.Epoch, Offset: read.Offset}, nil
}

// HistoryRemoveRequest drops the publications of a channel.
type HistoryRemoveRequest struct {
	Channel string `json:"channel"`
}

// historyRemove drops the publications of a channel; offset and epoch go on.
func (c call) historyRemove(ctx context.Context, req *HistoryRemoveRequest) (EmptyResult, *Error) {
	ns, apiErr := c.namespace(req.Channel)
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	if !ns.HistoryEnabled() {
		return EmptyResult{}, ErrorNotAvailable
	}
	if err := c.node.RemoveHistory(ctx, req.Channel); err != nil {
		return EmptyResult{}, c.internal(ctx, req.Channel, err)
	}
	return EmptyResult{}, nil
}

package api

import (
	"context"
	"encoding/json"
	"errors"

	"centrifugo/centrifuge"
)

// HistoryRequest reads the history of a channel.
type HistoryRequest struct {
	// Channel is the name of the channel.
	Channel string `json:"channel" required:"true"`
	// Limit bounds the number of publications. Zero returns only the position, a
	// negative number all publications.
	Limit int32 `json:"limit"`
	// Since is the position after which publications are returned.
	Since *StreamPosition `json:"since"`
	// Reverse returns the newest publication first.
	Reverse bool `json:"reverse"`
}

// HistoryResult holds publications of a stream and the position of its newest one.
type HistoryResult struct {
	Publications []HistoryPublication `json:"publications"`
	// Epoch identifies the history; it changes when the history is lost.
	Epoch string `json:"epoch"`
	// Offset is the number of the newest publication.
	Offset uint64 `json:"offset"`
}

// HistoryPublication is a publication without its channel and time.
type HistoryPublication struct {
	Data json.RawMessage `json:"data,omitempty"`
	// Info describes the publisher, if that was a client.
	Info *ClientInfo `json:"info,omitempty"`
	// Offset is the number of the publication in the history.
	Offset uint64            `json:"offset"`
	Tags   map[string]string `json:"tags,omitempty"`
}

func (c call) history(ctx context.Context, req *HistoryRequest) (HistoryResult, *Error) {
	ns, apiErr := c.namespace(req.Channel)
	if apiErr != nil {
		return HistoryResult{}, apiErr
	}
	if !ns.HistoryEnabled() || c.rules().Pattern(req.Channel) {
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
		// A reverse read from offset zero, and a broker without history, are internal
		// errors too (server.md 1.4).
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

// HistoryRemoveRequest removes the publications from the history of a channel.
type HistoryRemoveRequest struct {
	// Channel is the name of the channel.
	Channel string `json:"channel" required:"true"`
}

// historyRemove removes publications. The offset and the epoch stay.
func (c call) historyRemove(ctx context.Context, req *HistoryRemoveRequest) (EmptyResult, *Error) {
	ns, apiErr := c.namespace(req.Channel)
	if apiErr != nil {
		return EmptyResult{}, apiErr
	}
	if !ns.HistoryEnabled() || c.rules().Pattern(req.Channel) {
		return EmptyResult{}, ErrorNotAvailable
	}
	if err := c.node.RemoveHistory(ctx, req.Channel); err != nil {
		return EmptyResult{}, c.internal(ctx, req.Channel, err)
	}
	return EmptyResult{}, nil
}

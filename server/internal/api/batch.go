package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
)

// MaxCommands bounds the commands of one batch, and of one body of the legacy
// endpoint. It keeps what a body may grow to when decoded near its own size.
const MaxCommands = 100_000

// ErrTooManyCommands is returned by the decoding of a longer batch.
var ErrTooManyCommands = errors.New("too many commands")

// BatchRequest is several calls in one.
type BatchRequest struct {
	Commands Commands `json:"commands"`
	// Parallel runs the commands concurrently, at most MaxParallel at a time.
	Parallel bool `json:"parallel"`
}

// Commands is the list of a batch; nil stands for null.
type Commands []*Command

// UnmarshalJSON implements json.Unmarshaler: the list is bounded while it is read.
func (c *Commands) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return errors.New("commands are not a list")
	}
	commands := Commands{}
	for dec.More() {
		if len(commands) == MaxCommands {
			return ErrTooManyCommands
		}
		var command *Command
		if err := dec.Decode(&command); err != nil {
			return err //nolint:wrapcheck // encoding/json wraps what an Unmarshaler returns
		}
		commands = append(commands, command)
	}
	*c = commands
	return nil
}

// Command has one field set: the request of the method to call.
type Command struct {
	Publish           *PublishRequest           `json:"publish"`
	Broadcast         *BroadcastRequest         `json:"broadcast"`
	Subscribe         *SubscribeRequest         `json:"subscribe"`
	Unsubscribe       *UnsubscribeRequest       `json:"unsubscribe"`
	Disconnect        *DisconnectRequest        `json:"disconnect"`
	Presence          *PresenceRequest          `json:"presence"`
	PresenceStats     *PresenceStatsRequest     `json:"presence_stats"`
	History           *HistoryRequest           `json:"history"`
	HistoryRemove     *HistoryRemoveRequest     `json:"history_remove"`
	Info              *InfoRequest              `json:"info"`
	RPC               *RPCRequest               `json:"rpc"`
	Refresh           *RefreshRequest           `json:"refresh"`
	Channels          *ChannelsRequest          `json:"channels"`
	MapPublish        *MapPublishRequest        `json:"map_publish"`
	MapRemove         *MapRemoveRequest         `json:"map_remove"`
	MapReadState      *MapReadStateRequest      `json:"map_read_state"`
	MapReadStream     *MapReadStreamRequest     `json:"map_read_stream"`
	MapStats          *MapStatsRequest          `json:"map_stats"`
	MapClear          *MapClearRequest          `json:"map_clear"`
	SharedPollPublish *SharedPollPublishRequest `json:"shared_poll_publish"`
}

// BatchResult has one reply for each command, in their order.
type BatchResult struct {
	Replies []Reply `json:"replies,omitempty"`
}

// Reply has one field set: Error, or the result of the command's method.
type Reply struct {
	Error             *Error               `json:"error,omitempty"`
	Publish           *PublishResult       `json:"publish,omitempty"`
	Broadcast         *BroadcastResult     `json:"broadcast,omitempty"`
	Subscribe         *EmptyResult         `json:"subscribe,omitempty"`
	Unsubscribe       *EmptyResult         `json:"unsubscribe,omitempty"`
	Disconnect        *EmptyResult         `json:"disconnect,omitempty"`
	Presence          *PresenceResult      `json:"presence,omitempty"`
	PresenceStats     *PresenceStatsResult `json:"presence_stats,omitempty"`
	History           *HistoryResult       `json:"history,omitempty"`
	HistoryRemove     *EmptyResult         `json:"history_remove,omitempty"`
	Info              *InfoResult          `json:"info,omitempty"`
	RPC               *RPCResult           `json:"rpc,omitempty"`
	Refresh           *EmptyResult         `json:"refresh,omitempty"`
	Channels          *ChannelsResult      `json:"channels,omitempty"`
	MapPublish        *EmptyResult         `json:"map_publish,omitempty"`
	MapRemove         *EmptyResult         `json:"map_remove,omitempty"`
	MapReadState      *EmptyResult         `json:"map_read_state,omitempty"`
	MapReadStream     *EmptyResult         `json:"map_read_stream,omitempty"`
	MapStats          *EmptyResult         `json:"map_stats,omitempty"`
	MapClear          *EmptyResult         `json:"map_clear,omitempty"`
	SharedPollPublish *EmptyResult         `json:"shared_poll_publish,omitempty"`
}

// Batch runs several calls, one after another unless req.Parallel. It never
// fails as a whole; a batch inside a batch is not a method.
func (a *API) Batch(ctx context.Context, req *BatchRequest) (BatchResult, *Error) {
	return call(ctx, a, MethodBatch, req, (*API).batch)
}

func (a *API) batch(ctx context.Context, req *BatchRequest) (BatchResult, *Error) {
	replies := make([]Reply, len(req.Commands))
	if req.Parallel {
		parallel(ctx, len(replies), func(ctx context.Context, i int) { replies[i] = a.command(ctx, req.Commands[i]) })
		return BatchResult{Replies: replies}, nil
	}
	for i, command := range req.Commands {
		replies[i] = a.command(ctx, command)
	}
	return BatchResult{Replies: replies}, nil
}

// command runs one element of a batch: null is a bad request, one without a
// method that is known is not found (server-interface 1.4).
func (a *API) command(ctx context.Context, c *Command) (r Reply) {
	switch {
	case c == nil:
		r.Error = ErrorBadRequest
	case c.Publish != nil:
		r.Publish, r.Error = reply(a.Publish(ctx, c.Publish))
	case c.Broadcast != nil:
		r.Broadcast, r.Error = reply(a.Broadcast(ctx, c.Broadcast))
	case c.Subscribe != nil:
		r.Subscribe, r.Error = reply(a.Subscribe(ctx, c.Subscribe))
	case c.Unsubscribe != nil:
		r.Unsubscribe, r.Error = reply(a.Unsubscribe(ctx, c.Unsubscribe))
	case c.Disconnect != nil:
		r.Disconnect, r.Error = reply(a.Disconnect(ctx, c.Disconnect))
	case c.Presence != nil:
		r.Presence, r.Error = reply(a.Presence(ctx, c.Presence))
	case c.PresenceStats != nil:
		r.PresenceStats, r.Error = reply(a.PresenceStats(ctx, c.PresenceStats))
	case c.History != nil:
		r.History, r.Error = reply(a.History(ctx, c.History))
	case c.HistoryRemove != nil:
		r.HistoryRemove, r.Error = reply(a.HistoryRemove(ctx, c.HistoryRemove))
	case c.Info != nil:
		r.Info, r.Error = reply(a.Info(ctx, c.Info))
	case c.RPC != nil:
		r.RPC, r.Error = reply(a.RPC(ctx, c.RPC))
	case c.Refresh != nil:
		r.Refresh, r.Error = reply(a.Refresh(ctx, c.Refresh))
	case c.Channels != nil:
		r.Channels, r.Error = reply(a.Channels(ctx, c.Channels))
	default:
		return a.keyedCommand(ctx, c)
	}
	return r
}

// keyedCommand is command for the methods of map and shared poll channels.
func (a *API) keyedCommand(ctx context.Context, c *Command) (r Reply) {
	switch {
	case c.MapPublish != nil:
		r.MapPublish, r.Error = reply(a.MapPublish(ctx, c.MapPublish))
	case c.MapRemove != nil:
		r.MapRemove, r.Error = reply(a.MapRemove(ctx, c.MapRemove))
	case c.MapReadState != nil:
		r.MapReadState, r.Error = reply(a.MapReadState(ctx, c.MapReadState))
	case c.MapReadStream != nil:
		r.MapReadStream, r.Error = reply(a.MapReadStream(ctx, c.MapReadStream))
	case c.MapStats != nil:
		r.MapStats, r.Error = reply(a.MapStats(ctx, c.MapStats))
	case c.MapClear != nil:
		r.MapClear, r.Error = reply(a.MapClear(ctx, c.MapClear))
	case c.SharedPollPublish != nil:
		r.SharedPollPublish, r.Error = reply(a.SharedPollPublish(ctx, c.SharedPollPublish))
	default:
		r.Error = ErrorNotFound
	}
	return r
}

// reply leaves out the result of a call that failed.
func reply[Res any](res Res, apiErr *Error) (*Res, *Error) {
	if apiErr != nil {
		return nil, apiErr
	}
	return &res, nil
}

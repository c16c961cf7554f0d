package api

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"time"
)

// The methods of the server API. This table is the only list of them: routes,
// batches, the legacy endpoint, metrics and docs/openapi.json follow from it.
// To add a method, add a line here and write its function with its request and
// result types in the file of its subject.
//
// A batch command that names several methods calls the one that comes first here.
var (
	MethodPublish           = define("publish", "Publish data into a channel.", call.publish)
	MethodBroadcast         = define("broadcast", "Publish the same data into many channels.", call.broadcast)
	MethodSubscribe         = define("subscribe", "Subscribe the connections of a user to a channel.", call.subscribe)
	MethodUnsubscribe       = define("unsubscribe", "Unsubscribe the connections of a user from a channel, or from all.", call.unsubscribe)
	MethodDisconnect        = define("disconnect", "Disconnect the connections of a user.", call.disconnect)
	MethodPresence          = define("presence", "List the clients that are subscribed to a channel.", call.presence)
	MethodPresenceStats     = define("presence_stats", "Count the clients and users that are subscribed to a channel.", call.presenceStats)
	MethodHistory           = define("history", "Read the history of a channel.", call.history)
	MethodHistoryRemove     = define("history_remove", "Remove the publications from the history of a channel.", call.historyRemove)
	MethodInfo              = define("info", "Describe the running nodes.", call.info)
	MethodRPC               = define("rpc", "Call a method of the server by name. This server has none.", call.rpc)
	MethodRefresh           = define("refresh", "Change when the connections of a user expire.", call.refresh)
	MethodChannels          = define("channels", "List the channels that have subscribers.", call.channels)
	MethodConnections       = define("connections", "List the connections of all nodes, page by page.", call.connections)
	MethodBlockUser         = define("block_user", "Close the connections of a user and refuse new ones.", call.blockUser)
	MethodUnblockUser       = define("unblock_user", "Let a blocked user connect again.", call.unblockUser)
	MethodRevokeToken       = define("revoke_token", "Make one token invalid.", call.revokeToken)
	MethodInvalidateTokens  = define("invalidate_user_tokens", "Make all tokens of a user invalid that were issued before a time.", call.invalidateUserTokens)
	MethodTraceStart        = define("trace_start", "Record on all nodes what becomes of the publications of a channel, a user or a client.", call.traceStart)
	MethodTraceStop         = define("trace_stop", "Stop a trace on all nodes.", call.traceStop)
	MethodTraceQuery        = define("trace_query", "Explain why clients were or were not sent publications.", call.traceQuery)
	MethodMapPublish        = define("map_publish", "Set a key of a map channel.", call.mapPublish)
	MethodMapRemove         = define("map_remove", "Remove a key of a map channel.", call.mapRemove)
	MethodMapReadState      = define("map_read_state", "Read a page of the keys of a map channel.", call.mapReadState)
	MethodMapReadStream     = define("map_read_stream", "Read the changes of a map channel.", call.mapReadStream)
	MethodMapStats          = define("map_stats", "Count the keys of a map channel.", call.mapStats)
	MethodMapClear          = define("map_clear", "Remove all keys of a map channel.", call.mapClear)
	MethodSharedPollPublish = define("shared_poll_publish", "Set a key of a shared poll channel.", call.sharedPollPublish)
	MethodBatch             = define("batch", "Call several methods with one request.", call.batch)
)

// methods holds the table in order. It is complete when the package is initialized.
var methods []*Method

// Methods returns all methods in the order of the table.
func Methods() []*Method { return slices.Clone(methods) }

// MethodByName returns the method with a name, or nil.
func MethodByName(name string) *Method {
	i := slices.IndexFunc(methods, func(m *Method) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return methods[i]
}

// Method describes a method without its types in Go, for carriers that find it by name.
type Method struct {
	// Name identifies the method in paths, batches and metrics.
	Name string
	// Summary is one sentence for the documentation.
	Summary string
	// Request and Result are the struct types that the method decodes and returns.
	Request, Result reflect.Type

	newRequest func() any
	call       func(ctx context.Context, a *API, req any) (any, *Error)
}

// CallJSON calls the method with a request in JSON. The error decodeErr reports a
// body that is not a request; the method was not called then.
func (m *Method) CallJSON(ctx context.Context, a *API, body []byte) (result any, apiErr *Error, decodeErr error) {
	req := m.newRequest()
	if err := json.Unmarshal(body, req); err != nil {
		return nil, nil, err //nolint:wrapcheck // the caller reports it with its own words
	}
	result, apiErr = m.call(ctx, a, req)
	return result, apiErr, nil
}

// NewRequest returns a pointer to a zero request, for carriers that decode it themselves.
func (m *Method) NewRequest() any { return m.newRequest() }

// CallDecoded calls the method with a request of NewRequest.
func (m *Method) CallDecoded(ctx context.Context, a *API, req any) (any, *Error) {
	return m.call(ctx, a, req)
}

// TypedMethod is a method with its types.
type TypedMethod[Req, Res any] struct {
	Method
	do func(c call, ctx context.Context, req *Req) (Res, *Error)
}

// define adds a method to the table.
func define[Req, Res any](
	name, summary string, do func(c call, ctx context.Context, req *Req) (Res, *Error),
) *TypedMethod[Req, Res] {
	m := &TypedMethod[Req, Res]{
		Method: Method{Name: name, Summary: summary, Request: reflect.TypeFor[Req](), Result: reflect.TypeFor[Res]()},
		do:     do,
	}
	m.newRequest = func() any { return new(Req) }
	m.call = func(ctx context.Context, a *API, req any) (any, *Error) {
		return m.Call(ctx, a, req.(*Req)) //nolint:forcetypeassert // newRequest made it
	}
	methods = append(methods, &m.Method)
	return m
}

// Call calls the method, and reports the call to the tracer and the observer.
func (m *TypedMethod[Req, Res]) Call(ctx context.Context, a *API, req *Req) (Res, *Error) {
	if a.tracer == nil {
		return m.observed(ctx, a, req)
	}
	ctx, ended := a.tracer(ctx, a.protocol, m.Name)
	res, err := m.observed(ctx, a, req)
	ended(codeOf(err))
	return res, err
}

func codeOf(err *Error) uint32 {
	if err == nil {
		return 0
	}
	return err.Code
}

func (m *TypedMethod[Req, Res]) observed(ctx context.Context, a *API, req *Req) (Res, *Error) {
	c := call{API: a, method: m.Name}
	if a.observer == nil {
		return m.do(c, ctx, req)
	}
	start := time.Now()
	res, err := m.do(c, ctx, req)
	a.observer(a.protocol, m.Name, time.Since(start), codeOf(err))
	return res, err
}

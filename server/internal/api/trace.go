package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/trace"
)

const (
	// DefaultTraceLimit is how many publications, clients and events the answer to
	// trace_query has, each, unless the request says so.
	DefaultTraceLimit = 100
	// MaxTraceLimit bounds them. A request for more is a bad request.
	MaxTraceLimit = 1000
)

// TraceStartRequest starts a trace on all nodes. Exactly one of channel, user and client
// is required.
type TraceStartRequest struct {
	// Channel is traced: what becomes of its publications on all connections.
	Channel string `json:"channel"`
	// User is traced: what becomes of all publications on the connections of the user.
	User string `json:"user"`
	// Client is the ID of a client that is traced.
	Client string `json:"client"`
	// Duration is for how long, in seconds, at most 3600. Zero means 600.
	Duration int64 `json:"duration"`
	// Data keeps the payloads too, those of at most 4096 bytes. They are part of the answer
	// to trace_query.
	Data bool `json:"data"`
}

// TraceStartResult names the nodes.
type TraceStartResult struct {
	Nodes []TraceNode `json:"nodes"`
}

// TraceStopRequest stops a trace on all nodes. Exactly one of channel, user and client is
// required. What was recorded is kept for ten minutes.
type TraceStopRequest struct {
	// Channel, User or Client is that of the trace.
	Channel string `json:"channel"`
	User    string `json:"user"`
	Client  string `json:"client"`
}

// TraceStopResult names the nodes.
type TraceStopResult struct {
	Nodes []TraceNode `json:"nodes"`
}

// TraceQueryRequest asks what became of publications. Without a channel, a user and a
// client the answer has only the traces of the nodes.
type TraceQueryRequest struct {
	// Channel selects publications of a channel.
	Channel string `json:"channel"`
	// Offset selects the publication with an offset in the history of the channel.
	Offset uint64 `json:"offset"`
	// From and To select publications of a time. They are Unix times in milliseconds. Zero
	// means any.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// User selects the connections of a user.
	User string `json:"user"`
	// Client selects the connection with a client ID.
	Client string `json:"client"`
	// Limit is the most publications, clients and events to return, each, at most 1000.
	// Zero means 100. The newest publications and events are returned.
	Limit int32 `json:"limit"`
}

// TraceQueryResult says what became of publications. All times are Unix times in
// milliseconds.
type TraceQueryResult struct {
	// Nodes are all nodes, and how much they know.
	Nodes []TraceNode `json:"nodes"`
	// Publications are those that the request selects.
	Publications []TracePublication `json:"publications,omitempty"`
	// Clients are the connections, and what became of the publications for them.
	Clients []TraceClient `json:"clients,omitempty"`
	// Events are what the nodes have recorded.
	Events []TraceEvent `json:"events,omitempty"`
	// MorePublications, MoreClients and MoreEvents count those beyond the limit.
	MorePublications uint32 `json:"more_publications,omitempty"`
	MoreClients      uint32 `json:"more_clients,omitempty"`
	MoreEvents       uint32 `json:"more_events,omitempty"`
}

// TraceNode is a node and its traces.
type TraceNode struct {
	// Node is the ID of the node.
	Node string `json:"node"`
	// Name is its name.
	Name string `json:"name,omitempty"`
	// Error says why the node has not answered, or has not started the trace.
	Error string `json:"error,omitempty"`
	// Note says in words what the node can know.
	Note string `json:"note,omitempty"`
	// StartedAt is when the node was started.
	StartedAt int64 `json:"started_at,omitempty"`
	// Subscribers is the number of subscribers of the channel on the node.
	Subscribers uint32 `json:"subscribers,omitempty"`
	// Traces are those that are on, and those that ended less than ten minutes ago.
	Traces []Trace `json:"traces,omitempty"`
}

// Trace describes a trace on a node.
type Trace struct {
	Channel string `json:"channel,omitempty"`
	User    string `json:"user,omitempty"`
	Client  string `json:"client,omitempty"`
	// Data is set if payloads are kept.
	Data bool `json:"data,omitempty"`
	// Recording is set until the trace ends.
	Recording bool `json:"recording,omitempty"`
	// StartedAt and EndsAt are when it was started and when it ends or has ended.
	StartedAt int64 `json:"started_at"`
	EndsAt    int64 `json:"ends_at"`
	// Events is the number of events that it has.
	Events uint32 `json:"events"`
	// Dropped counts older events that it had to drop.
	Dropped uint64 `json:"dropped,omitempty"`
}

// TracePublication is a publication that was selected, or a failed attempt to publish.
type TracePublication struct {
	Channel string `json:"channel"`
	// Offset and Epoch are the position in the history.
	Offset uint64 `json:"offset,omitempty"`
	Epoch  string `json:"epoch,omitempty"`
	// Time is when it was published.
	Time int64 `json:"time,omitempty"`
	// Text says who published it and which nodes received it.
	Text string `json:"text"`
}

// TraceClient is a connection.
type TraceClient struct {
	// Client is its client ID.
	Client string `json:"client,omitempty"`
	User   string `json:"user,omitempty"`
	// Node is the ID of its node.
	Node string `json:"node,omitempty"`
	// Verdict is what became of the publications: written, recovered, queued, filtered,
	// excluded, not_json, too_slow, closed, dropped, postponed, superseded, gap, held, ended,
	// began_behind, not_subscribed, not_connected, not_received, not_published, unknown, or
	// mixed if they differ.
	Verdict string `json:"verdict"`
	// Text is the verdict in words.
	Text string `json:"text"`
	// Outcomes has an entry for each publication, if there are several.
	Outcomes []TraceOutcome `json:"outcomes,omitempty"`
}

// TraceOutcome is what became of a publication for a connection.
type TraceOutcome struct {
	Channel string `json:"channel"`
	Offset  uint64 `json:"offset,omitempty"`
	// Time is when it was published.
	Time    int64  `json:"time,omitempty"`
	Verdict string `json:"verdict"`
	Text    string `json:"text"`
}

// TraceEvent is what a node has recorded. Fields that do not concern the kind are absent.
type TraceEvent struct {
	Time int64  `json:"time"`
	Node string `json:"node"`
	// Kind is a short name of the event.
	Kind    string `json:"kind"`
	Channel string `json:"channel,omitempty"`
	// Pattern is what the client is subscribed to, if that is not the channel itself.
	Pattern string `json:"pattern,omitempty"`
	// Client and User are the connection, or the publisher if that is a client.
	Client string `json:"client,omitempty"`
	User   string `json:"user,omitempty"`
	Offset uint64 `json:"offset,omitempty"`
	Epoch  string `json:"epoch,omitempty"`
	// First is the first offset of an event that concerns several.
	First uint64 `json:"first,omitempty"`
	// Code and Reason are those of an answer or of an end.
	Code   uint32 `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Source says who published.
	Source string `json:"source,omitempty"`
	// Text is the event in words.
	Text string `json:"text"`
	// Size is the size of the payload in bytes.
	Size uint32 `json:"size,omitempty"`
	// Data is the payload, if the trace keeps it. Over HTTP it is left out if it is not
	// JSON.
	Data json.RawMessage `json:"data,omitempty"`
}

func (c call) traceStart(ctx context.Context, req *TraceStartRequest) (TraceStartResult, *Error) {
	duration := time.Duration(min(max(req.Duration, -1), int64(trace.MaxDuration/time.Second)+1)) * time.Second
	if duration < 0 || duration > trace.MaxDuration {
		return TraceStartResult{}, ErrorBadRequest
	}
	command := trace.Command{Rule: trace.Rule{Channel: req.Channel, User: req.User, Client: req.Client}, Duration: duration, Data: req.Data}
	nodes, apiErr := c.traceCommand(ctx, trace.SurveyStart, &command)
	return TraceStartResult{Nodes: nodes}, apiErr
}

func (c call) traceStop(ctx context.Context, req *TraceStopRequest) (TraceStopResult, *Error) {
	command := trace.Command{Rule: trace.Rule{Channel: req.Channel, User: req.User, Client: req.Client}}
	nodes, apiErr := c.traceCommand(ctx, trace.SurveyStop, &command)
	return TraceStopResult{Nodes: nodes}, apiErr
}

func (c call) traceCommand(ctx context.Context, op string, command *trace.Command) ([]TraceNode, *Error) {
	if err := command.Check(); err != nil {
		return nil, badRequest(err)
	}
	answers, failed, apiErr := c.askTraces(ctx, op, command)
	if apiErr != nil {
		return nil, apiErr
	}
	report := trace.Explain(new(trace.Query), answers, failed, 0)
	nodes := traceNodes(report)
	failures := 0
	refusal := ""
	for i := range nodes {
		if answer := answers[nodes[i].Node]; answer != nil && answer.Error != "" {
			nodes[i].Error, refusal = answer.Error, answer.Error
		}
		if nodes[i].Error != "" {
			failures++
		}
	}
	switch {
	case failures < len(nodes):
		return nodes, nil
	case refusal != "":
		return nil, &Error{Code: ErrorLimitExceeded.Code, Message: ErrorLimitExceeded.Message + ": " + refusal}
	}
	return nil, c.internal(ctx, "", fmt.Errorf("no node has answered as expected: %v", failed))
}

// traceQuery asks all nodes what they have recorded, and explains it. Nodes that have not
// answered are named in the result.
func (c call) traceQuery(ctx context.Context, req *TraceQueryRequest) (TraceQueryResult, *Error) {
	limit := int(cmp.Or(req.Limit, DefaultTraceLimit))
	// Beyond this bound microseconds do not fit.
	const maxTime = 1 << 50
	if limit < 0 || limit > MaxTraceLimit || req.From < 0 || req.To < 0 || req.From > maxTime || req.To > maxTime {
		return TraceQueryResult{}, ErrorBadRequest
	}
	if max(len(req.Channel), len(req.User), len(req.Client)) > trace.MaxName {
		return TraceQueryResult{}, ErrorBadRequest
	}
	query := &trace.Query{Channel: req.Channel, Offset: req.Offset, From: req.From * 1000, User: req.User, Client: req.Client}
	if req.To != 0 {
		query.To = req.To*1000 + 999
	}
	answers, failed, apiErr := c.askTraces(ctx, trace.SurveyQuery, query)
	if apiErr != nil {
		return TraceQueryResult{}, apiErr
	}
	return c.traceResult(trace.Explain(query, answers, failed, limit)), nil
}

// askTraces asks all nodes. Of those without an answer it returns why.
func (c call) askTraces(ctx context.Context, op string, question any) (answers map[string]*trace.NodeAnswer, failed map[string]string, _ *Error) {
	data, err := json.Marshal(question)
	if err != nil {
		return nil, nil, c.internal(ctx, "", err)
	}
	results, err := c.node.Survey(ctx, op, data, "")
	var incomplete *centrifuge.SurveyError
	if err != nil && !errors.As(err, &incomplete) {
		return nil, nil, c.internal(ctx, "", err)
	}
	answers, failed = map[string]*trace.NodeAnswer{}, map[string]string{}
	if incomplete != nil {
		for _, id := range incomplete.Missing {
			failed[id] = "has not answered"
		}
	}
	for id, result := range results {
		answer := new(trace.NodeAnswer)
		switch {
		case result.Error != nil && errors.Is(result.Error, centrifuge.ErrorNotAvailable):
			failed[id] = "runs a release without traces"
		case result.Error != nil:
			failed[id] = result.Error.Error()
		case json.Unmarshal(result.Data, answer) != nil:
			failed[id] = "has sent an answer of another release"
		default:
			answers[id] = answer
		}
	}
	return answers, failed, nil
}

// milliseconds converts microseconds.
func milliseconds(micro int64) int64 { return micro / 1000 }

func (c call) traceResult(r *trace.Report) TraceQueryResult {
	result := TraceQueryResult{
		Nodes:            traceNodes(r),
		MorePublications: uint32(r.MorePublications), MoreClients: uint32(r.MoreClients), MoreEvents: uint32(r.MoreEvents), //nolint:gosec // bounded by the sizes of answers
	}
	for i := range r.Publications {
		p := &r.Publications[i]
		result.Publications = append(result.Publications, TracePublication{Channel: p.Channel, Offset: p.Offset, Epoch: p.Epoch, Time: milliseconds(p.Time), Text: p.Text})
	}
	for i := range r.Clients {
		from := &r.Clients[i]
		client := TraceClient{Client: from.Client, User: from.User, Node: from.Node, Verdict: string(from.Verdict), Text: from.Text}
		if len(from.Outcomes) > 1 {
			// The newest ones; the text of the client counts all.
			for _, o := range from.Outcomes[max(0, len(from.Outcomes)-MaxTraceLimit):] {
				client.Outcomes = append(client.Outcomes, TraceOutcome{Channel: o.Channel, Offset: o.Offset, Time: milliseconds(o.Time), Verdict: string(o.Verdict), Text: o.Text})
			}
		}
		result.Clients = append(result.Clients, client)
	}
	for i := range r.Events {
		e := &r.Events[i]
		event := TraceEvent{
			Time: milliseconds(e.Time), Node: e.Node, Kind: string(e.Kind), Channel: e.Channel, Pattern: e.Pattern, Client: e.Client, User: e.User,
			Offset: e.Offset, Epoch: e.Epoch, First: e.First, Code: e.Code, Reason: e.Reason, Source: e.Source, Text: e.Text(), Size: uint32(e.Size), //nolint:gosec // messages are smaller
		}
		if len(e.Data) > 0 && (c.binary || json.Valid(e.Data)) {
			event.Data = e.Data
		}
		result.Events = append(result.Events, event)
	}
	return result
}

func traceNodes(r *trace.Report) []TraceNode {
	nodes := []TraceNode{}
	for i := range r.Nodes {
		n := &r.Nodes[i]
		node := TraceNode{Node: n.Node, Name: n.Name, Error: n.Failed, Note: n.Note, StartedAt: milliseconds(n.Began), Subscribers: uint32(n.Subscribers)} //nolint:gosec // not negative
		for _, s := range n.Traces {
			node.Traces = append(node.Traces, Trace{
				Channel: s.Channel, User: s.User, Client: s.Client, Data: s.Data, Recording: s.Recording,
				StartedAt: milliseconds(s.Began), EndsAt: milliseconds(s.Ends), Events: uint32(s.Events), Dropped: s.Dropped, //nolint:gosec // bounded
			})
		}
		nodes = append(nodes, node)
	}
	return nodes
}

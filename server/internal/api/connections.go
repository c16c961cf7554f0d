package api

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"centrifugo/centrifuge"
)

const (
	// DefaultConnections is how many connections a page has unless the request says so.
	DefaultConnections = 100
	// MaxConnections bounds a page. A request for more is a bad request.
	MaxConnections = 1000
	// maxCursor bounds a cursor, in bytes. Client ids are shorter.
	maxCursor = 256
)

// ConnectionsRequest asks for a page of the connections of all nodes, in the order of
// their client ids.
type ConnectionsRequest struct {
	// User selects the connections of a user. Empty means those of all users.
	User string `json:"user"`
	// Client selects the connection with a client id.
	Client string `json:"client"`
	// Limit is the most connections to return, at most 1000. Zero means 100.
	Limit int32 `json:"limit"`
	// Cursor is the cursor of the page before. Empty means the first page.
	Cursor string `json:"cursor"`
	// Expression is a PRO feature. A call with it is refused: without it the call would
	// return other connections.
	Expression string `json:"expression"`
}

// ConnectionsResult is a page of connections.
type ConnectionsResult struct {
	// Connections by client id.
	Connections map[string]ConnectionInfo `json:"connections"`
	// Cursor requests the next page. It is empty on the last one.
	Cursor string `json:"cursor,omitempty"`
}

// ConnectionInfo describes a connection at the time of the call.
type ConnectionInfo struct {
	// AppName and AppVersion are what the client calls itself, by default its SDK.
	AppName    string `json:"app_name,omitempty"`
	AppVersion string `json:"app_version,omitempty"`
	// Transport is the name of the transport.
	Transport string `json:"transport"`
	// Protocol is json or protobuf.
	Protocol string `json:"protocol"`
	// User is empty for an anonymous connection.
	User string `json:"user"`
	// State is what the connection is subscribed to.
	State *ConnectionState `json:"state"`
	// Node is the id of the node.
	Node string `json:"node"`
	// Info is the info of the connection. Over HTTP it is left out if it is not JSON.
	Info json.RawMessage `json:"info,omitempty"`
	// ConnectedAt is a Unix time in seconds.
	ConnectedAt int64 `json:"connected_at"`
	// ExpireAt is a Unix time in seconds. It is absent if the connection does not expire.
	ExpireAt int64 `json:"expire_at,omitempty"`
	// LastPing is the Unix time in seconds of the last ping of the server.
	LastPing int64 `json:"last_ping,omitempty"`
	// PongMissing is set if the last ping is not answered yet.
	PongMissing bool `json:"pong_missing,omitempty"`
	// QueuedBytes is what waits to be sent.
	QueuedBytes uint64 `json:"queued_bytes,omitempty"`
}

// ConnectionState holds the subscriptions of a connection by channel.
type ConnectionState struct {
	Channels map[string]ConnectionChannel `json:"channels"`
}

// ConnectionChannel describes a subscription.
type ConnectionChannel struct {
	// ServerSide is set for a subscription that the server made.
	ServerSide bool `json:"server_side,omitempty"`
	// Positioned subscriptions have an offset and an epoch, up to which everything was sent.
	Positioned bool   `json:"positioned,omitempty"`
	Offset     uint64 `json:"offset,omitempty"`
	Epoch      string `json:"epoch,omitempty"`
	// Recoverable is set if the subscription can be recovered.
	Recoverable bool `json:"recoverable,omitempty"`
	// Presence is set if the subscriber is in the presence of the channel.
	Presence bool `json:"presence,omitempty"`
	// ExpireAt is a Unix time in seconds. It is absent if the subscription does not expire.
	ExpireAt int64 `json:"expire_at,omitempty"`
}

// SurveyConnections is the operation by which the method connections asks the nodes. Each
// answers with AnswerConnections.
const SurveyConnections = "connections"

// connectionsQuery is what nodes are asked for: the first Most connections after a client id.
type connectionsQuery struct {
	User   string `json:"user,omitempty"`
	Client string `json:"client,omitempty"`
	After  string `json:"after,omitempty"`
	Most   int    `json:"most"`
}

// connectionRecord is an entry of an answer. Info is any bytes.
type connectionRecord struct {
	Client string         `json:"client"`
	Info   []byte         `json:"raw_info,omitempty"`
	About  ConnectionInfo `json:"about"`
}

// ConnectionSource is the part of a *centrifuge.Node that has its connections.
type ConnectionSource interface {
	Connections() iter.Seq[*centrifuge.Client]
	UserConnections(user string) iter.Seq[*centrifuge.Client]
}

// AnswerConnections answers a survey of the operation SurveyConnections. The id is that of
// the node.
func AnswerConnections(source ConnectionSource, id string, data []byte) ([]byte, error) {
	var q connectionsQuery
	if err := json.Unmarshal(data, &q); err != nil {
		return nil, fmt.Errorf("decoding the query for connections: %w", err)
	}
	if q.Most < 1 || q.Most > MaxConnections+1 {
		return nil, centrifuge.ErrorBadRequest
	}
	clients := source.Connections()
	if q.User != "" {
		clients = source.UserConnections(q.User)
	}
	records := make([]connectionRecord, 0, min(q.Most, DefaultConnections))
	for _, client := range q.first(clients) {
		records = append(records, recordOf(client.Snapshot(), id))
	}
	out, err := json.Marshal(records)
	if err != nil {
		return nil, fmt.Errorf("encoding connections: %w", err)
	}
	return out, nil
}

// first returns the first of the clients, sorted. It keeps no more than it returns.
func (q *connectionsQuery) first(clients iter.Seq[*centrifuge.Client]) []*centrifuge.Client {
	var kept lastFirst
	for client := range clients {
		id := client.ID()
		switch {
		case id <= q.After, q.Client != "" && id != q.Client:
		case len(kept) < q.Most:
			heap.Push(&kept, client)
		case id < kept[0].ID():
			kept[0] = client
			heap.Fix(&kept, 0)
		}
	}
	slices.SortFunc(kept, func(a, b *centrifuge.Client) int { return cmp.Compare(a.ID(), b.ID()) })
	return kept
}

// lastFirst is a heap of clients with the greatest id on top.
type lastFirst []*centrifuge.Client

func (h lastFirst) Len() int           { return len(h) }
func (h lastFirst) Less(i, j int) bool { return h[i].ID() > h[j].ID() }
func (h lastFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *lastFirst) Push(x any)        { *h = append(*h, x.(*centrifuge.Client)) } //nolint:forcetypeassert // only first pushes
func (h *lastFirst) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

func recordOf(s centrifuge.ClientSnapshot, node string) connectionRecord {
	about := ConnectionInfo{
		AppName: s.Name, AppVersion: s.Version, Transport: s.Transport.Name, Protocol: "json", User: s.User, Node: node,
		ConnectedAt: unix(s.ConnectedAt), ExpireAt: unix(s.ExpireAt), LastPing: unix(s.LastPing), PongMissing: s.PongMissing,
		QueuedBytes: uint64(s.QueuedBytes), //nolint:gosec // not negative
		State:       &ConnectionState{Channels: make(map[string]ConnectionChannel, len(s.Subscriptions))},
	}
	if s.Transport.Protobuf {
		about.Protocol = "protobuf"
	}
	for _, sub := range s.Subscriptions {
		about.State.Channels[sub.Channel] = ConnectionChannel{
			ServerSide: sub.ServerSide, Positioned: sub.Positioned, Offset: sub.Position.Offset, Epoch: sub.Position.Epoch,
			Recoverable: sub.Recoverable, Presence: sub.Presence, ExpireAt: unix(sub.ExpireAt),
		}
	}
	return connectionRecord{Client: s.ID, Info: s.Info, About: about}
}

// unix returns a Unix time in seconds, zero for the zero time.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// connections lists a page of the connections of all nodes. Every node has to answer.
func (c call) connections(ctx context.Context, req *ConnectionsRequest) (ConnectionsResult, *Error) {
	limit := int(cmp.Or(req.Limit, DefaultConnections))
	switch {
	case req.Expression != "":
		return ConnectionsResult{}, ErrorNotAvailable
	case limit < 0 || limit > MaxConnections || len(req.Cursor) > maxCursor:
		return ConnectionsResult{}, ErrorBadRequest
	}
	query, err := json.Marshal(connectionsQuery{User: req.User, Client: req.Client, After: req.Cursor, Most: limit + 1})
	if err != nil {
		return ConnectionsResult{}, c.internal(ctx, "", err)
	}
	answers, err := c.node.Survey(ctx, SurveyConnections, query, "")
	if err != nil {
		return ConnectionsResult{}, c.internal(ctx, "", err)
	}
	var all []connectionRecord
	for id, answer := range answers {
		records, err := recordsOf(answer)
		if err != nil {
			return ConnectionsResult{}, c.internal(ctx, "", fmt.Errorf("listing connections of node %s: %w", id, err))
		}
		all = append(all, records...)
	}
	slices.SortFunc(all, func(a, b connectionRecord) int { return cmp.Compare(a.Client, b.Client) })
	return c.page(all, limit), nil
}

func recordsOf(answer centrifuge.SurveyResult) (records []connectionRecord, err error) {
	if answer.Error != nil {
		return nil, answer.Error
	}
	if err := json.Unmarshal(answer.Data, &records); err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	return records, nil
}

// page makes the result of sorted records.
func (c call) page(all []connectionRecord, limit int) ConnectionsResult {
	var result ConnectionsResult
	if len(all) > limit {
		all = all[:limit]
		result.Cursor = all[limit-1].Client
	}
	result.Connections = make(map[string]ConnectionInfo, len(all))
	for _, record := range all {
		if len(record.Info) > 0 && (c.binary || json.Valid(record.Info)) {
			record.About.Info = record.Info
		}
		result.Connections[record.Client] = record.About
	}
	return result
}

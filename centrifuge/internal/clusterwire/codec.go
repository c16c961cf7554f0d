package clusterwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Bounds of a message, in bytes and items. Append does not make a message beyond
// them, and Decode does not accept one.
const (
	MaxHeader         = 4 << 20
	MaxPayload        = 64 << 20
	MaxName           = 1 << 10  // of a node, a session, an operation
	MaxChannel        = 64 << 10 // of a channel's name
	MaxExcept         = 64 << 10 // items in Target.Except
	MaxMetrics        = 16 << 10 // items in Metrics.Items
	MaxFilter         = 4 << 10  // nodes in a filter
	MaxTimeout        = 10 * 60 * 1000
	maxCounters int64 = 1 << 40 // more than int has on a 32-bit system
)

// Errors of Decode for messages of nodes of another release. All other errors mean
// that the message is malformed.
var (
	// ErrVersion reports a message of a newer version.
	ErrVersion = errors.New("control message of a newer version")
	// ErrUnknownOp reports an operation that this release does not know.
	ErrUnknownOp = errors.New("unknown operation")
)

var operations = []Op{
	OpInfo, OpShutdown, OpSubscribe, OpUnsubscribe, OpDisconnect, OpRefresh, OpNotify, OpSurvey, OpDeliver, OpAnswer,
}

// Append appends the wire form of m to b and returns the result. It sets m.Version.
func Append(b []byte, m *Message) ([]byte, error) {
	m.Version = Version
	if err := m.check(); err != nil {
		return b, err
	}
	header, err := json.Marshal(m)
	if err != nil {
		return b, err
	}
	if len(header) > MaxHeader {
		return b, fmt.Errorf("header has %d bytes, at most %d are allowed", len(header), MaxHeader)
	}
	b = append(b, header...)
	if len(m.Payload) > 0 {
		b = append(b, '\n')
		b = append(b, m.Payload...)
	}
	return b, nil
}

// Decode parses a message. The payload of the result refers to b. With ErrUnknownOp
// the result has the operation, the sender and the number of the call.
func Decode(b []byte) (*Message, error) {
	header, payload, _ := bytes.Cut(b, []byte{'\n'})
	if len(header) > MaxHeader {
		return nil, fmt.Errorf("header has more than %d bytes", MaxHeader)
	}
	m, err := decodeBase(header)
	if err != nil {
		return nil, err
	}
	m.Payload = payload
	if !slices.Contains(operations, m.Op) {
		return m, fmt.Errorf("%w %.100q", ErrUnknownOp, m.Op)
	}
	if err := json.Unmarshal(header, m); err != nil {
		return nil, err
	}
	return m, m.check()
}

// decodeBase decodes what every version and every operation has. The types of the
// other fields may differ from those of Message.
func decodeBase(header []byte) (*Message, error) {
	var raw struct {
		Version int             `json:"v"`
		Op      json.RawMessage `json:"op"`
		From    json.RawMessage `json:"from"`
		Call    json.RawMessage `json:"call"`
	}
	if err := json.Unmarshal(header, &raw); err != nil {
		return nil, err
	}
	switch {
	case raw.Version > Version:
		return nil, fmt.Errorf("%w: %d, this node knows %d", ErrVersion, raw.Version, Version)
	case raw.Version < 1:
		return nil, fmt.Errorf("version is %d, want 1 or more", raw.Version)
	}
	m := &Message{Version: raw.Version}
	for _, field := range []struct {
		name string
		from json.RawMessage
		to   any
	}{{"op", raw.Op, &m.Op}, {"from", raw.From, &m.From}, {"call", raw.Call, &m.Call}} {
		if field.from == nil {
			continue
		}
		if err := json.Unmarshal(field.from, field.to); err != nil {
			return nil, fmt.Errorf("field %s: %w", field.name, err)
		}
	}
	return m, m.checkBase()
}

func (m *Message) checkBase() error {
	switch {
	case len(m.Payload) > MaxPayload:
		return fmt.Errorf("payload has %d bytes, at most %d are allowed", len(m.Payload), MaxPayload)
	case m.From == "" || len(m.From) > MaxName:
		return fmt.Errorf("the sender's id has %d bytes, want 1 to %d", len(m.From), MaxName)
	case m.Op == "" || len(m.Op) > MaxName:
		return fmt.Errorf("the operation has %d bytes, want 1 to %d", len(m.Op), MaxName)
	}
	return nil
}

// check reports what is missing in m or beyond the bounds.
func (m *Message) check() error {
	if err := m.checkBase(); err != nil {
		return err
	}
	body, call := m.body()
	if body == nil {
		return fmt.Errorf("message %q has no field %q", m.Op, m.Op)
	}
	if call && m.Call == 0 {
		return fmt.Errorf("message %q has no call", m.Op)
	}
	if err := body.check(); err != nil {
		return fmt.Errorf("message %q: %w", m.Op, err)
	}
	return nil
}

type body interface{ check() error }

// body returns the field that the operation uses, nil if it is missing, and whether
// the operation needs a call.
func (m *Message) body() (b body, call bool) {
	switch {
	case m.Op == OpShutdown:
		return nothing{}, false
	case m.Op == OpInfo && m.Info != nil:
		return m.Info, false
	case m.Op == OpSubscribe && m.Subscribe != nil:
		return m.Subscribe, false
	case m.Op == OpUnsubscribe && m.Unsubscribe != nil:
		return m.Unsubscribe, false
	case m.Op == OpDisconnect && m.Disconnect != nil:
		return m.Disconnect, false
	case m.Op == OpRefresh && m.Refresh != nil:
		return m.Refresh, false
	case m.Op == OpNotify && m.Notify != nil:
		return m.Notify, false
	case m.Op == OpSurvey && m.Survey != nil:
		return m.Survey, true
	case m.Op == OpDeliver && m.Deliver != nil:
		return m.Deliver, true
	case m.Op == OpAnswer && m.Answer != nil:
		return m.Answer, true
	}
	return nil, false
}

// nothing is the body of an operation without one.
type nothing struct{}

func (nothing) check() error { return nil }

func (i *Info) check() error {
	if i.Metrics != nil && len(i.Metrics.Items) > MaxMetrics {
		return fmt.Errorf("%d metrics, at most %d are allowed", len(i.Metrics.Items), MaxMetrics)
	}
	for _, count := range []int{i.Clients, i.Users, i.Channels, i.Subscriptions} {
		if count < 0 || int64(count) > maxCounters {
			return fmt.Errorf("a count is %d, want 0 to %d", count, maxCounters)
		}
	}
	if i.UptimeMilli < 0 || i.UptimeMilli > maxCounters {
		return fmt.Errorf("the uptime is %d ms, want 0 to %d", i.UptimeMilli, maxCounters)
	}
	return nil
}

func (t *Target) check() error {
	if len(t.Except) > MaxExcept {
		return fmt.Errorf("%d exceptions, at most %d are allowed", len(t.Except), MaxExcept)
	}
	return nil
}

func (s *Subscribe) check() error {
	if s.Channel == "" {
		return errors.New("no channel")
	}
	if nodes := s.Options.ServerTagsFilter.count(); nodes > MaxFilter {
		return fmt.Errorf("the filter has more than %d nodes", MaxFilter)
	}
	return errors.Join(checkChannel(s.Channel), s.Target.check())
}

// count returns the number of nodes, at most MaxFilter+1 of them.
func (n *FilterNode) count() (nodes int) {
	if n == nil {
		return 0
	}
	nodes = 1
	for _, child := range n.Nodes {
		if nodes += child.count(); nodes > MaxFilter {
			return MaxFilter + 1
		}
	}
	return nodes
}

func (u *Unsubscribe) check() error { return errors.Join(checkChannel(u.Channel), u.Target.check()) }

func (d *Disconnect) check() error { return d.Target.check() }

func (r *Refresh) check() error { return r.Target.check() }

func (n *Notify) check() error { return checkName("operation", n.Op) }

func (s *Survey) check() error {
	if s.TimeoutMilli < 0 || s.TimeoutMilli > MaxTimeout {
		return fmt.Errorf("the timeout is %d ms, want 0 to %d", s.TimeoutMilli, MaxTimeout)
	}
	return checkName("operation", s.Op)
}

func (d *Deliver) check() error { return checkName("session", d.Session) }

func (a *Answer) check() error { return nil }

func checkName(what, name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("the %s has %d bytes, want 1 to %d", what, len(name), MaxName)
	}
	return nil
}

func checkChannel(channel string) error {
	if len(channel) > MaxChannel {
		return fmt.Errorf("the channel has %d bytes, at most %d are allowed", len(channel), MaxChannel)
	}
	return nil
}

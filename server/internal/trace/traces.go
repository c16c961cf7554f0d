package trace

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"
)

const (
	// DefaultDuration is how long a trace records unless the request says so.
	DefaultDuration = 10 * time.Minute
	// MaxDuration is the longest time that a trace may record. Starting it again extends it.
	MaxDuration = time.Hour
	// KeptFor is how long the events of a trace can be asked for after its end.
	KeptFor = 10 * time.Minute
	// MaxTraces bounds the traces of a node, those that have ended and are kept included.
	MaxTraces = 16
	// MaxName bounds the name of a channel, a user or a client, in bytes.
	MaxName = 1024
)

// The errors of Start and Stop.
var (
	ErrRule    = errors.New("exactly one of channel, user and client is wanted")
	ErrTooMany = fmt.Errorf("a node has at most %d traces, those that ended up to %s ago included", MaxTraces, KeptFor)
)

// Node is the part of a *centrifuge.Node that traces use.
type Node interface {
	ID() string
	SetTracer(t centrifuge.Tracer)
	NumSubscribers(channel string) int
	Connections() iter.Seq[*centrifuge.Client]
	UserConnections(user string) iter.Seq[*centrifuge.Client]
}

// Rule says what is traced. One of its fields is set.
type Rule struct {
	Channel string `json:"channel,omitempty"`
	User    string `json:"user,omitempty"`
	Client  string `json:"client,omitempty"`
}

// Check returns ErrRule unless one field is set, to a name that is not too long.
func (r Rule) Check() error {
	set := 0
	for _, name := range []string{r.Channel, r.User, r.Client} {
		if name != "" {
			set++
		}
		if len(name) > MaxName {
			return fmt.Errorf("a name has %d bytes, at most %d are allowed", len(name), MaxName)
		}
	}
	if set != 1 {
		return ErrRule
	}
	return nil
}

// trace is a rule with what was recorded for it.
type trace struct {
	rule  Rule
	ring  *ring
	began time.Time
	ends  time.Time
	ended bool
	timer *time.Timer // ends the trace, then removes it
}

// rules are the rings of the traces that are recording. They are not changed.
type rules struct {
	channels, users, clients map[string]*ring
}

var _ centrifuge.Tracer = (*Traces)(nil)

// Traces are those of a node. It implements centrifuge.Tracer and is set as the tracer of
// the node while a trace is recording. It is safe for concurrent use.
type Traces struct {
	// Static after construction.
	node  Node
	name  string
	began time.Time

	recording atomic.Pointer[rules] // never nil
	seq       atomic.Uint64

	// Guarded by mu, which is held while the tracer of the node is set.
	mu     sync.Mutex
	traces map[Rule]*trace
	closed bool
}

// New returns the traces of a node, none at first. The name is that of the node.
func New(node Node, name string) *Traces {
	t := &Traces{node: node, name: name, began: time.Now(), traces: make(map[Rule]*trace)}
	t.recording.Store(new(rules))
	return t
}

// Start begins to record for a duration, which is cut to MaxDuration; zero means
// DefaultDuration. A trace of the same rule that is recording goes on until then. One that
// has ended is replaced.
func (t *Traces) Start(rule Rule, duration time.Duration, data bool) error {
	if err := rule.Check(); err != nil {
		return err
	}
	duration = min(cmp.Or(duration, DefaultDuration), MaxDuration)
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.traces[rule]
	switch {
	case t.closed:
		return centrifuge.ErrShutdown
	case before == nil && len(t.traces) >= MaxTraces:
		return ErrTooMany
	case before != nil:
		before.timer.Stop()
	}
	now := time.Now()
	if before != nil && !before.ended && before.ring.data == data {
		before.ends = now.Add(duration)
		before.timer = t.endLocked(before, duration)
		return nil
	}
	if before != nil {
		before.ring.close()
	}
	started := &trace{rule: rule, ring: &ring{data: data}, began: now, ends: now.Add(duration)}
	started.timer = t.endLocked(started, duration)
	t.traces[rule] = started
	t.applyLocked()
	return nil
}

// endLocked ends a trace after a duration, and removes it later.
func (t *Traces) endLocked(tr *trace, after time.Duration) *time.Timer {
	var timer *time.Timer
	timer = time.AfterFunc(after, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if tr.timer != timer || t.closed {
			return // it was extended or stopped
		}
		if tr.ended {
			delete(t.traces, tr.rule)
			return
		}
		t.finishLocked(tr)
	})
	return timer
}

// finishLocked ends the recording of a trace. Its events are kept for a while.
func (t *Traces) finishLocked(tr *trace) {
	tr.timer.Stop()
	tr.ended, tr.ends = true, time.Now()
	tr.ring.close()
	tr.timer = t.endLocked(tr, KeptFor)
	t.applyLocked()
}

// Stop ends a trace before its time. It reports whether it was recording.
func (t *Traces) Stop(rule Rule) (recording bool, err error) {
	if err := rule.Check(); err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.traces[rule]
	if tr == nil || tr.ended {
		return false, nil
	}
	t.finishLocked(tr)
	return true, nil
}

// Close ends all traces and forgets them.
func (t *Traces) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, tr := range t.traces {
		tr.timer.Stop()
		tr.ring.close()
	}
	clear(t.traces)
	t.applyLocked()
}

// applyLocked makes the rules of the traces that are recording take effect.
func (t *Traces) applyLocked() {
	r := &rules{channels: map[string]*ring{}, users: map[string]*ring{}, clients: map[string]*ring{}}
	for rule, tr := range t.traces {
		switch {
		case tr.ended:
		case rule.Channel != "":
			r.channels[rule.Channel] = tr.ring
		case rule.User != "":
			r.users[rule.User] = tr.ring
		default:
			r.clients[rule.Client] = tr.ring
		}
	}
	t.recording.Store(r)
	if len(r.channels)+len(r.users)+len(r.clients) == 0 {
		t.node.SetTracer(nil)
		return
	}
	t.node.SetTracer(t)
}

// Channel implements centrifuge.Tracer.
func (t *Traces) Channel(channel string) bool {
	return t.recording.Load().channels[channel] != nil
}

// Client implements centrifuge.Tracer.
func (t *Traces) Client(id, user string) bool {
	r := t.recording.Load()
	return r.clients[id] != nil || r.users[user] != nil
}

// Trace implements centrifuge.Tracer.
func (t *Traces) Trace(e centrifuge.TraceEvent) {
	r := t.recording.Load()
	channel, client, user := r.channels[e.Channel], r.clients[e.Client], r.users[e.User]
	if channel == nil && client == nil && user == nil {
		return
	}
	kept := record{seq: t.seq.Add(1), TraceEvent: e}
	for _, to := range [...]*ring{channel, client, user} {
		if to != nil {
			to.add(&kept)
		}
	}
}

// sortedLocked returns the traces by rule.
func (t *Traces) sortedLocked() []*trace {
	return slices.SortedFunc(maps.Values(t.traces), func(a, b *trace) int {
		return cmp.Or(cmp.Compare(a.rule.Channel, b.rule.Channel), cmp.Compare(a.rule.User, b.rule.User), cmp.Compare(a.rule.Client, b.rule.Client))
	})
}

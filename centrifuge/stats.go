package centrifuge

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/protocol"
)

// counters count what a node does. Package prommetrics exports them.
type counters struct {
	PublicationsSent     atomic.Uint64
	PublicationsReceived atomic.Uint64
	JoinsSent            atomic.Uint64
	JoinsReceived        atomic.Uint64
	LeavesSent           atomic.Uint64
	LeavesReceived       atomic.Uint64
	ControlSent          atomic.Uint64
	ControlReceived      atomic.Uint64

	SuppressedIdempotency atomic.Uint64
	SuppressedVersion     atomic.Uint64

	// Control messages that this node did not apply.
	controlMalformed, controlIgnored, controlDropped atomic.Uint64

	actions   actionCounter
	omitted   omissions
	filtered  atomic.Uint64 // publications for subscribers whose filters they do not match
	abandoned atomic.Uint64 // messages of clients that have left

	SubscriptionsAccepted atomic.Uint64
	InsufficientState     atomic.Uint64

	slowSuperseded, slowGaps atomic.Uint64

	recoveries [2][2]atomic.Uint64 // recovered, with publications

	commands     [protocol.NumMessageKinds]histogram
	replyErrors  [protocol.NumMessageKinds][numErrorCodes]atomic.Uint64
	unsubscribes codeCounter
	missed       countHistogram // publications of recoveries that succeeded
	// broadcasts of a publication, a join and a leave, by broadcastKind.
	broadcasts [len(broadcastNames)]histogram
	lag        histogram // of publications that carry their time
	surveys    namedHistograms

	// transports has *transportCounters by transportKey.
	transports sync.Map
}

// transportKey has the lane because lanes count each message to each connection, and
// cores that add to the same counter wait for each other.
type transportKey struct {
	name string
	lane uint16
}

// transportCounters count for the connections of one lane with one kind of transport.
type transportCounters struct {
	current       atomic.Int64  // connections, including those that have not connected yet
	accepted      atomic.Uint64 // connections that have connected
	frames, bytes [protocol.NumMessageKinds]atomic.Uint64
	received      [protocol.NumMessageKinds]atomic.Uint64
	receivedBytes [protocol.NumMessageKinds]atomic.Uint64
	pingPong      histogram
	software      softwareCounters
	closes        codeCounter
}

func (c *counters) transport(name string, lane uint16) *transportCounters {
	key := transportKey{name, lane}
	if t, ok := c.transports.Load(key); ok {
		return t.(*transportCounters) //nolint:forcetypeassert // nothing else is stored
	}
	t, _ := c.transports.LoadOrStore(key, new(transportCounters))
	return t.(*transportCounters) //nolint:forcetypeassert // nothing else is stored
}

// sent counts a batch. Consecutive messages of one kind are added together.
func (t *transportCounters) sent(batch []*protocol.Encoded) {
	for len(batch) > 0 {
		kind, n, size := batch[0].Kind, 0, 0
		for n < len(batch) && batch[n].Kind == kind {
			size += len(batch[n].Bytes)
			n++
		}
		t.frames[kind].Add(uint64(n))
		t.bytes[kind].Add(uint64(size)) //nolint:gosec // a sum of lengths
		batch = batch[n:]
	}
}

// CountTransports adds transports to Stats.Transports before their first connection, so
// that dashboards see zeros instead of nothing. The names are those of
// TransportInfo.Name.
func (n *Node) CountTransports(names ...string) {
	for _, name := range names {
		n.stats.transport(name, 0)
	}
}

// Stats counts what a node has done since it started, and what it has now.
type Stats struct {
	// Connections includes those that have not connected yet, Clients does not.
	Connections, Clients, Users, Channels, Subscriptions, Nodes int

	PublicationsSent, PublicationsReceived         uint64
	JoinsSent, LeavesSent, ControlSent             uint64
	JoinsReceived, LeavesReceived, ControlReceived uint64
	SuppressedIdempotency, SuppressedVersion       uint64
	// ControlMalformed messages of other nodes could not be decoded, ControlIgnored
	// ones are of a newer release, and ControlDropped ones were too many to wait for
	// their handlers.
	ControlMalformed, ControlIgnored, ControlDropped uint64
	// PublicationsSuperseded counts publications that a batch left out because of a
	// newer one; see BatchOptions.FlushLatest.
	PublicationsSuperseded                   uint64
	SubscriptionsAccepted, InsufficientState uint64
	// OmittedPublications and OmittedPayloads count what JSON connections were not sent
	// because it is not valid JSON: publications, for each subscriber that does not get
	// one, and fields of messages that were sent without them.
	OmittedPublications, OmittedPayloads uint64
	// Filtered counts publications that were not sent to a subscriber because they do not
	// match its filter of tags.
	Filtered uint64
	// AbandonedMessages counts messages of clients that have left. They were not
	// processed because those before them took too long.
	AbandonedMessages uint64
	// SlowQueued is the number of bytes that wait for connections whose sockets are full.
	// SlowRefused counts the connections that were closed because these bytes reached
	// Config.QueueTotalSize. It does not count connections that exceeded a limit of
	// their own.
	SlowQueued  int64
	SlowRefused uint64
	// SlowDisconnected counts the connections that were closed because they read too
	// slowly, SlowRefused among them. SlowSuperseded counts publications that a
	// subscription with SlowLatest was not sent, SlowGaps the subscriptions with
	// SlowDropOldest that were ended.
	SlowDisconnected, SlowSuperseded, SlowGaps uint64
	// Deltas counts the deltas that were computed for publications as they came: one for
	// each publication, whatever the number of subscribers.
	Deltas uint64
	// History is about the memory engine. It is zero with another one.
	History MemoryBrokerStats
	// Recovered counts recoveries that succeeded with and without publications,
	// Unrecovered those that did not.
	RecoveredWith, RecoveredWithout, Unrecovered uint64
	// Transports by name.
	Transports map[string]TransportStats
	// Commands by name: how long they took.
	Commands map[string]HistogramSnapshot
	// ReplyErrors by command and code; codes outside 100-113 are counted as 0.
	ReplyErrors map[string]map[uint32]uint64
	// Disconnects and Unsubscribes made by the server, by code.
	Disconnects, Unsubscribes map[uint32]uint64
	// RecoveredPublications counts, for each recovery that succeeded, how many publications
	// it brought.
	RecoveredPublications CountSnapshot
	// Broadcasts by kind (publication, join, leave): how long it took to queue one for
	// the connections of its channel.
	Broadcasts map[string]HistogramSnapshot
	// PubSubLag is the time from publishing to arriving on this node, for publications
	// whose broker sets Publication.Time. The memory engine does not set it.
	PubSubLag HistogramSnapshot
	// Surveys by operation: how long the surveys of this node took, including those that
	// failed. The operations of the library come without their prefix. Beyond the first
	// hundred operations they are counted together as "other".
	Surveys map[string]HistogramSnapshot
	// Actions by name counts attempts, including those that failed.
	Actions map[string]uint64
}

// TransportStats counts for one kind of transport.
type TransportStats struct {
	// Current is the number of connections, including those that have not connected yet.
	// Accepted counts the connections that have connected.
	Current  int
	Accepted uint64
	// Frames by the name of their protocol.MessageKind.
	Frames map[string]FrameStats
	// Disconnects made by the server, by code.
	Disconnects map[uint32]uint64
	// PingPong is the time from a ping to its pong.
	PingPong HistogramSnapshot
	// Software counts the connections that have connected by what their clients call
	// themselves.
	Software map[Software]SoftwareStats
}

// Software is the name and the version of a client, as far as they are told apart: see
// Config.SoftwareNames. The others are "unregistered", and those that a client does not tell
// "unnamed" and "unversioned".
type Software struct{ Name, Version string }

// SoftwareStats counts the connections of one kind of client.
type SoftwareStats struct {
	Current  int
	Accepted uint64
}

// FrameStats counts messages of one kind. ReceivedBytes includes the separators between
// commands.
type FrameStats struct{ Sent, SentBytes, Received, ReceivedBytes uint64 }

// NumClients returns the number of connections on this node, including those that have
// not connected yet.
func (n *Node) NumClients() int { return int(n.registry.total.Load()) }

// Stats reads the counters. Before Run they are zero.
func (n *Node) Stats() Stats {
	var channels, subscriptions int
	if n.started() == nil {
		channels, subscriptions = n.hub.Count()
	}
	c := &n.stats
	s := Stats{
		Connections: n.NumClients(),
		Clients:     int(n.registry.known.Load()), Users: n.registry.numUsers(), Channels: channels,
		Subscriptions: subscriptions, Nodes: 1 + len(n.cluster.infos()),
		PublicationsSent: c.PublicationsSent.Load(), PublicationsReceived: c.PublicationsReceived.Load(),
		JoinsSent: c.JoinsSent.Load(), LeavesSent: c.LeavesSent.Load(), ControlSent: c.ControlSent.Load(),
		JoinsReceived: c.JoinsReceived.Load(), LeavesReceived: c.LeavesReceived.Load(),
		ControlReceived: c.ControlReceived.Load(), SuppressedIdempotency: c.SuppressedIdempotency.Load(),
		SuppressedVersion: c.SuppressedVersion.Load(), SubscriptionsAccepted: c.SubscriptionsAccepted.Load(),
		AbandonedMessages: c.abandoned.Load(), Filtered: c.filtered.Load(),
		ControlMalformed: c.controlMalformed.Load(),
		ControlIgnored:   c.controlIgnored.Load(), ControlDropped: c.controlDropped.Load(),
		OmittedPublications: c.omitted.publications.Load(), OmittedPayloads: c.omitted.payloads.Load(),
		SlowQueued: n.outboxes.budget.Used(), SlowRefused: n.outboxes.budget.Refused(),
		SlowSuperseded: c.slowSuperseded.Load(), SlowGaps: c.slowGaps.Load(), Deltas: n.channels.deltas.Load(),
		InsufficientState: c.InsufficientState.Load(), RecoveredWith: c.recoveries[1][1].Load(),
		RecoveredWithout: c.recoveries[1][0].Load(), Unrecovered: c.recoveries[0][0].Load() + c.recoveries[0][1].Load(),
		Transports: make(map[string]TransportStats), Commands: make(map[string]HistogramSnapshot),
		ReplyErrors: make(map[string]map[uint32]uint64),
		Disconnects: make(map[uint32]uint64), Unsubscribes: c.unsubscribes.snapshot(), RecoveredPublications: c.missed.snapshot(),
		Broadcasts: make(map[string]HistogramSnapshot), PubSubLag: c.lag.snapshot(), Actions: c.actions.snapshot(),
		Surveys: c.surveys.snapshot(),
	}
	for kind, name := range broadcastNames {
		s.Broadcasts[name] = c.broadcasts[kind].snapshot()
	}
	if broker, ok := n.config.Broker.(interface{ Stats() MemoryBrokerStats }); ok {
		s.History = broker.Stats()
	}
	if n.coalescer != nil {
		s.PublicationsSuperseded = n.coalescer.Superseded()
	}
	for kind := range protocol.NumMessageKinds {
		name := kind.String()
		if !kind.Command() {
			continue
		}
		s.Commands[name] = c.commands[kind].snapshot()
		for i := range c.replyErrors[kind] {
			if count := c.replyErrors[kind][i].Load(); count > 0 {
				if s.ReplyErrors[name] == nil {
					s.ReplyErrors[name] = make(map[uint32]uint64)
				}
				s.ReplyErrors[name][errorCode(i)] = count
			}
		}
	}
	c.transports.Range(func(key, t any) bool {
		name := key.(transportKey).name //nolint:forcetypeassert // nothing else is a key
		ts, ok := s.Transports[name]
		if !ok {
			ts = TransportStats{Frames: make(map[string]FrameStats), Disconnects: make(map[uint32]uint64), Software: make(map[Software]SoftwareStats)}
		}
		t.(*transportCounters).addTo(&ts) //nolint:forcetypeassert // nothing else is stored
		s.Transports[name] = ts
		return true
	})
	for _, ts := range s.Transports {
		for code, count := range ts.Disconnects {
			s.Disconnects[code] += count
		}
	}
	s.SlowDisconnected = s.Disconnects[DisconnectSlow.Code]
	return s
}

func (t *transportCounters) addTo(s *TransportStats) {
	s.Current += int(t.current.Load())
	s.Accepted += t.accepted.Load()
	for kind := range protocol.NumMessageKinds {
		f := s.Frames[kind.String()]
		f.Sent += t.frames[kind].Load()
		f.SentBytes += t.bytes[kind].Load()
		f.Received += t.received[kind].Load()
		f.ReceivedBytes += t.receivedBytes[kind].Load()
		s.Frames[kind.String()] = f
	}
	s.PingPong.add(t.pingPong.snapshot())
	t.software.addTo(s.Software)
	for code, count := range t.closes.snapshot() {
		s.Disconnects[code] += count
	}
}

func errorCode(i int) uint32 {
	if i == numErrorCodes-1 {
		return 0
	}
	return uint32(100 + i) //nolint:gosec // a small index
}

// codeCounter counts by code. Codes are few, and those of the application its
// own choice, so it is a map; it is not on a hot path.
type codeCounter struct {
	mu     sync.Mutex
	counts map[uint32]uint64
}

// maxCodes bounds the codes that are told apart; the rest is counted as 0.
const maxCodes = 256

func (c *codeCounter) add(code uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = make(map[uint32]uint64)
	}
	if _, known := c.counts[code]; !known && len(c.counts) >= maxCodes {
		code = 0
	}
	c.counts[code]++
}

func (c *codeCounter) snapshot() map[uint32]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// numErrorCodes: 100-113 each, and one for all others.
const numErrorCodes = 15

func (s *counters) command(kind protocol.MessageKind, d time.Duration) { s.commands[kind].observe(d) }

func (s *counters) replyError(kind protocol.MessageKind, code uint32) {
	i := code - 100
	if i >= numErrorCodes-1 {
		i = numErrorCodes - 1
	}
	s.replyErrors[kind][i].Add(1)
}

func (s *counters) unsubscribed(code uint32) { s.unsubscribes.add(code) }

func (s *counters) recovered(ok bool, publications int) {
	s.recoveries[index(ok)][index(publications > 0)].Add(1)
	if ok {
		s.missed.observe(publications)
	}
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

package centrifuge

import (
	"maps"
	"sync"
	"sync/atomic"

	"centrifugo/protocol"
)

// counters count what a node does. Package prommetrics exports them.
type counters struct {
	// channelCounters are those of the empty label.
	channelCounters
	labels   *channelLabels // nil without Config.ChannelLabel; static
	measured bool           // with Config.LatencySample; static
	native   bool           // Config.NativeHistograms; static

	ControlSent     atomic.Uint64
	ControlReceived atomic.Uint64
	// Control messages that this node did not apply.
	controlMalformed, controlIgnored, controlDropped atomic.Uint64

	omitted   omissions
	abandoned atomic.Uint64 // messages of clients that have left

	InsufficientState atomic.Uint64

	slowSuperseded, slowGaps atomic.Uint64

	lag     histogram // of publications that carry their time
	surveys namedHistograms

	// transports has *transportCounters by transportKey.
	transports sync.Map
}

// transportKey has the lane because lanes count each message to each connection, and
// cores that add to the same counter wait for each other.
type transportKey struct {
	name string
	lane uint16
}

// prepare makes what depends on the configuration. Clients is how many names of clients
// are told apart.
func (c *counters) prepare(cfg *Config, l logger, clients int) {
	c.measured, c.native = cfg.LatencySample > 0, cfg.NativeHistograms
	c.surveys.native = c.native
	c.lag.prepare(c.native)
	c.channelCounters.prepare(clients, c.native)
	if cfg.ChannelLabel == nil {
		return
	}
	c.labels = &channelLabels{label: cfg.ChannelLabel, most: cfg.MaxChannelLabels, logger: l, new: func(number uint16) *channelCounters {
		counted := &channelCounters{number: number}
		counted.prepare(clients, cfg.NativeHistograms)
		return counted
	}}
	c.labels.set.Store(&labelSet{byName: make(map[string]*channelCounters), byNumber: []*channelCounters{&c.channelCounters}})
}

// of returns the counters of a channel.
func (c *counters) of(channel string) *channelCounters {
	if c.labels == nil {
		return &c.channelCounters
	}
	return c.labels.of(channel)
}

// ofCommand returns the counters of the channel of a command.
func (c *counters) ofCommand(command *protocol.Command, kind protocol.MessageKind) *channelCounters {
	if c.labels == nil {
		return &c.channelCounters
	}
	if channel := channelOf(command, kind); channel != "" {
		return c.labels.of(channel)
	}
	return &c.channelCounters
}

// numbered returns the counters of the label with a number.
func (c *counters) numbered(label uint16) *channelCounters {
	if label == 0 {
		return &c.channelCounters
	}
	return c.labels.set.Load().byNumber[label]
}

// maxNumber returns the greatest number of a label that there can be: with that of the
// others.
func (c *counters) maxNumber() int {
	if c.labels == nil {
		return 0
	}
	return c.labels.most + 1
}

// transportCounters count for the connections of one lane with one kind of transport.
type transportCounters struct {
	current  atomic.Int64  // connections, including those that have not connected yet
	accepted atomic.Uint64 // connections that have connected
	native   bool          // latencies are counted in native buckets too; static
	pingPong histogram
	software softwareCounters
	closes   codeCounter
	frames   frameCounters                   // of the empty label
	labelled []atomic.Pointer[frameCounters] // by the number of the label; the first is not used
}

// frameCounters count messages by their kind.
type frameCounters struct {
	latency histogram // of sampled publications

	sent, sentBytes, received, receivedBytes [protocol.NumMessageKinds]atomic.Uint64
}

func (c *counters) transport(name string, lane uint16) *transportCounters {
	key := transportKey{name, lane}
	if t, ok := c.transports.Load(key); ok {
		return t.(*transportCounters) //nolint:forcetypeassert // nothing else is stored
	}
	made := &transportCounters{native: c.native && c.measured}
	made.pingPong.prepare(c.native)
	made.frames.latency.prepare(made.native)
	if most := c.maxNumber(); most > 0 {
		made.labelled = make([]atomic.Pointer[frameCounters], most+1)
	}
	t, _ := c.transports.LoadOrStore(key, made)
	return t.(*transportCounters) //nolint:forcetypeassert // nothing else is stored
}

// of returns the counters for messages with a label. It is inlined.
func (t *transportCounters) of(label uint16) *frameCounters {
	if label == 0 {
		return &t.frames
	}
	return t.ofLabel(label)
}

func (t *transportCounters) ofLabel(label uint16) *frameCounters {
	slot := &t.labelled[label]
	if f := slot.Load(); f != nil {
		return f
	}
	made := new(frameCounters)
	made.latency.prepare(t.native)
	slot.CompareAndSwap(nil, made)
	return slot.Load()
}

func (t *transportCounters) received(label uint16, kind protocol.MessageKind, length int) {
	f := t.of(label)
	f.received[kind].Add(1)
	f.receivedBytes[kind].Add(uint64(length)) //nolint:gosec // a length
}

// sent counts a batch. Consecutive messages of one kind and label are added together.
func (t *transportCounters) sent(batch []*protocol.Encoded) {
	for len(batch) > 0 {
		kind, label, n, size := batch[0].Kind, batch[0].Label, 0, 0
		for n < len(batch) && batch[n].Kind == kind && batch[n].Label == label {
			size += len(batch[n].Bytes)
			n++
		}
		f := t.of(label)
		f.sent[kind].Add(uint64(n))
		f.sentBytes[kind].Add(uint64(size)) //nolint:gosec // a sum of lengths
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

	// ChannelCounts are those of all channels, and of what is about no channel.
	ChannelCounts
	// ByLabel has the same by Config.ChannelLabel. The empty label is always there.
	ByLabel map[string]ChannelCounts

	ControlSent, ControlReceived uint64
	// ControlMalformed messages of other nodes could not be decoded, ControlIgnored
	// ones are of a newer release, and ControlDropped ones were too many to wait for
	// their handlers.
	ControlMalformed, ControlIgnored, ControlDropped uint64
	// PublicationsSuperseded counts publications that a batch left out because of a
	// newer one; see BatchOptions.FlushLatest.
	PublicationsSuperseded uint64
	InsufficientState      uint64
	// OmittedPublications and OmittedPayloads count what JSON connections were not sent
	// because it is not valid JSON: publications, for each subscriber that does not get
	// one, and fields of messages that were sent without them.
	OmittedPublications, OmittedPayloads uint64
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
	// Transports by name.
	Transports map[string]TransportStats
	// Disconnects made by the server, by code.
	Disconnects map[uint32]uint64
	// PubSubLag is the time from publishing to arriving on this node, for publications
	// whose broker sets Publication.Time. The memory engine does not set it.
	PubSubLag HistogramSnapshot
	// Surveys by operation: how long the surveys of this node took, including those that
	// failed. The operations of the library come without their prefix. Beyond the first
	// hundred operations they are counted together as "other".
	Surveys map[string]HistogramSnapshot
}

// TransportStats counts for one kind of transport.
type TransportStats struct {
	// Current is the number of connections, including those that have not connected yet.
	// Accepted counts the connections that have connected.
	Current  int
	Accepted uint64
	// Frames by the name of their protocol.MessageKind, and the same by
	// Config.ChannelLabel. The empty label is always there.
	Frames        map[string]FrameStats
	FramesByLabel map[string]map[string]FrameStats
	// PublicationLatency, by Config.ChannelLabel, is what Config.LatencySample measures; nil
	// without that.
	PublicationLatency map[string]HistogramSnapshot
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

// SoftwareStats counts the connections, or the subscriptions, of one kind of client.
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
	var superseded uint64
	if n.started() == nil { // otherwise Run may be setting these fields
		channels, subscriptions = n.hub.Count()
		if n.coalescer != nil {
			superseded = n.coalescer.Superseded()
		}
	}
	c := &n.stats
	s := Stats{
		Connections: n.NumClients(),
		Clients:     int(n.registry.known.Load()), Users: n.registry.numUsers(), Channels: channels,
		Subscriptions: subscriptions, Nodes: 1 + len(n.cluster.infos()),
		ControlSent: c.ControlSent.Load(), ControlReceived: c.ControlReceived.Load(),
		AbandonedMessages: c.abandoned.Load(), ControlMalformed: c.controlMalformed.Load(),
		ControlIgnored: c.controlIgnored.Load(), ControlDropped: c.controlDropped.Load(),
		OmittedPublications: c.omitted.publications.Load(), OmittedPayloads: c.omitted.payloads.Load(),
		SlowQueued: n.outboxes.budget.Used(), SlowRefused: n.outboxes.budget.Refused(),
		SlowSuperseded: c.slowSuperseded.Load(), SlowGaps: c.slowGaps.Load(), Deltas: n.channels.deltas.Load(),
		InsufficientState: c.InsufficientState.Load(), PublicationsSuperseded: superseded,
		ChannelCounts: newChannelCounts(), ByLabel: make(map[string]ChannelCounts),
		Transports: make(map[string]TransportStats), Disconnects: make(map[uint32]uint64),
		PubSubLag: c.lag.snapshot(), Surveys: c.surveys.snapshot(),
	}
	for label, counted := range c.byLabel() {
		counts := newChannelCounts()
		counted.addTo(&counts, n.software.names)
		counted.addTo(&s.ChannelCounts, n.software.names)
		s.ByLabel[label] = counts
	}
	if broker, ok := n.config.Broker.(interface{ Stats() MemoryBrokerStats }); ok {
		s.History = broker.Stats()
	}
	c.addTransportsTo(&s)
	s.SlowDisconnected = s.Disconnects[DisconnectSlow.Code]
	return s
}

// byLabel returns the counters of all labels.
func (c *counters) byLabel() map[string]*channelCounters {
	all := map[string]*channelCounters{"": &c.channelCounters}
	if c.labels != nil {
		maps.Copy(all, c.labels.set.Load().byName)
	}
	return all
}

func (c *counters) addTransportsTo(s *Stats) {
	labels := c.byLabel()
	c.transports.Range(func(key, t any) bool {
		name := key.(transportKey).name //nolint:forcetypeassert // nothing else is a key
		ts, ok := s.Transports[name]
		if !ok {
			ts = TransportStats{
				Frames: make(map[string]FrameStats), FramesByLabel: make(map[string]map[string]FrameStats),
				Disconnects: make(map[uint32]uint64), Software: make(map[Software]SoftwareStats),
			}
			if c.measured {
				ts.PublicationLatency = make(map[string]HistogramSnapshot)
			}
		}
		t.(*transportCounters).addTo(&ts, labels) //nolint:forcetypeassert // nothing else is stored
		s.Transports[name] = ts
		return true
	})
	for _, ts := range s.Transports {
		for code, count := range ts.Disconnects {
			s.Disconnects[code] += count
		}
	}
}

func (t *transportCounters) addTo(s *TransportStats, labels map[string]*channelCounters) {
	s.Current += int(t.current.Load())
	s.Accepted += t.accepted.Load()
	for label, counted := range labels {
		if counted.number > 0 && t.labelled[counted.number].Load() == nil {
			continue
		}
		if s.FramesByLabel[label] == nil {
			s.FramesByLabel[label] = make(map[string]FrameStats)
		}
		frames := t.of(counted.number)
		frames.addTo(s.Frames)
		frames.addTo(s.FramesByLabel[label])
		if s.PublicationLatency != nil {
			addHistogram(s.PublicationLatency, label, &frames.latency)
		}
	}
	s.PingPong.add(t.pingPong.snapshot())
	t.software.addTo(s.Software)
	for code, count := range t.closes.snapshot() {
		s.Disconnects[code] += count
	}
}

func (f *frameCounters) addTo(sum map[string]FrameStats) {
	for kind := range protocol.NumMessageKinds {
		s := sum[kind.String()]
		s.Sent += f.sent[kind].Load()
		s.SentBytes += f.sentBytes[kind].Load()
		s.Received += f.received[kind].Load()
		s.ReceivedBytes += f.receivedBytes[kind].Load()
		sum[kind.String()] = s
	}
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

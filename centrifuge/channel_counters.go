package centrifuge

import (
	"sync/atomic"
	"time"

	"centrifugo/protocol"
)

// maxLabels bounds Config.MaxChannelLabels: the labels take memory for each transport.
const maxLabels = 1000

// channelCounters count what happens to the channels with one label, or to all of them
// without Config.ChannelLabel. Those of the empty label also count what is about no
// channel.
type channelCounters struct {
	number uint16 // of the label, zero for the empty one; static

	PublicationsSent     atomic.Uint64
	PublicationsReceived atomic.Uint64
	JoinsSent            atomic.Uint64
	JoinsReceived        atomic.Uint64
	LeavesSent           atomic.Uint64
	LeavesReceived       atomic.Uint64

	SuppressedIdempotency atomic.Uint64
	SuppressedVersion     atomic.Uint64

	actions  actionCounter
	filtered atomic.Uint64 // publications for subscribers whose filters they do not match

	recoveries [2][2]atomic.Uint64 // recovered, with publications
	missed     countHistogram      // publications of recoveries that succeeded

	commands     [protocol.NumMessageKinds]histogram
	replyErrors  [protocol.NumMessageKinds][numErrorCodes]atomic.Uint64
	unsubscribes codeCounter
	// broadcasts of a publication, a join and a leave, by broadcastKind.
	broadcasts [len(broadcastNames)]histogram

	subscriptions []subscriptionCounters // by the number of the client's name
}

// subscriptionCounters count the subscriptions of the clients with one name.
type subscriptionCounters struct {
	current  atomic.Int64  // with those that are being made
	accepted atomic.Uint64 // that went live
}

// numErrorCodes: 100-113 each, and one for all others.
const numErrorCodes = 15

func errorCode(i int) uint32 {
	if i == numErrorCodes-1 {
		return 0
	}
	return uint32(100 + i) //nolint:gosec // a small index
}

// prepare makes what depends on the configuration. Clients is how many names of clients are
// told apart.
func (s *channelCounters) prepare(clients int, native bool) {
	s.subscriptions = make([]subscriptionCounters, clients)
	for kind := range protocol.NumMessageKinds {
		if kind.Command() {
			s.commands[kind].prepare(native)
		}
	}
	for kind := range s.broadcasts {
		s.broadcasts[kind].prepare(native)
	}
}

func (s *channelCounters) command(kind protocol.MessageKind, d time.Duration) {
	s.commands[kind].observe(d)
}

func (s *channelCounters) replyError(kind protocol.MessageKind, code uint32) {
	i := code - 100
	if i >= numErrorCodes-1 {
		i = numErrorCodes - 1
	}
	s.replyErrors[kind][i].Add(1)
}

func (s *channelCounters) unsubscribed(code uint32) { s.unsubscribes.add(code) }

func (s *channelCounters) recovered(ok bool, publications int) {
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

// ChannelCounts counts what happens to channels.
type ChannelCounts struct {
	PublicationsSent, PublicationsReceived   uint64
	JoinsSent, LeavesSent                    uint64
	JoinsReceived, LeavesReceived            uint64
	SuppressedIdempotency, SuppressedVersion uint64
	// Filtered counts publications that were not sent to a subscriber because they do not
	// match its filter of tags.
	Filtered              uint64
	SubscriptionsAccepted uint64
	// Subscribers counts the subscriptions by the name of their client, as Software.Name.
	Subscribers map[string]SoftwareStats
	// Recovered counts recoveries that succeeded with and without publications,
	// Unrecovered those that did not.
	RecoveredWith, RecoveredWithout, Unrecovered uint64
	// RecoveredPublications counts, for each recovery that succeeded, how many publications
	// it brought.
	RecoveredPublications CountSnapshot
	// Commands by name: how long they took.
	Commands map[string]HistogramSnapshot
	// ReplyErrors by command and code; codes outside 100-113 are counted as 0.
	ReplyErrors map[string]map[uint32]uint64
	// Unsubscribes made by the server, by code.
	Unsubscribes map[uint32]uint64
	// Broadcasts by kind (publication, join, leave): how long it took to queue one for
	// the connections of its channel.
	Broadcasts map[string]HistogramSnapshot
	// Actions by name counts attempts, including those that failed.
	Actions map[string]uint64
}

func newChannelCounts() ChannelCounts {
	return ChannelCounts{
		Subscribers: make(map[string]SoftwareStats), Commands: make(map[string]HistogramSnapshot),
		ReplyErrors: make(map[string]map[uint32]uint64), Unsubscribes: make(map[uint32]uint64),
		Broadcasts: make(map[string]HistogramSnapshot), Actions: make(map[string]uint64),
	}
}

// addTo adds the counts to sum. Clients are the names of clients by their number.
func (s *channelCounters) addTo(sum *ChannelCounts, clients []string) {
	sum.PublicationsSent += s.PublicationsSent.Load()
	sum.PublicationsReceived += s.PublicationsReceived.Load()
	sum.JoinsSent += s.JoinsSent.Load()
	sum.JoinsReceived += s.JoinsReceived.Load()
	sum.LeavesSent += s.LeavesSent.Load()
	sum.LeavesReceived += s.LeavesReceived.Load()
	sum.SuppressedIdempotency += s.SuppressedIdempotency.Load()
	sum.SuppressedVersion += s.SuppressedVersion.Load()
	sum.Filtered += s.filtered.Load()
	sum.RecoveredWith += s.recoveries[1][1].Load()
	sum.RecoveredWithout += s.recoveries[1][0].Load()
	sum.Unrecovered += s.recoveries[0][0].Load() + s.recoveries[0][1].Load()
	sum.RecoveredPublications.add(s.missed.snapshot())
	for code, n := range s.unsubscribes.snapshot() {
		sum.Unsubscribes[code] += n
	}
	for kind, name := range broadcastNames {
		addHistogram(sum.Broadcasts, name, &s.broadcasts[kind])
	}
	for a, name := range actionNames {
		sum.Actions[name] += s.actions[a].Load()
	}
	for i := range s.subscriptions {
		current, accepted := int(s.subscriptions[i].current.Load()), s.subscriptions[i].accepted.Load()
		sum.SubscriptionsAccepted += accepted
		if before := sum.Subscribers[clients[i]]; current != 0 || accepted > 0 {
			sum.Subscribers[clients[i]] = SoftwareStats{before.Current + current, before.Accepted + accepted}
		}
	}
	s.addCommandsTo(sum)
}

func (s *channelCounters) addCommandsTo(sum *ChannelCounts) {
	for kind := range protocol.NumMessageKinds {
		if !kind.Command() {
			continue
		}
		name := kind.String()
		addHistogram(sum.Commands, name, &s.commands[kind])
		for i := range s.replyErrors[kind] {
			count := s.replyErrors[kind][i].Load()
			if count == 0 {
				continue
			}
			if sum.ReplyErrors[name] == nil {
				sum.ReplyErrors[name] = make(map[uint32]uint64)
			}
			sum.ReplyErrors[name][errorCode(i)] += count
		}
	}
}

func addHistogram(sums map[string]HistogramSnapshot, name string, h *histogram) {
	sum := sums[name]
	sum.add(h.snapshot())
	sums[name] = sum
}

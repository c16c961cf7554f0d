// Package prommetrics shows the figures of a node to Prometheus, under the
// names that existing dashboards know (server.md 9).
package prommetrics

import (
	"strconv"

	"centrifugo/centrifuge"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "centrifugo"

// unregistered is the label of clients that are not told apart.
const unregistered = "unregistered"

// quantiles of the summaries.
var quantiles = [...]float64{0.5, 0.99, 0.999}

// Collector reads a node's figures when it is asked for them. It is safe for
// concurrent use.
type Collector struct {
	node    *centrifuge.Node
	options Options
}

// Options of a Collector.
type Options struct {
	// Version of the program, a label.
	Version string
	// RecoveredPublications exports the histogram of recovered publications.
	RecoveredPublications bool
}

// NewCollector returns a collector to register.
func NewCollector(n *centrifuge.Node, o Options) *Collector { return &Collector{n, o} }

var _ prometheus.Collector = (*Collector)(nil)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var (
	numClients            = desc("node_num_clients", "Connections on this node.")
	numUsers              = desc("node_num_users", "Distinct users connected to this node.")
	numSubscriptions      = desc("node_num_subscriptions", "Subscriptions on this node.")
	numChannels           = desc("node_num_channels", "Channels with subscribers on this node.")
	numNodes              = desc("node_num_nodes", "Known nodes of the cluster.")
	build                 = desc("node_build", "Always 1; the version is a label.", "version")
	messagesSent          = desc("node_messages_sent_count", "Messages given to the broker.", "type", "channel_namespace")
	messagesReceived      = desc("node_messages_received_count", "Messages that came from the broker.", "type", "channel_namespace")
	recovers              = desc("client_recover", "Recoveries asked for by clients.", "recovered", "channel_namespace", "has_recovered_publications")
	replyErrors           = desc("client_num_reply_errors", "Commands answered with an error; code 0 stands for the application's own.", "method", "code", "channel_namespace")
	disconnects           = desc("client_num_server_disconnects", "Connections closed by the server.", "code")
	unsubscribes          = desc("client_num_server_unsubscribes", "Subscriptions ended by the server.", "code", "channel_namespace")
	subscriptions         = desc("client_subscriptions_accepted", "Subscriptions made, by what clients call themselves.", "client_name", "channel_namespace")
	connected             = desc("client_connections_inflight", "Connections on this node, by what clients call themselves; those that have not connected yet are unregistered.", "transport", "accept_protocol", "client_name", "client_version")
	subscribed            = desc("client_subscriptions_inflight", "Subscriptions on this node, by what clients call themselves.", "client_name", "channel_namespace")
	framesSent            = desc("transport_messages_sent", "Messages sent to clients.", "transport", "frame_type", "channel_namespace")
	framesSentSize        = desc("transport_messages_sent_size", "Bytes of messages sent to clients, before compression.", "transport", "frame_type", "channel_namespace")
	framesReceived        = desc("transport_messages_received", "Commands received from clients.", "transport", "frame_type", "channel_namespace")
	framesReceivedSize    = desc("transport_messages_received_size", "Bytes of commands received from clients, after decompression.", "transport", "frame_type", "channel_namespace")
	actions               = desc("node_action_count", "What the node did inside, failed attempts included.", "action", "channel_namespace")
	controlDiscarded      = desc("node_control_discarded_count", "Control messages of other nodes that were not applied: malformed, ignored (of a newer release) or dropped (too many).", "reason")
	surveySummary         = desc("node_survey_duration_seconds", "Time taken by surveys of the nodes.", "op")
	surveyHistogram       = desc("node_survey_duration_seconds_histogram", "Time taken by surveys of the nodes.", "op")
	broadcasts            = desc("node_broadcast_duration_seconds", "Time taken to hand a message to the connections of its channel.", "type", "channel_namespace")
	lag                   = desc("node_pub_sub_lag_seconds", "Time from publishing to arriving at this node, where the broker tells it.")
	accepted              = desc("client_connections_accepted", "Connections that have connected.", "transport", "accept_protocol", "client_name", "client_version")
	closes                = desc("transport_outgoing_close_count", "Connections closed by the server.", "transport", "code")
	slowQueued            = desc("client_slow_queue_bytes", "Bytes that wait for connections whose sockets are full.")
	historyChannels       = desc("memory_history_channels", "Channels with history in the memory engine.")
	historyBytes          = desc("memory_history_bytes", "Approximate size of that history in bytes.")
	historyEvicted        = desc("memory_history_evicted_count", "Channels whose history was dropped because the engine was at its limit.")
	slowRefused           = desc("client_slow_queue_refused_count", "Connections closed because the queues of all slow connections together exceeded their limit.")
	slowReaders           = desc("client_slow_reader_count", "What was done about clients that read too slowly: connections closed (disconnect), publications not sent (latest), subscriptions ended (drop_oldest).", "policy")
	deltas                = desc("node_deltas_count", "Deltas computed, one for each publication that needs one.")
	omitted               = desc("client_omitted_count", "Publications and other payloads not sent to JSON clients because they are not valid JSON.", "type")
	abandoned             = desc("client_abandoned_messages_count", "Messages of clients that left, dropped because the ones before them took too long.")
	superseded            = desc("node_batch_superseded_count", "Publications not sent because their batch had a newer one (batch_flush_latest).")
	suppressed            = desc("broker_publish_suppressed_count", "Publications suppressed by an idempotency key or a version.", "reason", "channel_namespace")
	commandSummary        = desc("client_command_duration_seconds", "Time taken by commands of clients.", "method", "channel_namespace")
	commandHistogram      = desc("client_command_duration_seconds_histogram", "Time taken by commands of clients.", "method", "channel_namespace")
	filtered              = desc("node_tags_filter_dropped_publications", "Publications not sent to a subscriber because they do not match its filter of tags.", "channel_namespace")
	recoveredPublications = desc("client_recovered_publications", "Publications that a recovery brought.", "channel_namespace")
	publicationLatency    = desc("transport_publication_latency_seconds", "Time from the arrival of a publication until the socket of a subscriber on the same node has accepted it, of a sample.", "transport", "channel_namespace")
	pingPong              = desc("client_ping_pong_duration_seconds", "Time from a ping to its pong.", "transport")
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		numClients, numUsers, numSubscriptions, numChannels, numNodes, build, messagesSent, messagesReceived,
		recovers, replyErrors, disconnects, unsubscribes, subscriptions, connected, subscribed, framesSent, framesSentSize,
		framesReceived, framesReceivedSize, actions, controlDiscarded, surveySummary, surveyHistogram, broadcasts, lag, accepted, closes, slowQueued, slowRefused, slowReaders, deltas, omitted, historyChannels, historyBytes, historyEvicted,
		abandoned, superseded, suppressed, commandSummary, commandHistogram, pingPong, publicationLatency, filtered, recoveredPublications,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s := c.node.Stats()
	out := sink{metrics: ch}
	out.gauge(numClients, s.Clients)
	out.gauge(numUsers, s.Users)
	out.gauge(numSubscriptions, s.Subscriptions)
	out.gauge(numChannels, s.Channels)
	out.gauge(numNodes, s.Nodes)
	out.gauge(build, 1, c.options.Version)
	for label, counts := range s.ByLabel {
		c.channels(out.labelled(label), label, counts)
	}
	out.counter(messagesSent, s.ControlSent, "control", "")
	out.counter(messagesReceived, s.ControlReceived, "control", "")
	out.gauge(slowQueued, int(s.SlowQueued))
	out.counter(slowRefused, s.SlowRefused)
	out.counter(slowReaders, s.SlowDisconnected, "disconnect")
	out.counter(slowReaders, s.SlowSuperseded, "latest")
	out.counter(slowReaders, s.SlowGaps, "drop_oldest")
	out.counter(deltas, s.Deltas)
	out.counter(omitted, s.OmittedPublications, "publication")
	out.counter(omitted, s.OmittedPayloads, "payload")
	out.gauge(historyChannels, int(s.History.Channels))
	out.gauge(historyBytes, int(s.History.Bytes))
	out.counter(historyEvicted, s.History.Evicted)
	out.counter(abandoned, s.AbandonedMessages)
	out.counter(superseded, s.PublicationsSuperseded)
	out.counter(controlDiscarded, s.ControlMalformed, "malformed")
	out.counter(controlDiscarded, s.ControlIgnored, "ignored")
	out.counter(controlDiscarded, s.ControlDropped, "dropped")
	for op, h := range s.Surveys {
		out.summary(surveySummary, h, op)
		out.histogram(surveyHistogram, h, op)
	}
	out.histogram(lag, s.PubSubLag)
	for name, t := range s.Transports {
		c.clients(out, name, t)
		out.histogram(pingPong, t.PingPong, name)
		for label, frames := range t.FramesByLabel {
			out.labelled(label).frames(name, label, frames)
		}
		for label, h := range t.PublicationLatency {
			out.labelled(label).histogram(publicationLatency, h, name, label)
		}
		for code, n := range t.Disconnects {
			out.counter(closes, n, name, text(code))
		}
	}
	for code, n := range s.Disconnects {
		out.counter(disconnects, n, text(code))
	}
}

// channels exports what happened to the channels with a label.
func (c *Collector) channels(out sink, label string, s centrifuge.ChannelCounts) {
	out.counter(messagesSent, s.PublicationsSent, "publication", label)
	out.counter(messagesSent, s.JoinsSent, "join", label)
	out.counter(messagesSent, s.LeavesSent, "leave", label)
	out.counter(messagesReceived, s.PublicationsReceived, "publication", label)
	out.counter(messagesReceived, s.JoinsReceived, "join", label)
	out.counter(messagesReceived, s.LeavesReceived, "leave", label)
	out.counter(recovers, s.RecoveredWith, "yes", label, "yes")
	out.counter(recovers, s.RecoveredWithout, "yes", label, "no")
	out.counter(recovers, s.Unrecovered, "no", label, "no")
	out.counter(suppressed, s.SuppressedIdempotency, "idempotency", label)
	out.counter(suppressed, s.SuppressedVersion, "version", label)
	out.counter(filtered, s.Filtered, label)
	if _, there := s.Subscribers[unregistered]; !there && label == "" { // there is always this series
		s.Subscribers[unregistered] = centrifuge.SoftwareStats{}
	}
	for client, n := range s.Subscribers {
		out.gauge(subscribed, n.Current, client, label)
		out.counter(subscriptions, n.Accepted, client, label)
	}
	for name, n := range s.Actions {
		out.counter(actions, n, name, label)
	}
	for kind, h := range s.Broadcasts {
		out.histogram(broadcasts, h, kind, label)
	}
	for code, n := range s.Unsubscribes {
		out.counter(unsubscribes, n, text(code), label)
	}
	for method, h := range s.Commands {
		out.summary(commandSummary, h, method, label)
		out.histogram(commandHistogram, h, method, label)
	}
	for method, codes := range s.ReplyErrors {
		for code, n := range codes {
			out.counter(replyErrors, n, method, text(code), label)
		}
	}
	if c.options.RecoveredPublications {
		out.counts(recoveredPublications, s.RecoveredPublications, label)
	}
}

// clients tells what the clients of a transport call themselves. There is always a series of
// those that are not told apart.
func (c *Collector) clients(out sink, transport string, t centrifuge.TransportStats) {
	rest := centrifuge.SoftwareStats{Current: t.Current, Accepted: t.Accepted}
	other := centrifuge.Software{Name: unregistered, Version: unregistered}
	for l, n := range t.Software {
		if l == other {
			continue
		}
		rest.Current -= n.Current
		rest.Accepted -= min(n.Accepted, rest.Accepted)
		out.gauge(connected, n.Current, transport, "", l.Name, l.Version)
		out.counter(accepted, n.Accepted, transport, "", l.Name, l.Version)
	}
	out.gauge(connected, max(rest.Current, 0), transport, "", other.Name, other.Version)
	out.counter(accepted, rest.Accepted, transport, "", other.Name, other.Version)
}

func text(code uint32) string { return strconv.FormatUint(uint64(code), 10) }

// sink makes metrics of figures.
type sink struct {
	metrics chan<- prometheus.Metric
	sparse  bool // leaves out what has not happened yet
}

// labelled returns the sink for what has a label of channels. What has the empty one has all
// series from the start; there are too many of the others.
func (s sink) labelled(label string) sink { return sink{s.metrics, label != ""} }

func (s sink) frames(transport, label string, frames map[string]centrifuge.FrameStats) {
	for kind, f := range frames {
		s.counter(framesSent, f.Sent, transport, kind, label)
		s.counter(framesSentSize, f.SentBytes, transport, kind, label)
		s.counter(framesReceived, f.Received, transport, kind, label)
		s.counter(framesReceivedSize, f.ReceivedBytes, transport, kind, label)
	}
}

func (s sink) gauge(d *prometheus.Desc, value int, labels ...string) {
	s.metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
}

func (s sink) counter(d *prometheus.Desc, value uint64, labels ...string) {
	if value > 0 || !s.sparse {
		s.metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
}

func (s sink) histogram(d *prometheus.Desc, h centrifuge.HistogramSnapshot, labels ...string) {
	if h.Count == 0 && s.sparse {
		return
	}
	metric := classic(d, h.Count, h.Sum, centrifuge.HistogramBounds(), h.Buckets[:], labels)
	if h.Native != nil {
		metric = withNative(metric, d, h, labels)
	}
	s.metrics <- metric
}

func (s sink) counts(d *prometheus.Desc, h centrifuge.CountSnapshot, labels ...string) {
	if h.Count > 0 || !s.sparse {
		s.metrics <- classic(d, h.Count, float64(h.Sum), centrifuge.CountBounds(), h.Buckets[:], labels)
	}
}

// classic returns a histogram with buckets of fixed bounds.
func classic(d *prometheus.Desc, count uint64, sum float64, bounds []float64, below []uint64, labels []string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		buckets[bound] = below[i]
	}
	return prometheus.MustNewConstHistogram(d, count, sum, buckets, labels...)
}

// summary gives the quantiles that older dashboards ask for, estimated from the
// histogram: a figure of every duration would cost too much. With native histograms there
// are no summaries (server.md 9).
func (s sink) summary(d *prometheus.Desc, h centrifuge.HistogramSnapshot, labels ...string) {
	if h.Count == 0 && s.sparse || h.Native != nil {
		return
	}
	values := make(map[float64]float64, len(quantiles))
	for _, q := range quantiles {
		values[q] = h.Quantile(q)
	}
	s.metrics <- prometheus.MustNewConstSummary(d, h.Count, h.Sum, values, labels...)
}

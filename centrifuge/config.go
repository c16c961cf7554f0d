package centrifuge

import (
	"runtime"
	"time"
)

const (
	maxTick          = 30 * time.Second
	maxAnnouncedPing = 24 * 24 * time.Hour
)

// Config of a Node. The zero value is a node that works, with the defaults named.
// Of a duration or a limit zero means the default and a negative value none. A
// duration of more than a hundred years is taken for that.
type Config struct {
	// Name of the node, shown in Info. Default: its id.
	Name string
	// Version is shown to clients and in Info.
	Version string

	// Handlers of the application. Node.Handle replaces them, where they need the node.
	Handlers Handlers

	// Broker, default a MemoryBroker.
	Broker Broker
	// PresenceManager, default a MemoryPresence.
	PresenceManager PresenceManager
	// Controller connects nodes; nil for a node that is alone.
	Controller Controller

	// SoftwareNames are the names of clients that Stats tells apart beside those of the known
	// SDKs. Any client can give any name, so there is no other way to bound them.
	SoftwareNames []string
	// ChannelLabel returns what Stats counts a channel under, such as its namespace, and
	// the empty string for what is not told apart. It is called once for each publication,
	// command and subscription, from any goroutine. It must return at once, and not call the
	// node. nil: all channels are counted together, which costs nothing.
	ChannelLabel func(channel string) string
	// MaxChannelLabels bounds the labels that are told apart, 100 by default; 1000 is the
	// most, and what no limit means. The channels of further labels are counted as "other".
	MaxChannelLabels int
	// LatencySample measures the latency of one publication in this many, of each label: the
	// time from PublishOptions.Received, or the call of Publish, until the socket of a
	// subscriber has accepted the last byte. Only subscribers on the node that publishes are
	// measured. Where bytes wait for a full socket, the time is until none wait any more.
	// Zero: none is measured, which costs nothing.
	LatencySample int
	// NativeHistograms counts durations also by the buckets of native histograms of
	// Prometheus: HistogramSnapshot.Native. Each histogram then takes 2 KB more.
	NativeHistograms bool
	// Spans is told about the steps of publications; nil means that nothing is told,
	// which costs nothing.
	Spans Spans
	// LogHandler receives the node's log entries of LogLevel and above, by default
	// LogInfo. SlogHandler(logger) passes them to a *slog.Logger. Without a handler they
	// go to slog.Default, by default from LogWarn on. LogNone logs nothing.
	LogHandler LogHandler
	LogLevel   LogLevel

	// PingInterval between server pings, 25 s, and PongTimeout for the answer, 10 s.
	// Clients are told the interval in whole seconds, rounded up; one of more than 24
	// days they are not told, and then do not wait for pings.
	PingInterval time.Duration
	PongTimeout  time.Duration
	// StaleCloseDelay closes a connection that does not connect, 15 s.
	StaleCloseDelay time.Duration
	// ExpiredCloseDelay and ExpiredSubCloseDelay leave time for a refresh, 25 s.
	ExpiredCloseDelay    time.Duration
	ExpiredSubCloseDelay time.Duration
	// PresenceInterval between renewals of presence entries, and between calls of
	// Handlers.Alive, 25 s. Negative for neither: presence entries then end with the
	// presence manager's TTL.
	PresenceInterval time.Duration
	// PositionCheckDelay between comparisons of a subscription's position with
	// the stream's, 40 s.
	PositionCheckDelay time.Duration
	// WriteTimeout closes a connection whose socket takes nothing, 1 s.
	WriteTimeout time.Duration
	// HistoryMetaTTL is how long a stream's position outlives its use, 30 days.
	HistoryMetaTTL time.Duration

	// ChannelLimit of subscriptions on one connection, 128.
	ChannelLimit int
	// ChannelMaxLength in bytes, 255.
	ChannelMaxLength int
	// QueueSize in bytes of messages that a connection may be behind, 1 MiB. It
	// bounds what a client leaves unread: when nothing waits for it, one message of
	// any size is taken, and what it asked for itself is not counted.
	QueueSize int
	// QueueTotalSize in bytes of messages that wait for all the connections of
	// this node whose sockets are full. A connection that needs more is closed with
	// DisconnectSlow. What is sent to many counts for each. Default: a quarter
	// of the Go memory limit, 256 MiB where there is none.
	QueueTotalSize int
	// WriteDelay is how long a connection that got something to send waits for
	// more, replies and pings included, at most 1 s. What gathers leaves together,
	// at once when MaxBatch messages or 64 KiB of them wait. Default: none.
	WriteDelay time.Duration
	// MaxBatch bounds how many messages are joined in one of the
	// transport, 1 for none, 64 by default; 65535 is the most, and what no limit
	// means. A transport may lower it.
	MaxBatch int
	// UserConnectionLimit on this node, none by default.
	UserConnectionLimit int
	// HistoryMaxPublications of a history command, RecoveryMaxPublications of a
	// recovery; none by default.
	HistoryMaxPublications  int
	RecoveryMaxPublications int

	// ReplyMaxSize in bytes of publications in one reply: of a recovery, of all
	// recoveries of a connect, of a history command. A recovery beyond it is told
	// as not recovered, a history is cut. Default 16 MiB.
	ReplyMaxSize int

	// ReleaseRate is how many connections Shutdown closes in a second, 5000, so that the
	// clients do not all come to other nodes at once. More are closed where the deadline
	// of Shutdown's context demands it. Negative for all at once.
	ReleaseRate int

	// IncludeServerTime sends the server's clock with the connect reply.
	IncludeServerTime bool
	// Lanes that deliver publications, default one for each core.
	Lanes int
	// Concurrency of the commands of one connection; above 1 they are answered
	// out of order, but for those of one channel. Default 1.
	Concurrency int
	// ChannelBatch says how the publications of a channel are gathered on this
	// node; nil for not at all. It is asked when a channel gets its first
	// subscriber, and the answer holds until the last one has left. It must return
	// at once, and not call the node.
	ChannelBatch func(channel string) BatchOptions
	// PatternPrefix allows wildcard subscriptions to the channels for which it returns
	// true, and says how many bytes of the name are a prefix that patterns name as it is.
	// The rest are segments separated by dots. A channel whose rest has a segment "*", or
	// a last segment ">", is a pattern: its subscribers get the publications of the
	// channels with the same prefix that it matches. "*" matches one segment, ">" one or
	// more. A pattern cannot be published to, and has neither positions nor presence. It
	// needs a PatternBroker, which the MemoryBroker is. The length counts also where ok is
	// false: patterns that have subscribers stay. PatternPrefix is called for each
	// publication while there are patterns. It must return at once, and not call the
	// node. nil: there are no patterns.
	PatternPrefix func(channel string) (length int, ok bool)
	// UnidirectionalDisconnect returns the disconnect for an error of a connect request on
	// a unidirectional transport, which has no replies; ok is false for the default one
	// (protocol.md 7). It must return at once. Nil: all get the default.
	UnidirectionalDisconnect func(err *Error) (d Disconnect, ok bool)
	// MatchChannel compiles a pattern for Channels, default path.Match.
	MatchChannel func(pattern string) (func(channel string) bool, error)
}

// withDefaults returns c with every zero resolved and every negative made zero.
func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.PingInterval, 25 * time.Second},
		{&c.PongTimeout, 10 * time.Second},
		{&c.StaleCloseDelay, 15 * time.Second},
		{&c.ExpiredCloseDelay, 25 * time.Second},
		{&c.ExpiredSubCloseDelay, 25 * time.Second},
		{&c.PresenceInterval, 25 * time.Second},
		{&c.PositionCheckDelay, 40 * time.Second},
		{&c.WriteTimeout, time.Second},
		{&c.WriteDelay, 0},
		{&c.HistoryMetaTTL, 30 * 24 * time.Hour},
	} {
		*d.field = min(resolve(*d.field, d.value), maxDuration)
	}
	for _, n := range []struct {
		field *int
		value int
	}{
		{&c.ChannelLimit, 128},
		{&c.ChannelMaxLength, 255},
		{&c.QueueSize, 1 << 20},
		{&c.QueueTotalSize, totalSizeDefault()},
		{&c.MaxBatch, defaultMaxBatch},
		{&c.MaxChannelLabels, 100},
		{&c.UserConnectionLimit, 0},
		{&c.HistoryMaxPublications, 0},
		{&c.RecoveryMaxPublications, 0},
		{&c.ReplyMaxSize, 16 << 20},
		{&c.ReleaseRate, defaultReleaseRate},
		{&c.Lanes, runtime.GOMAXPROCS(0)},
		{&c.Concurrency, 1},
	} {
		*n.field = resolve(*n.field, n.value)
	}
	c.Lanes, c.Concurrency = max(c.Lanes, 1), max(c.Concurrency, 1)
	if c.MaxChannelLabels <= 0 || c.MaxChannelLabels > maxLabels {
		c.MaxChannelLabels = maxLabels
	}
	return c
}

// tickInterval is how often subscriptions are looked after: their expiry and their
// positions. It does not depend on presence being renewed.
func (c *Config) tickInterval() time.Duration {
	interval := maxTick
	for _, d := range []time.Duration{c.PresenceInterval, c.PositionCheckDelay} {
		if d > 0 {
			interval = min(interval, d)
		}
	}
	return interval
}

// announcedPing is the number of seconds within which clients expect a ping, zero
// for none. It is rounded up: a client must not be told to give up too early. JavaScript
// timers hold 2^31-1 ms, so pings that come less often are not announced.
func (c *Config) announcedPing() uint32 {
	if c.PingInterval > maxAnnouncedPing {
		return 0
	}
	return uint32((c.PingInterval + time.Second - 1) / time.Second) //nolint:gosec // between 0 and maxAnnouncedPing
}

func resolve[T ~int | ~int64](value, def T) T {
	switch {
	case value == 0:
		return def
	case value < 0:
		return 0
	}
	return value
}

package api

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/revocation"
)

// Node is the part of a *centrifuge.Node that the methods use.
type Node interface {
	Publish(ctx context.Context, channel string, data []byte, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error)
	History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (centrifuge.HistoryResult, error)
	RemoveHistory(ctx context.Context, channel string) error
	Presence(ctx context.Context, channel string) (map[string]*centrifuge.ClientInfo, error)
	PresenceStats(ctx context.Context, channel string) (centrifuge.PresenceStats, error)
	Subscribe(ctx context.Context, t centrifuge.Target, channel string, opts centrifuge.SubscribeOptions) error
	Unsubscribe(ctx context.Context, t centrifuge.Target, channel string, u centrifuge.Unsubscribe) error
	Disconnect(ctx context.Context, t centrifuge.Target, d centrifuge.Disconnect) error
	Refresh(ctx context.Context, t centrifuge.Target, opts centrifuge.RefreshOptions) error
	Info(ctx context.Context) ([]centrifuge.NodeInfo, error)
	Channels(ctx context.Context, pattern string) (map[string]centrifuge.ChannelStats, error)
	Survey(ctx context.Context, op string, data []byte, toNode string) (map[string]centrifuge.SurveyResult, error)
}

// Observer is called after every call, the commands of a batch included. The code is
// that of the error, zero for a success. It must be safe for concurrent use.
type Observer func(protocol, method string, duration time.Duration, code uint32)

// Tracer is called before every call, with the context of its carrier. The context that it
// returns is that of the call, and ended is called with the code of the answer. It must be
// safe for concurrent use.
type Tracer func(ctx context.Context, protocol, method string) (traced context.Context, ended func(code uint32))

// Options of an API.
type Options struct {
	// Protocol names the carrier in metrics and logs: "http", "grpc", "consuming".
	Protocol string
	// Binary is set if the payloads of requests are bytes, as over gRPC. Otherwise they
	// are JSON values, and what JSON clients cannot receive is refused.
	Binary bool
	// Node executes the calls.
	Node Node
	// Rules returns the current channel rules. The API calls it once per channel, so
	// a reload takes effect at once.
	Rules func() *channels.Rules
	// Revocations keeps blocked users and revoked tokens. Without it the methods for them
	// are not available.
	Revocations *revocation.Registry
	// Observer may be nil.
	Observer Observer
	// Tracer may be nil.
	Tracer Tracer
	// Log receives errors of the node; nil means slog.Default.
	Log *slog.Logger
	// Latency is set if the node measures the latency of publications.
	Latency bool
}

// API executes the calls of one carrier. It is safe for concurrent use.
type API struct {
	// Static after construction
	protocol string
	source   string // what traces call the carrier
	binary   bool
	latency  bool
	node     Node
	rules    func() *channels.Rules
	observer Observer
	tracer   Tracer
	log      *slog.Logger

	revocations *revocation.Registry // nil: not available
}

// New returns an API. Options.Node and Options.Rules are required.
func New(opts Options) *API {
	log := opts.Log
	if log == nil {
		log = slog.Default()
	}
	return &API{
		protocol: opts.Protocol, source: "the server API (" + opts.Protocol + ")", binary: opts.Binary, latency: opts.Latency, node: opts.Node, rules: opts.Rules,
		observer: opts.Observer, tracer: opts.Tracer, log: log, revocations: opts.Revocations,
	}
}

// arrivalKey is the context key of when a request arrived.
type arrivalKey struct{}

// Arrival returns the present time for a request that has just arrived, and the zero time if
// no latency is measured.
func (a *API) Arrival() time.Time {
	if !a.latency {
		return time.Time{}
	}
	return time.Now()
}

// WithArrival returns the context for the calls of a request that arrived at that time.
func WithArrival(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, arrivalKey{}, at)
}

// call is one call of a method. The functions of the methods are its methods.
type call struct {
	*API
	method string
}

// internal logs an error of the node and returns the error that answers the call.
// The channel is empty where the call is not about one.
func (c call) internal(ctx context.Context, channel string, err error) *Error {
	c.log.LogAttrs(ctx, slog.LevelError, "api call failed", slog.String("protocol", c.protocol),
		slog.String("method", c.method), slog.String("channel", channel), slog.Any("error", err))
	return ErrorInternal
}

// namespace returns the rules of a channel. An empty name is a bad request, and a name
// in a namespace that is not configured an unknown channel. The server API checks
// nothing else of a name (server.md 1.4).
func (a *API) namespace(channel string) (*channels.Namespace, *Error) {
	if channel == "" {
		return nil, ErrorBadRequest
	}
	ns, ok := a.rules().Namespace(channel)
	if !ok {
		return nil, ErrorUnknownChannel
	}
	return ns, nil
}

// MaxParallel bounds how many channels of one broadcast, or commands of one parallel
// batch, are processed at a time (server.md 1.4).
const MaxParallel = 1024

// widthKey is the context key of how many workers a broadcast may start within a
// parallel batch. Without it the two bounds would multiply.
type widthKey struct{}

// parallel calls do(0) … do(n-1), at most MaxParallel of them at a time, and
// returns when all have returned. Through the context, nested calls share the bound.
func parallel(ctx context.Context, n int, do func(ctx context.Context, i int)) {
	width, ok := ctx.Value(widthKey{}).(int)
	if !ok {
		width = MaxParallel
	}
	workers := min(n, width)
	if workers <= 1 {
		for i := range n {
			do(ctx, i)
		}
		return
	}
	ctx = context.WithValue(ctx, widthKey{}, width/workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(ctx, i)
			}
		})
	}
	wg.Wait()
}

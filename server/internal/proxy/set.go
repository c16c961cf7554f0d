package proxy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"centrifugo/server/internal/config"
)

// DefaultName is the name of the proxies in sections client.proxy, channel.proxy and
// rpc.proxy.
const DefaultName = "default"

// Sections are the sections of the configuration that have proxies.
type Sections struct {
	Client  config.ClientProxy
	Channel config.ChannelProxy
	RPC     config.Proxy
	Named   []config.NamedProxy
}

// Observation is a call that was made.
type Observation struct {
	Protocol string // "http" or "grpc"
	Event    Event
	Name     string // of the proxy
	Duration time.Duration
	Failed   bool
}

// Options of a Set.
type Options struct {
	// GRPC returns the carrier for a gRPC endpoint. If it is nil, such endpoints are errors.
	GRPC func(config.Proxy) (Carrier, error)
	// Headers returns the headers of the request that opened a connection, with canonical
	// names, from the connection's context; Metadata the same for gRPC. They may be nil.
	Headers  func(context.Context) map[string][]string
	Metadata func(context.Context) map[string][]string
	// Observe is called after each call, by any goroutine. It may be nil.
	Observe func(Observation)
	// Trace is called before each call with the headers or metadata that it sends, to which it
	// may add, and ended after it, for a stream after the first message. The call has the context
	// that it returns. It may be nil.
	Trace func(ctx context.Context, e Event, name string, headers http.Header) (traced context.Context, ended func(error))
	// Log receives failures; nil means slog.Default.
	Log *slog.Logger
}

var errNoGRPC = errors.New("gRPC endpoints are not supported")

// Set has the proxies of a configuration. It is safe for concurrent use. A nil Set is empty.
type Set struct {
	// Static after construction.
	options   Options
	defaults  [numEvents]*Proxy // nil for those without an endpoint
	named     map[string]*Proxy
	all       []*Proxy
	forwarded forwarded // what some proxy passes on
}

// NewSet returns the proxies of a configuration. It connects to no endpoint.
func NewSet(sections Sections, o Options) (*Set, error) {
	none := func(context.Context) map[string][]string { return nil }
	if o.Headers == nil {
		o.Headers = none
	}
	if o.Metadata == nil {
		o.Metadata = none
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.GRPC == nil {
		o.GRPC = func(config.Proxy) (Carrier, error) { return nil, errNoGRPC }
	}
	s := &Set{options: o, named: make(map[string]*Proxy)}
	var errs []error
	add := func(key, name string, c config.Proxy) *Proxy {
		if c.Endpoint == "" {
			return nil
		}
		p, err := newProxy(key, name, c, &s.options)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
			return nil
		}
		s.all = append(s.all, p)
		s.forwarded.add(p.forwarded)
		return p
	}
	for _, d := range sections.defaults() {
		if d.enabled {
			s.defaults[d.event] = add(d.key, DefaultName, d.config)
		}
	}
	for _, c := range sections.Named {
		s.named[c.Name] = add("proxies["+c.Name+"]", c.Name, c.Proxy)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, s.Close())...)
	}
	return s, nil
}

// defaultProxy is a proxy whose name is DefaultName.
type defaultProxy struct {
	event   Event
	key     string
	enabled bool // those of channels and RPC are enabled by namespaces
	config  config.Proxy
}

func (s *Sections) defaults() []defaultProxy {
	return []defaultProxy{
		{Connect, "client.proxy.connect", s.Client.Connect.Enabled, s.Client.Connect.Proxy},
		{Refresh, "client.proxy.refresh", s.Client.Refresh.Enabled, s.Client.Refresh.Proxy},
		{Subscribe, "channel.proxy.subscribe", true, s.Channel.Subscribe},
		{Publish, "channel.proxy.publish", true, s.Channel.Publish},
		{SubRefresh, "channel.proxy.sub_refresh", true, s.Channel.SubRefresh},
		{SubscribeStream, "channel.proxy.subscribe_stream", true, s.Channel.SubscribeStream},
		{RPC, "rpc.proxy", true, s.RPC},
	}
}

// Empty reports whether there are no proxies.
func (s *Set) Empty() bool { return s == nil || len(s.all) == 0 }

// Find returns the proxy of an event with a name, or nil if there is none.
func (s *Set) Find(e Event, name string) *Proxy {
	switch {
	case s == nil:
		return nil
	case name == DefaultName:
		return s.defaults[e]
	}
	return s.named[name]
}

// Headers returns the names of the headers that some proxy passes on.
func (s *Set) Headers() []string {
	if s == nil {
		return nil
	}
	return s.forwarded.headers
}

// Streams reports whether some proxy can open streams.
func (s *Set) Streams() bool {
	if s == nil {
		return false
	}
	return slices.ContainsFunc(s.all, func(p *Proxy) bool {
		_, can := p.carrier.(StreamCarrier)
		return can
	})
}

// Close closes the connections to all endpoints.
func (s *Set) Close() error {
	if s == nil {
		return nil
	}
	var err error
	for _, p := range s.all {
		err = errors.Join(err, p.carrier.Close())
	}
	return err
}

// Stats are the counters of a proxy.
type Stats struct {
	Key, Name, Protocol string
	// InFlight are the calls that are made, by event; only events that were used.
	InFlight map[Event]int64
	// Limit is that of calls in flight, and Waiting the number of calls that wait for it.
	Limit, Waiting int
	// Breaker is the state of the breaker: "closed", "half_open" or "open".
	Breaker string
	// Opened is how often the breaker has opened.
	Opened uint64
	// Refused are the calls that were not made, by reason.
	Refused map[string]uint64
}

// BreakerStates returns the states of a breaker.
func BreakerStates() []string { return breakerStates }

// Stats returns the counters of all proxies.
func (s *Set) Stats() iter.Seq[Stats] {
	return func(yield func(Stats) bool) {
		if s == nil {
			return
		}
		for _, p := range s.all {
			if !yield(p.stats()) {
				return
			}
		}
	}
}

func (p *Proxy) stats() Stats {
	limit, _, waiting := p.guard.limiter.state()
	stats := Stats{
		Key: p.key, Name: p.name, Protocol: p.carrier.Protocol(), InFlight: make(map[Event]int64), Limit: limit, Waiting: waiting,
		Breaker: p.guard.state(), Opened: p.opened.Load(), Refused: make(map[string]uint64, len(refusals)),
	}
	for e := range numEvents {
		if p.used[e].Load() {
			stats.InFlight[e] = p.inFlight[e].Load()
		}
	}
	for i, refusal := range refusals {
		stats.Refused[refusal.name] = p.refused[i].Load()
	}
	return stats
}

package loadtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"centrifugo/protocol"
)

// Bounds of Options. They keep a slip of the finger from becoming an attack.
const (
	MaxClients = 1_000_000
	// MaxOwnChannels bounds the channels of their own that all clients have
	// together; the tool needs some 100 bytes for each that is published to.
	MaxOwnChannels = 10_000_000
	MaxPublishers  = 4096
	MaxWorkers     = 64
	MaxPayload     = 1 << 20 // bytes
	MaxEchoed      = 60_000  // bytes of a payload that a client publishes, below the usual limit of 64 KiB
	MaxMissed      = 100_000
	MaxRate        = 10_000_000 // a second
	MaxDuration    = 24 * time.Hour
	// MaxStreams is how many clients may share an HTTP/2 connection: what a server must allow
	// (RFC 9113, section 6.5.2).
	MaxStreams = 100
	// MaxBackendTime, which bounds an outage too, and MaxBackendParallel bound the backend of a run.
	MaxBackendTime     = time.Minute
	MaxBackendParallel = 100_000
	maxLines           = 100_000 // of a payload file
)

// Defaults of Options.
const (
	DefaultAddress    = "127.0.0.1:8000"
	DefaultClients    = 1000
	DefaultPublishers = 32
	DefaultDuration   = 10 * time.Second
	DefaultPayload    = 128
	DefaultMissed     = 100
	DefaultChannel    = "bench"
	// DefaultBackend, DefaultBackendTime and DefaultBackendParallel describe the backend of proxy-storm.
	DefaultBackend         = "127.0.0.1:3000"
	DefaultBackendTime     = 50 * time.Millisecond
	DefaultBackendParallel = 100
	// ScenarioRate and ScenarioWarmup stand for what the scenario has by itself.
	ScenarioRate   = -1
	ScenarioWarmup = -1
)

// Options of a run. Secrets in it go to workers through a pipe and appear in no report.
type Options struct {
	Scenario string
	// Transport of the clients, one of Transports; empty means DefaultTransport.
	Transport string
	// HTTP2Streams, if not 0, is how many clients share an HTTP/2 connection: HTTP streams and
	// SSE. Without TLS the server must expect it. Their commands travel over HTTP/1.1.
	HTTP2Streams int
	Address      string // host:port or URL of the endpoint (ws, wss, http, https); over gRPC DefaultAddress stands for its usual port
	API          string // URL of the HTTP API; empty means /api at the host of Address, over gRPC at port 8000 of it
	APIGRPC      string // host:port or URL of the API over gRPC; empty leaves it out of scenario ways
	APIKey       string
	Token        string // connection token; empty means none
	Clients      int
	Channels     int // shared channels that clients are spread over; 0 means 1
	// ClientChannels is how many channels of its own each client subscribes to,
	// in idle (in place of the shared one) and unique; 0 is the scenario's own way.
	ClientChannels int
	Rate           float64 // publications (storm: connections) a second; 0 saturates; ScenarioRate
	Publishers     int
	Duration       time.Duration // of the measurement
	Warmup         time.Duration // before it; ScenarioWarmup
	Payload        int           // bytes of a publication's payload, at least MinPayload
	Payloads       [][]byte      // JSON values to carry instead, in turn
	Missed         int           // publications that clients of recover miss in each round
	Concurrency    int           // clients that connect at the same time; 0 means 128, recover: 1024
	Protobuf       bool
	Delta          bool   // subscribe with deltas: fanout and slow, whose clients have one channel each
	Deflate        bool   // offer permessage-deflate without context takeover
	Channel        string // shared channel, and prefix of the others; may have a namespace
	Sources        string // source addresses: "a", "a-b", or several with commas; empty means the system's choice
	Workers        int    // processes; 0 and 1 mean this one
	PID            int    // local process whose CPU and memory are sampled; 0 means none
	SkipVerify     bool   // accept any certificate of the server

	// Of scenario proxy-storm: the address at which the backend listens, which the connect proxy
	// of the server calls; how long a call takes; how many it works on at the same time; and for
	// how long, from the first call on, it answers with status 503 instead.
	Backend         string
	BackendTime     time.Duration
	BackendParallel int
	BackendOutage   time.Duration

	// WorkerCommand starts a worker process that calls ServeWorker with its standard input and output.
	WorkerCommand []string
}

// endpoint is where a server is.
type endpoint struct {
	tls     bool
	host    string // as in the URL
	address string // host:port
	path    string
}

func (e endpoint) scheme() string {
	if e.tls {
		return "https"
	}
	return "http"
}

// parseEndpoint reads host:port or a URL.
func parseEndpoint(address, defaultPath string) (endpoint, error) {
	if !strings.Contains(address, "://") {
		address = "ws://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return endpoint{}, fmt.Errorf("parsing address: %w", err)
	}
	e := endpoint{host: u.Host, path: u.EscapedPath()}
	port := "80"
	switch u.Scheme {
	case "ws", "http":
	case "wss", "https":
		e.tls, port = true, "443"
	default:
		return endpoint{}, fmt.Errorf("address %q: the scheme is none of ws, wss, http, https", u.Redacted())
	}
	if u.Hostname() == "" || u.User != nil {
		return endpoint{}, fmt.Errorf("address %q: a host is needed, and no user", u.Redacted())
	}
	if u.Port() != "" {
		port = u.Port()
	}
	e.address = net.JoinHostPort(u.Hostname(), port)
	if e.path == "" || e.path == "/" {
		e.path = defaultPath
	}
	if u.RawQuery != "" {
		e.path += "?" + u.RawQuery
	}
	return e, nil
}

// withQuery adds a parameter to a path, which may have a query.
func withQuery(path, parameter string) string {
	if strings.Contains(path, "?") {
		return path + "&" + parameter
	}
	return path + "?" + parameter
}

// parseSources reads source addresses and ranges of them.
func parseSources(text string) ([]netip.Addr, error) {
	const most = 4096
	var addresses []netip.Addr
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		from, to, isRange := strings.Cut(part, "-")
		first, err := netip.ParseAddr(from)
		if err != nil {
			return nil, fmt.Errorf("source addresses: %w", err)
		}
		last := first
		if isRange {
			if last, err = netip.ParseAddr(to); err != nil {
				return nil, fmt.Errorf("source addresses: %w", err)
			}
		}
		if first.Is4() != last.Is4() || last.Less(first) {
			return nil, fmt.Errorf("source addresses: %s is no range", part)
		}
		for a := first; ; a = a.Next() {
			if len(addresses) == most {
				return nil, fmt.Errorf("source addresses: more than %d", most)
			}
			addresses = append(addresses, a)
			if a == last {
				break
			}
		}
	}
	return addresses, nil
}

// ReadPayloads reads JSON values, one a line; empty lines are skipped.
func ReadPayloads(r io.Reader) ([][]byte, error) {
	var lines [][]byte
	s := bufio.NewScanner(r)
	s.Buffer(nil, MaxPayload)
	for n := 1; s.Scan(); n++ {
		line := s.Bytes()
		switch {
		case len(line) == 0:
			continue
		case !protocol.ValidJSON(line):
			return nil, fmt.Errorf("payloads: line %d is not JSON", n)
		case len(lines) == maxLines:
			return nil, fmt.Errorf("payloads: more than %d lines", maxLines)
		}
		lines = append(lines, slices.Clone(line))
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("reading payloads: %w", err)
	}
	if len(lines) == 0 {
		return nil, errors.New("payloads: no lines")
	}
	return lines, nil
}

// complete fills in what follows from other options, after Validate.
func (o *Options) complete() {
	s, _ := scenario(o.Scenario)
	if o.Rate == ScenarioRate {
		o.Rate = s.rate
	}
	if o.Warmup == ScenarioWarmup {
		o.Warmup = s.warmup
	}
	how, _ := transport(o.Transport)
	o.Transport = how.Name
	if host, _, err := net.SplitHostPort(o.Address); err == nil && how.carrier == overGRPC && o.Address == DefaultAddress {
		o.Address = net.JoinHostPort(host, how.port)
	}
	o.Workers = max(o.Workers, 1)
	if s.ways { // no client connects
		o.Clients = o.Workers
	}
	o.Channels = max(o.Channels, 1)
	if o.Concurrency == 0 {
		o.Concurrency = 128
		if s.recovers {
			o.Concurrency = 1024
		}
		if s.proxied {
			o.Concurrency = o.Clients
		}
	}
	if len(o.Payloads) > 0 { // the mean, for the report
		total := 0
		for _, p := range o.Payloads {
			total += len(p)
		}
		o.Payload = total / len(o.Payloads)
	}
}

// Validate says what is wrong with the options.
func (o *Options) Validate() error {
	s, known := scenario(o.Scenario)
	if !known {
		return fmt.Errorf("unknown scenario %q", o.Scenario)
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Clients >= 1 && o.Clients <= MaxClients, "clients: %d is not between 1 and %d", o.Clients, MaxClients)
	check(o.Channels >= 0 && o.Channels <= MaxClients, "channels: %d is not between 0 and %d", o.Channels, MaxClients)
	check(o.ClientChannels >= 0 && o.ClientChannels*max(o.Clients, 1) <= MaxOwnChannels && o.ClientChannels <= MaxOwnChannels, "channels per client: %d is not between 0 and %d of all clients together", o.ClientChannels, MaxOwnChannels)
	check(o.ClientChannels == 0 || s.many, "channels per client: scenario %s has none", o.Scenario)
	check(o.Publishers >= 1 && o.Publishers <= MaxPublishers, "publishers: %d is not between 1 and %d", o.Publishers, MaxPublishers)
	check(o.Workers >= 0 && o.Workers <= MaxWorkers && o.Workers <= o.Clients, "workers: %d is not between 1 and %d, or more than clients", o.Workers, MaxWorkers)
	check(o.Rate == ScenarioRate || o.Rate >= 0 && o.Rate <= MaxRate, "rate: %v is not between 0 and %d", o.Rate, MaxRate)
	check(o.Duration > 0 && o.Duration <= MaxDuration, "duration: %v is not between 0 and %v", o.Duration, MaxDuration)
	check(o.Warmup == ScenarioWarmup || o.Warmup >= 0 && o.Warmup <= MaxDuration, "warmup: %v is not between 0 and %v", o.Warmup, MaxDuration)
	check(o.Missed >= 1 && o.Missed <= MaxMissed, "missed: %d is not between 1 and %d", o.Missed, MaxMissed)
	check(o.Concurrency >= 0 && o.Concurrency <= MaxClients, "concurrency: %d is not between 0 and %d", o.Concurrency, MaxClients)
	check(!o.Delta || s.shared && !s.own && !s.rounds && s.api, "delta: scenario %s has no publications in one channel", o.Scenario)
	o.checkTransport(s, check)
	if s.proxied {
		o.checkBackend(check)
	}
	check(o.PID >= 0, "pid: %d is negative", o.PID)
	check(o.Channel != "" && len(o.Channel) <= 200 && !strings.ContainsFunc(o.Channel, unicode.IsControl), "channel: %q is empty, has control characters or is longer than 200 bytes", o.Channel)
	for name, secret := range map[string]string{"API key": o.APIKey, "token": o.Token} {
		check(!strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r == 0x7f }), "%s: it has control characters", name)
	}
	most := MaxPayload
	if s.echo {
		most = MaxEchoed
	}
	check(len(o.Payloads) > 0 || o.Payload >= MinPayload && o.Payload <= most, "payload: %d bytes are not between %d and %d", o.Payload, MinPayload, most)
	for i, p := range o.Payloads {
		check(len(p)+MinPayload <= most, "payloads: number %d has more than %d bytes", i+1, most-MinPayload)
	}
	_, err := parseEndpoint(o.Address, "/")
	errs = append(errs, err)
	if o.API != "" {
		_, err := parseEndpoint(o.API, "/")
		errs = append(errs, err)
	}
	if o.APIGRPC != "" {
		_, err := parseEndpoint(o.APIGRPC, "/")
		errs = append(errs, err)
		check(s.ways, "API over gRPC: scenario %s does not use it", o.Scenario)
	}
	_, err = parseSources(o.Sources)
	return errors.Join(append(errs, err)...)
}

// checkBackend checks the options of the backend.
func (o *Options) checkBackend(check func(ok bool, format string, args ...any)) {
	_, _, err := net.SplitHostPort(o.Backend)
	check(err == nil, "backend: %q is not host:port", o.Backend)
	check(o.BackendTime >= 0 && o.BackendTime <= MaxBackendTime, "backend time: %v is not between 0 and %v", o.BackendTime, MaxBackendTime)
	check(o.BackendOutage >= 0 && o.BackendOutage <= MaxBackendTime, "backend outage: %v is not between 0 and %v", o.BackendOutage, MaxBackendTime)
	check(o.BackendParallel >= 1 && o.BackendParallel <= MaxBackendParallel, "backend parallel: %d is not between 1 and %d", o.BackendParallel, MaxBackendParallel)
	check(o.Token == "", "token: a connect with one does not ask the backend")
}

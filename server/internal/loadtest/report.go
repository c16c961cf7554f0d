package loadtest

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Report is the result of a run. Its JSON is what "centrifugo bench --json"
// prints: names stay, new ones may be added, and none is left out when it is zero.
// Times end in _s, _ms or _us, memory in _bytes; figures are of the measured
// part of the run unless their comment says otherwise.
type Report struct {
	Scenario      string          `json:"scenario"`
	Transport     string          `json:"transport"`
	HTTP2Streams  int             `json:"http2_streams"` // clients that share an HTTP/2 connection; 0 over HTTP/1.1
	Address       string          `json:"address"`
	Started       string          `json:"started"`  // RFC 3339, UTC
	Encoding      string          `json:"encoding"` // json or protobuf
	Deflate       bool            `json:"deflate"`
	Clients       int             `json:"clients"`
	Channels      int             `json:"channels"`
	Subscriptions int             `json:"subscriptions"` // of all clients together
	Publishers    int             `json:"publishers"`    // of the API; clients that publish are not counted
	Rate          float64         `json:"rate"`          // a second, as asked for; 0 saturates
	PayloadBytes  int             `json:"payload_bytes"`
	Workers       int             `json:"workers"`
	WarmupS       float64         `json:"warmup_s"`
	DurationS     float64         `json:"duration_s"` // that was measured
	Connect       ConnectFigures  `json:"connect"`
	Publish       PublishFigures  `json:"publish"`
	Deliver       DeliverFigures  `json:"deliver"`
	Loss          LossFigures     `json:"loss"`
	Recover       *RecoverFigures `json:"recover,omitempty"` // of scenario recover
	Slow          *SlowFigures    `json:"slow,omitempty"`    // of scenario slow
	Proxy         *ProxyFigures   `json:"proxy,omitempty"`   // of scenario proxy-storm
	Ways          []WayFigures    `json:"ways,omitempty"`    // of scenario ways
	Errors        []ErrorFigure   `json:"errors"`
	Server        *ServerFigures  `json:"server,omitempty"` // with a process to sample
	Load          LoadFigures     `json:"load"`
	Timeline      []Point         `json:"timeline"`
	OK            bool            `json:"ok"`
	Failures      []string        `json:"failures"` // why OK is false

	rounds int // of scenarios that have them
}

// Latencies in milliseconds; the values are within 0.4 %. All are 0 when Count is.
type Latencies struct {
	Count  uint64  `json:"count"`
	MeanMS float64 `json:"mean_ms"`
	P50MS  float64 `json:"p50_ms"`
	P90MS  float64 `json:"p90_ms"`
	P99MS  float64 `json:"p99_ms"`
	P999MS float64 `json:"p999_ms"`
	MaxMS  float64 `json:"max_ms"`
}

// ConnectFigures are about connecting and subscribing, in the whole run; in
// scenarios storm and recover only in the measured rounds.
type ConnectFigures struct {
	Count     uint64    `json:"count"`
	Seconds   float64   `json:"seconds"`
	PerSecond float64   `json:"per_second"`
	Latency   Latencies `json:"latency"` // from dialing first to subscribed
}

// PublishFigures are about publications that the server has accepted.
type PublishFigures struct {
	Count     uint64    `json:"count"`
	PerSecond float64   `json:"per_second"`
	Latency   Latencies `json:"latency"` // from when it was due to the server's answer
}

// DeliverFigures are about publications that have reached clients.
type DeliverFigures struct {
	Count          uint64    `json:"count"`
	PerSecond      float64   `json:"per_second"`
	Bytes          uint64    `json:"bytes"` // over the sockets
	BytesPerSecond float64   `json:"bytes_per_second"`
	Latency        Latencies `json:"latency"` // from publication to delivery, sampled; slow readers left out
}

// LossFigures compare what was published with what came, in the whole run.
type LossFigures struct {
	Expected   uint64 `json:"expected"` // deliveries to clients that neither are slow nor leave
	Received   uint64 `json:"received"` // duplicates not counted
	Lost       uint64 `json:"lost"`
	Gaps       uint64 `json:"gaps"`    // how often numbers were missing
	Missing    uint64 `json:"missing"` // numbers in gaps that did not come later
	Duplicates uint64 `json:"duplicates"`
	Disorder   uint64 `json:"disorder"`
	Foreign    uint64 `json:"foreign"` // publications of others; no failure
}

// RecoverFigures are about the rounds in which clients came back.
type RecoverFigures struct {
	Rounds              int     `json:"rounds"`
	Missed              int     `json:"missed"`    // by each client in each round
	Recovered           uint64  `json:"recovered"` // publications that came with a subscription
	RecoveredPerSecond  float64 `json:"recovered_per_second"`
	CPUUSPerPublication float64 `json:"cpu_us_per_publication"` // of the sampled process
}

// SlowFigures are about the slow readers.
type SlowFigures struct {
	Clients        int     `json:"clients"`
	Deliveries     uint64  `json:"deliveries"`
	BytesPerSecond float64 `json:"bytes_per_second"` // of each
	Disconnected   uint64  `json:"disconnected"`
}

// ProxyFigures are about the backend of scenario proxy-storm, in the whole run.
type ProxyFigures struct {
	Rounds         int     `json:"rounds"`
	BackendMS      float64 `json:"backend_ms"` // that a call takes
	Parallel       int     `json:"parallel"`   // calls that the backend works on at the same time
	Calls          uint64  `json:"calls"`
	Answered       uint64  `json:"answered"`
	Abandoned      uint64  `json:"abandoned"`       // the server did not wait for the answer: a timeout
	Unavailable    uint64  `json:"unavailable"`     // calls that were answered with status 503, during the outage
	FailedConnects uint64  `json:"failed_connects"` // refused because a call had failed, or the breaker was open
	MaxInFlight    int     `json:"max_in_flight"`   // calls at the backend at the same time
	CameBack       uint64  `json:"came_back"`       // how often clients were told to come back
	AllInS         float64 `json:"all_in_s"`        // until all clients were connected, the longest round
}

// WayFigures are about one way into the API.
type WayFigures struct {
	Way                 string  `json:"way"` // http, http_stream, grpc, grpc_stream
	Publications        uint64  `json:"publications"`
	PerSecond           float64 `json:"per_second"`
	CPUUSPerPublication float64 `json:"cpu_us_per_publication"` // of the sampled process
	ToHTTP              float64 `json:"to_http"`                // publications for each second of CPU, divided by those of requests over HTTP; 0 for these
}

// ErrorFigure counts one kind of error in the whole run.
type ErrorFigure struct {
	Kind   string `json:"kind"` // connect, reply, disconnect, unsubscribe, transport, publish, recover, slow, come back
	Code   uint32 `json:"code"` // of the protocol or of HTTP; 0 when there is none
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// ServerFigures are about the sampled process.
type ServerFigures struct {
	PID                     int     `json:"pid"`
	CPUUserS                float64 `json:"cpu_user_s"`
	CPUSystemS              float64 `json:"cpu_system_s"`
	CPUUSPerDelivery        float64 `json:"cpu_us_per_delivery"`
	UserUSPerDelivery       float64 `json:"user_us_per_delivery"`
	CPUUSPerConnect         float64 `json:"cpu_us_per_connect"` // scenarios storm and recover
	CPUUSPerClientSecond    float64 `json:"cpu_us_per_client_second"`
	RSSBeforeBytes          int64   `json:"rss_before_bytes"`    // before the first client
	RSSConnectedBytes       int64   `json:"rss_connected_bytes"` // after connecting and the warmup
	RSSMaxBytes             int64   `json:"rss_max_bytes"`
	RSSPerClientBytes       float64 `json:"rss_per_client_bytes"`       // what connecting has added
	RSSPerSubscriptionBytes float64 `json:"rss_per_subscription_bytes"` // the same by subscriptions
}

// LoadFigures are about this program itself.
type LoadFigures struct {
	CPUS                   float64 `json:"cpu_s"`
	DeliveriesPerCPUSecond float64 `json:"deliveries_per_cpu_second"`
}

// Point is one moment of the timeline. Rates and latencies are those since the point before.
type Point struct {
	AtS          float64 `json:"at_s"`
	Phase        string  `json:"phase"` // connect, warmup, measure, drain
	Clients      int64   `json:"clients"`
	Connects     float64 `json:"connects_per_s"`
	Publications float64 `json:"publications_per_s"`
	Deliveries   float64 `json:"deliveries_per_s"`
	BytesPerS    float64 `json:"bytes_per_s"`
	P50MS        float64 `json:"p50_ms"`
	P90MS        float64 `json:"p90_ms"`
	P99MS        float64 `json:"p99_ms"`
	P999MS       float64 `json:"p999_ms"`
	MaxMS        float64 `json:"max_ms"`
	RSSBytes     int64   `json:"rss_bytes"`
	CPUUser      float64 `json:"cpu_user"` // cores
	CPUSystem    float64 `json:"cpu_system"`
	LoadCPU      float64 `json:"load_cpu"`
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func latencies(h *Histogram) Latencies {
	return Latencies{
		Count: h.Total, MeanMS: milliseconds(h.Mean()), P50MS: milliseconds(h.Quantile(.5)), P90MS: milliseconds(h.Quantile(.9)),
		P99MS: milliseconds(h.Quantile(.99)), P999MS: milliseconds(h.Quantile(.999)), MaxMS: milliseconds(h.Quantile(1)),
	}
}

// ratio is 0 when there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// judge fills in errors and failures from what was counted in the whole run.
func (r *Report) judge(total *Snapshot) {
	r.Loss = LossFigures{
		Expected: total.Expected, Received: total.Received, Gaps: total.Gaps, Missing: total.Missing,
		Duplicates: total.Duplicates, Disorder: total.Disorder, Foreign: total.Foreign,
	}
	if total.Expected > total.Received {
		r.Loss.Lost = total.Expected - total.Received
	}
	for c, n := range total.Causes {
		r.Errors = append(r.Errors, ErrorFigure{c.Kind, c.Code, c.Reason, n})
	}
	slices.SortFunc(r.Errors, func(a, b ErrorFigure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Reason, b.Reason))
	})
	l := r.Loss
	for _, f := range []struct {
		n    uint64
		what string
	}{
		{l.Lost, "deliveries lost"}, {l.Gaps, "gaps"}, {l.Duplicates, "duplicates"}, {l.Disorder, "publications out of order"},
	} {
		if f.n > 0 {
			r.Failures = append(r.Failures, fmt.Sprintf("%d %s", f.n, f.what))
		}
	}
	for _, e := range r.Errors {
		if e.Kind == causeSlow || e.Kind == causeComeBack {
			continue
		}
		r.Failures = append(r.Failures, fmt.Sprintf("%d x %s", e.Count, e.text()))
	}
	r.OK = len(r.Failures) == 0
}

// text says what an error is, without how often.
func (e ErrorFigure) text() string {
	if e.Code == 0 {
		return fmt.Sprintf("%s: %s", e.Kind, e.Reason)
	}
	return fmt.Sprintf("%s %d: %s", e.Kind, e.Code, e.Reason)
}

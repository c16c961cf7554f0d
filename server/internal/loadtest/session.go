package loadtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Phases of a run.
const (
	phaseConnect = "connect"
	phaseWarmup  = "warmup"
	phaseMeasure = "measure"
	phaseDrain   = "drain"
)

// The drain ends when nothing has arrived for drainTimeout, and after drainLimit in
// any case. connectLimit bounds one connecting of all clients.
const (
	drainTimeout = 2 * time.Second
	drainLimit   = 30 * time.Second
	connectLimit = time.Hour
)

// session is the controller of one run.
type session struct {
	// Static after construction.
	options  Options
	plan     plan
	crew     *crew
	backend  *backend // nil unless the scenario has one
	began    time.Time
	progress func(Point)

	// Owned by the goroutine of Run.
	report     *Report
	open       measurement // at the beginning of the current measured part
	measured   measurement // sum of the measured parts
	connecting Snapshot
	connectFor time.Duration
	longest    time.Duration // one connecting of all clients

	// Guarded by mu.
	mu    sync.Mutex
	phase string
	last  measurement // of the timeline
	line  []Point
	most  int64 // largest resident memory of the server, bytes
}

// measurement holds all counters at one moment, or their differences between two.
type measurement struct {
	at     time.Duration
	counts Snapshot
	server usage
}

// since returns the differences between an earlier measurement and this one.
func (m *measurement) since(o *measurement) measurement {
	return measurement{
		at: m.at - o.at, counts: m.counts.since(&o.counts),
		server: usage{m.server.user - o.server.user, m.server.system - o.server.system, m.server.rss},
	}
}

// Run executes one load test and returns its report. It returns an error if the options
// are invalid, the system's limits are too low, or ctx ends; faults of the server are in
// the report. If progress is not nil, it is called a few times a second, from one
// goroutine at a time.
func Run(ctx context.Context, o Options, progress func(Point)) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.complete()
	if err := checkResources(o); err != nil {
		return nil, err
	}
	crew, err := newCrew(ctx, o, rand.Uint32()) //nolint:gosec // not a secret
	if err != nil {
		return nil, err
	}
	defer crew.close()
	s := &session{options: o, plan: newPlan(o), crew: crew, began: time.Now(), progress: progress, phase: phaseConnect}
	s.report = s.newReport()
	if s.plan.scenario.proxied {
		if s.backend, err = newBackend(ctx, o); err != nil {
			return nil, err
		}
		defer s.backend.close()
	}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s.report, nil
}

// checkResources returns an error if limits of the system do not allow the run.
func checkResources(o Options) error {
	sources, err := parseSources(o.Sources)
	if err != nil {
		return err
	}
	each := max(len(sources), 1)
	if err := checkPorts((o.Clients + each - 1) / each); err != nil {
		return err
	}
	if err := checkFiles((o.Clients+o.Workers-1)/o.Workers + o.Publishers/o.Workers); err != nil {
		return err
	}
	if o.PID > 0 {
		_, err = processUsage(o.PID)
	}
	return err
}

func (s *session) newReport() *Report {
	o := s.options
	r := &Report{
		Scenario: o.Scenario, Transport: o.Transport, HTTP2Streams: o.HTTP2Streams, Address: o.Address, Started: s.began.UTC().Format(time.RFC3339), Encoding: "json", Deflate: o.Deflate,
		Clients: o.Clients, Rate: o.Rate, PayloadBytes: o.Payload, Workers: o.Workers, WarmupS: o.Warmup.Seconds(),
		Errors: []ErrorFigure{}, Timeline: []Point{}, Failures: []string{},
	}
	if how, _ := transport(o.Transport); o.binary(how) {
		r.Encoding = "protobuf"
	}
	if s.plan.scenario.shared {
		r.Channels += s.plan.channels
	}
	if s.plan.scenario.own {
		r.Channels += o.Clients * s.plan.each
	}
	for i := range o.Clients {
		r.Subscriptions += s.plan.subscriptions(i)
	}
	for _, g := range s.plan.groups {
		r.Publishers += g.size
	}
	if o.PID > 0 {
		r.Server = &ServerFigures{PID: o.PID}
	}
	return r
}

// run executes the steps of the scenario and records the timeline meanwhile.
func (s *session) run(ctx context.Context) error {
	start, err := s.measure(ctx)
	if err != nil {
		return err
	}
	s.last = start
	recording, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.record(recording) })
	err = s.steps(ctx)
	stop()
	wg.Wait()
	if err != nil && !errors.Is(err, errNotConnected) {
		return err
	}
	end, err := s.measure(ctx)
	if err != nil {
		return err
	}
	if s.backend != nil {
		if err := s.proxyFigures(ctx, &end.counts); err != nil {
			return err
		}
	}
	s.finish(&start, &end)
	return nil
}

// errNotConnected ends the steps; the report says why.
var errNotConnected = errors.New("not all clients are connected")

func (s *session) steps(ctx context.Context) error {
	switch {
	case s.plan.scenario.ways:
		return s.eachWay(ctx)
	case s.plan.scenario.recovers:
		return s.recoverRounds(ctx)
	case s.plan.scenario.rounds:
		return s.stormRounds(ctx)
	}
	if err := s.connect(ctx, 0); err != nil {
		return err
	}
	s.enter(phaseWarmup)
	publishing := make(chan error, 1)
	go func() {
		if !s.plan.scenario.api && !s.plan.scenario.echo {
			publishing <- nil
			return
		}
		publishing <- s.crew.publish(ctx, wayHTTP, s.options.Warmup+s.options.Duration, 0)
	}()
	if !pause(ctx, s.options.Warmup) {
		return errors.Join(ctx.Err(), <-publishing)
	}
	if err := s.window(ctx, func() error {
		if s.report.Server != nil {
			s.report.Server.RSSConnectedBytes = s.open.server.rss
		}
		if !pause(ctx, s.options.Duration) {
			return ctx.Err()
		}
		return nil
	}); err != nil {
		return errors.Join(err, <-publishing)
	}
	s.enter(phaseDrain)
	if err := <-publishing; err != nil {
		return err
	}
	return s.drain(ctx)
}

// eachWay publishes by each way into the API in turn, and notes what it costs the server.
func (s *session) eachWay(ctx context.Context) error {
	ways := s.options.apiWays()
	for _, way := range ways {
		s.enter(phaseWarmup)
		if err := s.crew.publish(ctx, way, s.options.Warmup, 0); err != nil { // connections and pools
			return err
		}
		at, published, cpu := s.measured.at, s.measured.counts.Published, s.measured.server.user+s.measured.server.system
		err := s.window(ctx, func() error {
			return s.crew.publish(ctx, way, s.options.Duration/time.Duration(len(ways)), 0)
		})
		if err != nil {
			return err
		}
		at, published, cpu = s.measured.at-at, s.measured.counts.Published-published, s.measured.server.user+s.measured.server.system-cpu
		f := WayFigures{Way: way, Publications: published, PerSecond: ratio(float64(published), at.Seconds()), CPUUSPerPublication: ratio(float64(cpu.Microseconds()), float64(published))}
		if len(s.report.Ways) > 0 {
			f.ToHTTP = ratio(s.report.Ways[0].CPUUSPerPublication, f.CPUUSPerPublication)
		}
		s.report.Ways = append(s.report.Ways, f)
	}
	return nil
}

// stormRounds connects and disconnects all clients until the duration is over.
func (s *session) stormRounds(ctx context.Context) error {
	for until := time.Now().Add(s.options.Duration); ; {
		if err := s.window(ctx, func() error { return s.connect(ctx, s.options.Rate) }); err != nil {
			return err
		}
		s.report.rounds++
		if !time.Now().Before(until) {
			return nil
		}
		s.enter(phaseConnect)
		if err := s.crew.drop(ctx); err != nil {
			return err
		}
	}
}

// recoverRounds disconnects all clients, publishes, and connects them again, until the
// duration is over.
func (s *session) recoverRounds(ctx context.Context) error {
	if err := s.connect(ctx, 0); err != nil {
		return err
	}
	for until := time.Now().Add(s.options.Duration); ; {
		s.enter(phaseWarmup)
		if err := s.crew.drop(ctx); err != nil {
			return err
		}
		if err := s.crew.publish(ctx, wayHTTP, s.options.Duration+apiTimeout, s.options.Missed); err != nil {
			return err
		}
		if err := s.window(ctx, func() error { return s.connect(ctx, 0) }); err != nil {
			return err
		}
		s.report.rounds++
		s.enter(phaseDrain)
		if err := s.drain(ctx); err != nil {
			return err
		}
		if !time.Now().Before(until) {
			return nil
		}
	}
}

// connect connects all clients, at most rate a second if rate is not 0.
func (s *session) connect(ctx context.Context, rate float64) error {
	limit := connectLimit
	if s.plan.scenario.proxied {
		limit = comeBackLimit
	}
	connecting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	before, err := s.crew.snapshot(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.crew.connect(connecting, rate); err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	s.connectFor += time.Since(began)
	s.longest = max(s.longest, time.Since(began))
	after, err := s.crew.snapshot(ctx)
	if err != nil {
		return err
	}
	added := after.since(&before)
	added.Causes = nil
	s.connecting.add(&added)
	if after.Ready < int64(s.options.Clients) {
		s.report.Failures = append(s.report.Failures, fmt.Sprintf("%d of %d clients are not connected", int64(s.options.Clients)-after.Ready, s.options.Clients))
		return errNotConnected
	}
	return nil
}

// window measures what happens while f runs.
func (s *session) window(ctx context.Context, f func() error) error {
	var err error
	if s.open, err = s.measure(ctx); err != nil {
		return err
	}
	s.enter(phaseMeasure)
	if err := f(); err != nil {
		return err
	}
	end, err := s.measure(ctx)
	if err != nil {
		return err
	}
	part := end.since(&s.open)
	part.counts.Causes = nil
	s.measured.at += part.at
	s.measured.counts.add(&part.counts)
	s.measured.server.user += part.server.user
	s.measured.server.system += part.server.system
	return nil
}

// drain waits for deliveries that have not arrived yet.
func (s *session) drain(ctx context.Context) error {
	var last uint64
	idle, began := time.Now(), time.Now()
	for {
		c, err := s.crew.snapshot(ctx)
		if err != nil {
			return err
		}
		if c.Received >= c.Expected || time.Since(idle) > drainTimeout || time.Since(began) > drainLimit {
			return nil
		}
		if c.Received != last {
			last, idle = c.Received, time.Now()
		}
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (s *session) enter(phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = phase
}

// measure takes the counts and the server's usage of now.
func (s *session) measure(ctx context.Context) (m measurement, err error) {
	if m.counts, err = s.crew.snapshot(ctx); err != nil {
		return m, err
	}
	m.at = time.Since(s.began)
	if s.options.PID > 0 {
		m.server, err = processUsage(s.options.PID)
	}
	return m, err
}

// record adds points to the timeline until ctx ends.
func (s *session) record(ctx context.Context) {
	const points = 1000
	interval := min(max((s.options.Warmup+s.options.Duration)/points, 250*time.Millisecond), 10*time.Second)
	for pause(ctx, interval) {
		now, err := s.measure(ctx)
		if err != nil {
			return // steps returns the same error
		}
		p := s.point(&now)
		if s.progress != nil {
			s.progress(p)
		}
	}
}

func (s *session) point(now *measurement) Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := now.since(&s.last)
	seconds := max(d.at.Seconds(), 1e-3)
	h := &d.counts.Latency
	p := Point{
		AtS: now.at.Seconds(), Phase: s.phase, Clients: d.counts.Ready,
		Connects: float64(d.counts.Connects) / seconds, Publications: float64(d.counts.Published) / seconds,
		Deliveries: float64(d.counts.Deliveries) / seconds, BytesPerS: float64(d.counts.Bytes) / seconds,
		P50MS: milliseconds(h.Quantile(.5)), P90MS: milliseconds(h.Quantile(.9)), P99MS: milliseconds(h.Quantile(.99)),
		P999MS: milliseconds(h.Quantile(.999)), MaxMS: milliseconds(h.Quantile(1)),
		RSSBytes: now.server.rss, CPUUser: d.server.user.Seconds() / seconds, CPUSystem: d.server.system.Seconds() / seconds,
		LoadCPU: d.counts.CPU.Seconds() / seconds,
	}
	s.last = *now
	const most = 10_000 // bounds the timeline of a run that connects for hours
	if len(s.line) < most {
		s.line = append(s.line, p)
	}
	s.most = max(s.most, now.server.rss)
	return p
}

// finish writes the report.
func (s *session) finish(start, end *measurement) {
	r, m := s.report, &s.measured
	seconds := m.at.Seconds()
	r.DurationS = seconds
	connects := &s.connecting
	if s.plan.scenario.rounds {
		connects = &m.counts
	} else {
		seconds = s.connectFor.Seconds()
	}
	r.Connect = ConnectFigures{connects.Connects, seconds, ratio(float64(connects.Connects), seconds), latencies(&connects.Connecting)}
	seconds = m.at.Seconds()
	r.Publish = PublishFigures{m.counts.Published, ratio(float64(m.counts.Published), seconds), latencies(&m.counts.Publishing)}
	r.Deliver = DeliverFigures{
		Count: m.counts.Deliveries, PerSecond: ratio(float64(m.counts.Deliveries), seconds),
		Bytes: m.counts.Bytes, BytesPerSecond: ratio(float64(m.counts.Bytes), seconds), Latency: latencies(&m.counts.Latency),
	}
	cpu := m.counts.CPU.Seconds()
	r.Load = LoadFigures{cpu, ratio(float64(m.counts.Deliveries), cpu)}
	r.Timeline = append(r.Timeline, s.line...)
	s.serverFigures(start, end)
	total := &end.counts
	if s.plan.scenario.recovers {
		r.Recover = &RecoverFigures{Rounds: r.rounds, Missed: s.options.Missed, Recovered: m.counts.Recovered, RecoveredPerSecond: ratio(float64(m.counts.Recovered), seconds)}
		r.Recover.CPUUSPerPublication = ratio(float64((m.server.user + m.server.system).Microseconds()), float64(m.counts.Recovered))
	}
	if s.plan.scenario.slow > 0 {
		s.slowFigures(total)
	}
	if (s.plan.scenario.api || s.plan.scenario.echo) && total.Published == 0 && len(r.Failures) == 0 {
		r.Failures = append(r.Failures, "nothing was published")
	}
	r.judge(total)
}

func (s *session) serverFigures(start, end *measurement) {
	f := s.report.Server
	if f == nil {
		return
	}
	m := &s.measured
	cpu, user := float64((m.server.user + m.server.system).Microseconds()), float64(m.server.user.Microseconds())
	f.CPUUserS, f.CPUSystemS = m.server.user.Seconds(), m.server.system.Seconds()
	f.CPUUSPerDelivery, f.UserUSPerDelivery = ratio(cpu, float64(m.counts.Deliveries)), ratio(user, float64(m.counts.Deliveries))
	if s.plan.scenario.rounds {
		f.CPUUSPerConnect = ratio(cpu, float64(m.counts.Connects))
	}
	f.RSSBeforeBytes = start.server.rss
	if f.RSSConnectedBytes == 0 { // without a warmup the figure is that of the end
		f.RSSConnectedBytes = end.server.rss
	}
	f.RSSMaxBytes = max(s.most, start.server.rss, end.server.rss)
	if s.plan.scenario.ways {
		return // no client is connected
	}
	f.CPUUSPerClientSecond = ratio(cpu, float64(s.options.Clients)*m.at.Seconds())
	grown := float64(f.RSSConnectedBytes - f.RSSBeforeBytes)
	f.RSSPerClientBytes, f.RSSPerSubscriptionBytes = ratio(grown, float64(s.options.Clients)), ratio(grown, float64(s.report.Subscriptions))
}

func (s *session) slowFigures(total *Snapshot) {
	f := &SlowFigures{Deliveries: total.SlowCount}
	for i := range s.options.Clients {
		if s.plan.isSlow(i) {
			f.Clients++
		}
	}
	f.BytesPerSecond = ratio(float64(s.measured.counts.SlowBytes), s.measured.at.Seconds()*float64(f.Clients))
	for c, n := range total.Causes {
		if c.Kind == causeSlow {
			f.Disconnected += n
		}
	}
	s.report.Slow = f
}

// proxyFigures fills in what the backend has counted, and judges it.
func (s *session) proxyFigures(ctx context.Context, total *Snapshot) error {
	counts, err := s.backend.counts(ctx)
	if err != nil {
		return err
	}
	r, o := s.report, &s.options
	f := &ProxyFigures{
		Rounds: r.rounds, BackendMS: milliseconds(o.BackendTime), Parallel: o.BackendParallel, Calls: counts.Calls, Answered: counts.Answered,
		Abandoned: counts.Abandoned, Unavailable: counts.Unavailable, MaxInFlight: counts.MaxInFlight, AllInS: s.longest.Seconds(),
	}
	for c, n := range total.Causes {
		if c.Kind == causeComeBack {
			f.CameBack += n
			if callFailed(c.Code) {
				f.FailedConnects += n
			}
		}
	}
	r.Proxy = f
	fault := func(when bool, format string, args ...any) {
		if when {
			r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
		}
	}
	fault(f.Calls == 0, "the server has not called the backend at %s", o.Backend)
	fault(f.Abandoned > 0, "%d calls of the backend timed out", f.Abandoned)
	fault(f.FailedConnects > 0 && o.BackendOutage == 0, "%d connects failed because a call did, or the breaker was open", f.FailedConnects)
	fault(f.MaxInFlight > f.Parallel, "%d calls at the same time, which is more than the %d that the backend takes", f.MaxInFlight, f.Parallel)
	return nil
}

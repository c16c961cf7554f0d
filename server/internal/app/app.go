// Package app wires the server together: it builds the node, the API and the HTTP
// listeners from the configuration, runs them, reloads the configuration and shuts down.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/prommetrics"
	"centrifugo/centrifuge/transport/websocket"
	"centrifugo/centrifuge/transport/webtransport"
	"centrifugo/server/internal/access"
	"centrifugo/server/internal/acme"
	"centrifugo/server/internal/admin"
	"centrifugo/server/internal/admission"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/apigrpc"
	"centrifugo/server/internal/apihttp"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	sockets "centrifugo/server/internal/listener"
	"centrifugo/server/internal/middleware"
	"centrifugo/server/internal/proxy"
	"centrifugo/server/internal/revocation"
	"centrifugo/server/internal/telemetry"
	"centrifugo/server/internal/trace"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/gobwas/glob"
	"github.com/prometheus/client_golang/prometheus"
)

// Options of a server beside its configuration.
type Options struct {
	// Dev serves the playground.
	Dev bool
	// Version of the program.
	Version string
	// Warnings of loading the configuration. New logs them.
	Warnings []config.Warning
	// Reload loads the configuration again; nil if that is not possible.
	Reload func() (*config.Config, []config.Warning, error)
	// Hangup requests a reload with each signal.
	Hangup <-chan os.Signal
	// Sockets are those that the process was given; nil for none.
	Sockets *sockets.Inherited
	// Stderr receives the log unless log.file is set.
	Stderr *os.File
}

// App is a server. New returns one.
type App struct {
	// Static after construction.
	config     *config.Config
	options    Options
	timeouts   timeouts
	limits     limits
	log        *slog.Logger
	logging    *logging
	registry   *prometheus.Registry // of metrics
	telemetry  *telemetry.Telemetry // nil when disabled
	node       *centrifuge.Node
	engine     engine
	policy     *access.Policy
	proxies    *proxy.Set
	api        *api.API
	metrics    *metrics
	refusals   *middleware.RefusalLog
	origins    *middleware.Origins
	gate       *admission.Gate  // of new connections
	apiHTTP    *apihttp.Handler // nil when disabled
	apiGRPC    *apigrpc.Server  // nil when disabled
	admin      *admin.Handler   // nil when disabled
	transports []*transport     // those of clients that are enabled
	// adminSocket is the transport of the admin interface; nil when that is disabled.
	adminSocket *transport
	// applied is what the admin interface shows. The goroutine of serve replaces it.
	applied atomic.Pointer[applied]
	// webTransport is the handler among them that needs the HTTP/3 server; nil when disabled.
	webTransport *webtransport.Handler
	consumers    []*consumer.Consumer

	revocations *revocation.Registry // before the policy
	traces      *trace.Traces

	// Owned by listen.
	forwarders     []netip.Prefix // reverse proxies that are believed
	acme           *acme.Manager  // nil when disabled
	tlsBuffersKept bool           // websocket.KeepsTLSBuffers, until it is logged

	// Owned by serve.
	current       *config.Config // the last one that was applied; config is that of the start
	notifier      *sockets.Notifier
	stopConsumers func(ctx context.Context) error // nil before they are started
}

// New builds a server and starts its node. Run stops the node.
func New(cfg *config.Config, o Options) (*App, error) {
	a := &App{config: cfg, current: cfg, options: o, timeouts: defaultTimeouts, tlsBuffersKept: websocket.KeepsTLSBuffers()}
	var err error
	if a.logging, err = newLogger(cfg.Log, o.Stderr); err != nil {
		return nil, err
	}
	a.log = a.logging.Logger
	a.notifier = sockets.NewNotifier(a.log)
	a.refusals = middleware.NewRefusalLog(a.log, "connection refused")
	for _, w := range o.Warnings {
		a.log.Warn("configuration", "warning", w.String())
	}
	a.limits = takeLimits(a.log, memlimit.FromCgroup) // before anything that depends on them is made
	a.limits.log(a.log)
	warnOfFiles(a.log, openFiles(), cfg.Client.ConnectionLimit)
	if err := a.assemble(); err != nil {
		return nil, errors.Join(err, a.logging.close())
	}
	a.newTransports()
	a.applied.Store(&applied{config: cfg, warnings: o.Warnings})
	return a, nil
}

// assemble makes what can fail. It starts the node last, so that nothing runs after an
// error.
func (a *App) assemble() error {
	if err := a.build(); err != nil {
		return err
	}
	if err := a.node.Run(); err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	return nil
}

// build makes what can fail and starts nothing.
func (a *App) build() error {
	cfg := a.config
	var err error
	if a.origins, err = middleware.NewOrigins(cfg.Client.AllowedOrigins); err != nil {
		return fmt.Errorf("client.allowed_origins: %w", err)
	}
	if a.origins.Any() {
		a.log.Warn("client.allowed_origins admits every origin")
	}
	a.registry = prometheus.NewRegistry()
	if err := a.newTelemetry(); err != nil {
		return err
	}
	if err := a.newNode(); err != nil {
		return err
	}
	a.newRevocations()
	proxyMetrics, err := a.newProxies()
	if err != nil {
		return err
	}
	a.policy, err = access.New(sections(cfg), access.Options{
		Node: a.node, User: middleware.UserFrom, Revocations: a.revocations, Proxies: a.proxies, Log: a.log,
	})
	if err != nil {
		return err
	}
	handlers := a.handlers()
	handlers.Notification = a.notification
	if err := a.node.Handle(handlers); err != nil {
		return fmt.Errorf("setting the node's handlers: %w", err)
	}
	a.gate = admission.NewGate(admission.Config{
		Limit: cfg.Client.ConnectionLimit, Connections: a.node.NumClients, MaxDelay: cfg.Client.ConnectionMaxDelay, Rate: cfg.Client.ConnectionRateLimit,
	})
	a.metrics = newMetrics(a.registry, a.node, prommetrics.Options{
		Version: a.options.Version + " OSS", RecoveredPublications: cfg.Prometheus.RecoveredPublicationsHistogram,
	}, cfg.Prometheus.NativeHistograms, a.logging.lost)
	a.metrics.registry.MustRegister(engineMetrics{a.engine}, proxyMetrics)
	a.metrics.registry.MustRegister(admissionMetrics(a.gate.Controller())...)
	a.metrics.countKeySets(a.policy.KeySetStats)
	a.metrics.countRevocations(a.revocations)
	if cfg.Prometheus.InstrumentHTTPHandlers {
		a.metrics.requests = newRequestCounter()
		a.metrics.registry.MustRegister(a.metrics.requests)
	}
	a.api = a.newAPI("http", false)
	if err := a.newConsumers(); err != nil {
		return err
	}
	a.metrics.registry.MustRegister(consumerMetrics(a.consumers))
	return a.newAdmin()
}

// newAPI returns the API of a carrier.
func (a *App) newAPI(protocol string, binary bool) *api.API {
	return api.New(api.Options{
		Protocol: protocol, Binary: binary, Node: a.node, Rules: a.policy.Rules, Revocations: a.revocations,
		Observer: a.metrics.api.observe, Tracer: a.callTracer(protocol), Log: a.log,
		Latency: a.config.Prometheus.PublicationLatencySample > 0,
	})
}

func sections(cfg *config.Config) access.Sections {
	return access.Sections{Client: cfg.Client, Channel: cfg.Channel, RPC: cfg.RPC}
}

func (a *App) newNode() error {
	c := a.config.Client
	engine, err := newEngine(a.config, centrifuge.SlogHandler(a.log))
	if err != nil {
		return err
	}
	a.engine = engine
	node, err := centrifuge.New(centrifuge.Config{
		Broker: engine.broker, PresenceManager: engine.presence, Controller: engine.controller,
		Spans:         a.spans(),
		SoftwareNames: a.config.Prometheus.ClientNames,
		ChannelLabel:  a.channelLabel(), MaxChannelLabels: a.config.Prometheus.ChannelNamespaces, LatencySample: a.config.Prometheus.PublicationLatencySample,
		NativeHistograms: a.config.Prometheus.NativeHistograms,
		Name:             nodeName(a.config), Version: a.options.Version + " OSS",
		LogHandler: centrifuge.SlogHandler(a.log), LogLevel: nodeLogLevel(a.config.Log.Level),
		PingInterval: orNone(c.PingInterval), PongTimeout: orNone(c.PongTimeout), StaleCloseDelay: c.StaleCloseDelay,
		ExpiredCloseDelay: c.ExpiredCloseDelay, ExpiredSubCloseDelay: c.ExpiredSubCloseDelay,
		PresenceInterval: c.PresenceUpdateInterval, PositionCheckDelay: c.ChannelPositionCheckDelay,
		WriteTimeout: a.config.WebSocket.WriteTimeout, HistoryMetaTTL: a.config.Channel.HistoryMetaTTL,
		ChannelLimit: orNone(c.ChannelLimit), ChannelMaxLength: a.config.Channel.MaxLength, QueueSize: c.QueueMaxSize,
		QueueTotalSize: c.QueueMaxTotalSize, WriteDelay: c.WriteDelay, MaxBatch: c.MaxMessagesInFrame,
		UserConnectionLimit: c.UserConnectionLimit, HistoryMaxPublications: orNone(c.HistoryMaxPublicationLimit),
		RecoveryMaxPublications: orNone(c.RecoveryMaxPublicationLimit), ReplyMaxSize: orNone(c.ReplyMaxSize), ReleaseRate: orNone(a.config.Shutdown.ReleaseRate), IncludeServerTime: c.ConnectIncludeServerTime,
		UnidirectionalDisconnect: unidirectionalDisconnect(c.ConnectCodeToUnidirectionalDisconnect),
		Concurrency:              c.Concurrency, MatchChannel: matchChannel, ChannelBatch: a.channelBatch, PatternPrefix: a.patternPrefix, Lanes: a.limits.procs,
	})
	if err != nil {
		return fmt.Errorf("creating the node: %w", err)
	}
	node.CountTransports(transportNames()...)
	a.node = node
	a.traces = trace.New(node, nodeName(a.config))
	return nil
}

// nodeName is the configured name, or else made of the host and the port, so that it is the
// same after a restart.
func nodeName(cfg *config.Config) string {
	if cfg.Node.Name != "" {
		return cfg.Node.Name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "_" + strconv.Itoa(cfg.HTTPServer.Port)
}

// orNone converts a value of the configuration to one of the library. Zero means none in
// the configuration, because defaults were applied (server.md 6.1), and the
// default in the library, where a negative value means none.
func orNone[T ~int | ~int64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

func matchChannel(pattern string) (func(string) bool, error) {
	g, err := glob.Compile(pattern)
	if err != nil {
		return nil, err //nolint:wrapcheck // the library wraps it
	}
	return g.Match, nil
}

// Run serves until ctx is done, then shuts down: it sends a shutdown notice to all
// clients and waits for them. It returns nil if that took no longer than
// shutdown.timeout. It must be called only once.
func (a *App) Run(ctx context.Context) error {
	defer func() { _ = a.logging.close() }()
	servers, err := a.listen(ctx)
	if err != nil {
		return errors.Join(err, a.shutdown(nil))
	}
	return a.serve(ctx, servers)
}

func (a *App) serve(ctx context.Context, servers []*server) error {
	removePID, err := writePID(a.config.PIDFile)
	if err != nil {
		closeAll(servers)
		return errors.Join(err, a.shutdown(nil))
	}
	defer removePID()
	failed := make(chan error, len(servers))
	for _, s := range servers {
		a.log.Info("serving", "address", s.listener.Addr().String(), "endpoints", s.endpoints)
		s.logExposure(a.log)
		go func() { failed <- s.serve() }()
	}
	a.stopConsumers = a.startConsumers()
	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { giveMemoryBack(ctx) })
	background.Go(func() { a.revocations.Run(ctx) })
	a.metrics.registry.MustRegister(&certificateMetrics{servers, a.acme})
	background.Go(func() { a.watchCertificates(ctx, servers) })
	if busy := a.gate.Controller(); busy != nil {
		background.Go(func() { busy.Run(ctx) })
	}
	a.startACME(ctx, &background)
	a.startGraphite(ctx, &background)
	background.Go(func() { a.metrics.aggregate(ctx, a.node, a.config.Node.InfoMetricsAggregateInterval) })
	alive, stopAlive := a.aliveTicks()
	defer stopAlive()
	a.notifier.Ready()
	for {
		select {
		case <-alive:
			a.notifier.Alive()
		case <-ctx.Done():
			a.log.Info("shutting down", "clients", a.node.NumClients())
			return a.shutdown(servers)
		case err := <-failed:
			return errors.Join(err, a.shutdown(servers))
		case <-a.options.Hangup:
			a.notifier.Reloading()
			a.reload(servers)
			a.notifier.Ready()
		}
	}
}

// aliveTicks returns a channel of the moments to tell systemd that the server is not stuck, or
// nil if it does not ask.
func (a *App) aliveTicks() (ticks <-chan time.Time, stop func()) {
	period := a.notifier.AlivePeriod()
	if period <= 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(period)
	return ticker.C, ticker.Stop
}

// stopMargin is what systemd grants a server beyond shutdown.timeout before it kills it.
const stopMargin = 5 * time.Second

// shutdown stops consumers, accepts no new connections, tells clients to reconnect to another node, and
// waits at most shutdown.timeout.
func (a *App) shutdown(servers []*server) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.config.Shutdown.Timeout)
	defer cancel()
	a.notifier.Stopping(a.config.Shutdown.Timeout + stopMargin)
	if a.apiHTTP != nil {
		a.apiHTTP.Stop()
	}
	stopConsumers := a.stopConsumers
	if stopConsumers == nil {
		stopConsumers = func(context.Context) error { return nil }
	}
	done := make(chan error, len(servers)+1)
	go func() {
		soon, cancel := context.WithTimeout(ctx, time.Second)
		_ = stopConsumers(soon) // the messages in work still find a node that runs; clients do not wait for long
		cancel()
		done <- errors.Join(a.node.Shutdown(ctx), stopConsumers(ctx))
		a.traces.Close()
	}()
	for _, s := range servers {
		go func() { done <- s.service.Shutdown(ctx) }()
	}
	var err error
	for range len(servers) + 1 {
		err = errors.Join(err, <-done)
	}
	a.drainTransports(ctx)
	a.policy.Close()
	a.engine.close(ctx)
	err = errors.Join(err, a.proxies.Close())
	a.closeTelemetry(ctx)
	if err != nil {
		err = fmt.Errorf("shutdown took longer than %v: %w", a.config.Shutdown.Timeout, err)
		a.log.Log(context.Background(), levelFatal, "stopped before its time", "error", err)
		for _, s := range servers {
			_ = s.service.Close()
		}
		return err
	}
	a.log.Info("stopped")
	return nil
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

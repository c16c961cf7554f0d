// Package app wires the server together: it builds the node, the API and the HTTP
// listeners from the configuration, runs them, reloads the configuration and shuts down.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/websocket"
	"centrifugo/server/internal/access"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/apihttp"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/gobwas/glob"
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
	node       *centrifuge.Node
	policy     *access.Policy
	api        *api.API
	metrics    *metrics
	refusals   *middleware.RefusalLog
	origins    *middleware.Origins
	apiHTTP    *apihttp.Handler // nil when disabled
	transports []*transport     // those that are enabled

	// Owned by listen.
	tlsBuffersKept bool // websocket.KeepsTLSBuffers, until it is logged

	// Owned by serve.
	current *config.Config // the last one that was applied; config is that of the start
}

// New builds a server and starts its node. Run stops the node.
func New(cfg *config.Config, o Options) (*App, error) {
	a := &App{config: cfg, current: cfg, options: o, timeouts: defaultTimeouts, tlsBuffersKept: websocket.KeepsTLSBuffers()}
	var err error
	if a.logging, err = newLogger(cfg.Log, o.Stderr); err != nil {
		return nil, err
	}
	a.log = a.logging.Logger
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
	if err := a.newNode(); err != nil {
		return err
	}
	a.policy, err = access.New(sections(cfg), access.Options{Node: a.node, User: middleware.UserFrom, Log: a.log})
	if err != nil {
		return err
	}
	if err := a.node.Handle(a.policy.Handlers()); err != nil {
		return fmt.Errorf("setting the node's handlers: %w", err)
	}
	a.metrics = newMetrics(a.node, a.options.Version, a.logging.lost)
	if cfg.Prometheus.InstrumentHTTPHandlers {
		a.metrics.requests = newRequestCounter()
		a.metrics.registry.MustRegister(a.metrics.requests)
	}
	a.api = api.New(api.Options{Protocol: "http", Node: a.node, Rules: a.policy.Rules, Observer: a.metrics.observe, Log: a.log})
	return nil
}

func sections(cfg *config.Config) access.Sections {
	return access.Sections{Client: cfg.Client, Channel: cfg.Channel, RPC: cfg.RPC}
}

func (a *App) newNode() error {
	c, server := a.config.Client, a.config.HTTPServer
	name := a.config.Node.Name
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		name = host + "_" + strconv.Itoa(server.Port)
	}
	engine, err := newEngine(a.config)
	if err != nil {
		return err
	}
	node, err := centrifuge.New(centrifuge.Config{
		Broker: engine.broker, PresenceManager: engine.presence, Controller: engine.controller,
		Name: name, Version: a.options.Version + " OSS",
		LogHandler: centrifuge.SlogHandler(a.log), LogLevel: nodeLogLevel(a.config.Log.Level),
		PingInterval: orNone(c.PingInterval), PongTimeout: orNone(c.PongTimeout), StaleCloseDelay: c.StaleCloseDelay,
		ExpiredCloseDelay: c.ExpiredCloseDelay, ExpiredSubCloseDelay: c.ExpiredSubCloseDelay,
		PresenceInterval: c.PresenceUpdateInterval, PositionCheckDelay: c.ChannelPositionCheckDelay,
		WriteTimeout: a.config.WebSocket.WriteTimeout, HistoryMetaTTL: a.config.Channel.HistoryMetaTTL,
		ChannelLimit: orNone(c.ChannelLimit), ChannelMaxLength: a.config.Channel.MaxLength, QueueSize: c.QueueMaxSize,
		QueueTotalSize: c.QueueMaxTotalSize, WriteDelay: c.WriteDelay, MaxBatch: c.MaxMessagesInFrame,
		UserConnectionLimit: c.UserConnectionLimit, HistoryMaxPublications: orNone(c.HistoryMaxPublicationLimit),
		RecoveryMaxPublications: orNone(c.RecoveryMaxPublicationLimit), ReplyMaxSize: orNone(c.ReplyMaxSize), IncludeServerTime: c.ConnectIncludeServerTime,
		Concurrency: c.Concurrency, MatchChannel: matchChannel, ChannelBatch: a.channelBatch, Lanes: a.limits.procs,
	})
	if err != nil {
		return fmt.Errorf("creating the node: %w", err)
	}
	node.CountTransports(transportNames()...)
	a.node = node
	return nil
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
	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { giveMemoryBack(ctx) })
	background.Go(func() { a.watchCertificates(ctx, servers) })
	background.Go(func() { a.metrics.aggregate(ctx, a.node, a.config.Node.InfoMetricsAggregateInterval) })
	for {
		select {
		case <-ctx.Done():
			a.log.Info("shutting down", "clients", a.node.NumClients())
			return a.shutdown(servers)
		case err := <-failed:
			return errors.Join(err, a.shutdown(servers))
		case <-a.options.Hangup:
			a.reload(servers)
		}
	}
}

// shutdown accepts no new connections, tells clients to reconnect to another node, and
// waits at most shutdown.timeout.
func (a *App) shutdown(servers []*server) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.config.Shutdown.Timeout)
	defer cancel()
	done := make(chan error, len(servers)+1)
	go func() { done <- a.node.Shutdown(ctx) }()
	for _, s := range servers {
		go func() { done <- s.http.Shutdown(ctx) }()
	}
	var err error
	for range len(servers) + 1 {
		err = errors.Join(err, <-done)
	}
	a.drainTransports(ctx)
	if err != nil {
		err = fmt.Errorf("shutdown took longer than %v: %w", a.config.Shutdown.Timeout, err)
		a.log.Log(context.Background(), levelFatal, "stopped before its time", "error", err)
		for _, s := range servers {
			_ = s.http.Close()
		}
		return err
	}
	a.log.Info("stopped")
	return nil
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// Package app is where the rooms of the server meet: it says what is switched
// on, and knows how nothing works.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/websocket"
	"centrifugo/internal/logsample"
	"centrifugo/server/internal/access"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/apihttp"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/gobwas/glob"
)

// Options go to the server beside its configuration.
type Options struct {
	// Dev serves the playground and says so.
	Dev bool
	// Version of the program.
	Version string
	// Warnings of loading the configuration, to be logged.
	Warnings []config.Warning
	// Reload loads the configuration again; nil if it cannot be.
	Reload func() (*config.Config, []config.Warning, error)
	// Hangup asks for a reload.
	Hangup <-chan os.Signal
	// Stderr receives the log where no file does.
	Stderr *os.File
}

// App is a server that is put together.
type App struct {
	// Static after construction.
	config    *config.Config
	options   Options
	timeouts  timeouts
	limits    limits
	log       *slog.Logger
	logging   *logging
	node      *centrifuge.Node
	policy    *access.Policy
	api       *api.API
	metrics   *metrics
	refusals  *logsample.Sampler
	origins   *middleware.Origins
	apiHTTP   *apihttp.Handler   // nil when disabled
	websocket *websocket.Handler // nil when disabled

	// Owned by serve.
	current *config.Config // last one that was taken over; config is that of the start
}

// New puts a server together and starts its node, which Run ends.
func New(cfg *config.Config, o Options) (*App, error) {
	a := &App{config: cfg, current: cfg, options: o, timeouts: defaultTimeouts, refusals: logsample.New(refusalLines, time.Second)}
	var err error
	if a.logging, err = newLogger(cfg.Log, o.Stderr); err != nil {
		return nil, err
	}
	a.log = a.logging.Logger
	for _, w := range o.Warnings {
		a.log.Warn("configuration", "warning", w.String())
	}
	a.limits = takeLimits(a.log, memlimit.FromCgroup) // before parts are made that are measured by them
	a.limits.log(a.log)
	warnOfFiles(a.log, openFiles(), cfg.Client.ConnectionLimit)
	if err := a.assemble(); err != nil {
		return nil, errors.Join(err, a.logging.close())
	}
	a.newWebSocket()
	return a, nil
}

// assemble makes the parts that can fail. The node is started last, so that an
// error leaves nothing running.
func (a *App) assemble() error {
	if err := a.build(); err != nil {
		return err
	}
	if err := a.node.Run(); err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	return nil
}

// build makes the parts that can fail and starts nothing.
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
	node, err := centrifuge.New(centrifuge.Config{
		Broker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{
			HistoryMetaTTL: a.config.Channel.HistoryMetaTTL,
			HistoryMaxSize: a.config.Engine.Memory.HistoryMaxSize, HistoryMaxChannels: a.config.Engine.Memory.HistoryMaxChannels,
		}),
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
		return fmt.Errorf("making the node: %w", err)
	}
	node.CountTransports("websocket")
	a.node = node
	return nil
}

// orNone: in a configuration that has defaults a zero can only have been forced
// (server-interface 6.1) and means none, which the library writes as negative.
func orNone[T ~int | ~int64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

func matchChannel(pattern string) (func(string) bool, error) {
	g, err := glob.Compile(pattern)
	if err != nil {
		return nil, err //nolint:wrapcheck // the library says what it was doing
	}
	return g.Match, nil
}

func (a *App) newWebSocket() {
	c := a.config.WebSocket
	if c.Disabled {
		return
	}
	a.websocket = websocket.NewHandler(a.node, websocket.Config{
		CheckOrigin: a.allowedOrigin, MessageSizeLimit: c.MessageSizeLimit,
		DecompressedSizeLimit: c.DecompressedMessageSizeLimit, Compression: c.Compression,
		CompressionMinSize: c.CompressionMinSize, CompressionLevel: c.CompressionLevel, WriteTimeout: c.WriteTimeout,
		OnError:   func(err error) { a.log.Error("websocket", "error", err) },
		OnRefused: a.connectionRefused,
	})
}

// Run serves until ctx ends, then says goodbye to the clients. It returns nil
// after an orderly shutdown within shutdown.timeout. It is called once.
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

// shutdown takes no new connections, tells those there are to reconnect
// elsewhere, and waits for all of it no longer than configured.
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
	if a.websocket != nil {
		// The node is done when every client was told; the sockets when each has
		// answered. One that does not has nothing to say about the exit code.
		_ = a.websocket.Drain(ctx)
		a.websocket.Close()
	}
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

var _ http.Handler = (*websocket.Handler)(nil)

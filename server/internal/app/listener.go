package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"centrifugo/server/internal/apihttp"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"
	"centrifugo/server/internal/playground"

	"github.com/prometheus/client_golang/prometheus"
)

// timeouts of the HTTP servers. They do not apply to hijacked connections, as those of
// WebSocket are. A handler that streams replaces them by http.ResponseController.
type timeouts struct{ readHeader, read, write, idle, certificates time.Duration }

// defaultTimeouts are not configurable (server.md 6.6).
var defaultTimeouts = timeouts{
	readHeader: 10 * time.Second, read: 30 * time.Second, write: 10 * time.Second, idle: 2 * time.Minute,
	certificates: 30 * time.Second,
}

// server is one HTTP listener with its endpoints.
type server struct {
	listener  net.Listener
	http      *http.Server
	endpoints []string
	insecure  []string // keys of the insecure modes of these endpoints
	internal  bool
	// certificates are nil without TLS.
	certificates *certificates
}

func (s *server) serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", s.listener.Addr(), err)
	}
	return nil
}

// routes is a mux with a list of its patterns.
type routes struct {
	mux      *http.ServeMux
	patterns []string
	insecure []string               // keys of the insecure modes of the endpoints
	local    *middleware.Local      // guard of the insecure endpoints
	requests *prometheus.CounterVec // counts requests; nil disables counting
	err      error                  // of patterns that could not be mounted
}

func (a *App) newRoutes(address string) *routes {
	return &routes{mux: http.NewServeMux(), local: a.local(address), requests: a.metrics.requests}
}

// handle mounts h. It adds to err if the pattern conflicts with another, for which the
// mux panics.
func (r *routes) handle(pattern string, h http.Handler) {
	defer func() {
		if reason := recover(); reason != nil {
			r.err = errors.Join(r.err, fmt.Errorf("mounting %s: %v", pattern, reason))
		}
	}()
	if r.requests != nil {
		h = instrumented(r.requests, pattern, h)
	}
	r.mux.Handle(pattern, h)
	r.patterns = append(r.patterns, pattern)
}

// path returns a configured prefix as a pattern, without trailing slashes.
func path(prefix string) string {
	if p := strings.TrimRight(prefix, "/"); p != "" {
		return p
	}
	return "/"
}

// plan describes a listener that is to be opened.
type plan struct {
	address string
	routes  *routes
	tls     config.TLS
	// internal is set for the listener of operators and backends.
	internal bool
}

// plan returns the listeners that have endpoints.
func (a *App) plan() ([]plan, error) {
	c := a.config.HTTPServer
	external := address(c.Address, c.Port)
	internal := external
	if c.InternalAddress != "" || c.InternalPort != 0 {
		internal = address(firstOf(c.InternalAddress, c.Address), firstOf(c.InternalPort, c.Port))
	}
	outer := a.newRoutes(external)
	inner := a.newRoutes(internal)
	if internal == external {
		inner = outer
	}
	a.mountClients(outer)
	a.mountAPI(outer, inner)
	a.mountOperations(inner)
	if err := errors.Join(outer.err, inner.err); err != nil { // the same twice where there is one listener
		return nil, err
	}

	externalTLS, internalTLS := tlsSections(c)
	var plans []plan
	if len(outer.patterns) > 0 {
		plans = append(plans, plan{external, outer, externalTLS, false})
	}
	if inner != outer && len(inner.patterns) > 0 {
		plans = append(plans, plan{internal, inner, internalTLS, true})
	}
	return plans, nil
}

// listen opens the listeners that have endpoints. Nothing is served yet.
func (a *App) listen(ctx context.Context) ([]*server, error) {
	plans, err := a.plan()
	if err != nil {
		return nil, err
	}
	servers := make([]*server, 0, len(plans))
	for _, p := range plans {
		s, err := a.open(ctx, p)
		if err != nil {
			closeAll(servers)
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// closeAll closes the listeners.
func closeAll(servers []*server) {
	for _, s := range servers {
		_ = s.listener.Close()
	}
}

func firstOf[T comparable](a, b T) T {
	var zero T
	if a != zero {
		return a
	}
	return b
}

func (a *App) open(ctx context.Context, p plan) (*server, error) {
	certificates, err := newCertificates(p.tls, a.log)
	if err != nil {
		return nil, err
	}
	listener, err := listenConfig().Listen(ctx, "tcp", p.address)
	if err != nil {
		return nil, fmt.Errorf("opening listener: %w", err)
	}
	var tlsConfig *tls.Config
	if certificates != nil {
		tlsConfig = certificates.serverConfig()
		listener = tls.NewListener(a.pollable(listener), tlsConfig)
	}
	s := &server{listener: listener, endpoints: p.routes.patterns, insecure: p.routes.insecure, internal: p.internal, certificates: certificates}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(a.config.HTTPServer.H2CExternal && !p.internal)
	s.http = &http.Server{
		Handler:           middleware.Recover(a.log)(p.routes.mux),
		Protocols:         protocols,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: a.timeouts.readHeader, ReadTimeout: a.timeouts.read,
		WriteTimeout: a.timeouts.write, IdleTimeout: a.timeouts.idle,
		ErrorLog: log.New(newServerLog(a.log), "", 0),
	}
	return s, nil
}

// mountClients mounts the endpoints of clients.
func (a *App) mountClients(r *routes) {
	c := a.config.Client
	admit := func(h http.Handler) http.Handler {
		refused := func(limit string) func(*http.Request) {
			return func(r *http.Request) {
				a.metrics.connectionLimit.Inc()
				a.connectionRefused(r, http.StatusServiceUnavailable, limit+" is reached")
			}
		}
		h = middleware.ConnectionRateLimit(c.ConnectionRateLimit, refused("client.connection_rate_limit"))(h)
		h = middleware.ConnectionLimit(c.ConnectionLimit, a.node.NumClients, refused("client.connection_limit"))(h)
		return a.localHost(r, middleware.UserHeader(c.UserIDHTTPHeader)(h))
	}
	for _, t := range a.transports {
		r.handle(t.path, admit(t.handler))
	}
	if len(a.transports) > 0 {
		r.insecure = append(r.insecure, a.insecureModes("client.")...)
	}
	if a.config.Init.Enabled {
		r.handle(path(a.config.Init.HandlerPrefix), a.localHost(r, a.origins.CORS(http.HandlerFunc(warmUp))))
	}
	if a.options.Dev {
		r.handle("/", a.localHost(r, playground.Handler()))
	}
}

// warmUp answers a request by which a browser opens its connection in advance.
func warmUp(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	emptyObject(w, r)
}

func emptyObject(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}"))
}

func (a *App) mountAPI(outer, inner *routes) {
	c := a.config.HTTPAPI
	if c.Disabled {
		return
	}
	r := inner
	if c.External {
		r = outer
	}
	a.apiHTTP = apihttp.New(apihttp.Options{API: a.api, Config: c, ShuttingDown: a.node.ShuttingDown, Log: a.log})
	var handler http.Handler = a.apiHTTP
	if c.Insecure {
		handler = r.local.Middleware(a.apiHTTP)
	}
	r.insecure = append(r.insecure, a.insecureModes("http_api.")...)
	for _, pattern := range a.apiHTTP.Patterns() {
		r.handle(pattern, handler)
	}
}

// mountOperations mounts the endpoints of operators: health, metrics and profiles.
func (a *App) mountOperations(to *routes) {
	r := operations{routes: to}
	if a.options.Dev {
		r.wrap = to.local.Middleware
	}
	if a.config.Health.Enabled {
		r.handle(path(a.config.Health.HandlerPrefix), http.HandlerFunc(emptyObject))
	}
	if a.config.Prometheus.Enabled {
		r.handle(path(a.config.Prometheus.HandlerPrefix), a.metrics.handler())
	}
	if a.config.Debug.Enabled {
		// The handlers of profiles extend the write timeout themselves.
		prefix := path(a.config.Debug.HandlerPrefix)
		r.handle(prefix+"/cmdline", http.HandlerFunc(pprof.Cmdline))
		r.handle(prefix+"/profile", http.HandlerFunc(pprof.Profile))
		r.handle(prefix+"/symbol", http.HandlerFunc(pprof.Symbol))
		r.handle(prefix+"/trace", http.HandlerFunc(pprof.Trace))
		r.handle(prefix+"/", http.StripPrefix(prefix, http.HandlerFunc(profileIndex)))
	}
}

// operations is routes with a middleware around each handler.
type operations struct {
	*routes
	wrap func(http.Handler) http.Handler // may be nil
}

func (o operations) handle(pattern string, h http.Handler) {
	if o.wrap != nil {
		h = o.wrap(h)
	}
	o.routes.handle(pattern, h)
}

// profileIndex serves the index and the named profiles below any prefix.
func profileIndex(w http.ResponseWriter, r *http.Request) {
	if name := strings.TrimPrefix(r.URL.Path, "/"); name != "" {
		pprof.Handler(name).ServeHTTP(w, r)
		return
	}
	pprof.Index(w, r)
}

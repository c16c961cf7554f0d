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
	"net/netip"
	"strings"
	"time"

	"centrifugo/server/internal/apihttp"
	"centrifugo/server/internal/config"
	sockets "centrifugo/server/internal/listener"
	"centrifugo/server/internal/middleware"
	"centrifugo/server/internal/playground"
	"centrifugo/server/internal/requestid"
	"centrifugo/server/internal/swagger"

	"github.com/prometheus/client_golang/prometheus"
)

// timeouts of the HTTP servers. They do not apply to hijacked connections, as those of
// WebSocket are. A handler that streams replaces them by http.ResponseController.
type timeouts struct {
	readHeader, read, write, idle, certificates time.Duration
	acmeRetry                                   func(int) time.Duration // nil for the default
}

// defaultTimeouts are not configurable (server.md 6.6).
var defaultTimeouts = timeouts{
	readHeader: 10 * time.Second, read: 30 * time.Second, write: 10 * time.Second, idle: 2 * time.Minute,
	certificates: 30 * time.Second,
}

// server is one listener with its endpoints.
type server struct {
	plan

	listener net.Listener
	service  service
	// certificates are nil without TLS, and with certificates of ACME.
	certificates *certificates
}

// service serves the connections of a listener, over HTTP or gRPC.
type service interface {
	// Serve returns nil or http.ErrServerClosed after Shutdown or Close.
	Serve(listener net.Listener) error
	// Shutdown waits for the requests that run, until ctx is done.
	Shutdown(ctx context.Context) error
	// Close ends all requests.
	Close() error
}

func (s *server) serve() error {
	if err := s.service.Serve(s.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
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
	// name is that of a socket from systemd that takes the place of the listener.
	name      string
	address   string
	endpoints []string
	insecure  []string // keys of the insecure modes of these endpoints
	// section is the key of the section that configures the listener, for errors.
	section string
	// tls returns the section of TLS that applies to the listener.
	tls func(*config.Config) config.TLS
	// acme is set if the listener has the certificates of http_server.tls_autocert instead.
	acme bool
	// tlsBy is set if the service, not the listener, does the TLS handshake.
	tlsBy bool
	// http2 is set if HTTP/2 is served on the event loop: where clients stay.
	http2 bool
	// http3 is set if HTTP/3 is served on the UDP port of the same number.
	http3 bool
	// balancers are the networks whose connections begin with a PROXY protocol header.
	balancers []netip.Prefix
	// service makes the service. Its TLS is nil if there is none.
	service func(*tls.Config) service
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
	a.mountAdmin(outer, inner)
	a.mountOperations(inner)
	if err := errors.Join(outer.err, inner.err); err != nil { // the same twice where there is one listener
		return nil, err
	}

	var err error
	if a.forwarders, err = config.Networks(c.ForwardedForFrom); err != nil {
		return nil, fmt.Errorf("http_server.forwarded_for_from: %w", err)
	}
	var plans []plan
	if len(outer.patterns) > 0 {
		p := a.planHTTP("external", external, outer, externalTLS, c.H2CExternal)
		p.acme = c.TLSAutocert.Enabled
		p.http2 = !c.TLSThreaded
		p.http3 = c.HTTP3.Enabled
		if p.balancers, err = config.Networks(c.ProxyProtocolFrom); err != nil {
			return nil, fmt.Errorf("http_server.proxy_protocol_from: %w", err)
		}
		plans = append(plans, p)
	}
	if inner != outer && len(inner.patterns) > 0 {
		p := a.planHTTP("internal", internal, inner, internalTLS, false)
		p.acme = c.TLSAutocert.Enabled && !c.TLSExternal && !c.InternalTLS.Enabled
		plans = append(plans, p)
	}
	if a.config.GRPCAPI.Enabled {
		plans = append(plans, a.planAPIGRPC())
	}
	plans = append(plans, a.planGRPCTransports()...)
	if c.TLSAutocert.Enabled && c.TLSAutocert.HTTP {
		plans = append(plans, a.planACME())
	}
	return plans, nil
}

// planHTTP plans a listener for HTTP. With h2c it serves HTTP/2 without TLS too.
func (a *App) planHTTP(name, address string, r *routes, section func(*config.Config) config.TLS, h2c bool) plan {
	p := plan{name: name, address: address, endpoints: r.patterns, insecure: r.insecure, section: "http_server", tls: section}
	p.service = func(t *tls.Config) service {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(h2c)
		return &http.Server{
			Handler:           middleware.ClientAddress(a.forwarders, middleware.Recover(a.log)(r.mux)),
			Protocols:         protocols,
			TLSConfig:         t,
			ReadHeaderTimeout: a.timeouts.readHeader, ReadTimeout: a.timeouts.read,
			WriteTimeout: a.timeouts.write, IdleTimeout: a.timeouts.idle,
			ErrorLog: log.New(newServerLog(a.log), "", 0),
		}
	}
	return p
}

// listen opens the listeners that have endpoints. Nothing is served yet.
func (a *App) listen(ctx context.Context) ([]*server, error) {
	plans, err := a.plan()
	if err != nil {
		return nil, err
	}
	if err := a.newACME(); err != nil {
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
	if err := a.options.Sockets.Close(); err != nil {
		a.log.Warn("sockets without use", "error", err)
	}
	return servers, nil
}

// closeAll closes the listeners.
func closeAll(servers []*server) {
	for _, s := range servers {
		_ = s.listener.Close()
		_ = s.service.Close()
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
	certificates, err := newCertificates(p.tls(a.config), a.log)
	if err != nil {
		return nil, err
	}
	listener, packets, err := a.bind(ctx, p)
	if err != nil {
		return nil, err
	}
	if len(p.balancers) > 0 {
		listener = sockets.ProxyProtocol(listener, p.balancers, a.log)
	}
	var tlsConfig *tls.Config
	switch {
	case p.acme:
		tlsConfig = a.acme.TLSConfig()
	case certificates != nil:
		tlsConfig = certificates.serverConfig()
	}
	if tlsConfig != nil && !p.tlsBy {
		listener = tls.NewListener(a.pollable(listener), tlsConfig)
	}
	s := &server{plan: p, listener: listener, service: p.service(tlsConfig), certificates: certificates}
	tcp, _ := s.service.(*http.Server) // planHTTP makes it
	if p.http3 {
		if s.service, err = a.newHTTP3(tcp, tlsConfig, packets); err != nil {
			_ = listener.Close()
			return nil, err
		}
		a.log.Info("serving HTTP/3", "address", packets.LocalAddr().String())
	}
	if p.http2 && (tlsConfig != nil || a.config.HTTPServer.H2CExternal) {
		a.serveHTTP2(s, tcp)
	}
	return s, nil
}

// mountClients mounts the endpoints of clients.
func (a *App) mountClients(r *routes) {
	c := a.config.Client
	admission := middleware.Admission(a.gate.Admit, func(r *http.Request, key string) {
		a.metrics.connectionLimit.Inc()
		a.connectionRefused(r, http.StatusServiceUnavailable, key+" is reached")
	})
	admit := func(h http.Handler) http.Handler {
		h = requestid.KeepSent(middleware.KeepHeaders(a.proxies.Headers())(admission(h)))
		return a.localHost(r, middleware.UserHeader(c.UserIDHTTPHeader)(h))
	}
	for _, t := range a.transports {
		r.handle(t.path, admit(t.handler))
	}
	if emulation := a.newEmulation(); emulation != nil {
		// The limits of connections do not concern it: its requests make none.
		r.handle(path(a.config.Emulation.HandlerPrefix), a.localHost(r, emulation))
	}
	if len(a.transports) > 0 {
		r.insecure = append(r.insecure, a.insecureModes("client.")...)
	}
	if a.config.Init.Enabled {
		r.handle(path(a.config.Init.HandlerPrefix), a.localHost(r, a.cors(http.HandlerFunc(warmUp))))
	}
	if a.options.Dev {
		at := a.playgroundPath()
		r.handle(at, a.localHost(r, http.StripPrefix(strings.TrimSuffix(at, "/"), playground.Handler(a.endpoints()))))
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
	handler := a.traceRequests(a.apiHTTP)
	if c.Insecure {
		handler = r.local.Middleware(handler)
	}
	r.insecure = append(r.insecure, a.insecureModes("http_api.")...)
	for _, pattern := range a.apiHTTP.Patterns() {
		r.handle(pattern, handler)
	}
}

// mountOperations mounts the endpoints of operators: health, metrics, the description of the
// API, and profiles.
func (a *App) mountOperations(to *routes) {
	r := operations{routes: to}
	if a.options.Dev {
		r.wrap = to.local.Middleware
	}
	if a.config.Health.Enabled {
		prefix := path(a.config.Health.HandlerPrefix)
		r.handle(prefix, http.HandlerFunc(emptyObject))
		r.handle(strings.TrimSuffix(prefix, "/")+"/live", http.HandlerFunc(emptyObject))
		r.handle(strings.TrimSuffix(prefix, "/")+"/ready", http.HandlerFunc(a.ready))
	}
	if a.config.Prometheus.Enabled {
		r.handle(path(a.config.Prometheus.HandlerPrefix), a.metrics.handler())
	}
	if a.config.Swagger.Enabled {
		prefix := strings.TrimSuffix(path(a.config.Swagger.HandlerPrefix), "/")
		page, err := swagger.Handler(prefix, path(a.config.HTTPAPI.HandlerPrefix))
		if err != nil {
			to.err = errors.Join(to.err, err)
			return
		}
		if prefix != "" {
			r.handle(prefix, page)
		}
		r.handle(prefix+"/", page)
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

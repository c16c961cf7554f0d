package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

var (
	namespaceName = regexp.MustCompile(`^[-a-zA-Z0-9_.]{2,}$`)
	consumerName  = regexp.MustCompile(`^[a-zA-Z0-9_]{2,}$`)
	claimName     = regexp.MustCompile(`^[a-zA-Z_]+$`)
	// What a URL path may hold without being understood as a pattern by the router.
	handlerPath = regexp.MustCompile(`^/[-A-Za-z0-9._~/]*$`)
)

// logLevels are the values of log.level.
var logLevels = []string{"none", "trace", "debug", "info", "warn", "error", "fatal"}

// maxReason bounds the text of an error or disconnect: it must fit a WebSocket
// close frame (server.md 5).
const maxReason = 123

// Bounds of the calls of one proxy: connections to its endpoint, and goroutines that wait.
const (
	maxInFlight  = 10_000
	maxQueueSize = 100_000
)

// Bounds of the node for how messages are joined.
const (
	maxWriteDelay      = time.Second
	maxMessagesInFrame = 65535
)

// maxChannelNamespaces is the greatest number of labels of channels that the node tells apart.
const maxChannelNamespaces = 1000

// validate adds a problem for every rule that the merged configuration breaks.
func (l *loader) validate() {
	c := l.cfg
	l.oneOf("log.level", c.Log.Level, logLevels...)
	if c.Shutdown.Timeout == 0 {
		l.problem("shutdown.timeout", "must be positive")
	}
	l.oneOf("http_api.error_mode", c.HTTPAPI.ErrorMode, "", "transport")
	l.oneOf("grpc_api.error_mode", c.GRPCAPI.ErrorMode, "", "transport")
	l.validateHTTPServer()
	l.validateTLSAutocert()
	l.validateTLS()
	l.validateHandlers()
	l.validateClient()
	if n := c.Prometheus.ChannelNamespaces; n < 0 || n > maxChannelNamespaces {
		l.problemf("prometheus.channel_namespaces", "must be from 0 to %d", maxChannelNamespaces)
	}
	if c.Prometheus.PublicationLatencySample < 0 {
		l.problem("prometheus.publication_latency_sample", "must not be negative")
	}
	l.validateToken("client.token", &c.Client.Token)
	if c.Client.SubscriptionToken.Enabled {
		l.validateToken("client.subscription_token", &c.Client.SubscriptionToken.Token)
	}
	l.validateProxies()
	l.validateChannel()
	l.validateRPC()
	l.validateConsumers()
}

// oneOf adds a problem unless value is one of the allowed ones.
func (l *loader) oneOf(key, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	quoted := make([]string, len(allowed))
	for i, a := range allowed {
		quoted[i] = fmt.Sprintf("%q", a)
	}
	l.problemf(key, "must be one of %s%s", strings.Join(quoted, ", "), nearest(strings.ToLower(value), allowed))
}

// anyAddress tells whether an address stands for all of the machine.
func anyAddress(address string) bool { return address == "" || address == "0.0.0.0" || address == "::" }

func (l *loader) validateHTTPServer() {
	s := l.cfg.HTTPServer
	for _, port := range []struct {
		key   string
		value int
	}{
		{"http_server.port", s.Port},
		{"http_server.internal_port", s.InternalPort},
		{"grpc_api.port", l.cfg.GRPCAPI.Port},
		{"grpc.port", l.cfg.GRPC.Port},
		{"uni_grpc.port", l.cfg.UniGRPC.Port},
		{"graphite.port", l.cfg.Graphite.Port},
	} {
		if port.value > 65535 {
			l.problem(port.key, "must be at most 65535")
		}
	}
	if l.cfg.Graphite.Enabled && l.cfg.Graphite.Interval < 10*time.Millisecond {
		l.problem("graphite.interval", "must be at least 10ms")
	}
	if ports := s.InternalPort == 0 || s.InternalPort == s.Port; ports && s.Port != 0 && s.InternalAddress != "" &&
		s.InternalAddress != s.Address && (anyAddress(s.Address) || anyAddress(s.InternalAddress)) {
		l.problem("http_server.internal_address", "needs an http_server.internal_port of its own: the external listener, or the internal one, takes that port of all addresses")
	}
	for key, list := range map[string][]string{"http_server.proxy_protocol_from": s.ProxyProtocolFrom, "http_server.forwarded_for_from": s.ForwardedForFrom} {
		if _, err := Networks(list); err != nil {
			l.problem(key, err.Error())
		}
	}
	tls := s.TLS.Enabled || s.TLSAutocert.Enabled
	if s.H2CExternal && (tls || s.InternalPort == 0 || s.InternalPort == s.Port) {
		l.problem("http_server.h2c_external", "needs an internal port of its own and no TLS (server.md 6.3)")
	}
	if s.ReusePort && (runtime.GOOS != "linux" || s.HTTP3.Enabled) {
		l.problem("http_server.reuse_port", "needs Linux and no HTTP/3, whose packets would come to the wrong process")
	}
	if s.HTTP3.Enabled && !tls {
		l.problem("http_server.http3.enabled", "needs TLS")
	}
	if l.cfg.WebTransport.Enabled && !s.HTTP3.Enabled {
		l.problem("webtransport.enabled", "needs http_server.http3.enabled")
	}
	if s.TLS.Enabled && s.TLS.CertPEM == "" {
		l.problem("http_server.tls.cert_pem", "is needed when TLS is enabled")
	}
	if s.InternalTLS.Enabled && s.InternalTLS.CertPEM == "" {
		l.problem("http_server.internal_tls.cert_pem", "is needed when TLS is enabled")
	}
}

// validateTLSAutocert checks the section of ACME.
func (l *loader) validateTLSAutocert() {
	s, key := l.cfg.HTTPServer.TLSAutocert, "http_server.tls_autocert."
	if !s.Enabled {
		return
	}
	if l.cfg.HTTPServer.TLS.Enabled {
		l.problem(key+"enabled", "excludes http_server.tls.enabled: a listener has the certificate of one of them")
	}
	names, err := s.HostNames()
	switch {
	case err != nil:
		l.problem(key+"host_whitelist", err.Error())
	case len(names) == 0:
		l.problem(key+"host_whitelist", "is needed: the host names for which certificates are obtained")
	}
	if name, nameErr := s.FallbackName(); nameErr != nil {
		l.problem(key+"server_name", nameErr.Error())
	} else if name != "" && err == nil && !slices.Contains(names, name) {
		l.problem(key+"server_name", "must be one of http_server.tls_autocert.host_whitelist")
	}
	if address, err := mail.ParseAddress(s.Email); s.Email != "" && (err != nil || address.Address != s.Email) {
		l.problem(key+"email", "is not an address such as admin@example.com")
	}
	if _, port, err := net.SplitHostPort(s.HTTPAddr); s.HTTP && (err != nil || port == "") {
		l.problem(key+"http_addr", "is not an address such as :80")
	}
	if u, err := url.Parse(s.DirectoryURL); err != nil || u.Scheme != "https" || u.Host == "" {
		l.problem(key+"directory_url", "must be a URL that begins with https://")
	}
	if _, _, err := s.ExternalAccount(); err != nil {
		l.problem(key+"external_account_key", err.Error())
	}
}

// validateTLS checks every TLS object, wherever it is.
func (l *loader) validateTLS() {
	given := map[string][2]bool{}
	visit(reflect.ValueOf(l.cfg).Elem(), "", func(path string, f field, v reflect.Value) {
		if f.owner != "TLS" {
			return
		}
		section := strings.TrimSuffix(path, "."+f.key)
		pair := given[section]
		switch f.key {
		case "cert_pem":
			pair[0] = v.String() != ""
		case "key_pem":
			pair[1] = v.String() != ""
		}
		given[section] = pair
	})
	for _, section := range sortedKeys(given) {
		if pair := given[section]; pair[0] != pair[1] {
			l.problem(section, "cert_pem and key_pem must be given both or not at all")
		}
	}
}

// validateHandlers finds endpoints that would be mounted on the same path of the same listener.
func (l *loader) validateHandlers() {
	c := l.cfg
	internal := !(c.HTTPServer.InternalPort == 0 || c.HTTPServer.InternalPort == c.HTTPServer.Port) ||
		c.HTTPServer.InternalAddress != "" && c.HTTPServer.InternalAddress != c.HTTPServer.Address
	taken := map[string]string{}
	for _, h := range []struct {
		key, path string
		on, inner bool
	}{
		{"websocket", c.WebSocket.HandlerPrefix, !c.WebSocket.Disabled, false},
		{"sse", c.SSE.HandlerPrefix, c.SSE.Enabled, false},
		{"http_stream", c.HTTPStream.HandlerPrefix, c.HTTPStream.Enabled, false},
		{"emulation", c.Emulation.HandlerPrefix, c.SSE.Enabled || c.HTTPStream.Enabled, false},
		{"webtransport", c.WebTransport.HandlerPrefix, c.WebTransport.Enabled, false},
		{"uni_websocket", c.UniWebSocket.HandlerPrefix, c.UniWebSocket.Enabled, false},
		{"uni_sse", c.UniSSE.HandlerPrefix, c.UniSSE.Enabled, false},
		{"uni_http_stream", c.UniHTTPStream.HandlerPrefix, c.UniHTTPStream.Enabled, false},
		{"init", c.Init.HandlerPrefix, c.Init.Enabled, false},
		{"http_api", c.HTTPAPI.HandlerPrefix, !c.HTTPAPI.Disabled, !c.HTTPAPI.External},
		{"admin", c.Admin.HandlerPrefix, c.Admin.Enabled, !c.Admin.External},
		{"prometheus", c.Prometheus.HandlerPrefix, c.Prometheus.Enabled, true},
		{"health", c.Health.HandlerPrefix, c.Health.Enabled, true},
		{"swagger", c.Swagger.HandlerPrefix, c.Swagger.Enabled, true},
		{"debug", c.Debug.HandlerPrefix, c.Debug.Enabled, true},
	} {
		key := h.key + ".handler_prefix"
		if !handlerPath.MatchString(h.path) || strings.Contains(h.path, "//") {
			l.problem(key, "must be a plain URL path that starts with a slash")
		}
		if !h.on {
			continue
		}
		place := fmt.Sprint(h.inner && internal, h.path)
		if other := taken[place]; other != "" {
			l.problemf(key, "is the same path as that of %s", other)
		}
		taken[place] = h.key
	}
}

func (l *loader) validateClient() {
	c := l.cfg.Client
	if c.PingInterval <= c.PongTimeout {
		l.problem("client.ping_interval", "must be greater than client.pong_timeout")
	}
	if c.WriteDelay > maxWriteDelay || c.WriteDelay > 0 && c.PongTimeout > 0 && c.WriteDelay >= c.PongTimeout {
		l.problemf("client.write_delay", "must be at most %v and less than client.pong_timeout", maxWriteDelay)
	}
	if c.MaxMessagesInFrame < -1 || c.MaxMessagesInFrame > maxMessagesInFrame {
		l.problemf("client.max_messages_in_frame", "must be from -1 to %d", maxMessagesInFrame)
	}
	for _, pattern := range c.AllowedOrigins {
		l.validateOrigin("client.allowed_origins", pattern)
	}
	if p := c.SubscribeToUserPersonalChannel; p.Enabled {
		key := "client.subscribe_to_user_personal_channel"
		options := &l.cfg.Channel.WithoutNamespace
		if p.PersonalChannelNamespace != "" {
			options = l.namespace(p.PersonalChannelNamespace)
		}
		if options == nil {
			l.problemf(key+".personal_channel_namespace", "namespace %q is not defined", p.PersonalChannelNamespace)
		} else if p.SingleConnection && !options.Presence {
			l.problem(key+".single_connection", "needs presence in the namespace of the personal channels")
		}
	}
}

// reason checks a text that ends up in a close frame.
func (l *loader) reason(key, text string) {
	if len(text) > maxReason || strings.ContainsFunc(text, func(r rune) bool { return r > 126 || r < 32 }) {
		l.problemf(key, "must be printable ASCII of at most %d bytes", maxReason)
	}
}

func (l *loader) validateRPC() {
	c := l.cfg.RPC
	seen := map[string]bool{}
	for i, ns := range c.Namespaces {
		path := itemPath("rpc.namespaces", i, ns.Name)
		l.name(path, ns.Name, namespaceName, seen)
		l.proxyName(path+".proxy_name", ns.ProxyEnabled, ns.ProxyName)
	}
	l.proxyName("rpc.without_namespace.proxy_name", c.WithoutNamespace.ProxyEnabled, c.WithoutNamespace.ProxyName)
}

// name checks the name of a list item, and that it is unique.
func (l *loader) name(path, name string, rule *regexp.Regexp, seen map[string]bool) {
	switch {
	case !rule.MatchString(name):
		l.problem(path+".name", "must match "+rule.String())
	case seen[name]:
		l.problemf(path+".name", "%q is defined twice", name)
	}
	seen[name] = true
}

func (l *loader) validateProxies() {
	seen := map[string]bool{}
	for i, p := range l.cfg.Proxies {
		path := itemPath("proxies", i, p.Name)
		l.name(path, p.Name, namespaceName, seen)
		if p.Name == "default" {
			l.problem(path+".name", `"default" is reserved`)
		}
	}
	visit(reflect.ValueOf(l.cfg).Elem(), "", func(path string, f field, v reflect.Value) {
		switch f.owner + "." + f.key {
		case "TransformError.message", "TransformDisconnect.reason":
			l.reason(path, v.String())
		case "ProxyLimit.max_in_flight":
			if n := v.Int(); n < 1 || n > maxInFlight {
				l.problemf(path, "must be between 1 and %d", maxInFlight)
			}
		case "ProxyLimit.queue_size":
			if v.Int() > maxQueueSize {
				l.problemf(path, "must be at most %d", maxQueueSize)
			}
		case "ProxyBreaker.failure_percent":
			if n := v.Int(); n < 1 || n > 100 {
				l.problem(path, "must be between 1 and 100")
			}
		case "ProxyBreaker.open_time", "Proxy.timeout":
			if v.Int() == 0 {
				l.problem(path, "must be positive")
			}
		case "Proxy.endpoint":
			if err := checkEndpoint(v.String()); err != nil {
				l.problem(path, err.Error())
			}
		}
	})
	for _, p := range []struct {
		key string
		EventProxy
	}{{"client.proxy.connect", l.cfg.Client.Proxy.Connect}, {"client.proxy.refresh", l.cfg.Client.Proxy.Refresh}} {
		if p.Enabled && p.Endpoint == "" {
			l.problem(p.key+".endpoint", "is needed when the proxy is enabled")
		}
	}
}

// checkEndpoint checks the endpoint of a proxy (server.md 5.2); an empty one is not set. The error does not
// repeat it, because it may contain a password.
func checkEndpoint(endpoint string) error {
	scheme, rest, found := strings.Cut(endpoint, "://")
	switch {
	case endpoint == "":
		return nil
	case !found:
		rest = scheme
	case scheme == "http" || scheme == "https":
		if u, err := url.Parse(endpoint); err != nil || u.Host == "" {
			return errors.New("is not a URL")
		}
		return nil
	case scheme != "grpc":
		return errors.New("must begin with http://, https:// or grpc://, or be host:port")
	}
	if _, port, err := net.SplitHostPort(rest); err != nil || port == "" {
		return errors.New("must be host:port for gRPC; HTTP needs http:// or https://")
	}
	return nil
}

// proxyName checks that a proxy which is referred to exists.
func (l *loader) proxyName(key string, enabled bool, name string) {
	if !enabled || name == "default" {
		return
	}
	if !slices.ContainsFunc(l.cfg.Proxies, func(p NamedProxy) bool { return p.Name == name }) {
		l.problemf(key, "proxy %q is not defined", name)
	}
}

// endpoint returns the endpoint of the proxy with a name, which may be that of byDefault.
func (l *loader) endpoint(name string, byDefault Proxy) string {
	if name == "default" {
		return byDefault.Endpoint
	}
	for _, p := range l.cfg.Proxies {
		if p.Name == name {
			return p.Endpoint
		}
	}
	return ""
}

func (l *loader) validateConsumers() {
	seen := map[string]bool{}
	for i, c := range l.cfg.Consumers {
		path := itemPath("consumers", i, c.Name)
		l.name(path, c.Name, consumerName, seen)
		l.oneOf(path+".type", c.Type, "postgresql", "kafka", "nats_jetstream", "redis_stream",
			"google_pub_sub", "aws_sqs", "azure_service_bus")
	}
}

package config

import (
	"fmt"
	"net/url"
	"reflect"
	"regexp"
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

// Bounds of the node for how messages are joined.
const (
	maxWriteDelay      = time.Second
	maxMessagesInFrame = 65535
)

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
	l.validateTLS()
	l.validateHandlers()
	l.validateClient()
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
		{"uni_grpc.port", l.cfg.UniGRPC.Port},
		{"graphite.port", l.cfg.Graphite.Port},
	} {
		if port.value > 65535 {
			l.problem(port.key, "must be at most 65535")
		}
	}
	if ports := s.InternalPort == 0 || s.InternalPort == s.Port; ports && s.Port != 0 && s.InternalAddress != "" &&
		s.InternalAddress != s.Address && (anyAddress(s.Address) || anyAddress(s.InternalAddress)) {
		l.problem("http_server.internal_address", "needs an http_server.internal_port of its own: the external listener, or the internal one, takes that port of all addresses")
	}
	tls := s.TLS.Enabled || s.TLSAutocert.Enabled
	if s.H2CExternal && (tls || s.InternalPort == 0 || s.InternalPort == s.Port) {
		l.problem("http_server.h2c_external", "needs an internal port of its own and no TLS (server.md 6.3)")
	}
	if s.HTTP3.Enabled && !tls {
		l.problem("http_server.http3.enabled", "needs TLS")
	}
	if s.TLS.Enabled && !s.TLSAutocert.Enabled && s.TLS.CertPEM == "" {
		l.problem("http_server.tls.cert_pem", "is needed when TLS is enabled")
	}
	if s.InternalTLS.Enabled && s.InternalTLS.CertPEM == "" {
		l.problem("http_server.internal_tls.cert_pem", "is needed when TLS is enabled")
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

func (l *loader) validateToken(path string, t *Token) {
	for _, pair := range []struct{ key, exact, pattern string }{
		{"audience", t.Audience, t.AudienceRegex}, {"issuer", t.Issuer, t.IssuerRegex},
	} {
		if pair.exact != "" && pair.pattern != "" {
			l.problemf(path+"."+pair.key, "cannot be used together with %s_regex", pair.key)
		}
		if _, err := regexp.Compile(pair.pattern); err != nil {
			l.problem(path+"."+pair.key+"_regex", err.Error())
		}
	}
	if t.UserIDClaim != "" && !claimName.MatchString(t.UserIDClaim) {
		l.problem(path+".user_id_claim", "must match "+claimName.String())
	}
	if t.JWKSPublicEndpoint != "" {
		u, err := url.Parse(strings.NewReplacer("{{", "", "}}", "").Replace(t.JWKSPublicEndpoint))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			l.problem(path+".jwks_public_endpoint", "must be an http or https URL")
		}
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
		if f.owner == "TransformError" && f.key == "message" || f.owner == "TransformDisconnect" && f.key == "reason" {
			l.reason(path, v.String())
		}
	})
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

func (l *loader) validateConsumers() {
	seen := map[string]bool{}
	for i, c := range l.cfg.Consumers {
		path := itemPath("consumers", i, c.Name)
		l.name(path, c.Name, consumerName, seen)
		l.oneOf(path+".type", c.Type, "postgresql", "kafka", "nats_jetstream", "redis_stream",
			"google_pub_sub", "aws_sqs", "azure_service_bus")
	}
}

package config

import (
	"slices"
	"strings"
	"time"
)

// loopback is where a server with an insecure mode listens unless told otherwise.
const loopback = "127.0.0.1"

// setDev replaces defaults by those of development mode, in which every
// feature can be tried without configuring anything. All other sources still win.
// Origins are not among them: the server admits local ones in development mode.
func (l *loader) setDev() {
	c := l.cfg
	c.Client.Insecure = true
	c.HTTPAPI.Insecure = true
	c.Health.Enabled = true
	c.Prometheus.Enabled = true
	c.SSE.Enabled = true
	c.HTTPStream.Enabled = true
	options := &c.Channel.WithoutNamespace
	options.Presence = true
	options.JoinLeave = true
	options.ForcePushJoinLeave = true
	options.HistorySize = 100
	options.HistoryTTL = 10 * time.Minute
	options.ForceRecovery = true
}

// InsecureModes lists the keys of the insecure modes that are on.
func (c *Config) InsecureModes() []string {
	var on []string
	for _, mode := range []struct {
		key string
		on  bool
	}{
		{"client.insecure", c.Client.Insecure},
		{"client.insecure_skip_token_signature_verify", c.Client.InsecureSkipTokenSignatureVerify},
		{"http_api.insecure", c.HTTPAPI.Insecure},
		{"admin.insecure", c.Admin.Enabled && c.Admin.Insecure},
		{"grpc_api.insecure", c.GRPCAPI.Enabled && c.GRPCAPI.Insecure},
	} {
		if mode.on {
			on = append(on, mode.key)
		}
	}
	return on
}

// guardInsecure keeps a server with an insecure mode off the network unless an
// address was given by name. What can be reached in the end only the server can
// say, which knows its listeners.
func (l *loader) guardInsecure() {
	c := l.cfg
	if modes := c.InsecureModes(); len(modes) > 0 {
		message := "INSECURE mode is on, never use it where others can reach the server"
		if c.HTTPServer.Address == "" {
			c.HTTPServer.Address = loopback
			message += "; http_server.address is not set, and taken as " + loopback
		}
		if c.GRPCAPI.Insecure && c.GRPCAPI.Address == "" {
			c.GRPCAPI.Address = loopback
			message += "; grpc_api.address is not set, and taken as " + loopback
		}
		ofClients := func(mode string) bool { return strings.HasPrefix(mode, "client.") }
		for _, transport := range []struct {
			section string
			enabled bool
			address *string
		}{{"grpc", c.GRPC.Enabled, &c.GRPC.Address}, {"uni_grpc", c.UniGRPC.Enabled, &c.UniGRPC.Address}} {
			if transport.enabled && *transport.address == "" && slices.ContainsFunc(modes, ofClients) {
				*transport.address = loopback
				message += "; " + transport.section + ".address is not set, and taken as " + loopback
			}
		}
		l.warn(Warning{Kind: Insecure, Key: strings.Join(modes, ", "), Message: message})
	}
	if len(c.Client.AllowedOrigins) == 1 && c.Client.AllowedOrigins[0] == "*" {
		l.warn(Warning{Kind: Insecure, Key: "client.allowed_origins", Message: "any website may connect its visitors"})
	}
}

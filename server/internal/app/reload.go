package app

import (
	"fmt"
	"slices"
	"strings"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"
)

// reloadable are the keys, or the sections with a dot at the end, that a reload
// takes over. All others need a restart.
var reloadable = []string{
	"channel.", "rpc.", "http_api.key", "http_api.insecure", "log.level",
	"client.allowed_origins", "client.token.", "client.subscription_token.",
	"client.allow_anonymous_connect_without_token", "client.disallow_anonymous_connection_tokens",
	"client.insecure", "client.insecure_skip_token_signature_verify", "client.subscribe_to_user_personal_channel.",
}

// fixed are keys of reloadable sections which the node takes when it is made.
var fixed = []string{"channel.history_meta_ttl", "channel.max_length"}

// certificateKeys are taken over where TLS itself was not switched on or off.
var certificateKeys = []string{".cert_pem", ".key_pem", ".client_ca_pem"}

// takenOver reports whether a reload to cfg takes over a key.
func (a *App) takenOver(key string, cfg *config.Config) bool {
	if strings.HasPrefix(key, "http_server.tls.") || strings.HasPrefix(key, "http_server.internal_tls.") {
		return a.sameTLS(cfg) && slices.ContainsFunc(certificateKeys, func(suffix string) bool { return strings.HasSuffix(key, suffix) })
	}
	return !slices.Contains(fixed, key) && slices.ContainsFunc(reloadable, func(k string) bool {
		return k == key || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k)
	})
}

// sameTLS reports whether the listeners have TLS from the same sections as before.
func (a *App) sameTLS(cfg *config.Config) bool {
	was, is := a.config.HTTPServer, cfg.HTTPServer
	return was.TLS.Enabled == is.TLS.Enabled && was.InternalTLS.Enabled == is.InternalTLS.Enabled && was.TLSExternal == is.TLSExternal
}

// reload takes over what may change while the server runs, all or nothing
// (server-interface 6.8). Files that were renewed are opened again in any case.
func (a *App) reload(servers []*server) {
	if err := a.logging.reopen(); err != nil {
		a.log.Error("log file not opened again, the old one stays in use", "error", err)
	}
	refreshAll(servers)
	if a.options.Reload == nil {
		return
	}
	cfg, warnings, err := a.options.Reload()
	if err == nil {
		err = a.takeOver(cfg, servers)
	}
	if err != nil {
		a.log.Error("configuration not reloaded, the old one stays in force", "error", err)
		return
	}
	for _, w := range warnings {
		a.log.Warn("configuration", "warning", w.String())
	}
	taken, restart := []string{}, []string{}
	for _, key := range config.Changes(a.current, cfg) {
		if a.takenOver(key, cfg) {
			taken = append(taken, key)
		}
	}
	for _, key := range config.Changes(a.config, cfg) { // as long as they differ from what runs
		if !a.takenOver(key, cfg) {
			restart = append(restart, key)
		}
	}
	a.current = cfg
	a.log.Info("configuration reloaded", "taken_over", taken, "needs_restart", restart)
	if len(restart) > 0 {
		a.log.Warn("configuration: changed keys need a restart, their old values stay in force", "keys", restart)
	}
}

// takeOver does what may fail first.
func (a *App) takeOver(cfg *config.Config, servers []*server) error {
	if err := a.mayReload(cfg); err != nil {
		return err
	}
	origins, err := middleware.NewOrigins(cfg.Client.AllowedOrigins)
	if err != nil {
		return fmt.Errorf("client.allowed_origins: %w", err)
	}
	if err := a.replaceCertificates(cfg, servers); err != nil {
		return err
	}
	if err := a.policy.Reload(sections(cfg)); err != nil {
		return err //nolint:wrapcheck // it names the key
	}
	if origins.Any() && !a.origins.Any() {
		a.log.Warn("client.allowed_origins admits every origin")
	}
	a.origins.Replace(origins)
	if a.apiHTTP != nil && (cfg.HTTPAPI.Key != a.current.HTTPAPI.Key || cfg.HTTPAPI.Insecure != a.current.HTTPAPI.Insecure) {
		a.apiHTTP.SetKey(cfg.HTTPAPI.Key, cfg.HTTPAPI.Insecure)
	}
	a.logging.level.Set(slogLevel(cfg.Log.Level))
	a.node.SetLogLevel(nodeLogLevel(cfg.Log.Level))
	return nil
}

// replaceCertificates takes over other files or texts of certificates. They were
// checked when the configuration was loaded, so that a failure is one of the disk.
func (a *App) replaceCertificates(cfg *config.Config, servers []*server) error {
	if !a.sameTLS(cfg) {
		return nil
	}
	external, internal := tlsSections(cfg.HTTPServer)
	for _, s := range servers {
		section := external
		if s.internal {
			section = internal
		}
		if s.certificates == nil {
			continue
		}
		if err := s.certificates.replace(section); err != nil {
			return fmt.Errorf("http_server: %w", err)
		}
	}
	return nil
}

// mayReload refuses to make a server insecure that listens on addresses which
// were chosen for a secure one: an insecure server is kept off the network when
// it starts, and only then.
func (a *App) mayReload(cfg *config.Config) error {
	before := a.config.InsecureModes()
	for _, mode := range cfg.InsecureModes() {
		if !slices.Contains(before, mode) {
			return fmt.Errorf("%s cannot be switched on while the server runs", mode)
		}
	}
	return nil
}

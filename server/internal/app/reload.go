package app

import (
	"fmt"
	"slices"
	"strings"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"
)

// certificateKeys are the suffixes of keys that a reload applies unless it also switches
// TLS on or off.
var certificateKeys = []string{".cert_pem", ".key_pem", ".client_ca_pem"}

// takenOver reports whether a reload to cfg applies a key.
func (a *App) takenOver(key string, cfg *config.Config) bool {
	if strings.HasPrefix(key, "http_server.tls.") || strings.HasPrefix(key, "http_server.internal_tls.") ||
		strings.HasPrefix(key, "grpc_api.tls.") || strings.HasPrefix(key, "grpc.tls.") || strings.HasPrefix(key, "uni_grpc.tls.") {
		return a.sameTLS(cfg) && slices.ContainsFunc(certificateKeys, func(suffix string) bool { return strings.HasSuffix(key, suffix) })
	}
	return config.Reloadable(key)
}

// sameTLS reports whether cfg configures TLS of the listeners by the same sections.
func (a *App) sameTLS(cfg *config.Config) bool {
	was, is := a.config.HTTPServer, cfg.HTTPServer
	return was.TLS.Enabled == is.TLS.Enabled && was.InternalTLS.Enabled == is.InternalTLS.Enabled && was.TLSExternal == is.TLSExternal &&
		a.config.GRPCAPI.TLS.Enabled == cfg.GRPCAPI.TLS.Enabled && a.config.GRPC.TLS.Enabled == cfg.GRPC.TLS.Enabled &&
		a.config.UniGRPC.TLS.Enabled == cfg.UniGRPC.TLS.Enabled
}

// reload applies the keys that may change while the server runs, all or none of them
// (server.md 6.8). It reopens files in any case.
func (a *App) reload(servers []*server) {
	if err := a.logging.reopen(); err != nil {
		a.log.Error("log file not reopened, the old one stays in use", "error", err)
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
		a.log.Error("configuration not reloaded, the old one stays in use", "error", err)
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
	for _, key := range config.Changes(a.config, cfg) { // those that differ from the start
		if !a.takenOver(key, cfg) {
			restart = append(restart, key)
		}
	}
	a.current = cfg
	a.applied.Store(&applied{config: cfg, warnings: warnings, restart: restart})
	a.log.Info("configuration reloaded", "taken_over", taken, "needs_restart", restart)
	if len(restart) > 0 {
		a.log.Warn("configuration: changed keys need a restart, their old values stay in use", "keys", restart)
	}
}

// takeOver applies cfg. It starts with what may fail.
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
	if a.apiGRPC != nil && (cfg.GRPCAPI.Key != a.current.GRPCAPI.Key || cfg.GRPCAPI.Insecure != a.current.GRPCAPI.Insecure) {
		a.apiGRPC.SetKey(cfg.GRPCAPI.Key, cfg.GRPCAPI.Insecure)
	}
	a.reloadAdmin(a.current.Admin, cfg.Admin)
	a.logging.level.Set(slogLevel(cfg.Log.Level))
	a.node.SetLogLevel(nodeLogLevel(cfg.Log.Level))
	return nil
}

// replaceCertificates applies the certificates of cfg. Loading the configuration has
// checked them, so an error comes from reading the files.
func (a *App) replaceCertificates(cfg *config.Config, servers []*server) error {
	if !a.sameTLS(cfg) {
		return nil
	}
	for _, s := range servers {
		if s.certificates == nil {
			continue
		}
		if err := s.certificates.replace(s.tls(cfg)); err != nil {
			return fmt.Errorf("%s: %w", s.section, err)
		}
	}
	return nil
}

// mayReload refuses to switch on an insecure mode. Such a server listens only on loopback
// addresses by default, and that is decided only at the start.
func (a *App) mayReload(cfg *config.Config) error {
	before := a.config.InsecureModes()
	for _, mode := range cfg.InsecureModes() {
		if !slices.Contains(before, mode) {
			return fmt.Errorf("%s cannot be switched on while the server runs", mode)
		}
	}
	return nil
}

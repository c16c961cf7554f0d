package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"centrifugo/server/internal/acme"
	"centrifugo/server/internal/config"
)

// Check builds a server without starting it and returns the errors that New or Run
// would return, so that a configuration that passes checkconfig starts. Only the start
// finds out whether a port is free and a file can be written.
func Check(cfg *config.Config) error {
	a := &App{
		config: cfg, timeouts: defaultTimeouts, log: slog.New(slog.DiscardHandler), logging: new(logging),
		limits: limits{procs: runtime.GOMAXPROCS(0)},
	}
	if err := a.build(); err != nil {
		return err
	}
	a.newTransports()
	defer a.closeTransports()
	defer func() { _ = a.proxies.Close() }()
	plans, err := a.plan()
	for _, p := range plans {
		if _, tlsErr := serverTLS(p.tls(cfg)); tlsErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.section, tlsErr))
		}
	}
	if section := cfg.HTTPServer.TLSAutocert; section.Enabled {
		if acmeErr := acme.Check(section); acmeErr != nil {
			err = errors.Join(err, fmt.Errorf("http_server.tls_autocert.%w", acmeErr))
		}
	}
	return errors.Join(err, checkDirectory("log.file", cfg.Log.File), checkDirectory("pid_file", cfg.PIDFile))
}

// checkDirectory returns an error if a file cannot be created at a path, whatever the
// permissions of the process.
func checkDirectory(key, file string) error {
	if file == "" {
		return nil
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return fmt.Errorf("%s: %s is a directory, a file is wanted", key, file)
	}
	dir := filepath.Dir(file)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s: cannot make %s: there is no directory %s", key, file, dir)
	}
	return nil
}

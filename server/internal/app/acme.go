package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net/http"
	"sync"

	"centrifugo/server/internal/acme"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"
)

// newACME prepares the certificates of http_server.tls_autocert, if it is enabled.
func (a *App) newACME() error {
	section := a.config.HTTPServer.TLSAutocert
	if !section.Enabled {
		return nil
	}
	var err error
	a.acme, err = acme.New(acme.Options{
		Section: section, Log: a.log, Interval: a.timeouts.certificates, Retry: a.timeouts.acmeRetry,
	})
	if err != nil {
		return fmt.Errorf("http_server.tls_autocert.%w", err)
	}
	return nil
}

// planACME plans the listener of HTTP-01 challenges.
func (a *App) planACME() plan {
	return plan{
		name: "acme", address: a.config.HTTPServer.TLSAutocert.HTTPAddr, endpoints: []string{"ACME challenges"},
		section: "http_server.tls_autocert", tls: func(*config.Config) config.TLS { return config.TLS{} },
		service: func(*tls.Config) service {
			return &http.Server{
				Handler:           middleware.Recover(a.log)(a.acme.HTTPHandler()),
				ReadHeaderTimeout: a.timeouts.readHeader, ReadTimeout: a.timeouts.read,
				WriteTimeout: a.timeouts.write, IdleTimeout: a.timeouts.idle,
				ErrorLog: log.New(newServerLog(a.log), "", 0),
			}
		},
	}
}

// startACME obtains certificates until ctx is done.
func (a *App) startACME(ctx context.Context, background *sync.WaitGroup) {
	if a.acme != nil {
		background.Go(func() { a.acme.Run(ctx) })
	}
}

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"centrifugo/centrifuge/transport/http2"
	"centrifugo/internal/logsample"
)

// connectionsEndedLinesASecond bounds the log lines that clients can provoke by malformed
// frames.
const connectionsEndedLinesASecond = 10

// http2Service serves the connections of a listener that choose HTTP/2 on the event loop, and
// the others by another service.
type http2Service struct {
	service

	http2 *http2.Server
}

// serveHTTP2 makes s serve HTTP/2 on the event loop. tcp serves HTTP/1.1, and has the
// handler.
func (a *App) serveHTTP2(s *server, tcp *http.Server) {
	sampler := logsample.New(connectionsEndedLinesASecond, time.Second)
	h := http2.NewServer(http2.Config{
		Handler: timed(a.timeouts, tcp.Handler),
		// Handlers of profiles look for the timeouts of the server.
		BaseContext:      context.WithValue(context.Background(), http.ServerContextKey, tcp),
		HandshakeTimeout: a.timeouts.readHeader, HeaderTimeout: a.timeouts.readHeader, IdleTimeout: a.timeouts.idle,
		Cleartext:       a.config.HTTPServer.H2CExternal,
		ExtendedConnect: extendedConnect(os.Getenv("GODEBUG")),
		ScheduledWrites: a.config.HTTPServer.ScheduledWrites,
		OnError:         func(err error) { a.log.Error("http2", "error", err) },
		OnRefused: func(remote string, err error) {
			if ok, suppressed := sampler.Take(logsample.Key{}); ok {
				a.log.Info("connection over HTTP/2 ended", "remote", remote, "reason", err.Error(), "suppressed", suppressed)
			}
		},
	})
	s.listener = h.Listener(s.listener)
	s.service = &http2Service{service: s.service, http2: h}
}

// extendedConnect reports whether the setting of net/http for extended CONNECT is on, which
// WebSockets over HTTP/2 need.
func extendedConnect(settings string) bool {
	for setting := range strings.SplitSeq(settings, ",") {
		if setting == "http2xconnect=1" {
			return true
		}
	}
	return false
}

// Serve implements service.
func (s *http2Service) Serve(listener net.Listener) error {
	return s.service.Serve(listener) //nolint:wrapcheck // it is the service
}

// Shutdown implements service.
func (s *http2Service) Shutdown(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.http2.Shutdown(ctx) }()
	err := s.service.Shutdown(ctx)
	if idle := <-done; idle != nil {
		err = errors.Join(err, fmt.Errorf("waiting for requests over HTTP/2: %w", idle))
	}
	s.http2.Close()
	return err //nolint:wrapcheck // it says what took too long
}

// Close implements service.
func (s *http2Service) Close() error {
	s.http2.Close()
	return s.service.Close() //nolint:wrapcheck // of the listener
}

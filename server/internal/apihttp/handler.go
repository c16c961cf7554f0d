package apihttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"centrifugo/server/internal/api"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"
	"centrifugo/server/internal/requestid"
)

// DefaultBodyLimit bounds the body of a request, in bytes. A longer body is answered
// with 413. Upstream has no limit.
const DefaultBodyLimit = 10 << 20

// Options of a Handler.
type Options struct {
	// API executes the calls.
	API *api.API
	// Config of the endpoint. The caller handles Disabled and External.
	Config config.HTTPAPI
	// BodyLimit is in bytes; zero means DefaultBodyLimit.
	BodyLimit int64
	// ShuttingDown reports whether the legacy endpoint answers 503; nil means never.
	ShuttingDown func() bool
	// Log receives errors and refused calls; nil means slog.Default.
	Log *slog.Logger
}

// Handler serves the API below the configured prefix. It is safe for concurrent use.
type Handler struct {
	// Static after construction
	api           *api.API
	prefix        string                  // without a trailing slash; empty for the root
	keys          atomic.Pointer[keyring] // SetKey replaces it
	transportMode bool
	bodyLimit     int64
	shuttingDown  func() bool
	log           *slog.Logger
	refusals      *middleware.RefusalLog
	stopping      context.Context // of streams; Stop ends it
	stop          context.CancelFunc
}

// errorModeTransport reports errors as HTTP status (server.md 1.3).
const errorModeTransport = "transport"

// New returns a handler for the patterns of Patterns.
func New(opts Options) *Handler {
	h := &Handler{
		api:           opts.API,
		prefix:        strings.TrimRight(opts.Config.HandlerPrefix, "/"),
		transportMode: opts.Config.ErrorMode == errorModeTransport,
		bodyLimit:     opts.BodyLimit,
		shuttingDown:  opts.ShuttingDown,
		log:           opts.Log,
	}
	if h.bodyLimit <= 0 {
		h.bodyLimit = DefaultBodyLimit
	}
	if h.shuttingDown == nil {
		h.shuttingDown = func() bool { return false }
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	h.refusals = middleware.NewRefusalLog(h.log, "api call refused")
	h.stopping, h.stop = context.WithCancel(context.Background())
	h.SetKey(opts.Config.Key, opts.Config.Insecure)
	return h
}

// Stop ends the streams, and those that begin later, each behind the command that is
// executed. It does not wait. Other calls go on.
func (h *Handler) Stop() { h.stop() }

// SetKey replaces the key; calls with the old one are refused from then on. If
// insecure is set, calls need no key.
func (h *Handler) SetKey(key string, insecure bool) {
	k := newKeyring(key, insecure)
	if k.closed() {
		h.log.Error("http_api.key is not set: every call of the HTTP API is refused")
	}
	h.keys.Store(k)
}

// Patterns returns the patterns for an http.ServeMux: that of the legacy endpoint, and
// that of the paths below it.
func (h *Handler) Patterns() []string {
	if h.prefix == "" {
		return []string{"/"}
	}
	return []string{h.prefix, h.prefix + "/"}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, h.prefix)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if rest == "" || h.prefix == "" && rest == "/" {
		h.serve(w, r, (*Handler).legacy)
		return
	}
	name, ok := strings.CutPrefix(rest, "/")
	if ok && name == streamPath {
		h.stream(w, r)
		return
	}
	route, known := routes[name]
	if !ok || !known {
		http.NotFound(w, r)
		return
	}
	h.serve(w, r, route)
}

// endpoint answers a request whose body is in b. It may use b for the answer.
type endpoint func(h *Handler, w http.ResponseWriter, r *http.Request, b *buffer)

// admit checks the HTTP method, then the key, as all endpoints do (server.md 1.1 and 1.2).
// It answers a request that it does not admit.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) bool {
	requestid.Echo(w, r)
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return false
	}
	if keys := h.keys.Load(); !keys.admits(r) {
		h.logRefused(r, slog.LevelWarn, http.StatusUnauthorized, keys.whyNot(r))
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	return true
}

// serve reads the body of a request that is admitted.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, serve endpoint) {
	arrival := h.api.Arrival()
	if !h.admit(w, r) {
		return
	}
	b := buffers.Get().(*buffer) //nolint:forcetypeassert // the pool holds nothing else
	defer b.release()
	if !arrival.IsZero() {
		r = r.WithContext(api.WithArrival(r.Context(), arrival))
	}
	if err := b.read(w, r, h.bodyLimit); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			h.logRefused(r, slog.LevelWarn, http.StatusRequestEntityTooLarge, err)
			plain(w, http.StatusRequestEntityTooLarge)
			return
		}
		h.log.Log(requestid.For(r), slog.LevelWarn, "reading the body of an api call failed", "error", err)
		plain(w, http.StatusInternalServerError)
		return
	}
	serve(h, w, r, b)
}

// refuse answers a body that cannot be decoded.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadRequest
	if errors.Is(err, api.ErrTooManyCommands) {
		status = http.StatusRequestEntityTooLarge
	}
	h.logRefused(r, slog.LevelInfo, status, err)
	plain(w, status)
}

func (h *Handler) logRefused(r *http.Request, level slog.Level, status int, reason error) {
	h.refusals.Refused(r, middleware.Refusal{Level: level, Status: status, Reason: reason.Error()})
}

// plain answers with the text of a status. Answers that are not results of calls are
// plain text (server.md 1.1).
func plain(w http.ResponseWriter, status int) {
	http.Error(w, http.StatusText(status), status)
}

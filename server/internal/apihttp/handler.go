package apihttp

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"centrifugo/internal/logsample"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/config"
)

// DefaultBodyLimit is the number of bytes that a request's body may have; a
// longer one is answered with 413. Upstream has no limit; a broadcast of the
// largest sensible size stays far below this one.
const DefaultBodyLimit = 10 << 20

// Options of a Handler.
type Options struct {
	// API answers the calls.
	API *api.API
	// Config of the endpoint; Disabled and External are the caller's business.
	Config config.HTTPAPI
	// BodyLimit in bytes, zero for DefaultBodyLimit.
	BodyLimit int64
	// ShuttingDown makes the legacy endpoint answer 503; it may be nil.
	ShuttingDown func() bool
	// Log receives what went wrong; nil for slog.Default.
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
	refusals      *logsample.Sampler // of lines that anybody can provoke
}

// refusalLines is how many refused calls of a kind are logged in a second.
const refusalLines = 10

// errorModeTransport reports errors as HTTP status (server-interface 1.3).
const errorModeTransport = "transport"

// New returns a handler for both patterns of Patterns.
func New(opts Options) *Handler {
	h := &Handler{
		api:           opts.API,
		prefix:        strings.TrimRight(opts.Config.HandlerPrefix, "/"),
		transportMode: opts.Config.ErrorMode == errorModeTransport,
		bodyLimit:     opts.BodyLimit,
		shuttingDown:  opts.ShuttingDown,
		log:           opts.Log,
		refusals:      logsample.New(refusalLines, time.Second),
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
	h.SetKey(opts.Config.Key, opts.Config.Insecure)
	return h
}

// SetKey replaces the key: from now on the old one is refused. Insecure means that
// calls need none.
func (h *Handler) SetKey(key string, insecure bool) {
	k := newKeyring(key, insecure)
	if k.closed() {
		h.log.Error("http_api.key is not set: every call of the HTTP API is refused")
	}
	h.keys.Store(k)
}

// Patterns returns the patterns under which the handler belongs in a mux: the
// legacy endpoint and everything below it.
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
	route, known := routes[name]
	if !ok || !known {
		http.NotFound(w, r)
		return
	}
	h.serve(w, r, route)
}

// endpoint answers the request whose body is in b, and may use b for the answer.
type endpoint func(h *Handler, w http.ResponseWriter, r *http.Request, b *buffer)

// serve does what all endpoints have in common, in the order of server-interface
// 1.1 and 1.2: the verb is looked at before the key, the key before the body.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, serve endpoint) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if keys := h.keys.Load(); !keys.admits(r) {
		h.logRefused(r, slog.LevelWarn, http.StatusUnauthorized, keys.whyNot(r))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	b := buffers.Get().(*buffer) //nolint:forcetypeassert // the pool holds nothing else
	defer b.release()
	if err := b.read(w, r, h.bodyLimit); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			h.logRefused(r, slog.LevelWarn, http.StatusRequestEntityTooLarge, err)
			plain(w, http.StatusRequestEntityTooLarge)
			return
		}
		h.log.Warn("reading the body of an api call", "error", err)
		plain(w, http.StatusInternalServerError)
		return
	}
	serve(h, w, r, b)
}

// logRefused logs that a call was refused. The query may hold a key: it is not logged.
func (h *Handler) logRefused(r *http.Request, level slog.Level, status int, why error) {
	ok, suppressed := h.refusals.Take(logsample.Key{Code: uint32(status)}) //nolint:gosec // an HTTP status
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("remote", r.RemoteAddr), slog.String("path", r.URL.Path), slog.Int("status", status), slog.Any("reason", why)}
	if suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", suppressed))
	}
	h.log.LogAttrs(r.Context(), level, "api call refused", attrs...)
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

// plain answers with the text of a status: what is not about a call's result is
// plain text, not JSON (server-interface 1.1).
func plain(w http.ResponseWriter, status int) {
	http.Error(w, http.StatusText(status), status)
}

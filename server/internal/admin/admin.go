package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"
)

// edition is what tells pages made for several editions which views to show
// (server.md 8).
const edition = "oss"

// formLimit bounds the body of a log-in, in bytes (server.md 8).
const formLimit = 1 << 20

// Options of a Handler.
type Options struct {
	// Config of the interface. The caller handles Enabled and External.
	Config config.Admin
	// Commands answers a body of commands in the form of the legacy endpoint (server.md
	// 1.7) without checking a key.
	Commands http.Handler
	// Views are what the page shows beside the results of API calls, by the last part of
	// the path. A view returns a value for encoding/json. An error is logged and answered
	// with 500.
	Views map[string]func(context.Context) (any, error)
	// Socket serves the connection of the page at admin/websocket; nil for none. The
	// connect command has the token, which the caller checks by Expiry.
	Socket http.Handler
	// Log receives log-ins and refused requests; nil means slog.Default.
	Log *slog.Logger
}

// Handler serves the interface below the configured prefix. It is safe for concurrent use.
type Handler struct {
	// Static after construction
	prefix   string // without a trailing slash; empty for the root
	page     http.Handler
	calls    map[string]http.Handler // by path below the prefix
	log      *slog.Logger
	refusals *middleware.RefusalLog

	sessions atomic.Pointer[sessions]
	attempts attempts
}

// New returns a handler for the patterns of Patterns. An error is about the settings of
// the page.
func New(opts Options) (*Handler, error) {
	h := &Handler{prefix: strings.TrimRight(opts.Config.HandlerPrefix, "/"), log: opts.Log}
	if h.log == nil {
		h.log = slog.Default()
	}
	h.refusals = middleware.NewRefusalLog(h.log, "admin request refused")
	var err error
	if h.page, err = newPage(opts.Config.WebPath, opts.Config.WebProxyAddress, h.log); err != nil {
		return nil, err
	}
	h.calls = map[string]http.Handler{
		"/admin/init": only(http.MethodGet, http.HandlerFunc(h.init)),
		"/admin/auth": only(http.MethodPost, http.HandlerFunc(h.auth)),
		"/admin/api":  only(http.MethodPost, h.authorized(opts.Commands)),
	}
	for name, view := range opts.Views {
		h.calls["/admin/"+name] = only(http.MethodGet, h.authorized(h.view(view)))
	}
	if opts.Socket != nil {
		h.calls["/admin/websocket"] = opts.Socket
	}
	h.SetSecrets(opts.Config)
	return h, nil
}

// SetSecrets replaces password, secret and insecure mode by those of c. Tokens that were
// issued with another password or secret are refused from then on.
func (h *Handler) SetSecrets(c config.Admin) {
	s := newSessions(c.Password, c.Secret, c.Insecure)
	if !s.set && !s.insecure {
		h.log.Error("admin.password or admin.secret is not set: every log-in to the admin interface is refused")
	}
	h.sessions.Store(s)
}

// Expiry returns when a token expires, the zero time if it does not, or an error if it is
// not valid.
func (h *Handler) Expiry(token string) (time.Time, error) {
	return h.sessions.Load().check(token, time.Now())
}

// Patterns returns the patterns for an http.ServeMux.
func (h *Handler) Patterns() []string {
	if h.prefix == "" {
		return []string{"/"}
	}
	return []string{h.prefix, h.prefix + "/"}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, h.prefix)
	switch call := h.calls[rest]; {
	case !ok:
		http.NotFound(w, r)
	case call != nil:
		w.Header().Set("Cache-Control", "no-store")
		call.ServeHTTP(w, r)
	case rest == "": // the page refers to its files relatively
		http.Redirect(w, r, h.prefix+"/", http.StatusMovedPermanently) //nolint:gosec // the prefix is that of the configuration
	default:
		http.StripPrefix(h.prefix, h.page).ServeHTTP(w, r)
	}
}

func only(method string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// init answers what a page has to know before a log-in.
func (h *Handler) init(w http.ResponseWriter, r *http.Request) {
	_, err := h.Expiry(bearer(r))
	h.answer(w, struct {
		Authenticated bool   `json:"authenticated"`
		Edition       string `json:"edition"`
		Insecure      bool   `json:"insecure"`
	}{err == nil, edition, h.sessions.Load().insecure})
}

// auth exchanges the password in a form for a token.
func (h *Handler) auth(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if wait, ok := h.attempts.take(addressOf(r), now); !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		h.refuse(w, r, http.StatusTooManyRequests, errors.New("too many attempts to log in"))
		return
	}
	password, err := passwordOf(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		h.refuse(w, r, status, err)
		return
	}
	token, err := h.sessions.Load().logIn(password, now)
	if err != nil {
		h.refuse(w, r, http.StatusBadRequest, err)
		return
	}
	h.log.Info("admin logged in", "remote", r.RemoteAddr)
	h.answer(w, struct {
		Token string `json:"token"`
	}{token})
}

// passwordOf reads a form. A file in it is no password.
func passwordOf(w http.ResponseWriter, r *http.Request) (string, error) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	if err := r.ParseForm(); err != nil { // ParseMultipartForm would hide it
		return "", fmt.Errorf("reading the form: %w", err)
	}
	// The memory suffices for every body that the limit lets through, so no file is written.
	if err := r.ParseMultipartForm(2 * formLimit); err != nil && !errors.Is(err, http.ErrNotMultipart) { //nolint:gosec // the body is bounded above
		return "", fmt.Errorf("reading the form: %w", err)
	}
	return r.PostForm.Get("password"), nil
}

// authorized refuses requests without a valid token with 401.
func (h *Handler) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := h.Expiry(bearer(r)); err != nil {
			h.refuse(w, r, http.StatusUnauthorized, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (h *Handler) view(view func(context.Context) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value, err := view(r.Context())
		if r.Context().Err() != nil {
			return // the page has left: an answer has no reader
		}
		if err != nil {
			h.log.Error("admin view failed", "path", r.URL.Path, "error", err)
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		h.answer(w, value)
	})
}

// bearer returns the token of the header `Authorization: token TOKEN`, empty if there is
// none. The case of the scheme does not matter (server.md 8).
func bearer(r *http.Request) string {
	fields := strings.Fields(r.Header.Get("Authorization"))
	if len(fields) != 2 || !strings.EqualFold(fields[0], "token") {
		return ""
	}
	return fields[1]
}

// refuse answers with the text of a status; the reason is for the log.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, status int, reason error) {
	h.refusals.Refused(r, middleware.Refusal{Level: slog.LevelWarn, Status: status, Reason: reason.Error(), Kind: http.StatusText(status)})
	http.Error(w, http.StatusText(status), status)
}

func (h *Handler) answer(w http.ResponseWriter, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		h.log.Error("encoding an answer of the admin interface", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // fails only if the client has disconnected
}

package middleware

import (
	"log/slog"
	"net/http"
	"runtime/debug"

	"centrifugo/server/internal/requestid"
)

// Recover logs a panic of a handler and answers with 500 if nothing was written yet.
func Recover(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				reason := recover()
				if reason == nil {
					return
				}
				if reason == http.ErrAbortHandler { //nolint:errorlint // the value itself is the signal, see net/http
					panic(reason)
				}
				log.Log(requestid.For(r), slog.LevelError, "panic in an HTTP handler", "method", r.Method, "path", r.URL.Path,
					"panic", reason, "stack", string(debug.Stack()))
				http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			}()
			next.ServeHTTP(w, r)
		})
	}
}

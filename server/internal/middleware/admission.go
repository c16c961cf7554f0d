package middleware

import "net/http"

// retryAfter is how many seconds a client that was refused should wait, at least.
const retryAfter = "1"

// Admission refuses a request with 503 if admit returns a reason, with which it then calls
// refused.
func Admission(admit func() (reason string), refused func(r *http.Request, reason string)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			reason := admit()
			if reason == "" {
				next.ServeHTTP(w, r)
				return
			}
			refused(r, reason)
			w.Header().Set("Retry-After", retryAfter)
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		})
	}
}

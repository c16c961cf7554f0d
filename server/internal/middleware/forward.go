package middleware

import (
	"context"
	"net/http"
	"slices"
)

type headersKey struct{}

// KeepHeaders stores the named headers of the request in its context, for the calls of
// proxies about the connection that the request opens. The names are canonical. Headers that
// no proxy passes on are not kept: a connection may last for days.
func KeepHeaders(names []string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if len(names) == 0 {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var kept map[string][]string
			for _, name := range names {
				if values := r.Header[name]; len(values) > 0 {
					if kept == nil {
						kept = make(map[string][]string)
					}
					kept[name] = slices.Clone(values)
				}
			}
			if kept != nil {
				r = r.WithContext(context.WithValue(r.Context(), headersKey{}, kept))
			}
			next.ServeHTTP(w, r)
		})
	}
}

// HeadersFrom returns the headers that KeepHeaders stored, or nil.
func HeadersFrom(ctx context.Context) map[string][]string {
	headers, _ := ctx.Value(headersKey{}).(map[string][]string)
	return headers
}

package requestid

import (
	"context"
	"net/http"
)

// sentBy returns the id in the header of a request, or an empty string if there is no valid one.
func sentBy(header http.Header) string {
	if values := header[Header]; len(values) > 0 && valid(values[0]) {
		return values[0]
	}
	return ""
}

// For returns the context of a request with its id: that of the request itself if it has one.
func For(r *http.Request) context.Context {
	if ctx := r.Context(); ctx.Value(contextKey{}) != nil {
		return ctx
	}
	c := new(Context)
	c.BeginHTTP(r)
	return c
}

// KeepSent keeps the id of a request that opens a connection, if one was sent.
func KeepSent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx, ok := Keep(r.Context(), sentBy(r.Header)); ok {
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// Echo adds the id to the header of the answer if the caller has sent one.
func Echo(w http.ResponseWriter, r *http.Request) {
	if sentBy(r.Header) != "" {
		w.Header()[Header] = r.Header[Header][:1]
	}
}

package middleware

import (
	"context"
	"net/http"
)

type userKey struct{}

// UserHeader stores the value of a header in the context of the request. An
// authenticating proxy sets the header to the user's id: client.user_id_http_header. An
// empty name stores nothing.
func UserHeader(name string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if name == "" {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := context.WithValue(r.Context(), userKey{}, r.Header.Get(name))
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// UserFrom returns the value that UserHeader stored, or an empty string.
func UserFrom(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

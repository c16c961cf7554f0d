package middleware

import (
	"context"
	"net/http"
)

type userKey struct{}

// UserHeader keeps the value of a header, in which an authenticating proxy put
// the user's id, in the context of the request: client.user_id_http_header. An
// empty name keeps nothing.
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

// UserFrom returns what UserHeader kept, and an empty string if that is nothing.
func UserFrom(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

// Package middleware holds the middlewares of the HTTP listeners: allowed origins,
// limits of connections, protection of insecure endpoints, and recovery from panics.
// Each is a func(http.Handler) http.Handler that passes the http.ResponseWriter through
// unchanged, so that a handler can hijack, flush and set deadlines.
package middleware

// Package middleware holds what stands before the handlers of the HTTP listeners:
// who may connect from where, how many and how fast. Each middleware is a
// func(http.Handler) http.Handler that hands the http.ResponseWriter on as it
// is, so that a handler can still hijack, flush and set deadlines.
package middleware

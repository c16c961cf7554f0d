package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/gobwas/glob"
)

// MaxOrigin bounds an Origin header, in bytes. A longer one is refused; a scheme, a host
// name and a port are much shorter.
const MaxOrigin = 1024

// Origins decides from which origins browsers may connect (server.md 6.7). It is
// safe for concurrent use.
type Origins struct{ list atomic.Pointer[originList] }

// originList is immutable.
type originList struct {
	any      bool
	patterns []*glob.Pattern
}

// NewOrigins compiles client.allowed_origins: globs with *, ?, [abc] and {a,b}, in which
// * matches dots and slashes too. Patterns are case-sensitive and origins are converted
// to lower case, so a pattern with an upper-case letter matches nothing. An empty list
// allows only requests without an origin. A list of "*" alone allows all.
func NewOrigins(patterns []string) (*Origins, error) {
	list := &originList{any: len(patterns) == 1 && patterns[0] == "*"}
	if list.any {
		patterns = nil
	}
	var errs []error
	for _, pattern := range patterns {
		g, err := glob.Compile(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("compiling allowed origin %q: %w", pattern, err))
			continue
		}
		list.patterns = append(list.patterns, g)
	}
	o := new(Origins)
	o.list.Store(list)
	return o, errors.Join(errs...)
}

// Any reports whether every origin is allowed.
func (o *Origins) Any() bool { return o.list.Load().any }

// Replace makes o allow what other allows.
func (o *Origins) Replace(other *Origins) { o.list.Store(other.list.Load()) }

// Allowed reports whether the origin of a request is allowed. It returns true for a
// request without an Origin header, which does not come from a page of another site.
func (o *Origins) Allowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	list := o.list.Load()
	if origin == "" || list.any {
		return true
	}
	if len(origin) > MaxOrigin {
		return false
	}
	origin = strings.ToLower(origin)
	for _, g := range list.patterns {
		if g.Match(origin) {
			return true
		}
	}
	return false
}

// CORS sets the headers that allow pages of allowed origins to read answers. Requests of
// other origins are served without the headers, so that their browser hides the answer
// (server.md 6.7).
func CORS(allowed func(*http.Request) bool) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			header := w.Header()
			header.Add("Vary", "Origin")
			if origin := r.Header.Get("Origin"); origin != "" && allowed(r) {
				header.Set("Access-Control-Allow-Origin", origin)
				header.Set("Access-Control-Allow-Credentials", "true")
				if wanted := r.Header.Get("Access-Control-Request-Headers"); wanted != "" && wanted != "null" {
					header.Set("Access-Control-Allow-Headers", wanted)
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

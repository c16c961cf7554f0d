package middleware

import (
	"net/http"
	"sync"
	"time"
)

// ConnectionLimit refuses requests with 503 while count returns limit or more:
// client.connection_limit (server.md 6.8). It calls refused, unless nil, with
// each request that it refuses. A limit of zero or less means none.
func ConnectionLimit(limit int, count func() int, refused func(*http.Request)) func(http.Handler) http.Handler {
	return admission(limit, refused, func() bool { return count() < limit })
}

// ConnectionRateLimit refuses with 503 requests beyond a number per second; that many
// may come at once: client.connection_rate_limit. It calls refused, unless nil, with
// each request that it refuses. A limit of zero or less means none.
func ConnectionRateLimit(perSecond int, refused func(*http.Request)) func(http.Handler) http.Handler {
	if perSecond <= 0 {
		return admission(0, nil, nil)
	}
	b := &bucket{rate: float64(perSecond), tokens: float64(perSecond), filled: time.Now()}
	return admission(perSecond, refused, func() bool { return b.take(time.Now()) })
}

func admission(limit int, refused func(*http.Request), admit func() bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if limit <= 0 {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if admit() {
				next.ServeHTTP(w, r)
				return
			}
			if refused != nil {
				refused(r)
			}
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		})
	}
}

// bucket holds the tokens of up to one second and is refilled continuously.
// (Upstream refills one token per second whatever the rate: docs/compatibility.md.)
type bucket struct {
	// Static after construction
	rate float64 // tokens per second, and the most there can be

	// Guarded by mu
	mu     sync.Mutex
	tokens float64
	filled time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if passed := now.Sub(b.filled); passed > 0 {
		b.tokens = min(b.rate, b.tokens+b.rate*passed.Seconds())
		b.filled = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

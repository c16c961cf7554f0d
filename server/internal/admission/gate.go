package admission

import (
	"sync"
	"time"
)

// Config of a Gate. Zeros and less mean no limit.
type Config struct {
	// Limit of connections, and how many there are.
	Limit       int
	Connections func() int
	// MaxDelay of work that waits for a processor.
	MaxDelay time.Duration
	// Rate of new connections per second; that many may come at once.
	Rate int
}

// Gate decides about new connections of all transports by the limits of the configuration.
// Its methods are safe for concurrent use.
type Gate struct {
	// Static after construction.
	config     Config
	controller *Controller // nil without MaxDelay
	rate       *bucket     // nil without Rate
}

// NewGate returns a gate that is open.
func NewGate(c Config) *Gate {
	g := &Gate{config: c}
	if c.MaxDelay > 0 {
		g.controller = New(c.MaxDelay)
	}
	if c.Rate > 0 {
		g.rate = &bucket{rate: float64(c.Rate), tokens: float64(c.Rate), filled: time.Now()}
	}
	return g
}

// Controller returns what limits connections while the server is busy, or nil.
func (g *Gate) Controller() *Controller { return g.controller }

// Admit returns the key of the configuration that refuses a new connection now, empty if
// none does.
func (g *Gate) Admit() (refusedBy string) {
	switch {
	case g.config.Limit > 0 && g.config.Connections() >= g.config.Limit:
		return "client.connection_limit"
	case g.controller != nil && !g.controller.Admit():
		return "client.connection_max_delay"
	case g.rate != nil && !g.rate.take(time.Now()):
		return "client.connection_rate_limit"
	}
	return ""
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

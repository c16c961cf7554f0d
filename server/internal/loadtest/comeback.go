package loadtest

import (
	"math/rand/v2"
	"time"
)

// Delays of clients that were told to come back, those of SDKs for JavaScript: random,
// with a bound that doubles with each attempt.
const (
	minComeBack = 500 * time.Millisecond
	maxComeBack = 20 * time.Second
)

// comeBackLimit bounds how long clients come back until all are connected.
const comeBackLimit = 10 * time.Minute

// callFailed reports whether a connect was refused because its call of the backend has
// failed, or was not made because the breaker is open. The code is that of an error, or of the
// disconnect that it becomes on unidirectional transports (protocol.md 7.4).
func callFailed(code uint32) bool { return code == 100 || code == 3004 }

// comeBackDelay returns how long a client waits after so many attempts.
func comeBackDelay(attempts int) time.Duration {
	most := min(minComeBack<<min(attempts, 10), maxComeBack)
	return min(minComeBack+rand.N(most), maxComeBack) //nolint:gosec // not a secret
}

// isTemporary reports whether SDKs connect again after a disconnect.
func isTemporary(code uint32) bool {
	return code < 3500 || code >= 4000 && code < 4500 // protocol.md 7.2
}

// refuse ends a client that the server has refused. If the scenario lets clients come back
// and the refusal is temporary, the client connects again after a delay.
func (f *fleet) refuse(c *client, why Cause, temporary bool) {
	if !f.plan.scenario.proxied || !temporary || !c.counted || c.state == stateClosed {
		f.fail(c, why)
		return
	}
	f.tally.cause(Cause{Kind: causeComeBack, Code: why.Code, Reason: clip(why.Reason)})
	f.close(c)
	c.attempts++
	c.comeBackAt = f.clock.now() + int64(comeBackDelay(c.attempts))
	f.away = append(f.away, c)
}

// comeBack dials the clients whose delay is over.
func (f *fleet) comeBack() {
	now := f.clock.now()
	waiting := f.away
	f.away = nil // a client that is refused at once is appended
	for _, c := range waiting {
		if c.comeBackAt > now {
			f.away = append(f.away, c)
			continue
		}
		f.dial(c)
	}
}

package centrifuge

import (
	"sync"
	"time"
)

// A client that gets nothing but errors costs more than it is worth: beyond
// errorBurst, and one for each channel that it may subscribe to, its commands are
// slowed to errorRate a second. After maxSlowed of them it is closed.
const (
	errorBurst = 1000
	errorRate  = 100
	maxSlowed  = 1000
)

// pacing is what few connections have: those that got an error reply, or a large
// recovery.
type pacing struct {
	// Guarded by mu, which is a leaf.
	mu       sync.Mutex
	level    float64 // errors, less those that time and successes have paid for
	at       time.Time
	slowed   int       // commands that had to wait since level was half of the burst
	attempts []attempt // large recoveries that may be on their way, see setbacks
}

// failed counts an error.
func (m *pacing) failed(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.level = max(m.level-now.Sub(m.at).Seconds()*errorRate, 0) + 1
	m.at = now
}

// succeeded makes up for an error.
func (m *pacing) succeeded() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.level = max(m.level-1, 0)
}

// delay returns how long the next command has to wait; tooMany asks for the end.
func (m *pacing) delay(now time.Time, burst int) (d time.Duration, tooMany bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	level := max(m.level-now.Sub(m.at).Seconds()*errorRate, 0)
	if level <= float64(burst)/2 {
		m.slowed = 0
	}
	if level <= float64(burst) {
		return 0, false
	}
	m.slowed++
	seconds := (level - float64(burst)) / errorRate
	return time.Duration(seconds * float64(time.Second)), m.slowed > maxSlowed
}

// failed counts an error reply. What failed on the server, or may succeed when it
// is tried again, is not the client's fault.
func (c *Client) failed(answer *Error) {
	if answer.Temporary || answer.Code == ErrorInternal.Code {
		return
	}
	c.pacing().failed(time.Now())
}

// pacing makes what few connections have.
func (c *Client) pacing() *pacing {
	m := c.paced.Load()
	if m == nil {
		c.paced.CompareAndSwap(nil, &pacing{at: time.Now()})
		m = c.paced.Load()
	}
	return m
}

func (c *Client) succeeded() {
	if m := c.paced.Load(); m != nil {
		m.succeeded()
	}
}

// pace waits before a command until the client has taken enough of what was sent
// before, and as long as its errors demand. So commands alone never make a client
// too slow, whatever the size of their replies. False means that it was closed.
func (c *Client) pace(r *replyBatch) (more bool) {
	if !c.waitDrained() {
		return true // what comes of the command is decided elsewhere
	}
	m := c.paced.Load()
	if m == nil {
		return true
	}
	d, tooMany := m.delay(time.Now(), errorBurst+c.node.config.ChannelLimit)
	switch {
	case tooMany:
		c.Disconnect(DisconnectTooManyErrors)
		return false
	case d > 0:
		r.flush()
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.Context().Done():
		}
	}
	return true
}

// waitDrained waits until the client has taken enough of what was sent before. It
// reports false if the connection has ended.
func (c *Client) waitDrained() bool {
	for {
		drained := c.outbox.Drained()
		if drained == nil {
			return true
		}
		select {
		case <-drained:
		case <-c.Context().Done():
			return false
		}
	}
}

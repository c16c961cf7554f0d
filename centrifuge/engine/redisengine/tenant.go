package redisengine

import "sync"

// tenant is a part of the engine that only executes commands. It uses the shards from its
// first command until it is closed.
type tenant struct {
	redis *Redis // static after construction

	// Guarded by mu.
	mu    sync.Mutex
	state lifeState
}

// lifeState is where a part of the engine is in its life.
type lifeState uint8

const (
	notStarted lifeState = iota
	running
	closed
)

// use starts the connections with the first call.
func (t *tenant) use() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch t.state {
	case notStarted:
		if err := t.redis.use(); err != nil {
			return err
		}
		t.state = running
	case closed:
		return errClosed
	}
	return nil
}

// leave ends what use began.
func (t *tenant) leave() {
	t.mu.Lock()
	before := t.state
	t.state = closed
	t.mu.Unlock()
	if before == running {
		t.redis.release()
	}
}

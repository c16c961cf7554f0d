package server

import (
	"testing"
	"time"

	"centrifugo/internal/redistest"
)

// TestBlackhole: the network between one node and Redis drops all packets for 10 s, so that
// nothing is acknowledged and no connection is made. It prints a row of docs/reliability.md.
func TestBlackhole(t *testing.T) {
	if testing.Short() {
		t.Skip("part of the long form")
	}
	t.Log(runFault(t, fault{name: "packets between Redis and one node dropped for 10 s", start: func(t *testing.T, c *faultCluster) func() {
		s := redistest.StartApart(t, 2)
		for i := range 2 {
			c.start(redisConfig(`"address": ["` + s.AddressOver(i) + `"]`))
		}
		return func() { s.SetDropping(0, true); wait(10 * time.Second); s.SetDropping(0, false) }
	}}))
}

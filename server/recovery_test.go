package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/internal/redistest"
	"centrifugo/server/internal/app/apptest"
)

// readLife is how long the clients of a node share what was read of a stream
// (centrifuge/stream_reader.go).
const readLife = time.Second

// TestSharedRecovery: clients that recover the same part of a stream at once make each node
// read it once. While they take longer than readLife, it is read once more in that time.
func TestSharedRecovery(t *testing.T) {
	const published, missed, clients = 50, 40, 200 // clients of each node and channel
	redis := redistest.Start(t)
	c := &faultCluster{t: t}
	channels := []string{"x", "y"}
	for range 2 {
		c.start(addressOf(redis))
	}
	epochs := make(map[string]string)
	for _, channel := range channels {
		for n := range published {
			answer := c.nodes[0].call("publish", fmt.Sprintf(`{"channel":%q,"data":{"n":%d}}`, channel, n+1))
			var result struct {
				Result struct {
					Epoch string `json:"epoch"`
				} `json:"result"`
			}
			if err := json.Unmarshal([]byte(answer), &result); err != nil || result.Result.Epoch == "" {
				t.Fatalf("publishing: %s, %v; want an epoch", answer, err)
			}
			epochs[channel] = result.Result.Epoch
		}
	}
	type recovering struct {
		conn    *apptest.Conn
		channel string
	}
	var all []recovering
	for _, node := range c.nodes {
		for _, channel := range channels {
			for range clients {
				all = append(all, recovering{node.connect(t), channel})
			}
		}
	}

	redis.Do("CONFIG", "RESETSTAT")
	start := time.Now()
	var tasks sync.WaitGroup
	for _, one := range all {
		tasks.Go(func() {
			err := one.conn.Text(fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q,"recover":true,"epoch":%q,"offset":%d}}`, one.channel, epochs[one.channel], published-missed))
			var answer string
			if err == nil {
				answer, err = next(one.conn)
			}
			if n := strings.Count(answer, `"offset":`); err != nil || !strings.Contains(answer, `"recovered":true`) || n != missed+1 {
				t.Errorf("recovering: %.200s with %d offsets, %v; want it recovered with %d", answer, n, err, missed+1)
			}
		})
	}
	tasks.Wait()
	periods := 1 + int(time.Since(start)/readLife)
	reads := redis.Calls("xrange")
	if want := len(c.nodes) * len(channels); reads < want || reads > want*periods {
		t.Errorf("%d clients have made Redis read %d times in %d s; want %d to %d times", len(all), reads, periods, want, want*periods)
	}
	t.Logf("%d clients of %d nodes, %d channels: %d reads", len(all), len(c.nodes), len(channels), reads)
}

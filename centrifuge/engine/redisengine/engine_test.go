package redisengine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/redistest"
)

// deployments are ways to run Redis. Each starts its servers and returns how to reach them.
var deployments = []struct {
	name    string
	start   func(t *testing.T) redisengine.Config
	without centrifugetest.Option
}{
	{"single", func(t *testing.T) redisengine.Config { return single(redistest.Start(t)) }, all},
	{"RESP2", func(t *testing.T) redisengine.Config {
		c := single(redistest.Start(t))
		c.Shards[0].ForceRESP2 = true
		return c
	}, all},
	{"Unix socket", func(t *testing.T) redisengine.Config {
		return redisengine.Config{Shards: []redisengine.ShardConfig{{Address: redistest.Start(t).Socket()}}}
	}, all},
	{"shards", func(t *testing.T) redisengine.Config {
		return single(redistest.Start(t), redistest.Start(t), redistest.Start(t))
	}, all},
	{"sentinel", func(t *testing.T) redisengine.Config {
		g := redistest.StartGroup(t)
		return redisengine.Config{Shards: []redisengine.ShardConfig{{Sentinels: g.Addresses(), MasterName: g.Name}}}
	}, all},
	{"cluster", func(t *testing.T) redisengine.Config { return cluster(redistest.StartCluster(t, 3, false)) },
		centrifugetest.Without(centrifugetest.PromptMessages)},
	{"cluster with sharded PUBSUB", func(t *testing.T) redisengine.Config {
		c := cluster(redistest.StartCluster(t, 3, false))
		c.ShardedPubSub = 8
		return c
	}, all},
	{"bus streams", func(t *testing.T) redisengine.Config {
		c := single(redistest.Start(t), redistest.Start(t))
		c.Streams = true
		return c
	}, centrifugetest.Without(centrifugetest.PromptMessages)},
	{"bus streams in a cluster", func(t *testing.T) redisengine.Config {
		c := cluster(redistest.StartCluster(t, 3, false))
		c.Streams, c.ShardedPubSub = true, 8
		return c
	}, centrifugetest.Without(centrifugetest.PromptMessages)},
}

var all = centrifugetest.Without()

// single and cluster return configurations that wait long for Redis.
func single(servers ...*redistest.Server) (c redisengine.Config) {
	for _, s := range servers {
		c.Shards = append(c.Shards, redisengine.ShardConfig{Address: s.Address()})
	}
	return patient(c)
}

func cluster(c *redistest.Cluster) redisengine.Config {
	return patient(redisengine.Config{Shards: []redisengine.ShardConfig{{Cluster: c.Addresses()}}})
}

// patient returns a configuration for tests of what Redis answers, not of when: a loaded
// machine may take more time than an application would give it.
func patient(c redisengine.Config) redisengine.Config {
	for i := range c.Shards {
		c.Shards[i].ConnectTimeout, c.Shards[i].IOTimeout = 30*time.Second, 30*time.Second
	}
	return c
}

// connect returns the shards of a configuration, for one part of the engine.
func connect(t *testing.T, c redisengine.Config) *redisengine.Redis {
	t.Helper()
	c.LogHandler = func(e centrifuge.LogEntry) {
		if e.Level >= centrifuge.LogWarn && t.Context().Err() == nil {
			t.Logf("%s %v", e.Message, e.Fields)
		}
	}
	r, err := redisengine.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSuites(t *testing.T) {
	t.Parallel()
	for _, d := range deployments {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			config := patient(d.start(t))
			t.Run("broker", func(t *testing.T) {
				centrifugetest.TestBroker(t, func(t *testing.T) centrifuge.Broker {
					return redisengine.NewBroker(connect(t, config), redisengine.BrokerConfig{})
				}, d.without)
			})
			for name, lists := range map[string]bool{"streams": false, "lists": true} {
				t.Run(name, func(t *testing.T) {
					centrifugetest.TestHistoryBroker(t, func(t *testing.T) centrifuge.HistoryBroker {
						return redisengine.NewBroker(connect(t, config), redisengine.BrokerConfig{HistoryUseLists: lists})
					}, centrifugetest.Without(centrifugetest.VersionReset))
				})
			}
			for name, mapping := range map[string]bool{"presence": false, "presence with users": true} {
				t.Run(name, func(t *testing.T) {
					centrifugetest.TestPresenceManager(t, func(t *testing.T, ttl time.Duration) centrifuge.PresenceManager {
						return redisengine.NewPresence(connect(t, config), redisengine.PresenceConfig{TTL: ttl, UserMapping: mapping})
					})
				})
			}
			t.Run("controller", func(t *testing.T) {
				centrifugetest.TestController(t, func(t *testing.T) func() centrifuge.Controller {
					config := config
					config.Prefix = uniqueName("cluster")
					return func() centrifuge.Controller { return redisengine.NewController(connect(t, config)) }
				})
			})
		})
	}
}

func uniqueName(prefix string) string { return fmt.Sprintf("%s-%016x", prefix, rand.Uint64()) }

// closeAtEnd closes c when the test is over.
func closeAtEnd(t *testing.T, c interface{ Close(context.Context) error }) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
}

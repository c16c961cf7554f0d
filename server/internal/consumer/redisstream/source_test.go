package redisstream_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/redisstream"
)

func options(server *redistest.Server, change func(*config.RedisStreamConsumer)) redisstream.Options {
	o := redisstream.Options{
		Shards: []redisengine.ShardConfig{{Address: server.Address(), ConnectTimeout: time.Second, IOTimeout: 4 * time.Second}},
		Config: config.RedisStreamConsumer{
			Streams: []string{"commands"}, ConsumerGroup: "centrifugo", VisibilityTimeout: 30 * time.Second, NumWorkers: 1,
			PayloadValue: "payload", MethodValue: "method",
		},
		Node: "node",
	}
	if change != nil {
		change(&o.Config)
	}
	return o
}

func source(t *testing.T, server *redistest.Server, change func(*config.RedisStreamConsumer)) *redisstream.Source {
	t.Helper()
	s, err := redisstream.New(options(server, change))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish(server *redistest.Server, from, to int) {
	for n := from; n < to; n++ {
		server.Do("XADD", "commands", "*", "method", "publish", "payload", consumertest.Request(0, n))
	}
}

// pending returns how many entries the group has read and not acknowledged.
func pending(server *redistest.Server) int {
	summary, _ := server.Do("XPENDING", "commands", "centrifugo").([]any)
	n, _ := summary[0].(int64)
	return int(n)
}

// Entries are processed in order, those from before the first start included, and
// acknowledged.
func TestStreams(t *testing.T) {
	server := redistest.Start(t)
	publish(server, 0, 100)
	server.Do("XADD", "commands", "*", "payload", "no JSON")
	server.Do("XADD", "commands", "*", "payload", consumertest.Command(0, 100))
	node := &apitest.Node{}
	r := consumertest.Start(t, source(t, server, nil), node)
	r.Processed(t, 102)
	publish(server, 101, 110)
	r.Processed(t, 111)
	server.Do("XADD", "other", "*", "method", "publish", "payload", consumertest.Request(9, 9))
	r.Stop()
	if got, want := node.Calls(), consumertest.Published(0, 0, 110); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	if n := pending(server); n != 0 || r.Stats().Refused(consumer.Malformed) != 1 {
		t.Errorf("pending %d, malformed %d; want 0, 1", n, r.Stats().Refused(consumer.Malformed))
	}
	both := consumertest.Start(t, source(t, server, func(c *config.RedisStreamConsumer) { c.Streams = []string{"commands", "other"} }), node)
	both.Processed(t, 1)
	both.Stop()
	fresh := consumertest.Start(t, source(t, server, func(c *config.RedisStreamConsumer) { c.ConsumerGroup = "another" }), &apitest.Node{})
	fresh.Processed(t, 111)
}

// The fields have the names of the configuration.
func TestFields(t *testing.T) {
	server := redistest.Start(t)
	server.Do("XADD", "commands", "*", "way", "publish", "body", consumertest.Request(0, 1))
	node := &apitest.Node{}
	r := consumertest.Start(t, source(t, server, func(c *config.RedisStreamConsumer) { c.PayloadValue, c.MethodValue = "body", "way" }), node)
	r.Processed(t, 1)
	r.Stop()
	server.Do("XADD", "commands", "*", "payload", "\xff", "centrifugo-channels", "a")
	r = consumertest.Start(t, source(t, server, func(c *config.RedisStreamConsumer) {
		c.PublicationDataMode = config.PublicationDataValues{Enabled: true, ChannelsValue: "centrifugo-channels"}
	}), node)
	r.Processed(t, 1)
	r.Stop()
	if got, want := node.Calls(), []string{"publish p0 1", "publish a \xff"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// Entries that another consumer has read are taken over after visibility_timeout, and not before.
func TestVisibilityTimeout(t *testing.T) {
	server := redistest.Start(t)
	publish(server, 0, 3)
	server.Do("XGROUP", "CREATE", "commands", "centrifugo", "0")
	server.Do("XREADGROUP", "GROUP", "centrifugo", "dead", "STREAMS", "commands", ">")
	node := &apitest.Node{}
	patient := consumertest.Start(t, source(t, server, func(c *config.RedisStreamConsumer) { c.VisibilityTimeout = time.Hour }), node)
	publish(server, 3, 4)
	patient.Processed(t, 1)
	patient.Stop()
	if got, want := node.Calls(), consumertest.Published(0, 3, 4); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q, the others belong to another consumer", got, want)
	}
	quick := consumertest.Start(t, source(t, server, func(c *config.RedisStreamConsumer) { c.VisibilityTimeout = 200 * time.Millisecond }), node)
	quick.Processed(t, 3)
	quick.Stop()
	if got, want := node.Calls()[1:], consumertest.Published(0, 0, 3); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// An entry that is repeated for longer than the visibility timeout stays with its consumer, and
// so do those behind it.
func TestEntriesInWorkAreKept(t *testing.T) {
	server := redistest.Start(t)
	change := func(c *config.RedisStreamConsumer) { c.VisibilityTimeout = time.Second }
	publish(server, 0, 5)
	started := time.Now()
	failing := &consumertest.Node{Before: func([]byte) error {
		if time.Since(started) < 4*time.Second {
			return consumertest.ErrBroken
		}
		return nil
	}}
	r := consumertest.Start(t, source(t, server, change), failing)
	await.Until(t, "the first call", func() bool { return r.Stats().Errors.Load() > 0 })
	o := options(server, change)
	o.Node = "other"
	s, err := redisstream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	other := &apitest.Node{}
	consumertest.Start(t, s, other)
	r.Processed(t, 5)
	if calls := other.Calls(); len(calls) != 0 {
		t.Errorf("calls of the other node = %q; want none", calls)
	}
	if got, want := failing.Calls(), consumertest.Published(0, 0, 5); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// num_workers is how many entries of a stream are in work at the same time.
func TestWorkers(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(strconv.Itoa(workers), func(t *testing.T) {
			server := redistest.Start(t)
			barrier := consumertest.NewBarrier("")
			n := &consumertest.Node{Before: barrier.Wait}
			r := consumertest.Start(t, source(t, server, func(c *config.RedisStreamConsumer) { c.NumWorkers = workers }), n)
			await.Until(t, "the workers to wait", func() bool {
				info, _ := server.Do("CLIENT", "LIST").(string)
				return strings.Count(info, "cmd=xreadgroup") >= workers
			})
			for i := range 2 * workers { // one by one, so that no worker reads several
				publish(server, i, i+1)
				if i < workers {
					await.Until(t, "the entry to be in work", func() bool { return n.InWork() == i+1 })
				}
			}
			barrier.Open()
			r.Processed(t, uint64(2*workers))
			r.Stop()
			if got := n.Most(); got != workers {
				t.Errorf("%d entries were in work at the same time; want %d", got, workers)
			}
		})
	}
}

// An entry that was trimmed before it was processed is reported.
func TestTrimmed(t *testing.T) {
	server := redistest.Start(t)
	publish(server, 0, 2)
	server.Do("XGROUP", "CREATE", "commands", "centrifugo", "0")
	server.Do("XREADGROUP", "GROUP", "centrifugo", "node", "STREAMS", "commands", ">")
	server.Do("XTRIM", "commands", "MAXLEN", "1")
	n := &apitest.Node{}
	r := consumertest.Start(t, source(t, server, nil), n)
	r.Processed(t, 1)
	await.Until(t, "the entries to be acknowledged", func() bool { return pending(server) == 0 })
	if !strings.Contains(r.Log.String(), "removed from the stream") || r.Stats().Errors.Load() != 1 {
		t.Errorf("errors %d, log %s; want 1, a line about the entry", r.Stats().Errors.Load(), r.Log)
	}
}

// Streams are read from clusters, through sentinels, and from each of several servers.
func TestDeployments(t *testing.T) {
	timeouts := redisengine.ShardConfig{ConnectTimeout: time.Second, IOTimeout: 4 * time.Second}
	run := func(t *testing.T, servers int, shards ...redisengine.ShardConfig) {
		t.Helper()
		o := options(&redistest.Server{}, nil)
		o.Shards = shards
		s, err := redisstream.New(o)
		if err != nil {
			t.Fatal(err)
		}
		consumertest.Start(t, s, &apitest.Node{}).Processed(t, uint64(servers))
	}
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t, 3, false)
		_, owner := cluster.Keys("commands")
		publish(owner, 0, 1)
		shard := timeouts
		shard.Cluster = cluster.Addresses()
		run(t, 1, shard)
	})
	t.Run("sentinel", func(t *testing.T) {
		g := redistest.StartGroup(t)
		publish(g.Master, 0, 1)
		shard := timeouts
		shard.Sentinels, shard.MasterName = g.Addresses(), g.Name
		run(t, 1, shard)
	})
	t.Run("servers", func(t *testing.T) {
		a, b := timeouts, timeouts
		first, second := redistest.Start(t), redistest.Start(t)
		publish(first, 0, 1)
		publish(second, 0, 1)
		a.Address, b.Address = first.Address(), second.Socket()
		run(t, 2, a, b)
	})
}

func TestConfiguration(t *testing.T) {
	for _, tt := range []struct {
		want   string
		change func(*config.RedisStreamConsumer)
	}{
		{"streams: ", func(c *config.RedisStreamConsumer) { c.Streams = nil }},
		{"consumer_group: ", func(c *config.RedisStreamConsumer) { c.ConsumerGroup = "" }},
		{"visibility_timeout: ", func(c *config.RedisStreamConsumer) { c.VisibilityTimeout = 0 }},
		{"num_workers: ", func(c *config.RedisStreamConsumer) { c.NumWorkers = 257 }},
		{"payload_value: ", func(c *config.RedisStreamConsumer) { c.PayloadValue = "" }},
	} {
		if _, err := redisstream.New(options(&redistest.Server{}, tt.change)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("New = %v; want %s", err, tt.want)
		}
	}
}

package redisengine_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/await"
	"centrifugo/internal/nettest"
	"centrifugo/internal/redistest"
)

// wantDelivery checks that the broker is healthy again, has reported a gap and delivers.
func (b *running) wantDelivery(channel string) {
	b.t.Helper()
	b.awaitHealth()
	await.Until(b.t, "the gap to be reported", func() bool { return b.gap(channel) })
	data := uniqueName("after")
	await.Until(b.t, "a publication to arrive", func() bool {
		_, _ = b.try(channel, data, kept)
		return b.has(channel + " " + data)
	})
}

// TestSilence: a server that is stopped, and a network that forwards nothing, leave
// connections open. The broker notices, and recovers when the server answers.
func TestSilence(t *testing.T) {
	t.Parallel()
	for name, silence := range map[string]func(s *redistest.Server, p *nettest.Proxy) (end func()){
		"stopped server": func(s *redistest.Server, _ *nettest.Proxy) func() { s.Pause(); return s.Resume },
		"black hole": func(_ *redistest.Server, p *nettest.Proxy) func() {
			p.SetSilent(true)
			return func() { p.SetSilent(false) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			p := nettest.StartProxy(t, s.Address())
			b := startBroker(t, redisengine.Config{Shards: []redisengine.ShardConfig{{Address: p.Address()}}}, redisengine.BrokerConfig{})
			b.subscribe("x")
			b.awaitHealth()
			start := time.Now()
			end := silence(s, p)
			b.awaitFailure()
			t.Logf("red after %v", time.Since(start).Round(10*time.Millisecond))
			if _, err := b.try("x", "1", kept); err == nil {
				t.Error("publishing to a silent server has succeeded; want an error")
			}
			end()
			b.wantDelivery("x")
		})
	}
}

// TestHalfSilence: only the connection on which messages arrive is silent. Publishing
// works, so that nothing else would notice.
func TestHalfSilence(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := nettest.StartProxy(t, s.Address())
	b := startBroker(t, redisengine.Config{Shards: []redisengine.ShardConfig{{Address: p.Address()}}}, redisengine.BrokerConfig{})
	b.subscribe("x")
	b.awaitHealth()
	p.SetSilentFor(func(first []byte) bool { return strings.Contains(strings.ToUpper(string(first)), "SUBSCRIBE") })
	b.awaitFailure()
	p.SetSilentFor(nil)
	b.wantDelivery("x")
}

// TestFirstDialRefused: after a failure the server refuses connections for a while.
func TestFirstDialRefused(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := startBroker(t, single(s), redisengine.BrokerConfig{})
	b.subscribe("x")
	for range 2 {
		s.Kill()
		b.awaitFailure()
		ticks := time.NewTicker(300 * time.Millisecond) // several attempts fail
		<-ticks.C
		<-ticks.C
		ticks.Stop()
		s.Restart()
		b.wantDelivery("x")
		b.forget()
	}
}

// TestFailover: the sentinels replace a master that was killed, or that is only stopped and
// comes back as a replica, while nodes publish. What a publisher was told to be published
// and the new master has, subscribers get or can recover; they never wait for a restart.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(s *redistest.Server){"killed": (*redistest.Server).Kill, "stopped": (*redistest.Server).Pause} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := redistest.StartGroup(t)
			config := redisengine.Config{Shards: []redisengine.ShardConfig{{Sentinels: g.Addresses(), MasterName: g.Name}}}
			b := startBroker(t, config, redisengine.BrokerConfig{})
			other := startBroker(t, config, redisengine.BrokerConfig{})
			b.subscribe("x")
			b.awaitHealth()
			done := make(chan struct{})
			var load sync.WaitGroup
			load.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
						_, _ = other.try("load", strconv.Itoa(i), kept)
					}
				}
			})
			start := time.Now()
			stop(g.Master)
			b.awaitFailure()
			t.Logf("red after %v", time.Since(start).Round(10*time.Millisecond))
			b.wantDelivery("x")
			t.Logf("delivers after %v", time.Since(start).Round(10*time.Millisecond))
			wantRole(t, g.Replica, "master")
			if name == "stopped" {
				g.Master.Resume()
				wantRole(t, g.Master, "slave")
			}
			other.persistently("x", "last", kept)
			b.want(t, "x last")
			close(done)
			load.Wait()
		})
	}
}

// wantRole waits until a server has a role. Sentinels close its connections meanwhile.
func wantRole(t *testing.T, s *redistest.Server, role string) {
	t.Helper()
	await.Until(t, s.Address()+" to be a "+role, func() bool {
		answer, err := redistest.Call(s.Address(), "ROLE")
		return err == nil && strings.HasPrefix(fmt.Sprint(answer), "["+role+" ")
	})
}

// TestClusterFailover: the replica of a master that was killed takes its slots.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{0, 16} {
		t.Run(fmt.Sprintf("%d partitions", partitions), func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartCluster(t, 3, true)
			config := cluster(servers)
			config.ShardedPubSub = partitions
			b := startBroker(t, config, redisengine.BrokerConfig{})
			var channels []string
			for i := range 20 {
				channels = append(channels, fmt.Sprint("channel", i))
			}
			b.subscribe(channels...)
			b.awaitHealth()
			servers.Masters[0].Kill()
			for _, channel := range channels {
				data := uniqueName("after")
				await.Until(t, "a publication to arrive in "+channel, func() bool {
					_, _ = b.try(channel, data, kept)
					return b.has(channel + " " + data)
				})
			}
			b.awaitHealth()
		})
	}
}

// TestSlotMigration: the slots of channels move to another server while they are used.
func TestSlotMigration(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{0, 4} {
		t.Run(fmt.Sprintf("%d partitions", partitions), func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartCluster(t, 3, false)
			config := cluster(servers)
			config.ShardedPubSub = partitions
			b := startBroker(t, config, redisengine.BrokerConfig{})
			b.subscribe("x")
			at := b.publish("x", "1", kept)
			tag := "{x}"
			if partitions > 0 {
				for p := range partitions {
					if k, _ := servers.Keys(fmt.Sprintf("centrifugo.stream.{%d}.x", p)); k {
						tag = fmt.Sprintf("{%d}", p)
					}
				}
			}
			servers.Move(t, tag)
			next := b.persistently("x", "2", kept)
			if next.Epoch != at.Epoch || next.Offset < at.Offset+1 {
				t.Errorf("published to %+v after %+v; want Epoch %v and Offset at least %v", next, at, at.Epoch, at.Offset+1)
			}
			await.Until(t, "a publication to arrive", func() bool {
				_, _ = b.try("x", "3", kept)
				return b.has("x 3")
			})
			b.awaitHealth()
		})
	}
}

// TestWhatWasPublishedIsRecovered: in every fault, an accepted publication on a durable
// server can be read afterwards, once and in order.
func TestWhatWasPublishedIsRecovered(t *testing.T) {
	t.Parallel()
	s := redistest.StartDurable(t)
	b := startBroker(t, single(s), redisengine.BrokerConfig{})
	opts := centrifuge.PublishOptions{HistorySize: 100_000, HistoryTTL: time.Hour}
	accepted := make(map[string]bool)
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if _, err := b.try("x", strconv.Itoa(i), opts); err == nil {
					accepted[strconv.Itoa(i)] = true
				}
			}
		}
	})
	for range 3 {
		b.awaitHealth()
		s.Kill()
		b.awaitFailure()
		s.Restart()
	}
	b.awaitHealth()
	close(stop)
	publishing.Wait()
	if got := len(accepted); got == 0 {
		t.Fatalf("nothing was published: len(accepted) = %v; want more than 0", got)
	}
	last := -1
	for i, p := range b.history("x", centrifuge.HistoryOptions{Limit: -1}).Publications {
		n, err := strconv.Atoi(string(p.Data))
		if err != nil || n <= last || p.Offset != uint64(i+1) {
			t.Fatalf("%s at offset %d after %d, %v; want a later one at %d", p.Data, p.Offset, last, err, i+1)
		}
		last = n
		delete(accepted, string(p.Data))
	}
	if len(accepted) > 0 {
		t.Errorf("%d accepted publications are gone; want none", len(accepted))
	}
}

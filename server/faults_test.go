package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/nettest"
	"centrifugo/internal/redistest"
	"centrifugo/server/internal/app/apptest"
)

// faultCluster is a cluster of real processes under test.
type faultCluster struct {
	t     *testing.T
	mu    sync.Mutex
	nodes []*process // guarded by mu, like the health of nodes
	red   time.Time  // when the first node was not ready after the fault
}

// faultSettings are those of each node; the engine is added.
const faultSettings = `"client": {"insecure": true, "allowed_origins": ["*"], "recovery_max_publication_limit": 100000, "reply_max_size": 67108864,
	"presence_update_interval": "1s"}, "http_api": {"insecure": true}, "health": {"enabled": true}, "shutdown": {"timeout": "10s"},
	"channel": {"without_namespace": {"presence": true, "history_size": 100000, "history_ttl": "10m", "force_recovery": true, "allow_subscribe_for_client": true}}, `

func (c *faultCluster) start(engine string) *process {
	c.t.Helper()
	return c.startWith("{" + faultSettings + engine + "}")
}

func (c *faultCluster) startWith(configuration string) *process {
	c.t.Helper()
	p := serve(c.t, configuration)
	await.Until(c.t, "the node to be ready", func() bool { return ready(p) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = append(c.nodes, p)
	return p
}

func ready(p *process) bool {
	status, _, err := apptest.Request(http.MethodGet, p.url("/health/ready"), "", nil)
	return err == nil && status == http.StatusOK
}

// forget removes a node that is to be stopped, so that clients connect to others.
func (c *faultCluster) forget(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range c.nodes {
		if n == p {
			c.nodes = append(c.nodes[:i:i], c.nodes[i+1:]...)
		}
	}
}

func (c *faultCluster) all() []*process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*process(nil), c.nodes...)
}

func (c *faultCluster) addresses() (addresses []string) {
	for _, p := range c.all() {
		addresses = append(addresses, p.address)
	}
	return addresses
}

// publisher publishes rising numbers, each until a node accepts it. The idempotency key makes
// repeats harmless.
type publisher struct {
	cluster  *faultCluster
	rate     time.Duration
	next     atomic.Int64 // the number that is being published
	failures atomic.Int64
}

func (p *publisher) run(ctx context.Context) {
	ticker := time.NewTicker(p.rate)
	defer ticker.Stop()
	for n := int64(1); ; n++ {
		p.next.Store(n)
		for attempt := 0; !p.publish(n, attempt); attempt++ {
			p.failures.Add(1)
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *publisher) publish(n int64, attempt int) bool {
	nodes := p.cluster.addresses()
	body := fmt.Sprintf(`{"channel":"x","data":{"n":%d},"idempotency_key":"%d"}`, n, n)
	status, answer, err := apptest.Request(http.MethodPost, "http://"+nodes[(int(n)+attempt)%len(nodes)]+"/api/publish", body, nil)
	return err == nil && status == http.StatusOK && !strings.Contains(answer, `"error"`)
}

// fault is one row of the table in docs/reliability.md.
type fault struct {
	name string
	// loses: the server loses data, so that clients must be told.
	loses bool
	// long: not part of the short form.
	long bool
	// start starts the servers and nodes, and returns what makes the fault and ends it.
	start func(t *testing.T, c *faultCluster) (happen func())
}

func redisConfig(settings string) string {
	return `"engine": {"type": "redis", "redis": {"presence_ttl": "4s", ` + settings + `}}`
}

func addressOf(s interface{ Address() string }) string {
	return redisConfig(fmt.Sprintf(`"address": [%q]`, s.Address()))
}

// wait waits without a condition: a fault lasts for a time.
func wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

var faults = []fault{
	{"kill -9 of Redis, restart with its data", false, false, func(t *testing.T, c *faultCluster) func() {
		s := redistest.StartDurable(t)
		c.start(addressOf(s))
		c.start(addressOf(s))
		return func() { s.Kill(); wait(time.Second); s.Restart() }
	}},
	{"kill -9 of Redis, restart without data", true, false, func(t *testing.T, c *faultCluster) func() {
		s := redistest.Start(t)
		c.start(addressOf(s))
		c.start(addressOf(s))
		return func() { s.Kill(); wait(time.Second); s.Restart() }
	}},
	{"SIGSTOP of Redis for 10 s", false, true, func(t *testing.T, c *faultCluster) func() {
		s := redistest.Start(t)
		c.start(addressOf(s))
		c.start(addressOf(s))
		return func() { s.Pause(); wait(10 * time.Second); s.Resume() }
	}},
	{"connections of one node forward nothing for 10 s", false, true, func(t *testing.T, c *faultCluster) func() {
		s := redistest.Start(t)
		p := nettest.StartProxy(t, s.Address())
		c.start(addressOf(p))
		c.start(addressOf(s))
		return func() { p.SetSilent(true); wait(10 * time.Second); p.SetSilent(false) }
	}},
	{"Sentinel failover, master killed", true, false, func(t *testing.T, c *faultCluster) func() {
		g := redistest.StartGroup(t)
		engine := redisConfig(fmt.Sprintf(`"sentinel_address": [%q], "sentinel_master_name": %q`, strings.Join(g.Addresses(), ","), g.Name))
		c.start(engine)
		c.start(engine)
		return func() { g.Master.Kill() }
	}},
	{"Sentinel failover, master stopped for 15 s", true, true, func(t *testing.T, c *faultCluster) func() {
		g := redistest.StartGroup(t)
		engine := redisConfig(fmt.Sprintf(`"sentinel_address": [%q], "sentinel_master_name": %q`, strings.Join(g.Addresses(), ","), g.Name))
		c.start(engine)
		c.start(engine)
		return func() { g.Master.Pause(); wait(15 * time.Second); g.Master.Resume() }
	}},
	{"slot of a Redis Cluster moves", false, true, func(t *testing.T, c *faultCluster) func() {
		servers := redistest.StartCluster(t, 3, false)
		engine := redisConfig(`"cluster_address": ["` + strings.Join(servers.Addresses(), ",") + `"]`)
		c.start(engine)
		c.start(engine)
		return func() { servers.Move(t, "{x}") }
	}},
	{"master of a Redis Cluster killed", true, true, func(t *testing.T, c *faultCluster) func() {
		servers := redistest.StartCluster(t, 3, true)
		engine := redisConfig(`"cluster_address": ["` + strings.Join(servers.Addresses(), ",") + `"]`)
		c.start(engine)
		c.start(engine)
		return func() {
			_, owner := servers.Keys("{x}")
			owner.Kill()
		}
	}},
	{"eviction of the metadata, the history and presence", true, true, func(t *testing.T, c *faultCluster) func() {
		s := redistest.Start(t)
		c.start(addressOf(s))
		c.start(addressOf(s))
		return func() {
			for range 3 {
				for _, key := range []string{"stream.meta", "stream", "presence.data", "presence.expire"} {
					s.Do("DEL", "centrifugo."+key+".x")
					wait(200 * time.Millisecond)
				}
			}
		}
	}},
	{"memory of Redis full, allkeys-lru", true, false, func(t *testing.T, c *faultCluster) func() {
		s := redistest.Start(t, "--maxmemory-policy", "allkeys-lru", "--maxmemory-samples", "1")
		c.start(addressOf(s))
		c.start(addressOf(s))
		return func() { evict(s) }
	}},
	{"memory of Redis full for 2 s, noeviction", false, false, func(t *testing.T, c *faultCluster) func() {
		s := redistest.Start(t)
		c.start(addressOf(s))
		c.start(addressOf(s))
		return func() {
			s.Do("CONFIG", "SET", "maxmemory", "1")
			wait(2 * time.Second)
			s.Do("CONFIG", "SET", "maxmemory", "0")
		}
	}},
	{"kill -9 of a node", false, false, func(t *testing.T, c *faultCluster) func() {
		s := redistest.Start(t)
		victim := c.start(addressOf(s))
		c.start(addressOf(s))
		return func() {
			c.forget(victim)
			victim.signal(syscall.SIGKILL)
			<-victim.ended
		}
	}},
	{"rolling restart of three nodes", false, true, func(t *testing.T, c *faultCluster) func() {
		s := redistest.Start(t)
		for range 3 {
			c.start(addressOf(s))
		}
		return func() {
			for _, old := range c.all() {
				c.forget(old)
				old.signal(syscall.SIGTERM)
				old.exitCode()
				c.start(addressOf(s))
			}
		}
	}},
	{"kill -9 of Redis, restart with its data, bus streams", false, true, func(t *testing.T, c *faultCluster) func() {
		s := redistest.StartDurable(t)
		engine := redisConfig(fmt.Sprintf(`"address": [%q], "delivery": "streams"`, s.Address()))
		c.start(engine)
		c.start(engine)
		return func() { s.Kill(); wait(time.Second); s.Restart() }
	}},
}

// evict fills the memory of a server until it has evicted the metadata of the watched channel
// three times, which takes thousands of other keys.
func evict(s *redistest.Server) {
	s.Do("CONFIG", "SET", "maxmemory", fmt.Sprint(s.Number("used_memory")+1<<20))
	defer s.Do("CONFIG", "SET", "maxmemory", "0")
	epochs := make(map[string]bool)
	for n := 0; len(epochs) < 4; n++ {
		s.Do("EVAL", "for i = 1, 20 do redis.call('set', 'filler' .. ARGV[1] .. '.' .. i, string.rep('x', 1000)) end", "0", fmt.Sprint(n))
		if epoch, ok := s.Do("HGET", "centrifugo.stream.meta.x", "e").(string); ok {
			epochs[epoch] = true
		}
	}
}

// TestFaults lets clients watch a channel while servers fail, and prints the table of
// docs/reliability.md: go test ./server -run TestFaults -v
func TestFaults(t *testing.T) {
	var mu sync.Mutex
	rows := make(map[string]string)
	t.Run("faults", func(t *testing.T) {
		for _, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				if f.long && testing.Short() {
					t.Skip("part of the long form")
				}
				t.Parallel()
				row := runFault(t, f)
				mu.Lock()
				defer mu.Unlock()
				rows[f.name] = row
			})
		}
	})
	for _, f := range faults {
		if rows[f.name] != "" {
			t.Log(rows[f.name])
		}
	}
}

// runFault makes a fault under load, and judges what the clients got.
func runFault(t *testing.T, f fault) string {
	c := &faultCluster{t: t}
	happen := f.start(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	var watchers []*watcher
	for range 10 {
		w := &watcher{addresses: c.addresses, channel: "x", stop: ctx, judge: judge{lossy: f.loses}}
		watchers = append(watchers, w)
		tasks.Go(w.run)
	}
	p := &publisher{cluster: c, rate: 10 * time.Millisecond}
	tasks.Go(func() { p.run(ctx) })
	awaitNumber(t, watchers, 100)
	start := time.Now()
	tasks.Go(func() { c.watchHealth(ctx) })
	happen()
	awaitNumber(t, watchers, int(p.next.Load())+100)
	restored := c.awaitPresence(len(watchers), start)
	cancel()
	tasks.Wait()
	return report(t, f, p, watchers, c, start, restored)
}

// watchHealth notes when a node is not ready any more.
func (c *faultCluster) watchHealth(ctx context.Context) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		for _, p := range c.all() {
			status, _, err := apptest.Request(http.MethodGet, p.url("/health/ready"), "", nil)
			if err == nil && status == http.StatusServiceUnavailable {
				c.mu.Lock()
				c.red = time.Now()
				c.mu.Unlock()
				return
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// awaitPresence waits until exactly the clients are present, and returns how long after the
// fault that was.
func (c *faultCluster) awaitPresence(clients int, start time.Time) time.Duration {
	c.t.Helper()
	want := fmt.Sprintf(`"num_clients":%d,`, clients)
	await.Until(c.t, "presence to be right", func() bool {
		_, answer, err := apptest.Request(http.MethodPost, "http://"+c.addresses()[0]+"/api/presence_stats", `{"channel":"x"}`, nil)
		return err == nil && strings.Contains(answer, want)
	})
	return time.Since(start)
}

// report judges a run and returns its row.
func report(t *testing.T, f fault, p *publisher, watchers []*watcher, c *faultCluster, start time.Time, presence time.Duration) string {
	t.Helper()
	sum := verdict(t, watchers)
	red := "none"
	if !c.red.IsZero() {
		red = fmt.Sprintf("%.1f", c.red.Sub(start).Seconds())
	}
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %.1f | %s | %.1f |", f.name, p.next.Load(), p.failures.Load(), sum.lost, sum.told, sum.duplicates,
		sum.silence.Seconds(), red, presence.Seconds())
}

package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"centrifugo/internal/await"
)

// Cluster is a Redis Cluster.
type Cluster struct {
	// Masters share the slots.
	Masters []*Server
	// Replicas has one of each master, or none.
	Replicas []*Server
}

// StartCluster starts a cluster of masters, each with a replica if asked for.
func StartCluster(t testing.TB, masters int, replicas bool) *Cluster {
	t.Helper()
	c := &Cluster{}
	node := func() *Server {
		return Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", "0",
			"--cluster-replica-validity-factor", "0")
	}
	for range masters {
		c.Masters = append(c.Masters, node())
		if replicas {
			c.Replicas = append(c.Replicas, node())
		}
	}
	for i, m := range c.Masters {
		m.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*16384/masters), strconv.Itoa((i+1)*16384/masters-1))
		m.Do("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	first := c.Masters[0]
	for _, s := range append(c.Masters[1:], c.Replicas...) {
		first.Do("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(s.Port), s.clusterPort())
	}
	all := append(append([]*Server(nil), c.Masters...), c.Replicas...)
	for _, s := range all {
		await.Until(t, "the cluster to know its members", func() bool {
			return strings.Contains(s.Text("CLUSTER", "INFO"), fmt.Sprintf("cluster_known_nodes:%d", len(all)))
		})
	}
	for i, r := range c.Replicas {
		id := c.Masters[i].Text("CLUSTER", "MYID")
		await.Until(t, "a replica to know its master", func() bool {
			_, err := r.try("CLUSTER", "REPLICATE", id)
			return err == nil
		})
	}
	for _, s := range all {
		await.Until(t, "the cluster to be complete", func() bool {
			return strings.Contains(s.Text("CLUSTER", "INFO"), "cluster_state:ok")
		})
	}
	for i, r := range c.Replicas {
		await.Until(t, "a replica to be connected", func() bool {
			return strings.Contains(r.Text("INFO", "replication"), "master_link_status:up") && c.Masters[i] != nil
		})
	}
	return c
}

func (s *Server) clusterPort() string {
	for i, arg := range s.args {
		if arg == "--cluster-port" {
			return s.args[i+1]
		}
	}
	return ""
}

// Addresses of the masters.
func (c *Cluster) Addresses() []string {
	var addresses []string
	for _, m := range c.Masters {
		addresses = append(addresses, m.Address())
	}
	return addresses
}

// Keys reports whether a key exists, and which master has its slot.
func (c *Cluster) Keys(key string) (exists bool, owner *Server) {
	for _, m := range c.Masters {
		if n, err := m.try("EXISTS", key); err == nil {
			return n == int64(1), m
		}
	}
	return false, nil
}

// Move moves the slot of a key to another master, with its keys.
func (c *Cluster) Move(t testing.TB, key string) {
	t.Helper()
	_, from := c.Keys(key)
	if from == nil {
		t.Fatalf("no master has the slot of %s", key)
	}
	to := c.Masters[0]
	if to == from {
		to = c.Masters[1]
	}
	slot := fmt.Sprint(from.Do("CLUSTER", "KEYSLOT", key))
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", from.Text("CLUSTER", "MYID"))
	from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", to.Text("CLUSTER", "MYID"))
	for {
		keys, _ := from.Do("CLUSTER", "GETKEYSINSLOT", slot, "1").([]any)
		if len(keys) == 0 {
			break
		}
		from.Do("MIGRATE", "127.0.0.1", strconv.Itoa(to.Port), fmt.Sprint(keys[0]), "0", "10000")
	}
	for _, s := range append([]*Server{to, from}, c.Masters...) {
		s.Do("CLUSTER", "SETSLOT", slot, "NODE", to.Text("CLUSTER", "MYID"))
	}
}

// Group is a master with a replica, watched by three sentinels.
type Group struct {
	// Name of the master that the sentinels know.
	Name      string
	Master    *Server
	Replica   *Server
	Sentinels []*Server
}

// StartGroup starts a group. The sentinels replace the master after it was silent for two
// seconds. The first sentinel gets more lines of configuration.
func StartGroup(t testing.TB, lines ...string) *Group {
	t.Helper()
	g := &Group{Name: "main", Master: Start(t, "--repl-diskless-sync-delay", "0")}
	g.Replica = Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(g.Master.Port), "--repl-diskless-sync-delay", "0")
	await.Until(t, "the replica to be connected", func() bool {
		return strings.Contains(g.Replica.Text("INFO", "replication"), "master_link_status:up")
	})
	for range 3 {
		g.Sentinels = append(g.Sentinels, g.sentinel(t, lines))
		lines = nil
	}
	for _, s := range g.Sentinels {
		await.Until(t, "the sentinels to know each other and the replica", func() bool {
			info := s.Text("INFO", "sentinel")
			return strings.Contains(info, "status=ok") && strings.Contains(info, "slaves=1,sentinels=3")
		})
	}
	return g
}

func (g *Group) sentinel(t testing.TB, lines []string) *Server {
	t.Helper()
	return startSentinel(t, strings.Join(append(lines, ""), "\n")+fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2\nsentinel down-after-milliseconds %s 2000\nsentinel failover-timeout %s 6000\n",
		g.Name, g.Master.Port, g.Name, g.Name))
}

// Addresses of the sentinels.
func (g *Group) Addresses() []string {
	var addresses []string
	for _, s := range g.Sentinels {
		addresses = append(addresses, s.Address())
	}
	return addresses
}

func startSentinel(t testing.TB, config string) *Server {
	t.Helper()
	s := prepare(t, "--sentinel")
	if err := os.WriteFile(filepath.Join(s.dir, "sentinel.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.start()
}

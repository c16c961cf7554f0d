package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/app/apptest"
)

// clusterNode are the settings of a node with an API without a key, and every feature of
// channels.
func clusterNode(name, engine string) string {
	return `"client": {"insecure": true}, "http_api": {"insecure": true}, "health": {"enabled": true}, "node": {"name": "` + name + `"},
		"prometheus": {"enabled": true, "publication_latency_sample": 1},
		"channel": {"without_namespace": {"presence": true, "join_leave": true, "force_push_join_leave": true,
			"history_size": 100, "history_ttl": "5m", "force_recovery": true, "allow_subscribe_for_client": true}}, ` + engine
}

// startCluster starts nodes with the same engine, and waits until they know each other and
// are ready.
func startCluster(t *testing.T, engine string, nodes int) []*instance {
	t.Helper()
	var all []*instance
	for n := range nodes {
		all = append(all, start(t, clusterNode("node"+strconv.Itoa(n), engine)))
	}
	for _, i := range all {
		i.awaitKnown(nodes)
		i.awaitReady()
	}
	return all
}

// awaitKnown waits until the node knows of so many nodes, itself included.
func (i *instance) awaitKnown(nodes int) {
	i.t.Helper()
	await.Until(i.t, "the nodes to know each other", func() bool {
		return strings.Count(i.api("info", `{}`), `"uid"`) == nodes
	})
}

func (i *instance) api(method, body string) string {
	i.t.Helper()
	status, answer := i.request(http.MethodPost, i.internal(), "/api/"+method, body)
	if status != http.StatusOK {
		i.t.Fatalf("%s: status %d, %s; want 200", method, status, answer)
	}
	return answer
}

func (i *instance) ready() (int, string) {
	i.t.Helper()
	return i.request(http.MethodGet, i.internal(), "/health/ready", "")
}

func (i *instance) awaitReady() {
	i.t.Helper()
	await.Until(i.t, "the node to be ready", func() bool {
		status, _ := i.ready()
		return status == http.StatusOK
	})
}

// next returns the next message that contains text.
func next(t *testing.T, c *apptest.Conn, text string) string {
	t.Helper()
	for {
		m, err := c.Next()
		if err != nil {
			t.Fatalf("waiting for %s: %v", text, err)
		}
		for line := range strings.Lines(m) {
			if strings.Contains(line, text) {
				return line
			}
		}
	}
}

func redisEngine(addresses ...string) string {
	list, _ := json.Marshal(addresses)
	return fmt.Sprintf(`"engine": {"type": "redis", "redis": {"address": %s}}`, list)
}

func TestTwoNodesOnRedis(t *testing.T) {
	for _, delivery := range []string{"pubsub", "streams"} {
		t.Run(delivery, func(t *testing.T) { testTwoNodes(t, delivery) })
	}
}

func testTwoNodes(t *testing.T, delivery string) {
	engine := fmt.Sprintf(`"engine": {"type": "redis", "redis": {"address": [%q, %q], "delivery": %q}}`, redistest.Start(t).Address(), redistest.Start(t).Address(), delivery)
	nodes := startCluster(t, engine, 2)
	a, b := nodes[0].connected(apptest.Dialer{}), nodes[1].connected(apptest.Dialer{})
	if reply := ask(t, a, `{"id":2,"subscribe":{"channel":"x"}}`); !strings.Contains(reply, `"recoverable":true`) {
		t.Fatalf("subscribing: %s; want %q in it", reply, `"recoverable":true`)
	}
	if reply := ask(t, b, `{"id":2,"subscribe":{"channel":"x"}}`); !strings.Contains(reply, `"epoch":"`) {
		t.Fatalf("subscribing: %s; want %q in it", reply, `"epoch":"`)
	}
	next(t, a, `"join"`) // of b; its own may come before
	if got := nodes[0].api("presence_stats", `{"channel":"x"}`); got != `{"result":{"num_clients":2,"num_users":1}}` {
		t.Errorf("presence of both: %s; want %q", got, `{"result":{"num_clients":2,"num_users":1}}`)
	}
	nodes[0].api("publish", `{"channel":"x","data":{"n":1}}`)
	for _, c := range []*apptest.Conn{a, b} {
		if m := next(t, c, `"pub"`); !strings.Contains(m, `"data":{"n":1},"offset":1`) {
			t.Errorf("got %s, want the publication at offset 1", m)
		}
	}
	if got := nodes[1].api("history", `{"channel":"x","limit":10}`); !strings.Contains(got, `"data":{"n":1}`) {
		t.Errorf("history on the other node: %s; want %q in it", got, `"data":{"n":1}`)
	}
	if got := nodes[1].api("channels", `{}`); !strings.Contains(got, `"x":{"num_clients":2}`) {
		t.Errorf("channels of all nodes: %s; want %q in it", got, `"x":{"num_clients":2}`)
	}
	nodes[1].api("unsubscribe", `{"channel":"x","user":""}`)
	for _, c := range []*apptest.Conn{a, b} {
		next(t, c, `"unsubscribe"`)
	}
	nodes[0].api("disconnect", `{"user":""}`)
	for _, c := range []*apptest.Conn{a, b} {
		for {
			if _, err := c.Next(); err != nil {
				if closed, ok := err.(*apptest.Closed); !ok || closed.Code != 3503 && closed.Code != 3000 { //nolint:errorlint // as it is
					t.Errorf("disconnected with %v; want code 3503 or 3000", err)
				}
				break
			}
		}
	}
}

// TestReadyWithoutRedis: the process is alive, and says why it should get no traffic.
// Publishing fails. It recovers by itself.
func TestReadyWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	i := start(t, clusterNode("n", redisEngine(server.Address())))
	i.awaitReady()
	i.api("publish", `{"channel":"x","data":{}}`)
	server.Kill()
	var reason string
	await.Until(t, "the node to be not ready", func() bool {
		status, body := i.ready()
		reason = body
		return status == http.StatusServiceUnavailable
	})
	if !strings.Contains(reason, server.Address()) {
		t.Errorf("reason is %s, want the address of the server in it", reason)
	}
	if status, _ := i.request(http.MethodGet, i.internal(), "/health/live", ""); status != http.StatusOK {
		t.Errorf("live: status %d, want 200", status)
	}
	if status, _ := i.request(http.MethodGet, i.internal(), "/health", ""); status != http.StatusOK {
		t.Errorf("health: status %d, want 200 as ever", status)
	}
	if got := i.api("publish", `{"channel":"x","data":{}}`); !strings.Contains(got, `"error":{"code":100`) {
		t.Errorf("publishing without a server: %s, want an error", got)
	}
	await.Until(t, "metrics that tell of the loss", func() bool {
		m := i.metrics()
		return m["centrifugo_node_engine_healthy"] == 0 && m[`centrifugo_broker_redis_pub_sub_errors{broker_name="",error="connection"}`] > 0
	})
	server.Restart()
	i.awaitReady()
	await.Until(t, "metrics that tell of the recovery", func() bool {
		m := i.metrics()
		return m["centrifugo_node_engine_healthy"] == 1 && m[`centrifugo_broker_redis_gaps_count{broker_name="",channel_type="client"}`] > 0
	})
	if got := i.api("publish", `{"channel":"x","data":{}}`); !strings.Contains(got, `"offset":1`) {
		t.Errorf("publishing with a new server: %s; want %q in it", got, `"offset":1`)
	}
	i.awaitMetrics(map[string]float64{`broker_redis_epochs_renewed_count{broker_name=""}`: 1})
}

// TestPartsOnRedis: broker and presence manager may be on servers of their own.
func TestPartsOnRedis(t *testing.T) {
	messages, present := redistest.Start(t), redistest.Start(t)
	i := start(t, clusterNode("n", fmt.Sprintf(`"broker": {"enabled": true, "type": "redis", "redis": {"address": [%q], "prefix": "b", "history_use_lists": true}},
		"presence_manager": {"enabled": true, "type": "redis", "redis": {"address": [%q], "prefix": "p", "presence_user_mapping": true}}`,
		messages.Address(), present.Address())))
	i.awaitReady()
	c := i.connected(apptest.Dialer{})
	if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"x"}}`); !strings.Contains(reply, `"recoverable":true`) {
		t.Fatalf("subscribing: %s; want %q in it", reply, `"recoverable":true`)
	}
	i.api("publish", `{"channel":"x","data":{"n":1}}`)
	next(t, c, `"pub"`)
	if got := i.api("presence_stats", `{"channel":"x"}`); got != `{"result":{"num_clients":1,"num_users":1}}` {
		t.Errorf("presence: %s; want %q", got, `{"result":{"num_clients":1,"num_users":1}}`)
	}
	for key, server := range map[string]*redistest.Server{"b.list.x": messages, "b.list.meta.x": messages, "p.presence.data.x": present, "p.presence.user.clients.x": present} {
		if server.Do("EXISTS", key) != int64(1) {
			t.Errorf("%s is not on its server; want %v", key, int64(1))
		}
	}
	present.Kill()
	await.Until(t, "the node to be not ready", func() bool {
		i.api("presence", `{"channel":"x"}`)
		status, _ := i.ready()
		return status == http.StatusServiceUnavailable
	})
}

// TestRedisTLS: cert_pem and key_pem are presented to the server, which asks for them, and
// server_ca_pem verifies the server; the same for the sentinels.
func TestRedisTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	files := a.files()
	tlsPort, sentinelPort := strconv.Itoa(testprocess.FreePort(t)), strconv.Itoa(testprocess.FreePort(t))
	redistest.Start(t, append([]string{"--tls-port", tlsPort}, files.arguments()...)...)
	cert, key := a.leaf()
	section := func(ca, cert, key string) string {
		text, err := json.Marshal(map[string]any{"enabled": true, "server_ca_pem": ca, "cert_pem": cert, "key_pem": key})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	good := section(string(a.pem), cert, key)
	engine := func(settings string) string { return `"engine": {"type": "redis", "redis": {` + settings + `}}` }
	start(t, clusterNode("n", engine(`"address": ["127.0.0.1:`+tlsPort+`"], "tls": `+good))).awaitReady()

	group := redistest.StartGroup(t, append([]string{"tls-port " + sentinelPort}, files.lines()...)...)
	start(t, clusterNode("n", engine(`"sentinel_address": ["127.0.0.1:`+sentinelPort+`"], "sentinel_master_name": "`+group.Name+`", "sentinel_tls": `+good))).awaitReady()

	other := newAuthority(t)
	for name, bad := range map[string]string{"no certificate": section(string(a.pem), "", ""), "another authority": section(string(other.pem), cert, key)} {
		i := start(t, clusterNode("n", engine(`"address": ["127.0.0.1:`+tlsPort+`"], "tls": `+bad)))
		if status, body := i.ready(); status != http.StatusServiceUnavailable {
			t.Errorf("%s: ready with status %d, %s; want %v", name, status, body, http.StatusServiceUnavailable)
		}
	}
}

// tlsFiles are the files of a Redis server.
type tlsFiles struct{ cert, key, ca string }

func (a *authority) files() tlsFiles {
	a.t.Helper()
	dir := a.t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			a.t.Fatal(err)
		}
		return path
	}
	cert, key := a.leaf()
	return tlsFiles{write("cert.pem", cert), write("key.pem", key), write("ca.pem", string(a.pem))}
}

func (f tlsFiles) arguments() []string {
	return []string{"--tls-cert-file", f.cert, "--tls-key-file", f.key, "--tls-ca-cert-file", f.ca}
}

func (f tlsFiles) lines() []string {
	return []string{"tls-cert-file " + f.cert, "tls-key-file " + f.key, "tls-ca-cert-file " + f.ca}
}

// TestRedisUser: a user of the server with the rights that docs/server.md names is enough.
func TestRedisUser(t *testing.T) {
	server := redistest.Start(t)
	server.Do("ACL", "SETUSER", "app", "on", ">secret", "~centrifugo.*", "&centrifugo.*", "+@connection", "+@pubsub", "+@scripting",
		"+@read", "+@write", "-@dangerous", "+role", "+time", "+info")
	server.Do("ACL", "SETUSER", "default", "off")
	i := start(t, clusterNode("n", `"engine": {"type": "redis", "redis": {"address": ["`+server.Address()+`"], "user": "app", "password": "secret", "db": 0, "client_name": "me"}}`))
	i.awaitReady()
	c := i.connected(apptest.Dialer{})
	if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"x"}}`); !strings.Contains(reply, `"recoverable":true`) {
		t.Fatalf("subscribing: %s; want %q in it", reply, `"recoverable":true`)
	}
	i.api("publish", `{"channel":"x","data":{"n":1}}`)
	next(t, c, `"pub"`)
}

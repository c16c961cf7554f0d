package migrate

import (
	"net"
	"strings"

	"centrifugo/server/internal/config"
)

// fromV2 gives the keys of v2 the names and units of v3.
func (m *migration) fromV2() {
	m.secondsOfV2()
	for _, r := range [][2]string{
		{"secret", "token_hmac_secret_key"},
		{"client_presence_ping_interval", "client_presence_update_interval"},
		{"client_ping_interval", "websocket_ping_interval"},
		{"client_message_write_timeout", "websocket_write_timeout"},
		{"client_request_max_size", "websocket_message_size_limit"},
		{"client_presence_expire_interval", "presence_ttl"},
		{"memory_history_meta_ttl", "history_meta_ttl"},
		{"redis_history_meta_ttl", "history_meta_ttl"},
		{"redis_sequence_ttl", "history_meta_ttl"},
		{"redis_cluster_addrs", "redis_cluster_address"},
		{"redis_sentinels", "redis_sentinel_address"},
		{"redis_master_name", "redis_sentinel_master_name"},
		{"redis_tls_skip_verify", "redis_tls_insecure_skip_verify"},
	} {
		m.rename(r[0], r[1])
	}
	m.redisAddressOfV2()
	m.proxyHeadersOfV2()
	m.sockJSOfV2()
	if v, ok := m.old["tls_autocert_host_whitelist"]; ok {
		m.old["tls_autocert_host_whitelist"] = value{list(v.raw), v.origin}
	}
	m.imply("allowed_origins", []any{"*"}, "v2 let pages of every origin connect; name the origins of yours instead of *")
	m.imply("client_queue_max_size", "10485760", "the default of v2; later versions have 1 MiB")
	m.imply("client_presence_update_interval", "25s", "the default of v2; later versions have 27s")
	if m.has("token_hmac_secret_key") || m.has("token_rsa_public_key") {
		m.note(Meaning, m.old["token_hmac_secret_key"].origin, "client.token",
			"a token with eto: true must become one with expire_at: 0 and exp; subscription tokens need sub instead of client")
	}
	if textOf(m.old["engine"].raw) == "redis" {
		m.note(Meaning, m.old["engine"].origin, "engine.redis", "history and presence that v2 has in Redis are not read")
	}
}

// secondsOfV2 writes intervals, which v2 has in seconds, as durations.
func (m *migration) secondsOfV2() {
	later := map[string]string{ // names of v2 that config does not know by their type
		"history_lifetime": "", "client_presence_ping_interval": "", "client_ping_interval": "", "client_message_write_timeout": "",
		"client_presence_expire_interval": "", "memory_history_meta_ttl": "", "redis_history_meta_ttl": "", "redis_sequence_ttl": "",
		"redis_read_timeout": "", "redis_write_timeout": "", "redis_connect_timeout": "", "history_ttl": "", "presence_ttl": "",
	}
	for key, v := range m.old {
		_, interval := later[key]
		if path, ok := config.Former(key); interval || ok && config.TypeAt(path) == "duration" {
			m.old[key] = value{seconds(v.raw), v.origin}
		}
	}
	for _, namespace := range objects(m.old["namespaces"].raw) {
		for _, key := range []string{"history_lifetime", "history_ttl"} {
			if raw, ok := namespace[key]; ok {
				namespace[key] = seconds(raw)
			}
		}
	}
}

// redisAddressOfV2 makes one address of host and port. Both may be lists, of shards.
func (m *migration) redisAddressOfV2() {
	if v, ok := m.take("redis_url"); ok {
		m.take("redis_host")
		m.take("redis_port")
		m.old["redis_address"] = value{list(v.raw), v.origin}
		return
	}
	host, hasHost := m.take("redis_host")
	port, hasPort := m.take("redis_port")
	if !hasHost && !hasPort {
		return
	}
	hosts, ports := strings.Split(textOf(host.raw), ","), strings.Split(textOf(port.raw), ",")
	addresses := make([]any, max(len(hosts), len(ports)))
	for i := range addresses {
		addresses[i] = net.JoinHostPort(itemOr(hosts, i, "127.0.0.1"), itemOr(ports, i, "6379"))
	}
	origin := host.origin
	if !hasHost {
		origin = port.origin
	} else if hasPort {
		origin += ", " + port.origin
	}
	m.old["redis_address"] = value{addresses, origin}
}

// itemOr returns an item of a list; the only one stands for all.
func itemOr(items []string, i int, other string) string {
	if i >= len(items) {
		i = len(items) - 1
	}
	if item := strings.TrimSpace(items[i]); item != "" {
		return item
	}
	return other
}

// headersOfV2 are the headers that v2 passes to proxies without being told.
var headersOfV2 = []any{"Origin", "User-Agent", "Cookie", "Authorization", "X-Real-Ip", "X-Forwarded-For", "X-Request-Id"}

func (m *migration) proxyHeadersOfV2() {
	extra, ok := m.take("proxy_extra_http_headers")
	used := false
	for _, e := range proxyEvents {
		used = used || !isZero(m.old["proxy_"+e.flat+"_endpoint"].raw)
	}
	if m.has("proxy_http_headers") || !used && !ok {
		return
	}
	headers := append([]any{}, headersOfV2...)
	if items, ok := list(extra.raw).([]any); ok {
		headers = append(headers, items...)
	}
	m.old["proxy_http_headers"] = value{headers, extra.origin}
	m.note(Meaning, extra.origin, "", "the headers that v2 passes to proxies by itself are listed for each proxy")
}

func (m *migration) sockJSOfV2() {
	v, ok := m.take("sockjs_disable")
	if ok && isTrue(v.raw) {
		m.note(Dropped, v.origin, "", "there is no SockJS to be turned off")
		return
	}
	m.note(Meaning, v.origin, "", "SockJS, which v2 has on, does not exist any more; clients without WebSocket need http_stream or sse")
}

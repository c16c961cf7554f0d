package migrate

import (
	"fmt"
	"strings"
	"sync"

	"centrifugo/server/internal/config"
)

// fromFlat puts the flat keys of v4 and v5 into the sections of v6.
func (m *migration) fromFlat() {
	if m.From <= V4 {
		m.rename("history_meta_ttl", "global_history_meta_ttl")
	}
	if m.From == V4 && !m.has("global_history_meta_ttl") {
		m.imply("global_history_meta_ttl", "2160h", "the default of v4; later versions have 30 days")
	}
	m.engine()
	m.sockJS()
	m.proxies()
	m.grpcTLS()
	m.tls()
	m.consumers()
	m.namespaces()
	m.rpcNamespaces()
	m.topLevelOptions()
	m.others()
}

// engine handles the two keys that became sections.
func (m *migration) engine() {
	if v, ok := m.take("engine"); ok {
		switch textOf(v.raw) {
		case "memory", "redis", "":
			m.put("engine.type", v)
		default:
			m.decide(v, "there is no such engine any more; the engines are memory and redis")
		}
	}
	if v, ok := m.take("broker"); ok && !isZero(v.raw) {
		m.put("broker.type", v)
		m.set("broker.enabled", true)
	}
}

func (m *migration) sockJS() {
	if v, ok := m.take("sockjs"); ok && isTrue(v.raw) {
		m.decide(v, "SockJS does not exist any more; clients without WebSocket need http_stream or sse, which current SDKs have")
	}
	for _, key := range sortedKeys(m.old) {
		if key == "sockjs_disable" || strings.HasPrefix(key, "sockjs_") {
			v, _ := m.take(key)
			m.note(Dropped, v.origin, "", "SockJS does not exist any more")
		}
	}
}

// consumers are the same in v6 but for their switch, which was the other way round.
func (m *migration) consumers() {
	v, items, ok := m.takeObjects("consumers")
	if !ok {
		return
	}
	out := make([]any, len(items))
	for i, item := range items {
		if _, ok := item["enabled"]; !ok {
			item["enabled"] = !isTrue(item["disabled"])
		}
		delete(item, "disabled")
		out[i] = item
	}
	m.set("consumers", out)
	m.comment("consumers", "enabled was the opposite of disabled")
	m.note(Moved, v.origin, "consumers", "disabled is now the opposite of enabled")
}

// namespaces writes the options of each namespace.
func (m *migration) namespaces() {
	v, items, ok := m.takeObjects("namespaces")
	if !ok {
		return
	}
	for i, item := range items {
		path := fmt.Sprintf("channel.namespaces[%d]", i)
		name := textOf(bare(item["name"]))
		m.set(path+".name", name)
		delete(item, "name")
		for _, key := range sortedKeys(item) {
			origin := key
			raw := item[key]
			if kept, ok := raw.(value); ok {
				raw, origin = kept.raw, kept.origin
			}
			m.option(path, key, value{raw, origin}, v.origin+"["+name+"].")
		}
	}
	m.note(Moved, v.origin, "channel.namespaces", "")
}

func bare(raw any) any {
	if v, ok := raw.(value); ok {
		return v.raw
	}
	return raw
}

// topLevelOptions writes the options of channels without a namespace.
func (m *migration) topLevelOptions() {
	for _, key := range channelOptionNames() {
		if v, ok := m.take(key); ok {
			m.option("channel.without_namespace", key, v, "")
		}
	}
}

// option writes one option of channels. where is the place of the old option, for notes.
func (m *migration) option(path, key string, v value, where string) {
	now := key
	if next, ok := config.FormerOption(key); ok && strings.HasPrefix(key, "proxy_") {
		now = next // the other former options are of v3, and have been replaced
	}
	full := path + "." + now
	switch {
	case config.IsCommercial(general(full)):
		m.note(Decision, where+v.origin, full, "an option of the commercial edition")
		return
	case config.TypeAt(general(full)) == "":
		m.note(Decision, where+v.origin, "", "no such option of channels in "+m.From.String()+"; it was without effect")
		return
	}
	notes := len(m.Notes)
	m.put(full, v)
	for i := range m.Notes[notes:] {
		m.Notes[notes+i].Old = where + m.Notes[notes+i].Old
	}
	if event, ok := strings.CutSuffix(now, "_proxy_name"); ok && !isZero(v.raw) && config.TypeAt(general(path+"."+event+"_proxy_enabled")) != "" {
		m.set(path+"."+event+"_proxy_enabled", true)
		m.comment(path+"."+event+"_proxy_enabled", implied+v.origin)
	}
}

// channelOptionNames returns the names that options of channels have in any version.
var channelOptionNames = sync.OnceValue(func() []string {
	names := map[string]bool{}
	for _, key := range config.ChildKeys("channel.without_namespace") {
		names[key] = true
	}
	for _, key := range config.FormerOptions() {
		names[key] = true
	}
	return sortedKeys(names)
})

func (m *migration) rpcNamespaces() {
	v, ok := m.take("rpc_namespaces")
	if !ok {
		return
	}
	for i, item := range objects(v.raw) {
		path := fmt.Sprintf("rpc.namespaces[%d]", i)
		m.set(path+".name", textOf(item["name"]))
		if proxy := textOf(item["rpc_proxy_name"]); proxy != "" {
			m.set(path+".proxy_enabled", true)
			m.set(path+".proxy_name", proxy)
			m.comment(path+".proxy_name", "was rpc_proxy_name")
		}
	}
	m.note(Moved, v.origin, "rpc.namespaces", "")
}

// commercial are the first parts of keys that only the commercial edition has.
var commercial = []string{
	"push_notifications", "clickhouse_", "user_status", "user_block", "user_tokens_invalidate", "token_revoke", "database_",
	"license", "process_stats", "channel_patterns", "client_command_rate_limit", "user_command_rate_limit", "singleflight",
	"use_singleflight", "rate_limit", "distributed_rate_limit", "subscribe_cel", "publish_cel", "history_cel", "presence_cel",
	"connection_capabilities", "user_connection_rate_limit", "leader_election",
}

// others writes the keys that have only another name or place.
func (m *migration) others() {
	for _, key := range sortedKeys(m.old) {
		v, _ := m.take(key)
		path, known := config.Former(key)
		switch {
		case strings.HasPrefix(key, "tarantool_"), known && path == "":
			m.note(Dropped, v.origin, "", "nothing replaces it, and nothing is needed")
		case isEnviron(v) && (!known || m.From > V2 && config.EnvName(path) == v.origin):
			// A variable of v6, or of something else. It works, or does not, as before.
			continue
		case known && config.TypeAt(path) != "object" && config.TypeAt(path) != "array of objects":
			m.put(path, v)
		case config.TypeAt(key) != "" && config.TypeAt(key) != "object" && config.TypeAt(key) != "array of objects":
			m.put(key, v)
		case isCommercial(key):
			m.decide(v, "of the commercial edition; what it does is missing")
		default:
			m.decide(v, "no version has this key; without effect until now, or misspelt")
		}
	}
}

func isEnviron(v value) bool { return strings.HasPrefix(v.origin, "CENTRIFUGO_") }

func isCommercial(key string) bool {
	for _, prefix := range commercial {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return config.IsCommercial(key)
}

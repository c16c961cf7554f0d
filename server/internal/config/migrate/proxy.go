package migrate

import (
	"fmt"
	"strings"

	"centrifugo/server/internal/config"
)

// proxyEvents are the events that proxies are asked about: the part of a flat key, and the
// section of v6. rpc has its switch beside the section.
var proxyEvents = []struct{ flat, section string }{
	{"connect", "client.proxy.connect"},
	{"refresh", "client.proxy.refresh"},
	{"rpc", "rpc.proxy"},
	{"subscribe", "channel.proxy.subscribe"},
	{"publish", "channel.proxy.publish"},
	{"sub_refresh", "channel.proxy.sub_refresh"},
	{"subscribe_stream", "channel.proxy.subscribe_stream"},
}

// proxyKeys are the keys of one proxy in v5, and in v6.
var proxyKeys = [][2]string{
	{"endpoint", "endpoint"}, {"timeout", "timeout"}, {"http_headers", "http_headers"}, {"grpc_metadata", "grpc_metadata"},
	{"binary_encoding", "binary_encoding"}, {"include_connection_meta", "include_connection_meta"},
	{"static_http_headers", "http.static_headers"}, {"http_status_code_transforms", "http.status_to_code_transforms"},
	{"grpc_credentials_key", "grpc.credentials_key"}, {"grpc_credentials_value", "grpc.credentials_value"},
	{"grpc_compression", "grpc.compression"}, {"grpc_cert_file", "grpc.tls.server_ca_pem"}, {"grpc_tls", "grpc.tls"},
}

// proxies writes the proxies of v2 to v5: one for each event, or in granular mode named ones.
func (m *migration) proxies() {
	granular, isGranular := m.take("granular_proxy_mode")
	isGranular = isGranular && isTrue(granular.raw)
	common := map[string]value{}
	for _, k := range proxyKeys[2:] {
		if v, ok := m.take("proxy_" + k[0]); ok {
			common[k[0]] = v
		}
	}
	used := false
	for _, e := range proxyEvents {
		settings := map[string]value{}
		for _, key := range []string{"endpoint", "timeout"} {
			if v, ok := m.take("proxy_" + e.flat + "_" + key); ok && !isZero(v.raw) {
				if key == "timeout" && m.From <= V2 {
					v.raw = seconds(v.raw)
				}
				settings[key] = v
			}
		}
		if _, ok := settings["endpoint"]; !ok || isGranular {
			continue
		}
		for key, v := range common {
			settings[key] = v
		}
		m.proxy(e.section, settings)
		m.enableProxy(e.flat, settings["endpoint"].origin)
		used = true
	}
	if named := m.namedProxies(); isGranular {
		m.nameProxies(named)
		used = len(named) > 0
	}
	for _, key := range []string{"connect_proxy_name", "refresh_proxy_name", "rpc_proxy_name"} {
		if v, ok := m.take(key); ok && !isZero(v.raw) {
			m.note(Dropped, v.origin, "", "without effect outside of granular mode")
		}
	}
	if len(common) > 0 && !used {
		for _, key := range sortedKeys(common) {
			m.note(Dropped, common[key].origin, "", "no proxy is used")
		}
	}
	if _, ok := common["http_headers"]; ok && used {
		m.note(Meaning, common["http_headers"].origin, "emulated_headers",
			"headers that clients put into their connect command are passed on only if they are also in emulated_headers of the proxy")
	}
}

// proxy writes the settings of one proxy.
func (m *migration) proxy(section string, settings map[string]value) {
	for _, k := range proxyKeys {
		v, ok := settings[k[0]]
		switch path := section + "." + k[1]; {
		case !ok || isZero(v.raw):
		case k[0] == "grpc_tls":
			m.tlsObject(path, v)
		case k[0] == "grpc_cert_file":
			m.put(path, v)
			m.set(section+".grpc.tls.enabled", true)
		case config.TypeAt(general(path)) == "array of objects":
			m.setObjects(path, v)
		default:
			m.put(path, v)
		}
	}
}

// setObjects takes over a list of objects, which the check of the result judges.
func (m *migration) setObjects(path string, v value) {
	items := objects(v.raw)
	if items == nil {
		m.decide(v, "want an array of objects")
		return
	}
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = item
	}
	m.set(path, out)
	m.comment(path, "was "+v.origin)
	m.note(Moved, v.origin, path, "")
}

// enableProxy turns on what old versions turned on by giving an endpoint or name.
func (m *migration) enableProxy(event, origin string) {
	path := ""
	switch event {
	case "connect", "refresh":
		path = "client.proxy." + event + ".enabled"
	case "rpc":
		path = "rpc.without_namespace.proxy_enabled"
	default:
		return // the options of channels decide
	}
	m.set(path, true)
	m.comment(path, implied+origin)
}

// namedProxies writes the list of named proxies and returns their settings by name.
func (m *migration) namedProxies() map[string]map[string]value {
	v, ok := m.take("proxies")
	named := map[string]map[string]value{}
	if !ok {
		return named
	}
	items := objects(v.raw)
	if items == nil && !isZero(v.raw) {
		m.decide(v, "want an array of objects")
		return named
	}
	known := map[string]bool{"name": true}
	for _, k := range proxyKeys {
		known[k[0]] = true
	}
	for i, item := range items {
		path := fmt.Sprintf("proxies[%d]", i)
		name := textOf(item["name"])
		m.set(path+".name", name)
		settings := map[string]value{}
		for _, key := range sortedKeys(item) {
			// Some releases wrote the prefix of the flat keys also here.
			if short := strings.TrimPrefix(key, "proxy_"); known[short] {
				settings[short] = value{item[key], key}
			} else {
				m.note(Decision, v.origin+"["+name+"]."+key, "", "no version has this key of a proxy")
			}
		}
		delete(settings, "name")
		m.proxy(path, settings)
		named[name] = settings
	}
	m.note(Moved, v.origin, "proxies", "")
	return named
}

// nameProxies gives events the settings of the proxies that they name.
func (m *migration) nameProxies(named map[string]map[string]value) {
	for _, event := range []string{"connect", "refresh"} {
		v, ok := m.take(event + "_proxy_name")
		if !ok || isZero(v.raw) {
			continue
		}
		settings, ok := named[textOf(v.raw)]
		if !ok {
			m.decide(v, "there is no such proxy")
			continue
		}
		m.proxy("client.proxy."+event, settings)
		m.enableProxy(event, v.origin)
		m.note(Moved, v.origin, "client.proxy."+event, "the settings of the named proxy")
	}
	if v, ok := m.take("rpc_proxy_name"); ok && !isZero(v.raw) {
		m.put("rpc.without_namespace.proxy_name", v)
		m.enableProxy("rpc", v.origin)
	}
}

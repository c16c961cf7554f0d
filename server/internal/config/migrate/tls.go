package migrate

import "centrifugo/server/internal/config"

// tlsFamilies are the flat keys of TLS: their first part, and the section of v6.
var tlsFamilies = []struct{ flat, section string }{
	{"tls", "http_server.tls"},
	{"grpc_api_tls", "grpc_api.tls"},
	{"uni_grpc_tls", "uni_grpc.tls"},
	{"redis_tls", "engine.redis.tls"},
	{"redis_sentinel_tls", "engine.redis.sentinel_tls"},
	{"nats_tls", "broker.nats.tls"},
}

// tlsLeaves are the last parts of the flat keys of TLS.
var tlsLeaves = [][2]string{
	{"cert", "cert_pem"}, {"cert_pem", "cert_pem"}, {"key", "key_pem"}, {"key_pem", "key_pem"},
	{"root_ca", "server_ca_pem"}, {"root_ca_pem", "server_ca_pem"}, {"server_ca_pem", "server_ca_pem"},
	{"client_ca", "client_ca_pem"}, {"client_ca_pem", "client_ca_pem"},
	{"server_name", "server_name"}, {"insecure_skip_verify", "insecure_skip_verify"},
}

func (m *migration) tls() {
	for _, family := range tlsFamilies {
		if v, ok := m.take(family.flat); ok {
			if _, isObject := v.raw.(map[string]any); isObject {
				m.tlsObject(family.section, v)
			} else {
				m.put(family.section+".enabled", v)
			}
		}
		for _, leaf := range tlsLeaves {
			if v, ok := m.take(family.flat + "_" + leaf[0]); ok && !isZero(v.raw) {
				m.putNew(family.section+"."+leaf[1], v)
			}
		}
	}
}

// tlsObject writes a section of TLS that was an object already.
func (m *migration) tlsObject(section string, v value) {
	object, _ := v.raw.(map[string]any)
	now := map[string]string{"enabled": "enabled"}
	for _, leaf := range tlsLeaves {
		now[leaf[0]] = leaf[1]
	}
	for _, key := range sortedKeys(object) {
		leaf, ok := now[key]
		if !ok || config.TypeAt(general(section+"."+leaf)) == "" {
			m.note(Decision, v.origin+"."+key, "", "no version has this key of TLS")
			continue
		}
		m.put(section+"."+leaf, value{object[key], v.origin + "." + key})
	}
}

// grpcTLS writes out what v2 to v5 did without being told: gRPC listeners took the TLS of
// the HTTP listener, and unidirectional gRPC had a small limit.
func (m *migration) grpcTLS() {
	main := m.on("tls")
	for _, server := range []string{"grpc_api", "uni_grpc"} {
		off, _ := m.take(server + "_tls_disable")
		if !m.on(server) || !main || isTrue(off.raw) || m.has(server+"_tls") {
			continue
		}
		m.old[server+"_tls"] = value{true, implied + "tls"}
		m.note(Meaning, "tls", server+".tls", "gRPC took the TLS of the HTTP listener; it is written out")
		for _, leaf := range tlsLeaves {
			if v, ok := m.old["tls_"+leaf[0]]; ok && !m.has(server+"_tls_"+leaf[0]) {
				m.old[server+"_tls_"+leaf[0]] = v
			}
		}
	}
	if m.on("uni_grpc") {
		m.imply("uni_grpc_max_receive_message_size", "65536", "the default until v5; v6 has 4 MiB")
	}
}

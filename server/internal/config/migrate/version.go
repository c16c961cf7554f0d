package migrate

import (
	"fmt"
	"slices"
	"strings"

	"centrifugo/server/internal/config"
)

// Version is the major version of Centrifugo that a configuration was written for.
type Version int

// The versions with different configurations.
const (
	Unknown Version = 0
	V2      Version = 2
	V3      Version = 3
	V4      Version = 4
	V5      Version = 5
	V6      Version = 6
)

// ParseVersion parses `v2` to `v6`, with or without the v. Empty text is Unknown.
func ParseVersion(text string) (Version, error) {
	if text == "" {
		return Unknown, nil
	}
	for v := V2; v <= V6; v++ {
		if strings.TrimPrefix(text, "v") == fmt.Sprint(int(v)) {
			return v, nil
		}
	}
	return Unknown, fmt.Errorf("version %q is none of v2, v3, v4, v5, v6", text)
}

// String returns `v2` to `v6`.
func (v Version) String() string { return fmt.Sprintf("v%d", int(v)) }

// span is the first and the last version that had a key.
type span struct{ first, last Version }

// String returns `v2` or `v2 to v3`.
func (s span) String() string {
	if s.first == s.last {
		return s.first.String()
	}
	return s.first.String() + " to " + s.last.String()
}

// spans are the keys that tell versions apart, top-level and of namespaces.
var spans = func() map[string]span {
	out := map[string]span{}
	for s, keys := range map[span]string{
		{V2, V2}: `secret history_lifetime history_recover server_side client_presence_ping_interval client_ping_interval
			client_message_write_timeout client_request_max_size client_presence_expire_interval memory_history_meta_ttl
			redis_history_meta_ttl redis_sequence_ttl redis_host redis_port redis_url redis_cluster_addrs redis_sentinels
			redis_master_name redis_tls_skip_verify proxy_extra_http_headers sockjs_disable v3_use_offset redis_streams
			redis_pubsub_num_workers tls_autocert_force_rsa`,
		{V2, V3}: `publish subscribe_to_publish anonymous presence_disable_for_client history_disable_for_client
			client_anonymous redis_read_timeout redis_write_timeout`,
		{V3, V3}: `protected recover position websocket_ping_interval presence_ttl`,
		{V3, V4}: `use_client_protocol_v1_by_default`,
		{V3, V5}: `history_ttl websocket_write_timeout websocket_message_size_limit redis_address redis_cluster_address
			redis_sentinel_address redis_sentinel_master_name redis_tls_insecure_skip_verify sockjs allowed_origins
			proxy_http_headers client_presence_update_interval history_meta_ttl granular_proxy_mode rpc_namespaces proxies`,
		{V4, V4}: `disable_client_protocol_v1`,
		{V4, V5}: `allow_subscribe_for_client allow_subscribe_for_anonymous allow_publish_for_client
			allow_publish_for_subscriber allow_publish_for_anonymous allow_presence_for_client
			allow_presence_for_subscriber allow_presence_for_anonymous allow_history_for_client
			allow_history_for_subscriber allow_history_for_anonymous allow_user_limited_channels force_positioning
			allow_positioning force_recovery allow_recovery force_push_join_leave ping_interval pong_timeout
			allow_anonymous_connect_without_token disallow_anonymous_connection_tokens redis_io_timeout http_stream sse
			emulation_handler_prefix http_stream_handler_prefix sse_handler_prefix separate_subscription_token_config
			user_subscribe_to_personal opentelemetry`,
		{V5, V5}: `global_presence_ttl global_history_meta_ttl global_redis_presence_user_mapping consumers
			force_recovery_mode allowed_delta_types delta_publish proxy_subscribe_stream
			redis_presence_hash_field_ttl proxy_http_status_code_transforms`,
	} {
		for key := range strings.FieldsSeq(keys) {
			out[key] = s
		}
	}
	return out
}()

// detect finds the version of a configuration from its keys. What does not follow from
// them is a decision if it matters.
func (m *migration) detect() Version {
	if m.isNested() {
		return V6
	}
	found := m.keysWithSpan()
	candidates := []Version{V2, V3, V4, V5}
	for _, key := range sortedKeys(found) {
		s := spans[key]
		candidates = slices.DeleteFunc(candidates, func(v Version) bool { return v < s.first || v > s.last })
	}
	switch {
	case len(candidates) == 0:
		m.note(Decision, "", "", "keys of different versions ("+describe(found)+"): say with --from which version read them")
		return V5
	case len(candidates) == 1:
		return candidates[0]
	case candidates[0] >= V4:
		m.note(Meaning, "", "channel.history_meta_ttl",
			"taken for v5; with --from v4 its default of 90 days is kept, that of v5 and v6 is 30 days")
		return V5
	}
	names := make([]string, len(candidates))
	for i, v := range candidates {
		names[i] = v.String()
	}
	m.note(Decision, "", "", "the keys do not tell which of "+strings.Join(names, ", ")+
		" they were written for, and who may subscribe depends on it: say with --from")
	return candidates[len(candidates)-1]
}

// isNested reports whether the configuration has the sections of v6.
func (m *migration) isNested() bool {
	if len(m.old) == 0 {
		return false
	}
	nested := false
	for key, v := range m.old {
		switch kind := config.TypeAt(key); {
		case v.origin != key: // a variable or flag
		case kind == "object":
			if _, ok := v.raw.(map[string]any); !ok {
				return false
			}
			nested = true
		case kind == "array of objects": // only v6 switches consumers on
			for _, item := range objects(v.raw) {
				if _, ok := item["enabled"]; ok {
					nested = true
				}
			}
		case kind == "":
			return false
		}
	}
	return nested
}

// keysWithSpan returns the keys that tell a version, and where they are written.
func (m *migration) keysWithSpan() map[string]string {
	found := map[string]string{}
	for key, v := range m.old {
		if _, ok := spans[key]; ok {
			found[key] = v.origin
		}
	}
	for _, namespace := range objects(m.old["namespaces"].raw) {
		for key := range namespace {
			if _, ok := spans[key]; ok && found[key] == "" {
				found[key] = key
			}
		}
	}
	return found
}

// describe names one key of each span.
func describe(found map[string]string) string {
	seen := map[span]bool{}
	var parts []string
	for _, key := range sortedKeys(found) {
		if s := spans[key]; !seen[s] {
			seen[s] = true
			parts = append(parts, found[key]+" of "+s.String())
		}
	}
	return strings.Join(parts, ", ")
}

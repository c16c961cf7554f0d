package config

import "strings"

// commercialKeys are keys of the commercial edition, by path as in notBuilt. A
// configuration that has them is accepted: what they add is missing, what they
// stand beside works.
var commercialKeys = []string{
	"push_notifications", "clickhouse_analytics", "user_status", "user_block", "database", "license",
	"token_revoke", "user_tokens_invalidate", "process_stats", "channel_patterns", "rate_limit", "tracing",
	"leader_election", "client_rate_limit",
	"client.rate_limit", "client.connection_capabilities",
	"rpc.rate_limit",
	"channel.patterns", "channel.proxy.state", "channel.proxy.cache_empty", "channel.proxy.notify_cache_empty",
	"channel.proxy.notify_channel_state",
	"channel.*.subscribe_cel", "channel.*.publish_cel", "channel.*.history_cel", "channel.*.presence_cel",
	"channel.*.pattern", "channel.*.channel_state_events", "channel.*.cache_empty_proxy_enabled",
	"channel.*.cache_empty_proxy_name", "channel.*.state_proxy_enabled", "channel.*.state_proxy_name",
	"channel.*.proxy_cache_empty", "channel.*.proxy_channel_state", "channel.*.shared_position_sync",
	"channel.*.keep_latest_publication",
}

// isCommercial tells whether a key belongs to the commercial edition only.
func isCommercial(path string) bool {
	general := generalPath(path)
	for _, key := range commercialKeys {
		if key == general || strings.HasPrefix(general, key+".") {
			return true
		}
	}
	return false
}

// isCommercialEnviron tells the same of an environment variable.
func isCommercialEnviron(name string) bool {
	for _, key := range commercialKeys {
		if strings.Contains(key, "*") {
			continue
		}
		variable := envName(envPrefix, key)
		if name == variable || strings.HasPrefix(name, variable+"_") {
			return true
		}
	}
	return false
}

const commercialMessage = "without effect: a key of the commercial edition"

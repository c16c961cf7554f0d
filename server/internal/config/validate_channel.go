package config

import (
	"regexp"
	"strings"
	"time"
)

// namespace returns the options of a namespace, nil when it is not defined.
func (l *loader) namespace(name string) *ChannelOptions {
	for i := range l.cfg.Channel.Namespaces {
		if ns := &l.cfg.Channel.Namespaces[i]; ns.Name == name {
			return &ns.ChannelOptions
		}
	}
	return nil
}

func (l *loader) validateChannel() {
	c := &l.cfg.Channel
	if c.MaxLength < 1 {
		l.problem("channel.max_length", "must be positive")
	}
	l.dataFormat("channel.publication_data_format", c.PublicationDataFormat)
	l.metaTTL("channel.history_meta_ttl", c.HistoryMetaTTL)
	l.validateOptions("channel.without_namespace", &c.WithoutNamespace)
	personal := l.cfg.Client.SubscribeToUserPersonalChannel
	wildcards := func(path, name string, o *ChannelOptions) {
		if o.AllowWildcards && personal.Enabled && personal.PersonalChannelNamespace == name {
			l.problem(path+".allow_wildcards", "a pattern would match the personal channels of other users (client.subscribe_to_user_personal_channel)")
		}
	}
	wildcards("channel.without_namespace", "", &c.WithoutNamespace)
	seen := map[string]bool{}
	for i := range c.Namespaces {
		ns := &c.Namespaces[i]
		path := itemPath("channel.namespaces", i, ns.Name)
		l.name(path, ns.Name, namespaceName, seen)
		if strings.Contains(ns.Name, c.NamespaceBoundary) {
			l.problem(path+".name", "must not contain channel.namespace_boundary")
		}
		l.validateOptions(path, &ns.ChannelOptions)
		wildcards(path, ns.Name, &ns.ChannelOptions)
	}
}

func (l *loader) dataFormat(key, format string) {
	l.oneOf(key, format, "", "json", "json_object", "binary")
}

func (l *loader) metaTTL(key string, ttl time.Duration) {
	if ttl%time.Second != 0 {
		l.problem(key, "must be whole seconds")
	}
}

// validateOptions checks the rules of server.md 4.2.
func (l *loader) validateOptions(path string, o *ChannelOptions) {
	l.validateHistory(path, o)
	l.validateBatch(path, o)
	l.dataFormat(path+".publication_data_format", o.PublicationDataFormat)
	l.oneOf(path+".slow_reader_policy", o.SlowReaderPolicy, "", "disconnect", "latest", "drop_oldest")
	if o.AllowWildcards && (l.cfg.Broker.Enabled && l.cfg.Broker.Type != "memory" || !l.cfg.Broker.Enabled && l.cfg.Engine.Type != "memory") {
		l.problem(path+".allow_wildcards", "needs the memory engine")
	}
	if o.AllowWildcards && o.AllowUserLimitedChannels {
		l.problem(path+".allow_wildcards", "excludes allow_user_limited_channels: a pattern would match the channels of other users")
	}
	for _, typ := range o.AllowedDeltaTypes {
		l.oneOf(path+".allowed_delta_types", typ, "fossil")
	}
	if _, err := regexp.Compile(o.ChannelRegex); err != nil {
		l.problem(path+".channel_regex", err.Error())
	}
	l.proxyName(path+".subscribe_proxy_name", o.SubscribeProxyEnabled, o.SubscribeProxyName)
	l.proxyName(path+".publish_proxy_name", o.PublishProxyEnabled, o.PublishProxyName)
	l.proxyName(path+".sub_refresh_proxy_name", o.SubRefreshProxyEnabled, o.SubRefreshProxyName)
	l.proxyName(path+".subscribe_stream_proxy_name", o.SubscribeStreamProxyEnabled, o.SubscribeStreamProxyName)
	if o.SubscribeStreamProxyEnabled && strings.HasPrefix(l.endpoint(o.SubscribeStreamProxyName, l.cfg.Channel.Proxy.SubscribeStream), "http") {
		l.problem(path+".subscribe_stream_proxy_name", "names a proxy for HTTP; streams need a gRPC endpoint")
	}
	if o.SubscribeStreamProxyEnabled && (o.SubscribeProxyEnabled || o.PublishProxyEnabled || o.SubRefreshProxyEnabled) {
		l.problem(path+".subscribe_stream_proxy_enabled", "excludes the subscribe, publish and sub_refresh proxies")
	}
	if o.SubscribeStreamProxyBidirectional && !o.SubscribeStreamProxyEnabled {
		l.problem(path+".subscribe_stream_proxy_bidirectional", "needs subscribe_stream_proxy_enabled")
	}
	l.oneOf(path+".subscription_type", o.SubscriptionType, "", "stream", "map", "map_clients", "map_users", "shared_poll")
	if strings.HasPrefix(o.SubscriptionType, "map") {
		l.validateMap(path+".map", o.SubscriptionType, &o.Map)
	}
	if o.SubscriptionType == "shared_poll" {
		l.oneOf(path+".shared_poll.mode", o.SharedPoll.Mode, "", "versionless", "versioned")
		l.proxyName(path+".shared_poll.proxy_name", o.SharedPoll.ProxyName != "", o.SharedPoll.ProxyName)
		if l.cfg.SharedPoll.HMACSecretKey == "" {
			l.problem("shared_poll.hmac_secret_key", "is needed by "+path)
		}
	}
}

func (l *loader) validateHistory(path string, o *ChannelOptions) {
	history := o.HistorySize > 0 && o.HistoryTTL > 0
	if (o.HistorySize > 0) != (o.HistoryTTL > 0) {
		l.problem(path, "history_size and history_ttl must be set both or not at all")
	}
	if o.HistoryTTL%time.Second != 0 {
		l.problem(path+".history_ttl", "must be whole seconds")
	}
	l.metaTTL(path+".history_meta_ttl", o.HistoryMetaTTL)
	meta := o.HistoryMetaTTL
	if meta == 0 {
		meta = l.cfg.Channel.HistoryMetaTTL
	}
	if meta > 0 && o.HistoryTTL > meta {
		l.problem(path+".history_ttl", "must not exceed history_meta_ttl")
	}
	if o.ForceRecovery && !history {
		l.problem(path+".force_recovery", "needs history_size and history_ttl")
	}
	l.oneOf(path+".force_recovery_mode", o.ForceRecoveryMode, "", "stream", "cache")
	if o.AutoCacheRecover && !(o.ForceRecovery && o.ForceRecoveryMode == "cache") {
		l.problem(path+".auto_cache_recover", "needs force_recovery and force_recovery_mode cache")
	}
}

// maxBatchDelay is the bound of the node, whose check of positions must give a
// publication that waits the time to arrive.
const maxBatchDelay = time.Second

// validateBatch refuses a batch without a delay, which would never be sent unless it fills up.
func (l *loader) validateBatch(path string, o *ChannelOptions) {
	if o.BatchMaxDelay > maxBatchDelay {
		l.problemf(path+".batch_max_delay", "must be at most %v", maxBatchDelay)
	}
	if o.BatchMaxDelay == 0 && o.BatchMaxSize > 0 {
		l.problem(path+".batch_max_size", "needs batch_max_delay")
	}
	if o.BatchMaxDelay == 0 && o.BatchFlushLatest {
		l.problem(path+".batch_flush_latest", "needs batch_max_delay")
	}
}

func (l *loader) validateMap(path, typ string, m *MapOptions) {
	l.oneOf(path+".mode", m.Mode, "ephemeral", "recoverable", "persistent")
	l.oneOf(path+".client_key", m.ClientKey, "", "client_id", "user_id")
	switch {
	case m.Mode == "persistent" && m.KeyTTL != 0:
		l.problem(path+".key_ttl", "must not be set in mode persistent")
	case m.Mode != "persistent" && m.KeyTTL == 0:
		l.problem(path+".key_ttl", "is needed")
	}
	if m.Mode == "persistent" && typ != "map" {
		l.problem(path+".mode", "persistent is not for "+typ)
	}
	if m.Mode == "ephemeral" && (m.StreamSize != 0 || m.StreamTTL != 0 || m.MetaTTL != 0) {
		l.problem(path, "mode ephemeral takes no stream_size, stream_ttl or meta_ttl")
	}
	if m.ClientKey != "" && (m.PublishProxyEnabled || m.RemoveProxyEnabled) {
		l.problem(path+".client_key", "cannot be combined with map proxies")
	}
	l.proxyName(path+".publish_proxy_name", m.PublishProxyEnabled, m.PublishProxyName)
	l.proxyName(path+".remove_proxy_name", m.RemoveProxyEnabled, m.RemoveProxyName)
	if m.MaxPageSize != 0 && (m.MinPageSize > m.MaxPageSize || m.DefaultPageSize > m.MaxPageSize) ||
		m.DefaultPageSize != 0 && m.MinPageSize > m.DefaultPageSize {
		l.problem(path, "page sizes must satisfy min <= default <= max")
	}
}

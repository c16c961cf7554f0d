package config

import "time"

// Channel is section channel.
type Channel struct {
	// Options of channels without a namespace.
	WithoutNamespace ChannelOptions `key:"without_namespace"`
	// Namespaces: a channel `name:rest` has the options of namespace `name`.
	Namespaces []Namespace `key:"namespaces,named"`
	// Proxies with the name `default` of channel events.
	Proxy ChannelProxy `key:"proxy"`
	// How long the position of a stream (offset and epoch) is kept after the last use.
	HistoryMetaTTL time.Duration `key:"history_meta_ttl" default:"720h" reload:"no"`
	// What publications must be: empty (any non-empty bytes), json, json_object or binary (may be empty). JSON clients are not sent what is not JSON.
	PublicationDataFormat string `key:"publication_data_format"`
	// Bytes allowed in a channel name given by a client.
	MaxLength int `key:"max_length" default:"255" reload:"no"`
	// First characters of channels that a client may subscribe to only with a token.
	PrivatePrefix string `key:"private_prefix" default:"$"`
	// What separates the namespace from the rest of a channel name.
	NamespaceBoundary string `key:"namespace_boundary" default:":"`
	// What separates the user part from the rest of a user-limited channel name.
	UserBoundary string `key:"user_boundary" default:"#"`
	// What separates the users in a user-limited channel name.
	UserSeparator string `key:"user_separator" default:","`
}

// ChannelProxy is section channel.proxy: the proxies named `default`.
type ChannelProxy struct {
	// Decides whether a client may subscribe.
	Subscribe Proxy `key:"subscribe"`
	// Decides whether a client may publish.
	Publish Proxy `key:"publish"`
	// Decides whether a subscription is prolonged.
	SubRefresh Proxy `key:"sub_refresh"`
	// Streams publications to one subscriber.
	SubscribeStream Proxy `key:"subscribe_stream"`
	// Decides whether a client may set a key of a map.
	MapPublish Proxy `key:"map_publish"`
	// Decides whether a client may remove a key of a map.
	MapRemove Proxy `key:"map_remove"`
	// Provides the current values of polled keys.
	SharedPollRefresh Proxy `key:"shared_poll_refresh"`
}

// Namespace is an element of channel.namespaces.
type Namespace struct {
	// Name of the namespace, unique; at least two characters of `-a-zA-Z0-9_.`.
	Name string `key:"name"`
	ChannelOptions
}

// ChannelOptions are the options of the channels of one namespace.
type ChannelOptions struct {
	// Track who is subscribed.
	Presence bool `key:"presence"`
	// Publish joins and leaves.
	JoinLeave bool `key:"join_leave"`
	// Push joins and leaves to every subscriber without being asked.
	ForcePushJoinLeave bool `key:"force_push_join_leave"`
	// Publications kept in a stream. With history_ttl both or none.
	HistorySize int `key:"history_size"`
	// How long publications are kept, in whole seconds; at most the meta TTL.
	HistoryTTL time.Duration `key:"history_ttl"`
	// Overrides channel.history_meta_ttl, in whole seconds.
	HistoryMetaTTL time.Duration `key:"history_meta_ttl"`
	// Make every subscription positioned.
	ForcePositioning bool `key:"force_positioning"`
	// Let clients ask for a positioned subscription.
	AllowPositioning bool `key:"allow_positioning"`
	// Make every subscription recoverable; needs history.
	ForceRecovery bool `key:"force_recovery"`
	// Let clients ask for a recoverable subscription.
	AllowRecovery bool `key:"allow_recovery"`
	// How recovery works: empty or stream (all missed publications), or cache (only the latest).
	ForceRecoveryMode string `key:"force_recovery_mode"`
	// In cache mode deliver the latest publication also on the first subscribe; needs force_recovery.
	AutoCacheRecover bool `key:"auto_cache_recover"`
	// Delta compressions that clients may negotiate: fossil.
	AllowedDeltaTypes []string `key:"allowed_delta_types"`
	// Use delta compression for every publication from the API and from clients.
	DeltaPublish bool `key:"delta_publish"`
	// Let clients filter publications by tags.
	AllowTagsFilter bool `key:"allow_tags_filter"`
	// Send pushes with a number in place of the channel's name to clients that can read it, as SDKs of the current generation can.
	AllowChannelCompaction bool `key:"allow_channel_compaction"`
	// Do not send the publications of a client back to its connection.
	PublishExcludeSender bool `key:"publish_exclude_sender"`
	// Let clients subscribe to patterns: `*` stands for one of the segments that dots separate, `>` at the end for one or more. Patterns
	// begin with the namespace. They need no other permission than a channel, and have no presence, history or recovery. Needs the memory engine.
	AllowWildcards bool `key:"allow_wildcards"`
	// What becomes of publications for a client that reads too slowly. Empty or disconnect: they are queued, up to client.queue_max_size.
	// latest: the newest of each subscription is kept while a quarter of that waits. drop_oldest: what exceeds the queue is dropped, and
	// the subscription ends with 2500, so that the client subscribes again and recovers. A socket that accepts nothing for
	// websocket.write_timeout is closed all the same: raise it for clients that may pause for longer.
	SlowReaderPolicy string `key:"slow_reader_policy"`
	// How long publications of a channel, with its joins and leaves, are gathered on each node to be sent together; at most 1s.
	// 0: each is sent at once. As the other two batch options, it applies to a channel when it next gets its first subscriber.
	BatchMaxDelay time.Duration `key:"batch_max_delay"`
	// Messages after which a batch is sent before its time. 0: any number, up to 128 KiB. Needs batch_max_delay.
	BatchMaxSize int `key:"batch_max_size"`
	// Send only the newest publication of a batch; history has them all. With allow_tags_filter: the newest of each set of tags,
	// so that every filter is served. With deltas: in full, unless it was the only one. Needs batch_max_delay.
	BatchFlushLatest bool `key:"batch_flush_latest"`

	// Any client may subscribe.
	AllowSubscribeForClient bool `key:"allow_subscribe_for_client"`
	// Extends allow_subscribe_for_client to anonymous clients; grants nothing alone.
	AllowSubscribeForAnonymous bool `key:"allow_subscribe_for_anonymous"`
	// Any client may publish.
	AllowPublishForClient bool `key:"allow_publish_for_client"`
	// Subscribers may publish.
	AllowPublishForSubscriber bool `key:"allow_publish_for_subscriber"`
	// Extends the publish permissions to anonymous clients; grants nothing alone.
	AllowPublishForAnonymous bool `key:"allow_publish_for_anonymous"`
	// Any client may read presence.
	AllowPresenceForClient bool `key:"allow_presence_for_client"`
	// Subscribers may read presence.
	AllowPresenceForSubscriber bool `key:"allow_presence_for_subscriber"`
	// Extends the presence permissions to anonymous clients; grants nothing alone.
	AllowPresenceForAnonymous bool `key:"allow_presence_for_anonymous"`
	// Any client may read history.
	AllowHistoryForClient bool `key:"allow_history_for_client"`
	// Subscribers may read history.
	AllowHistoryForSubscriber bool `key:"allow_history_for_subscriber"`
	// Extends the history permissions to anonymous clients; grants nothing alone.
	AllowHistoryForAnonymous bool `key:"allow_history_for_anonymous"`
	// Give user-limited channels (`name#user1,user2`) their meaning.
	AllowUserLimitedChannels bool `key:"allow_user_limited_channels"`
	// Regular expression (RE2) for the part of the name after the namespace boundary; replaces the ASCII rule.
	ChannelRegex string `key:"channel_regex"`
	// Overrides channel.publication_data_format.
	PublicationDataFormat string `key:"publication_data_format"`

	// Ask a proxy on subscribe.
	SubscribeProxyEnabled bool `key:"subscribe_proxy_enabled"`
	// Name of that proxy.
	SubscribeProxyName string `key:"subscribe_proxy_name" default:"default"`
	// Ask a proxy on publish.
	PublishProxyEnabled bool `key:"publish_proxy_enabled"`
	// Name of that proxy.
	PublishProxyName string `key:"publish_proxy_name" default:"default"`
	// Ask a proxy when a subscription expires.
	SubRefreshProxyEnabled bool `key:"sub_refresh_proxy_enabled"`
	// Name of that proxy.
	SubRefreshProxyName string `key:"sub_refresh_proxy_name" default:"default"`
	// Feed each subscription from a stream of the backend; excludes the three proxies above.
	SubscribeStreamProxyEnabled bool `key:"subscribe_stream_proxy_enabled"`
	// Name of that proxy.
	SubscribeStreamProxyName string `key:"subscribe_stream_proxy_name" default:"default"`
	// Pass publications of the client into that stream.
	SubscribeStreamProxyBidirectional bool `key:"subscribe_stream_proxy_bidirectional"`

	// Kind of subscriptions: empty or stream, map, map_clients, map_users, shared_poll.
	SubscriptionType string `key:"subscription_type"`
	// Mirror the presence of clients into the map channel with this prefix before the name.
	MapClientsPresenceChannelPrefix string `key:"map_clients_presence_channel_prefix"`
	// Mirror the presence of users into the map channel with this prefix before the name.
	MapUsersPresenceChannelPrefix string `key:"map_users_presence_channel_prefix"`
	// Options of map channels.
	Map MapOptions `key:"map"`
	// Options of shared poll channels.
	SharedPoll SharedPollOptions `key:"shared_poll"`
}

// MapOptions are the options of map channels.
type MapOptions struct {
	// What is kept: ephemeral, recoverable or persistent. Required for map channels.
	Mode string `key:"mode"`
	// How long a key lives without a new value. Required, except in mode persistent where it is forbidden.
	KeyTTL time.Duration `key:"key_ttl"`
	// Changes kept in the stream. 0: 100. Not in mode ephemeral.
	StreamSize int `key:"stream_size"`
	// How long changes are kept. 0: one minute. Not in mode ephemeral.
	StreamTTL time.Duration `key:"stream_ttl"`
	// How long the position of the stream is kept. 0: ten times stream_ttl. Not in mode ephemeral.
	MetaTTL time.Duration `key:"meta_ttl"`
	// Remove the keys of a client when it unsubscribes.
	RemoveClientOnUnsubscribe bool `key:"remove_client_on_unsubscribe"`
	// Key that a client may write: empty (any), client_id or user_id. Not together with map proxies.
	ClientKey string `key:"client_key"`
	// Any client may set keys.
	AllowPublishForClient bool `key:"allow_publish_for_client"`
	// Subscribers may set keys.
	AllowPublishForSubscriber bool `key:"allow_publish_for_subscriber"`
	// Extends the two permissions above to anonymous clients; grants nothing alone.
	AllowPublishForAnonymous bool `key:"allow_publish_for_anonymous"`
	// Any client may remove keys.
	AllowRemoveForClient bool `key:"allow_remove_for_client"`
	// Subscribers may remove keys.
	AllowRemoveForSubscriber bool `key:"allow_remove_for_subscriber"`
	// Extends the two permissions above to anonymous clients; grants nothing alone.
	AllowRemoveForAnonymous bool `key:"allow_remove_for_anonymous"`
	// Ask a proxy when a client sets a key.
	PublishProxyEnabled bool `key:"publish_proxy_enabled"`
	// Name of that proxy.
	PublishProxyName string `key:"publish_proxy_name" default:"default"`
	// Ask a proxy when a client removes a key.
	RemoveProxyEnabled bool `key:"remove_proxy_enabled"`
	// Name of that proxy.
	RemoveProxyName string `key:"remove_proxy_name" default:"default"`
	// Keys in a page when the client names no size. 0: chosen by the server.
	DefaultPageSize int `key:"default_page_size"`
	// Smallest page a client may ask for. 0: no bound.
	MinPageSize int `key:"min_page_size"`
	// Largest page a client may ask for. 0: chosen by the server.
	MaxPageSize int `key:"max_page_size"`
	// Publications at most between the end of paging and the live phase. 0: chosen by the server.
	LiveTransitionMaxPublicationLimit int `key:"live_transition_max_publication_limit"`
	// Time a client has to finish paging. 0: chosen by the server.
	SubscribeCatchUpTimeout time.Duration `key:"subscribe_catch_up_timeout"`
}

// SharedPollOptions are the options of shared poll channels.
type SharedPollOptions struct {
	// Name of the proxy that provides values. Empty: default.
	ProxyName string `key:"proxy_name"`
	// How often values are polled. 0: chosen by the server.
	RefreshInterval time.Duration `key:"refresh_interval"`
	// Keys polled by one request. 0: chosen by the server.
	RefreshBatchSize int `key:"refresh_batch_size"`
	// Keys one connection may track. 0: chosen by the server.
	MaxKeysPerConnection int `key:"max_keys_per_connection"`
	// How changes are recognised: versionless or versioned.
	Mode string `key:"mode"`
	// How long polling goes on after the last subscriber has gone.
	ChannelShutdownDelay time.Duration `key:"channel_shutdown_delay"`
	// How long a key is tracked after its signature has expired.
	TrackExpiredExtraDelay time.Duration `key:"track_expired_extra_delay"`
	// Let the server API publish values.
	PublishEnabled bool `key:"publish_enabled"`
}

// SharedPoll is section shared_poll.
type SharedPoll struct {
	// Secret of the signatures with which clients track keys. Required by shared poll channels.
	HMACSecretKey string `key:"hmac_secret_key"`
	// Former secret.
	HMACPreviousSecretKey string `key:"hmac_previous_secret_key"`
	// Unix time in seconds after which the former secret is no longer tried. 0: no end.
	HMACPreviousSecretKeyValidUntil int64 `key:"hmac_previous_secret_key_valid_until"`
	// Polls running at the same time. 0: no limit.
	ConcurrencyLimit int `key:"concurrency_limit"`
}

package config

import "time"

// Engine is section engine.
type Engine struct {
	// Engine: memory, or redis, with which several nodes work together.
	Type string `key:"type" default:"memory"`
	// Settings of type memory, also where a broker of this type is set.
	Memory MemoryEngine `key:"memory"`
	// Settings of type redis.
	Redis RedisEngine `key:"redis"`
}

// MemoryEngine is section engine.memory.
type MemoryEngine struct {
	// Bytes, about, of the history of all channels of the node. Beyond it the history of channels that were not used for
	// long is dropped, and who recovers it is told so. 0: half of the memory limit, 1073741824 where there is none.
	HistoryMaxSize int `key:"history_max_size"`
	// Channels with history, on the node, beyond which the same is done. 0: any number.
	HistoryMaxChannels int `key:"history_max_channels"`
}

// Broker is section broker.
type Broker struct {
	// Use this broker instead of that of the engine.
	Enabled bool `key:"enabled"`
	// Broker: memory or redis. Others are not in this version yet.
	Type string `key:"type" default:"memory"`
	// Settings of type redis.
	Redis RedisBroker `key:"redis"`
	// Settings of type nats.
	NATS NATSBroker `key:"nats"`
	// Settings of type postgres.
	Postgres PostgresBroker `key:"postgres"`
}

// PresenceManager is section presence_manager.
type PresenceManager struct {
	// Use this presence manager instead of that of the engine.
	Enabled bool `key:"enabled"`
	// Presence manager: memory or redis.
	Type string `key:"type" default:"memory"`
	// Settings of type redis.
	Redis RedisPresence `key:"redis"`
}

// MapBroker is section map_broker.
type MapBroker struct {
	// Map broker: memory, redis or postgres.
	Type string `key:"type" default:"memory"`
	// Settings of type redis.
	Redis RedisMapBroker `key:"redis"`
	// Settings of type postgres.
	Postgres PostgresMapBroker `key:"postgres"`
}

// Controller is section controller.
type Controller struct {
	// Use this control channel between nodes instead of that of the broker.
	Enabled bool `key:"enabled"`
	// Controller: postgres.
	Type string `key:"type" default:"postgres"`
	// Settings of type postgres.
	Postgres PostgresController `key:"postgres"`
}

// Redis describes connections to Redis. Precedence: cluster_address, sentinel_address, address.
type Redis struct {
	// First part of every key and channel. Deployments that share a server need different ones.
	Prefix string `key:"prefix" default:"centrifugo"`
	// Servers; several are client-side shards. Forms: host:port, redis://user:password@host:port/db, rediss:// with TLS,
	// unix:///path, redis+sentinel://host:port?sentinel_master_name=name, redis+cluster://host:port. All nodes need the same
	// order, and a shard is added at the end.
	Address []string `key:"address,words" default:"redis://127.0.0.1:6379"`
	// Clusters, one per element, each a comma-separated list of seeds; several are client-side shards.
	ClusterAddress []string `key:"cluster_address,words"`
	// Sentinels, one shard per element, each a comma-separated list.
	SentinelAddress []string `key:"sentinel_address,words"`
	// Name of the server that the sentinels watch.
	SentinelMasterName string `key:"sentinel_master_name"`
	// User name towards the sentinels.
	SentinelUser string `key:"sentinel_user"`
	// Password towards the sentinels.
	SentinelPassword string `key:"sentinel_password"`
	// Client name towards the sentinels.
	SentinelClientName string `key:"sentinel_client_name"`
	// TLS towards the sentinels.
	SentinelTLS TLS `key:"sentinel_tls"`
	// Number of the database.
	DB int `key:"db"`
	// User name.
	User string `key:"user"`
	// Password.
	Password string `key:"password"`
	// Client name.
	ClientName string `key:"client_name"`
	// Speak protocol RESP2.
	ForceRESP2 bool `key:"force_resp2"`
	// Time allowed for connecting. Calls wait as long for a connection that was lost.
	ConnectTimeout time.Duration `key:"connect_timeout" default:"1s"`
	// Time in which a server must answer.
	IOTimeout time.Duration `key:"io_timeout" default:"4s"`
	// TLS towards the servers.
	TLS TLS `key:"tls"`
	// Reads from replicas.
	ReplicaClient ReplicaClient `key:"replica_client"`
	// Parts of the channels in a Redis Cluster of version 7 or later. Messages of a part go through one of its servers
	// (sharded PUB/SUB) instead of all of them, so that adding servers adds capacity. A node has a connection for each part.
	// All nodes need the same number, and nodes of other programs cannot share the cluster. 0: messages go through all servers.
	ShardedPubSubPartitions int `key:"sharded_pubsub_partitions"`
}

// ReplicaClient is section replica_client of a Redis section.
type ReplicaClient struct {
	// Read from replicas where that is safe.
	Enabled bool `key:"enabled"`
}

// RedisPresenceKeys are the presence settings of Redis.
type RedisPresenceKeys struct {
	// How long an entry lives without being renewed; keep it above twice client.presence_update_interval.
	PresenceTTL time.Duration `key:"presence_ttl" default:"60s"`
	// Use the time to live of hash fields (Redis 7.4 and later).
	PresenceHashFieldTTL bool `key:"presence_hash_field_ttl"`
	// Keep users apart, so that presence_stats costs the same for any number of clients.
	PresenceUserMapping bool `key:"presence_user_mapping"`
}

// RedisDelivery are the settings of how messages travel between Redis and the nodes.
type RedisDelivery struct {
	// How messages travel: pubsub, or streams, which every node reads from where it stopped, so that a broken connection loses
	// nothing. With streams each node reads the messages of all channels; in a cluster sharded_pubsub_partitions is the number
	// of streams. All nodes need the same value.
	Delivery string `key:"delivery" default:"pubsub"`
	// Messages, about, that each stream keeps for nodes that were away. Their memory is that of Redis.
	DeliveryStreamSize int `key:"delivery_stream_size" default:"100000"`
}

// RedisEngine is section engine.redis.
type RedisEngine struct {
	Redis
	RedisDelivery
	// Keep history in lists instead of streams.
	HistoryUseLists bool `key:"history_use_lists"`
	RedisPresenceKeys
}

// RedisBroker is section broker.redis.
type RedisBroker struct {
	Redis
	RedisDelivery
	// Keep history in lists instead of streams.
	HistoryUseLists bool `key:"history_use_lists"`
}

// RedisPresence is section presence_manager.redis.
type RedisPresence struct {
	Redis
	RedisPresenceKeys
}

// RedisMapBroker is section map_broker.redis.
type RedisMapBroker struct {
	Redis
	// How often expired keys are removed.
	CleanupInterval time.Duration `key:"cleanup_interval" default:"1s"`
	// Keys removed at most by one step.
	CleanupBatchSize int `key:"cleanup_batch_size" default:"100"`
	// How long results of idempotent calls are kept.
	IdempotentResultTTL time.Duration `key:"idempotent_result_ttl" default:"5m"`
	// Do not publish changes.
	SkipPubSub bool `key:"skip_pub_sub"`
}

// NATSBroker is section broker.nats.
type NATSBroker struct {
	// First part of every subject.
	Prefix string `key:"prefix" default:"centrifugo"`
	// Address of the servers.
	URL string `key:"url" default:"nats://localhost:4222"`
	// Time allowed for connecting.
	DialTimeout time.Duration `key:"dial_timeout" default:"1s"`
	// Time allowed for writing.
	WriteTimeout time.Duration `key:"write_timeout" default:"1s"`
	// TLS towards the servers.
	TLS TLS `key:"tls"`
	// Let channels with `*` or `>` subscribe to many subjects.
	AllowWildcards bool `key:"allow_wildcards"`
	// Payloads without an envelope.
	RawMode NATSRawMode `key:"raw_mode"`
}

// NATSRawMode is section broker.nats.raw_mode.
type NATSRawMode struct {
	// Pass payloads as they are.
	Enabled bool `key:"enabled"`
	// First part of every subject.
	Prefix string `key:"prefix"`
	// Replacements that turn a channel into a subject.
	ChannelReplacements map[string]string `key:"channel_replacements"`
}

// PostgresStream are the settings common to the brokers kept in PostgreSQL.
type PostgresStream struct {
	// Connection string.
	DSN string `key:"dsn"`
	// TLS towards the server.
	TLS TLS `key:"tls"`
	// Connections in the pool.
	PoolSize int `key:"pool_size" default:"16"`
	// Parts the log is divided into.
	NumShards int `key:"num_shards" default:"8"`
	// How often old rows are removed.
	CleanupInterval time.Duration `key:"cleanup_interval" default:"1m"`
	// How long results of idempotent calls are kept.
	IdempotentResultTTL time.Duration `key:"idempotent_result_ttl" default:"5m"`
	// Keep payloads as bytes instead of JSON.
	BinaryData bool `key:"binary_data"`
	// How long the log is kept.
	StreamRetention time.Duration `key:"stream_retention" default:"24h"`
	// Wake readers with LISTEN and NOTIFY.
	UseNotify bool `key:"use_notify"`
	// Connection string for LISTEN. Empty: dsn.
	NotifyDSN string `key:"notify_dsn"`
	// First part of the names of tables.
	TablePrefix string `key:"table_prefix" default:"cf"`
	// Do not create the schema at start.
	SkipSchemaInit bool `key:"skip_schema_init"`
	// Reading of the log.
	Outbox PostgresOutbox `key:"outbox"`
	// Days for which partitions are created ahead.
	PartitionLookaheadDays int `key:"partition_lookahead_days" default:"2"`
	// Days for which partitions are kept.
	PartitionRetentionDays int `key:"partition_retention_days" default:"7"`
}

// PostgresOutbox describes how the log is read.
type PostgresOutbox struct {
	// How often the log is read.
	PollInterval time.Duration `key:"poll_interval" default:"100ms"`
	// Rows read at once.
	BatchSize int `key:"batch_size" default:"1000"`
}

// PostgresBroker is section broker.postgres.
type PostgresBroker struct {
	PostgresStream
}

// PostgresMapBroker is section map_broker.postgres.
type PostgresMapBroker struct {
	PostgresStream
	// How often expired keys are looked for.
	TTLCheckInterval time.Duration `key:"ttl_check_interval" default:"1s"`
}

// PostgresController is section controller.postgres.
type PostgresController struct {
	// Connection string.
	DSN string `key:"dsn"`
	// TLS towards the server.
	TLS TLS `key:"tls"`
	// Connections in the pool.
	PoolSize int `key:"pool_size" default:"8"`
	// Parts the log is divided into.
	NumShards int `key:"num_shards" default:"1"`
	// First part of the names of tables.
	TablePrefix string `key:"table_prefix" default:"cf"`
	// How often the log is read.
	PollInterval time.Duration `key:"poll_interval" default:"50ms"`
	// Wake readers with LISTEN and NOTIFY.
	UseNotify bool `key:"use_notify"`
	// Connection string for LISTEN. Empty: dsn.
	NotifyDSN string `key:"notify_dsn"`
	// Days for which partitions are kept.
	PartitionRetentionDays int `key:"partition_retention_days" default:"1"`
	// Days for which partitions are created ahead.
	PartitionLookaheadDays int `key:"partition_lookahead_days" default:"2"`
	// How often old partitions are removed.
	PartitionCleanupInterval time.Duration `key:"partition_cleanup_interval" default:"1m"`
	// Rows read at once.
	BatchSize int `key:"batch_size" default:"1000"`
	// Do not create the schema at start.
	SkipSchemaInit bool `key:"skip_schema_init"`
}

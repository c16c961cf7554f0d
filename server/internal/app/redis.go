package app

import (
	"fmt"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/server/internal/config"
)

// newRedis returns the shards that a section of the configuration names. It does not
// connect. Key is that of the section, for errors.
func newRedis(key string, c config.Redis, d config.RedisDelivery, log centrifuge.LogHandler) (*redisengine.Redis, error) {
	if d.Delivery != "pubsub" && d.Delivery != "streams" {
		return nil, fmt.Errorf("%s.delivery: %q is unknown; there is: pubsub, streams", key, d.Delivery)
	}
	shards, err := redisShards(key, c)
	if err != nil {
		return nil, err
	}
	r, err := redisengine.New(redisengine.Config{
		Prefix: c.Prefix, Shards: shards, ShardedPubSub: c.ShardedPubSubPartitions,
		Streams: d.Delivery == "streams", StreamSize: d.DeliveryStreamSize, LogHandler: log,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return r, nil
}

// redisShards returns the shards by the first list of addresses that is set
// (server.md 10.4).
func redisShards(key string, c config.Redis) (shards []redisengine.ShardConfig, err error) {
	base, err := redisShard(key, c)
	if err != nil {
		return nil, err
	}
	for i, list := range c.ClusterAddress {
		shard := base
		if shard.Cluster, err = redisengine.ParseAddresses(list, false); err != nil {
			return nil, fmt.Errorf("%s.cluster_address[%d]: %w", key, i, err)
		}
		shards = append(shards, shard)
	}
	if len(shards) > 0 {
		return shards, nil
	}
	for i, list := range c.SentinelAddress {
		shard := base
		if shard.Sentinels, err = redisengine.ParseAddresses(list, true); err != nil {
			return nil, fmt.Errorf("%s.sentinel_address[%d]: %w", key, i, err)
		}
		shards = append(shards, shard)
	}
	if len(shards) > 0 {
		return shards, nil
	}
	for i, address := range c.Address {
		shard, err := redisengine.ParseAddress(address, base)
		if err != nil {
			return nil, fmt.Errorf("%s.address[%d]: %w", key, i, err)
		}
		shards = append(shards, shard)
	}
	return shards, nil
}

// redisShard returns what the shards of a section have in common: all but the addresses.
func redisShard(key string, c config.Redis) (base redisengine.ShardConfig, err error) {
	base = redisengine.ShardConfig{
		MasterName: c.SentinelMasterName, SentinelUser: c.SentinelUser, SentinelPassword: c.SentinelPassword,
		SentinelClientName: c.SentinelClientName, DB: c.DB, User: c.User, Password: c.Password, ClientName: c.ClientName,
		ForceRESP2: c.ForceRESP2, ConnectTimeout: c.ConnectTimeout, IOTimeout: c.IOTimeout,
	}
	if base.TLS, err = c.TLS.Client(); err != nil {
		return base, fmt.Errorf("%s.tls: %w", key, err)
	}
	if base.SentinelTLS, err = c.SentinelTLS.Client(); err != nil {
		return base, fmt.Errorf("%s.sentinel_tls: %w", key, err)
	}
	if base.IOTimeout <= 0 || base.ConnectTimeout <= 0 {
		return base, fmt.Errorf("%s: connect_timeout and io_timeout must be more than zero", key)
	}
	return base, nil
}

package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/server/internal/config"
)

// engine holds what connects the node to storage and to other nodes.
type engine struct {
	broker     centrifuge.Broker
	presence   centrifuge.PresenceManager // nil for one in memory
	controller centrifuge.Controller      // nil for a node that is alone
	// revocations is the table of blocked users and revoked tokens. It goes with the broker,
	// which all nodes share; nil for one in memory.
	revocations *redisengine.Table
}

// close ends what the node does not end.
func (e engine) close(ctx context.Context) {
	if e.revocations != nil {
		_ = e.revocations.Close(ctx) // it only ends the use of connections
	}
}

// healthReporter is a part of an engine that knows whether it works.
type healthReporter interface {
	// Health returns nil, or what is wrong.
	Health() error
}

// health returns what is wrong with the parts of the engine, or nil.
func (e engine) health() error {
	var errs []error
	for _, part := range []any{e.broker, e.presence, e.controller} {
		if r, ok := part.(healthReporter); ok {
			errs = append(errs, r.Health())
		}
	}
	return errors.Join(errs...)
}

// brokers and presenceManagers are the types that this version has. What is not here is
// refused by newEngine, and so by the start and by checkconfig. A type is a line here, in
// planned until it is built.
var (
	brokers = map[string]func(*engineMaker) error{
		"memory": (*engineMaker).memoryBroker, "redis": (*engineMaker).redisBroker,
	}
	presenceManagers = map[string]func(*engineMaker) error{
		"memory": func(*engineMaker) error { return nil }, // the node makes it when it starts
		"redis":  (*engineMaker).redisPresence,
	}
	// others are the types of what an engine has besides. Those in memory are the node's,
	// or that of the broker.
	others = map[string]func(*engineMaker) error{"memory": func(*engineMaker) error { return nil }}
	// planned are types of a later version, by key.
	planned = map[string][]string{
		"broker.type": {"nats", "postgres", "redisnats"}, "map_broker.type": {"redis", "postgres"}, "controller.type": {"postgres"},
	}
)

// engineMaker makes the parts of an engine, the broker first.
type engineMaker struct {
	cfg *config.Config
	log centrifuge.LogHandler
	engine
	shared *redisengine.Redis // of the parts that the section engine describes
}

// newEngine makes the engine that the configuration names. The sections broker,
// presence_manager and controller, where enabled, replace a part of it. The error names
// all keys whose types are unknown or not in this version. It makes no connections.
func newEngine(cfg *config.Config, log centrifuge.LogHandler) (engine, error) {
	m := &engineMaker{cfg: cfg, log: log}
	var problems config.Problems
	choose := func(key, typ string, table map[string]func(*engineMaker) error) func(*engineMaker) error {
		f := table[typ]
		if f == nil {
			problems = append(problems, unknownType(key, typ, table))
		}
		return f
	}
	makeBroker := choose("engine.type", cfg.Engine.Type, brokers)
	makePresence := presenceManagers[cfg.Engine.Type]
	if cfg.Broker.Enabled {
		makeBroker = choose("broker.type", cfg.Broker.Type, brokers)
	}
	if cfg.PresenceManager.Enabled {
		makePresence = choose("presence_manager.type", cfg.PresenceManager.Type, presenceManagers)
	}
	if cfg.Controller.Enabled {
		choose("controller.type", cfg.Controller.Type, others)
	}
	choose("map_broker.type", cfg.MapBroker.Type, others)
	if len(problems) > 0 {
		return engine{}, problems
	}
	if err := makeBroker(m); err != nil {
		return engine{}, err
	}
	if err := makePresence(m); err != nil {
		return engine{}, err
	}
	return m.engine, nil
}

func unknownType(key, typ string, table map[string]func(*engineMaker) error) config.Problem {
	there := strings.Join(slices.Sorted(maps.Keys(table)), ", ")
	if slices.Contains(planned[key], typ) {
		return config.Problem{Key: key, Message: fmt.Sprintf("%q is not in this version yet; there is: %s", typ, there)}
	}
	return config.Problem{Key: key, Message: fmt.Sprintf("unknown type %q; there is: %s", typ, there)}
}

func (m *engineMaker) memoryBroker() error {
	m.broker = centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{
		HistoryMetaTTL: m.cfg.Channel.HistoryMetaTTL,
		HistoryMaxSize: m.cfg.Engine.Memory.HistoryMaxSize, HistoryMaxChannels: m.cfg.Engine.Memory.HistoryMaxChannels,
	})
	return nil
}

func (m *engineMaker) redisBroker() error {
	key, c := "engine.redis", config.RedisBroker{
		Redis: m.cfg.Engine.Redis.Redis, RedisDelivery: m.cfg.Engine.Redis.RedisDelivery, HistoryUseLists: m.cfg.Engine.Redis.HistoryUseLists,
	}
	if m.cfg.Broker.Enabled {
		key, c = "broker.redis", m.cfg.Broker.Redis
	}
	r, err := newRedis(key, c.Redis, c.RedisDelivery, m.log)
	if err != nil {
		return err
	}
	if !m.cfg.Broker.Enabled {
		m.shared = r
	}
	m.broker = redisengine.NewBroker(r, redisengine.BrokerConfig{HistoryUseLists: c.HistoryUseLists, HistoryMetaTTL: m.cfg.Channel.HistoryMetaTTL})
	m.controller = redisengine.NewController(r)
	m.revocations = redisengine.NewTable(r, "revocations")
	return nil
}

func (m *engineMaker) redisPresence() (err error) {
	key, c, r := "engine.redis", config.RedisPresence{Redis: m.cfg.Engine.Redis.Redis, RedisPresenceKeys: m.cfg.Engine.Redis.RedisPresenceKeys}, m.shared
	if m.cfg.PresenceManager.Enabled {
		key, c, r = "presence_manager.redis", m.cfg.PresenceManager.Redis, nil
	}
	if r == nil {
		if r, err = newRedis(key, c.Redis, config.RedisDelivery{Delivery: "pubsub"}, m.log); err != nil {
			return err
		}
	}
	m.presence = redisengine.NewPresence(r, redisengine.PresenceConfig{
		TTL: c.PresenceTTL, HashFieldTTL: c.PresenceHashFieldTTL, UserMapping: c.PresenceUserMapping,
	})
	return nil
}

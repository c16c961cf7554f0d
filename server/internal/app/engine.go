package app

import (
	"fmt"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
)

// engine holds what connects the node to storage and to other nodes.
type engine struct {
	broker     centrifuge.Broker
	presence   centrifuge.PresenceManager // nil for one in memory
	controller centrifuge.Controller      // nil for a node that is alone
}

// newEngine makes the engine that the configuration names. The sections broker,
// presence_manager and controller, where enabled, replace a part of it. It refuses
// what Config.CheckBuilt refuses; a test holds the two together.
func newEngine(cfg *config.Config) (engine, error) {
	brokerKey, brokerType := "engine.type", cfg.Engine.Type
	presenceKey, presenceType := brokerKey, brokerType
	if cfg.Broker.Enabled {
		brokerKey, brokerType = "broker.type", cfg.Broker.Type
	}
	if cfg.PresenceManager.Enabled {
		presenceKey, presenceType = "presence_manager.type", cfg.PresenceManager.Type
	}
	var e engine
	switch cfg.Engine.Type {
	case "memory":
	default: // also where both of its parts are replaced
		return e, notBuilt("engine.type", cfg.Engine.Type)
	}
	switch brokerType {
	case "memory":
		e.broker = centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{
			HistoryMetaTTL: cfg.Channel.HistoryMetaTTL,
			HistoryMaxSize: cfg.Engine.Memory.HistoryMaxSize, HistoryMaxChannels: cfg.Engine.Memory.HistoryMaxChannels,
		})
	default:
		return e, notBuilt(brokerKey, brokerType)
	}
	switch presenceType {
	case "memory": // the node makes it when it starts
	default:
		return e, notBuilt(presenceKey, presenceType)
	}
	switch {
	case !cfg.Controller.Enabled, cfg.Controller.Type == "memory": // one node
	default:
		return e, notBuilt("controller.type", cfg.Controller.Type)
	}
	if cfg.MapBroker.Type != "memory" {
		return e, notBuilt("map_broker.type", cfg.MapBroker.Type)
	}
	return e, nil
}

func notBuilt(key, typ string) error {
	return fmt.Errorf("%s: %q is unknown or not in this version yet", key, typ)
}

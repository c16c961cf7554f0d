package app

import (
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
)

// TestEngineIsWhatTheCheckSays holds newEngine and Config.CheckBuilt together: what
// the check passes starts, and both name the same key.
func TestEngineIsWhatTheCheckSays(t *testing.T) {
	types := []string{"memory", "redis", "nats", "postgres", "redisnats", "tarantool", ""}
	for key, set := range map[string]func(*config.Config, string){
		"engine.type": func(c *config.Config, typ string) { c.Engine.Type = typ },
		"broker.type": func(c *config.Config, typ string) { c.Broker.Enabled, c.Broker.Type = true, typ },
		"presence_manager.type": func(c *config.Config, typ string) {
			c.PresenceManager.Enabled, c.PresenceManager.Type = true, typ
		},
		"controller.type": func(c *config.Config, typ string) { c.Controller.Enabled, c.Controller.Type = true, typ },
		"map_broker.type": func(c *config.Config, typ string) { c.MapBroker.Type = typ },
	} {
		for _, typ := range types {
			cfg := config.Default()
			set(cfg, typ)
			checked := cfg.CheckBuilt()
			e, err := newEngine(cfg)
			if (err == nil) != (checked == nil) {
				t.Errorf("%s = %q: newEngine says %v, CheckBuilt %v", key, typ, err, checked)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), key+": ") || checked != nil && !strings.HasPrefix(checked.Error(), key+": ")) {
				t.Errorf("%s = %q: newEngine says %v, CheckBuilt %v; want both to name the key", key, typ, err, checked)
			}
			if err == nil && (e.broker == nil || e.presence != nil || e.controller != nil) {
				t.Errorf("%s = %q: newEngine() = %+v; want the engine of one node in memory", key, typ, e)
			}
		}
	}
}

// A disabled section replaces nothing.
func TestEngineOfDisabledSections(t *testing.T) {
	cfg := config.Default()
	cfg.Broker.Type, cfg.PresenceManager.Type, cfg.Controller.Type = "nats", "redis", "postgres"
	e, err := newEngine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := e.broker.(*centrifuge.MemoryBroker); !ok {
		t.Errorf("broker = %T; want a memory broker", e.broker)
	}
	if e.presence != nil || e.controller != nil {
		t.Errorf("presence manager %T, controller %T; want none", e.presence, e.controller)
	}
}

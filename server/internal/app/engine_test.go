package app

import (
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
)

// TestEngineTypes: types that are unknown or not built are refused by the start and by
// checkconfig, which say what there is.
func TestEngineTypes(t *testing.T) {
	for _, test := range []struct{ options, want string }{ // flags, the beginning of the error
		{"", ""},
		{"broker.enabled=true presence_manager.enabled=true", ""},
		{"broker.type=nats presence_manager.type=x controller.type=postgres", ""}, // not enabled
		{"engine.type=redis", ""},
		{"broker.enabled=true broker.type=redis presence_manager.enabled=true presence_manager.type=redis", ""},
		{"engine.type=tarantool", `engine.type: unknown type "tarantool"; there is: memory, redis`},
		{"engine.type=tarantool broker.enabled=true presence_manager.enabled=true", `engine.type: unknown type "tarantool"`},
		{"broker.enabled=true broker.type=nats", `broker.type: "nats" is not in this version yet; there is: memory, redis`},
		{"broker.enabled=true broker.type=x presence_manager.enabled=true presence_manager.type=nats",
			"broker.type: unknown type \"x\"; there is: memory, redis\npresence_manager.type: unknown type \"nats\"; there is: memory, redis"},
		{"map_broker.type=redis", `map_broker.type: "redis" is not in this version yet; there is: memory`},
		{"controller.enabled=true", `controller.type: `},
		{"controller.enabled=true controller.type=memory", ""},
	} {
		cfg, _, err := config.Load(options(test.options))
		if err != nil {
			t.Fatalf("%s: %v", test.options, err)
		}
		e, err := newEngine(cfg, nil)
		if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: newEngine() = %v; want %q", test.options, err, test.want)
		}
		if checked := Check(cfg); (checked == nil) != (err == nil) || err != nil && !strings.Contains(checked.Error(), err.Error()) {
			t.Errorf("%s: Check() = %v; want what newEngine says: %v", test.options, checked, err)
		}
		if err == nil && test.options == "" && (e.broker == nil || e.presence != nil || e.controller != nil) {
			t.Errorf("newEngine() = %+v; want the engine of one node in memory", e)
		}
	}
}

// A disabled section replaces nothing.
func TestEngineOfDisabledSections(t *testing.T) {
	cfg := config.Default()
	cfg.Broker.Type, cfg.PresenceManager.Type, cfg.Controller.Type = "nats", "redis", "postgres"
	e, err := newEngine(cfg, nil)
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

package centrifuge_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
)

// TestDefaultLog: without a handler, warnings and errors go to slog.Default, also
// if that is set after the node was made.
func TestDefaultLog(t *testing.T) {
	handled := 0
	handler := func(centrifuge.LogEntry) { handled++ }
	for _, test := range []struct {
		name    string
		config  centrifuge.Config
		want    []string // in the output of slog
		handled bool
	}{
		{"zero", centrifuge.Config{}, []string{"WARN", "ERROR"}, false},
		{"errors", centrifuge.Config{LogLevel: centrifuge.LogError}, []string{"ERROR"}, false},
		{"info", centrifuge.Config{LogLevel: centrifuge.LogInfo}, []string{"INFO", "WARN", "ERROR"}, false},
		{"none", centrifuge.Config{LogLevel: centrifuge.LogNone}, nil, false},
		{"handler", centrifuge.Config{LogHandler: handler}, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node, err := centrifuge.New(test.config)
				must(t, err)
				var out bytes.Buffer
				old := slog.Default()
				slog.SetDefault(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
				defer slog.SetDefault(old)
				handled = 0
				node.Handle(allow(centrifuge.SubscribeOptions{}))
				must(t, node.Run())
				p := (&site{Node: node, t: t}).connect(jsonV2, "u")
				p.commands(subscribeA)
				p.received()
				must(t, node.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "a", centrifuge.SubscribeOptions{Recovery: true})) // warns
				node.BrokerEvents().HandlePublication("a", nil, "", nil)                                                             // an error
				p.SendRaw([]byte("malformed"))                                                                                       // info
				p.received()
				must(t, node.Shutdown(t.Context()))
				for _, level := range []string{"INFO", "WARN", "ERROR"} {
					want := strings.Contains(strings.Join(test.want, " "), level)
					if got := strings.Contains(out.String(), "level="+level); got != want {
						t.Errorf("%s logged: %v, want %v\n%s", level, got, want, out.String())
					}
				}
				if (handled > 0) != test.handled {
					t.Errorf("the handler was called %d times; want %v", handled, test.handled)
				}
			})
		})
	}
}

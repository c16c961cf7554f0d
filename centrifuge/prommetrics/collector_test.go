package prommetrics_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/centrifuge/prommetrics"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newNode starts a node of the cluster of bus.
func newNode(t *testing.T, bus *centrifugetest.Bus, handlers centrifuge.Handlers) *centrifuge.Node {
	t.Helper()
	node, err := centrifuge.New(centrifuge.Config{Controller: bus.Controller(), Handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	return node
}

// collect returns the values of all series, by name and value of their labels. A
// histogram or a summary has the number of its observations.
func collect(t *testing.T, node *centrifuge.Node) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(prommetrics.NewCollector(node, prommetrics.Options{Version: "1"}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() +
				float64(m.GetHistogram().GetSampleCount()+m.GetSummary().GetSampleCount())
		}
	}
	return values
}

// TestCluster checks the figures of surveys and of control messages that were not
// applied.
func TestCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := centrifugetest.NewBus()
		release := make(chan struct{})
		node := newNode(t, bus, centrifuge.Handlers{
			Notification: func(context.Context, centrifuge.NotificationEvent) { <-release },
			Survey: func(context.Context, centrifuge.SurveyEvent) (centrifuge.SurveyReply, error) {
				return centrifuge.SurveyReply{}, centrifuge.ErrorNotAvailable
			},
		})
		defer close(release)
		newNode(t, bus, centrifuge.Handlers{})
		synctest.Wait()
		for op, calls := range map[string]int{"a": 2, "b": 1} {
			for range calls {
				if _, err := node.Survey(t.Context(), op, nil, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range 200 { // more than are told apart
			if _, err := node.Survey(t.Context(), fmt.Sprintf("op%d", i), nil, node.ID()); err != nil {
				t.Fatal(err)
			}
		}
		stranger := bus.Controller()
		if err := stranger.Start("stranger", func([]byte) {}); err != nil {
			t.Fatal(err)
		}
		send := func(count int, message string) {
			for range count {
				if err := stranger.PublishControl(t.Context(), node.ID(), []byte(message)); err != nil {
					t.Fatal(err)
				}
			}
		}
		const queue = 4096 // notifications, the one that is handled included
		send(3, `{`)
		send(5, `{"v":1,"op":"dance","from":"x"}`)
		send(queue+7, `{"v":1,"op":"notify","from":"x","notify":{"op":"x"}}`)
		synctest.Wait()
		if err := stranger.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := collect(t, node)
		for name, want := range map[string]float64{
			"centrifugo_node_num_nodes":                               2,
			"centrifugo_node_control_discarded_count malformed":       3,
			"centrifugo_node_control_discarded_count ignored":         5,
			"centrifugo_node_control_discarded_count dropped":         7,
			"centrifugo_node_survey_duration_seconds a":               2,
			"centrifugo_node_survey_duration_seconds_histogram a":     2,
			"centrifugo_node_survey_duration_seconds_histogram b":     1,
			"centrifugo_node_survey_duration_seconds_histogram op0":   1,
			"centrifugo_node_survey_duration_seconds_histogram other": 102,
			"centrifugo_node_action_count survey ":                    203,
		} {
			if value, exists := got[name]; !exists || value != want {
				t.Errorf("%s = %v, exists: %v; want %v", name, value, exists, want)
			}
		}
	})
}

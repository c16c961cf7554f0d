package centrifuge_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// byNamespace labels a channel with what comes before its colon.
func byNamespace(channel string) string {
	label, _, found := strings.Cut(channel, ":")
	if !found {
		return ""
	}
	return label
}

// TestChannelLabels checks what is counted under the label of a channel, and that the sums
// have all labels.
func TestChannelLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := allow(centrifuge.SubscribeOptions{
			Positioning: true, Recovery: true, Presence: true, JoinLeave: true, PushJoinLeave: true, AllowTagsFilter: true,
		})
		s := newSite(t, centrifuge.Config{ChannelLabel: byNamespace, SoftwareNames: []string{"till"}}, handlers)
		p := s.dial(jsonV2, transport(jsonV2), "u")
		p.commands(`{"id":1,"connect":{"name":"till"}}`)
		p.received()
		p.commands(`{"id":2,"subscribe":{"channel":"a:1"}}`, `{"id":3,"subscribe":{"channel":"a:2","tf":{"key":"k","cmp":"ex"}}}`,
			`{"id":4,"subscribe":{"channel":"b:1","recover":true}}`, `{"id":5,"subscribe":{"channel":"plain"}}`, `{"id":6,"subscribe":{"channel":"a:1"}}`)
		p.received()
		for channel, publications := range map[string]int{"a:1": 3, "a:2": 1, "b:1": 2, "plain": 1, "c:1": 1} {
			for range publications {
				s.publish(channel, "1", history)
			}
		}
		p.received()
		p.commands(`{"id":7,"publish":{"channel":"b:1","data":1}}`, `{"id":8,"unsubscribe":{"channel":"a:2"}}`, `{"id":9,"rpc":{"data":1}}`)
		p.received()
		p.Client.Client().Unsubscribe("b:1", centrifuge.UnsubscribeServer)
		p.received()

		stats := s.Stats()
		for label, want := range map[string]string{
			"":  "sent 1, received 1, joins 1, leaves 0, filtered 0, recovered 0, subscriptions map[till:{1 1}], commands subscribe 1 publish 0 rpc 1, errors map[], unsubscribes map[], broadcasts 1, added 1, presence 1",
			"a": "sent 4, received 4, joins 2, leaves 1, filtered 1, recovered 0, subscriptions map[till:{1 2}], commands subscribe 3 publish 0 rpc 0, errors map[subscribe:map[105:1]], unsubscribes map[], broadcasts 4, added 2, presence 2",
			"b": "sent 3, received 3, joins 1, leaves 1, filtered 0, recovered 1, subscriptions map[till:{0 1}], commands subscribe 1 publish 1 rpc 0, errors map[], unsubscribes map[2000:1], broadcasts 3, added 1, presence 1",
			"c": "sent 1, received 0, joins 0, leaves 0, filtered 0, recovered 0, subscriptions map[], commands subscribe 0 publish 0 rpc 0, errors map[], unsubscribes map[], broadcasts 0, added 0, presence 0",
		} {
			if got := describeCounts(stats.ByLabel[label]); got != want {
				t.Errorf("label %q:\n\t%s; want\n\t%s", label, got, want)
			}
		}
		if len(stats.ByLabel) != 4 {
			t.Errorf("%d labels; want 4", len(stats.ByLabel))
		}
		const sums = "sent 9, received 8, joins 4, leaves 2, filtered 1, recovered 1, subscriptions map[till:{2 4}], commands subscribe 5 publish 1 rpc 1, errors map[subscribe:map[105:1]], unsubscribes map[2000:1], broadcasts 8, added 4, presence 4"
		if got := describeCounts(stats.ChannelCounts); got != sums {
			t.Errorf("all labels:\n\t%s; want\n\t%s", got, sums)
		}
		checkFrames(t, stats.Transports[p.Client.Client().Transport().Name])
	})
}

func describeCounts(c centrifuge.ChannelCounts) string {
	return fmt.Sprintf("sent %d, received %d, joins %d, leaves %d, filtered %d, recovered %d, subscriptions %v, commands subscribe %d publish %d rpc %d, "+
		"errors %v, unsubscribes %v, broadcasts %d, added %d, presence %d",
		c.PublicationsSent, c.PublicationsReceived, c.JoinsSent, c.LeavesSent, c.Filtered, c.RecoveredWithout, c.Subscribers,
		c.Commands["subscribe"].Count, c.Commands["publish"].Count, c.Commands["rpc"].Count,
		c.ReplyErrors, c.Unsubscribes, c.Broadcasts["publication"].Count, c.Actions["add_subscription"], c.Actions["add_presence"])
}

// checkFrames checks the messages of TestChannelLabels.
func checkFrames(t *testing.T, stats centrifuge.TransportStats) {
	t.Helper()
	for label, want := range map[string]map[protocol.MessageKind][2]uint64{ // sent and received
		"": {protocol.KindConnect: {1, 1}, protocol.KindSubscribe: {1, 1}, protocol.KindPushPublication: {1, 0}, protocol.KindPushJoin: {1, 0}, protocol.KindRPC: {1, 1}},
		"a": {protocol.KindSubscribe: {2, 3}, protocol.KindUnknown: {1, 0}, protocol.KindPushPublication: {3, 0}, protocol.KindPushJoin: {2, 0},
			protocol.KindUnsubscribe: {1, 1}},
		"b": {protocol.KindSubscribe: {1, 1}, protocol.KindPushPublication: {3, 0}, protocol.KindPublish: {1, 1}, protocol.KindPushJoin: {1, 0}, protocol.KindPushUnsubscribe: {1, 0}},
	} {
		for kind := range protocol.NumMessageKinds {
			got := stats.FramesByLabel[label][kind.String()]
			if got := [2]uint64{got.Sent, got.Received}; got != want[kind] {
				t.Errorf("label %q, %s: sent and received %v; want %v", label, kind, got, want[kind])
			}
			if (got.Sent > 0) != (got.SentBytes > 0) || (got.Received > 0) != (got.ReceivedBytes > 0) {
				t.Errorf("label %q, %s: %+v; want bytes of each message", label, kind, got)
			}
		}
	}
	if got := stats.Frames["push_publication"].Sent; got != 7 {
		t.Errorf("%d publications sent to the client; want 7", got)
	}
}

// TestChannelLabelsAreBounded checks that there are no more than MaxChannelLabels, that the
// rest is counted as others, and that one warning says so.
func TestChannelLabelsAreBounded(t *testing.T) {
	for name, label := range map[string]func(channel string) string{
		"too many":   byNamespace,
		"one other":  func(channel string) string { return strings.Replace(byNamespace(channel), "n1", "other", 1) },
		"not UTF-8":  func(channel string) string { return strings.Replace(byNamespace(channel), "n1", "\xff", 1) },
		"a panic":    func(channel string) string { return map[string]func() string{"n1:x": nil}[channel]() },
		"no channel": func(string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			var warnings, errors atomic.Int64
			node, err := centrifuge.New(centrifuge.Config{ChannelLabel: label, MaxChannelLabels: 2, LogHandler: func(e centrifuge.LogEntry) {
				switch e.Level {
				case centrifuge.LogWarn:
					warnings.Add(1)
				case centrifuge.LogError:
					errors.Add(1)
				}
			}})
			must(t, err)
			must(t, node.Run())
			for range 3 {
				for i := range 5 {
					_, err := node.Publish(t.Context(), fmt.Sprintf("n%d:x", i), []byte("1"), centrifuge.PublishOptions{})
					must(t, err)
				}
			}
			got := make(map[string]uint64)
			for label, counts := range node.Stats().ByLabel {
				got[label] = counts.PublicationsSent
			}
			want := map[string]struct {
				sent     map[string]uint64
				warnings int64
			}{
				"too many":   {map[string]uint64{"": 0, "n0": 3, "n1": 3, "other": 9}, 1},
				"one other":  {map[string]uint64{"": 0, "n0": 3, "other": 12}, 1},
				"not UTF-8":  {map[string]uint64{"": 0, "n0": 3, "other": 12}, 1},
				"a panic":    {map[string]uint64{"": 15}, 0},
				"no channel": {map[string]uint64{"": 15}, 0},
			}[name]
			if fmt.Sprint(got) != fmt.Sprint(want.sent) || warnings.Load() != want.warnings || (errors.Load() > 0) != (name == "a panic") {
				t.Errorf("sent %v, %d warnings, %d errors; want %v, %d warnings", got, warnings.Load(), errors.Load(), want.sent, want.warnings)
			}
			must(t, node.Shutdown(t.Context()))
		})
	}
}

// TestChannelLabelChanges checks that a subscription ends under the label that it began with.
func TestChannelLabelChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var label atomic.Value
		label.Store("before")
		s := newSite(t, centrifuge.Config{ChannelLabel: func(string) string { return label.Load().(string) }}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"a"}}`)
		p.received()
		label.Store("after")
		p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
		p.received()
		stats := s.Stats().ByLabel
		if got := stats["before"].Subscribers["unnamed"]; got != (centrifuge.SoftwareStats{Current: 0, Accepted: 1}) {
			t.Errorf("before: %+v; want no current subscription, 1 accepted", got)
		}
		if got := stats["after"].Subscribers; len(got) != 0 {
			t.Errorf("after: %+v; want none", got)
		}
	})
}

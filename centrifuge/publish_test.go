package centrifuge_test

import (
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
)

// TestPublishOwnsWhatItKeeps: what the caller does with its options afterwards
// changes nothing that was published.
func TestPublishOwnsWhatItKeeps(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(o *centrifuge.PublishOptions)
	}{
		{"a tag", func(o *centrifuge.PublishOptions) { o.Tags["t"] = "other" }},
		{"a new tag", func(o *centrifuge.PublishOptions) { o.Tags["u"] = "new" }},
		{"a tag removed", func(o *centrifuge.PublishOptions) { delete(o.Tags, "t") }},
		{"all tags", func(o *centrifuge.PublishOptions) { clear(o.Tags) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{Recovery: true}))
				opts := history
				opts.Tags = map[string]string{"t": "v"}
				s.publish("a", `1`, opts)
				test.change(&opts)
				got, err := s.History(t.Context(), "a", centrifuge.HistoryOptions{Limit: -1})
				if err != nil || len(got.Publications) != 1 {
					t.Fatalf("History = %+v, %v; want one publication and no error", got, err)
				}
				pub := got.Publications[0]
				if !maps.Equal(pub.Tags, map[string]string{"t": "v"}) {
					t.Errorf("published were %v; want map[t:v]", pub.Tags)
				}
				p := s.connect(jsonV2, "u")
				p.commands(`{"id":2,"subscribe":{"channel":"a","recover":true}}`)
				if got := p.received(); !strings.Contains(got[0], `"tags":{"t":"v"}`) {
					t.Errorf("%q; want %q in it", got, `"tags":{"t":"v"}`)
				}
			})
		})
	}
}

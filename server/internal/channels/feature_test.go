package channels

import (
	"testing"
	"time"

	"centrifugo/server/internal/config"
)

func TestBatch(t *testing.T) {
	r := newRules(t, Settings{}, config.ChannelOptions{}, map[string]config.ChannelOptions{
		"slow":   {BatchMaxDelay: time.Second, BatchMaxSize: 10},
		"latest": {BatchMaxDelay: time.Millisecond, BatchFlushLatest: true},
		"tagged": {BatchMaxDelay: time.Millisecond, BatchFlushLatest: true, AllowTagsFilter: true},
	})
	for channel, want := range map[string]Batch{
		"plain":    {},
		"none:x":   {},
		"slow:x":   {MaxDelay: time.Second, MaxSize: 10},
		"latest:x": {MaxDelay: time.Millisecond, FlushLatest: true},
		"tagged:x": {MaxDelay: time.Millisecond, FlushLatest: true, ByTags: true},
	} {
		if got := r.Batch(channel); got != want {
			t.Errorf("%s: %+v, want %+v", channel, got, want)
		}
	}
}

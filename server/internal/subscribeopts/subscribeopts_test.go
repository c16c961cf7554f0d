package subscribeopts

import (
	"reflect"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/config"
)

// Each option and feature changes its own field of the options and no other.
func TestNew(t *testing.T) {
	plain := centrifuge.SubscribeOptions{Source: 3}
	tests := []struct {
		name    string
		options config.ChannelOptions
		feature channels.Features
		change  func(o *centrifuge.SubscribeOptions)
	}{
		{name: "plain", change: func(*centrifuge.SubscribeOptions) {}},
		{name: "allowed_delta_types", options: config.ChannelOptions{AllowedDeltaTypes: []string{"fossil"}}, change: func(o *centrifuge.SubscribeOptions) { o.AllowDelta = true }},
		{name: "another delta type", options: config.ChannelOptions{AllowedDeltaTypes: []string{"other"}}, change: func(*centrifuge.SubscribeOptions) {}},
		{name: "allow_tags_filter", options: config.ChannelOptions{AllowTagsFilter: true}, change: func(o *centrifuge.SubscribeOptions) { o.AllowTagsFilter = true }},
		{name: "allow_channel_compaction", options: config.ChannelOptions{AllowChannelCompaction: true}, change: func(o *centrifuge.SubscribeOptions) { o.AllowCompaction = true }},
		{name: "slow_reader_policy disconnect", options: config.ChannelOptions{SlowReaderPolicy: "disconnect"}, change: func(*centrifuge.SubscribeOptions) {}},
		{name: "slow_reader_policy latest", options: config.ChannelOptions{SlowReaderPolicy: "latest"}, change: func(o *centrifuge.SubscribeOptions) { o.Slow = centrifuge.SlowLatest }},
		{name: "slow_reader_policy drop_oldest", options: config.ChannelOptions{SlowReaderPolicy: "drop_oldest"}, change: func(o *centrifuge.SubscribeOptions) { o.Slow = centrifuge.SlowDropOldest }},
		{name: "presence", feature: channels.Features{Presence: true}, change: func(o *centrifuge.SubscribeOptions) { o.Presence = true }},
		{name: "join and leave", feature: channels.Features{JoinLeave: true}, change: func(o *centrifuge.SubscribeOptions) { o.JoinLeave = true }},
		{name: "pushed join and leave", feature: channels.Features{PushJoinLeave: true}, change: func(o *centrifuge.SubscribeOptions) { o.PushJoinLeave = true }},
		{name: "positioned", feature: channels.Features{Positioned: true}, change: func(o *centrifuge.SubscribeOptions) { o.Positioning = true }},
		{name: "recoverable", feature: channels.Features{Recoverable: true}, change: func(o *centrifuge.SubscribeOptions) { o.Recovery = true }},
		{name: "cache", feature: channels.Features{CacheRecovery: true}, change: func(o *centrifuge.SubscribeOptions) { o.RecoveryMode = centrifuge.RecoverCache }},
		{name: "auto cache", feature: channels.Features{AutoCacheRecover: true}, change: func(o *centrifuge.SubscribeOptions) { o.AutoRecover = true }},
	}
	for _, tt := range tests {
		want := plain
		tt.change(&want)
		if got := New(&channels.Namespace{Options: tt.options}, 3, tt.feature); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: New() = %+v; want %+v", tt.name, got, want)
		}
	}
}

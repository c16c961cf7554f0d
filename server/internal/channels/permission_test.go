package channels

import (
	"testing"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/override"
)

// options builds options with the given changes.
type options = config.ChannelOptions

func TestMaySubscribe(t *testing.T) {
	proxied := options{SubscribeProxyEnabled: true, SubscribeProxyName: "pp", AllowSubscribeForClient: true, AllowUserLimitedChannels: true}
	stream := options{SubscribeStreamProxyEnabled: true, SubscribeStreamProxyName: "sp", AllowSubscribeForClient: true, AllowUserLimitedChannels: true}
	tests := []struct {
		name     string // with the row of server.md 4.3
		options  options
		insecure bool
		query    SubscribeQuery
		want     Outcome
		source   Source
		proxy    string
	}{
		{"1 empty channel", options{}, true, SubscribeQuery{}, UnknownChannel, 0, ""},
		{"2 unknown namespace", options{}, true, SubscribeQuery{Channel: "none:x", HasToken: true}, UnknownChannel, 0, ""},
		{"3 bad name beats token", options{}, true, SubscribeQuery{Channel: "é", HasToken: true}, BadRequest, 0, ""},
		{"5 map on a stream channel", options{}, true, SubscribeQuery{Channel: "x", Type: "map", HasToken: true}, Denied, 0, ""},
		{"5 stream on a map channel", options{SubscriptionType: "map"}, true, SubscribeQuery{Channel: "x", HasToken: true}, Denied, 0, ""},
		{"5 map on a map channel", options{SubscriptionType: "map"}, true, SubscribeQuery{Channel: "x", Type: "map"}, Allowed, SourceClientInsecure, ""},
		{"5 stream by name", options{SubscriptionType: "stream"}, true, SubscribeQuery{Channel: "x"}, Allowed, SourceClientInsecure, ""},
		{"6 private without token", options{AllowSubscribeForClient: true}, true, SubscribeQuery{Channel: "$x", User: "1"}, Denied, 0, ""},
		{"7 private with token", options{}, false, SubscribeQuery{Channel: "$x", User: "1", HasToken: true}, CheckToken, SourceSubscriptionToken, ""},
		{"7 token before everything else", proxied, true, SubscribeQuery{Channel: "x#1", User: "1", HasToken: true}, CheckToken, SourceSubscriptionToken, ""},
		{"8 listed", options{AllowUserLimitedChannels: true}, false, SubscribeQuery{Channel: "x#1,42", User: "42"}, Allowed, SourceUserLimited, ""},
		{"8 last boundary", options{AllowUserLimitedChannels: true}, false, SubscribeQuery{Channel: "x#42#1", User: "42"}, Denied, 0, ""},
		{"8 after the last boundary", options{AllowUserLimitedChannels: true}, false, SubscribeQuery{Channel: "x#1#42", User: "42"}, Allowed, SourceUserLimited, ""},
		{"8 no part of a user", options{AllowUserLimitedChannels: true}, false, SubscribeQuery{Channel: "x#421", User: "42"}, Denied, 0, ""},
		{"8 anonymous in an empty element (server.md 4.3)", options{AllowUserLimitedChannels: true}, false, SubscribeQuery{Channel: "x#"}, Allowed, SourceUserLimited, ""},
		{"8 anonymous between separators", options{AllowUserLimitedChannels: true}, false, SubscribeQuery{Channel: "x#1,,2"}, Allowed, SourceUserLimited, ""},
		{"8 anonymous not listed", options{AllowUserLimitedChannels: true}, false, SubscribeQuery{Channel: "x#1"}, Denied, 0, ""},
		{"8 option off (server.md 4.3)", options{}, false, SubscribeQuery{Channel: "x#42", User: "42"}, Denied, 0, ""},
		{"8 before proxy", proxied, false, SubscribeQuery{Channel: "x#42", User: "42"}, Allowed, SourceUserLimited, ""},
		{"9 proxy before allow", proxied, true, SubscribeQuery{Channel: "x", User: "42"}, AskProxy, SourceSubscribeProxy, "pp"},
		{"9 not for user-limited", proxied, false, SubscribeQuery{Channel: "x#1", User: "42"}, Denied, 0, ""},
		{"9 boundary is ordinary with the option off", options{SubscribeProxyEnabled: true, SubscribeProxyName: "pp"}, false, SubscribeQuery{Channel: "x#1", User: "42"}, AskProxy, SourceSubscribeProxy, "pp"},
		{"10 stream proxy", stream, true, SubscribeQuery{Channel: "x", User: "42"}, AskStreamProxy, SourceStreamProxy, "sp"},
		{"10 not for user-limited", stream, false, SubscribeQuery{Channel: "x#1", User: "42"}, Denied, 0, ""},
		{"11 client", options{AllowSubscribeForClient: true}, false, SubscribeQuery{Channel: "x", User: "42"}, Allowed, SourceClientAllowed, ""},
		{"11 anonymous client", options{AllowSubscribeForClient: true}, false, SubscribeQuery{Channel: "x"}, Denied, 0, ""},
		{"11 anonymous client allowed", options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true}, false, SubscribeQuery{Channel: "x"}, Allowed, SourceClientAllowed, ""},
		{"11 anonymous alone grants nothing (server.md 4.4)", options{AllowSubscribeForAnonymous: true}, false, SubscribeQuery{Channel: "x"}, Denied, 0, ""},
		{"11 anonymous alone, known user (server.md 4.4)", options{AllowSubscribeForAnonymous: true}, false, SubscribeQuery{Channel: "x", User: "42"}, Denied, 0, ""},
		{"11 not for user-limited", options{AllowSubscribeForClient: true, AllowUserLimitedChannels: true}, false, SubscribeQuery{Channel: "x#1", User: "42"}, Denied, 0, ""},
		{"11 boundary is ordinary with the option off", options{AllowSubscribeForClient: true}, false, SubscribeQuery{Channel: "x#1", User: "42"}, Allowed, SourceClientAllowed, ""},
		{"12 insecure", options{}, true, SubscribeQuery{Channel: "x"}, Allowed, SourceClientInsecure, ""},
		{"12 insecure, foreign user-limited", options{AllowUserLimitedChannels: true}, true, SubscribeQuery{Channel: "x#1", User: "42"}, Allowed, SourceClientInsecure, ""},
		{"13 otherwise", options{}, false, SubscribeQuery{Channel: "x", User: "42"}, Denied, 0, ""},
	}
	for _, tt := range tests {
		r := newRules(t, Settings{Insecure: tt.insecure}, tt.options, nil)
		if v := r.MaySubscribe(tt.query); v.Outcome != tt.want || v.Source != tt.source || v.Proxy != tt.proxy {
			t.Errorf("%s: %v source %d proxy %q, want %v %d %q", tt.name, v.Outcome, v.Source, v.Proxy, tt.want, tt.source, tt.proxy)
		}
	}
}

func TestMaySubscribeOnConnect(t *testing.T) {
	tests := []struct {
		name     string
		options  options
		insecure bool
		channel  string
		user     string
		want     Outcome
	}{
		{"unknown namespace", options{}, true, "none:x", "1", UnknownChannel},
		{"bad name", options{}, true, "é", "1", BadRequest},
		{"private", options{AllowSubscribeForClient: true}, true, "$x", "1", Denied},
		{"proxy", options{AllowSubscribeForClient: true, SubscribeProxyEnabled: true}, true, "x", "1", Denied},
		{"stream proxy", options{AllowSubscribeForClient: true, SubscribeStreamProxyEnabled: true}, true, "x", "1", Denied},
		{"map channel", options{AllowSubscribeForClient: true, SubscriptionType: "map"}, true, "x", "1", Denied},
		{"allowed", options{AllowSubscribeForClient: true}, false, "x", "1", Allowed},
		{"anonymous", options{AllowSubscribeForClient: true}, false, "x", "", Denied},
		{"anonymous allowed", options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true}, false, "x", "", Allowed},
		{"user-limited", options{AllowUserLimitedChannels: true}, false, "x#1", "1", Allowed},
		{"user-limited, other user", options{AllowUserLimitedChannels: true, AllowSubscribeForClient: true}, false, "x#1", "2", Denied},
		{"user-limited needs a user", options{AllowUserLimitedChannels: true}, false, "x#", "", Denied},
		{"insecure", options{}, true, "x", "", Allowed},
		{"nothing", options{}, false, "x", "1", Denied},
	}
	for _, tt := range tests {
		r := newRules(t, Settings{Insecure: tt.insecure}, tt.options, nil)
		if v := r.MaySubscribeOnConnect(tt.channel, tt.user); v.Outcome != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, v.Outcome, tt.want)
		}
	}
}

func TestMayPublish(t *testing.T) {
	all := options{AllowPublishForClient: true, AllowPublishForSubscriber: true, AllowPublishForAnonymous: true}
	tests := []struct {
		name     string // with the row of server.md 4.4
		options  options
		insecure bool
		query    PublishQuery
		want     Outcome
		proxy    string
	}{
		{"1 unknown namespace", all, true, PublishQuery{Channel: "none:x", Data: []byte("1")}, UnknownChannel, ""},
		{"2 bad name", all, true, PublishQuery{Channel: "é", Data: []byte("1")}, BadRequest, ""},
		{"3 no data", all, true, PublishQuery{Channel: "x"}, BadRequest, ""},
		{"3 format before proxy", options{PublicationDataFormat: "json_object", PublishProxyEnabled: true}, true, PublishQuery{Channel: "x", Data: []byte("[]")}, BadRequest, ""},
		{"4 proxy before permission", options{PublishProxyEnabled: true, PublishProxyName: "pp", AllowPublishForClient: true}, true, PublishQuery{Channel: "x", User: "1", Data: []byte("1")}, AskProxy, "pp"},
		{"5 bidirectional stream", options{SubscribeStreamProxyEnabled: true, SubscribeStreamProxyBidirectional: true, SubscribeStreamProxyName: "sp"}, true, PublishQuery{Channel: "x", Data: []byte("1")}, AskStreamProxy, "sp"},
		{"5 one-way stream", options{SubscribeStreamProxyEnabled: true, AllowPublishForClient: true}, true, PublishQuery{Channel: "x", User: "1", Data: []byte("1")}, NotAvailable, ""},
		{"6 client", options{AllowPublishForClient: true}, false, PublishQuery{Channel: "x", User: "1", Data: []byte("1")}, Allowed, ""},
		{"6 anonymous client", options{AllowPublishForClient: true}, false, PublishQuery{Channel: "x", Data: []byte("1")}, Denied, ""},
		{"6 anonymous client allowed", options{AllowPublishForClient: true, AllowPublishForAnonymous: true}, false, PublishQuery{Channel: "x", Data: []byte("1")}, Allowed, ""},
		{"7 subscriber", options{AllowPublishForSubscriber: true}, false, PublishQuery{Channel: "x", User: "1", Subscribed: true, Data: []byte("1")}, Allowed, ""},
		{"7 not subscribed", options{AllowPublishForSubscriber: true}, false, PublishQuery{Channel: "x", User: "1", Data: []byte("1")}, Denied, ""},
		{"7 anonymous subscriber", options{AllowPublishForSubscriber: true}, false, PublishQuery{Channel: "x", Subscribed: true, Data: []byte("1")}, Denied, ""},
		{"7 anonymous subscriber allowed", options{AllowPublishForSubscriber: true, AllowPublishForAnonymous: true}, false, PublishQuery{Channel: "x", Subscribed: true, Data: []byte("1")}, Allowed, ""},
		{"8 insecure", options{}, true, PublishQuery{Channel: "x", Data: []byte("1")}, Allowed, ""},
		{"9 otherwise", options{}, false, PublishQuery{Channel: "x", User: "1", Subscribed: true, Data: []byte("1")}, Denied, ""},
		{"anonymous alone grants nothing (server.md 4.4)", options{AllowPublishForAnonymous: true}, false, PublishQuery{Channel: "x", Subscribed: true, Data: []byte("1")}, Denied, ""},
		{"a private channel may be published to", options{AllowPublishForClient: true}, false, PublishQuery{Channel: "$x", User: "1", Data: []byte("1")}, Allowed, ""},
		{"empty binary data", options{AllowPublishForClient: true, PublicationDataFormat: "binary"}, false, PublishQuery{Channel: "x", User: "1"}, Allowed, ""},
	}
	for _, tt := range tests {
		r := newRules(t, Settings{Insecure: tt.insecure}, tt.options, nil)
		if v := r.MayPublish(tt.query); v.Outcome != tt.want || v.Proxy != tt.proxy {
			t.Errorf("%s: %v %q, want %v %q", tt.name, v.Outcome, v.Proxy, tt.want, tt.proxy)
		}
	}
}

// Presence and history follow the same rules with options of their own.
func TestMayRead(t *testing.T) {
	history := options{HistorySize: 1, HistoryTTL: time.Second}
	tests := []struct {
		name                         string
		on, client, subscriber, anon bool
		insecure                     bool
		query                        ReadQuery
		want                         Outcome
	}{
		{name: "unknown namespace", on: true, insecure: true, query: ReadQuery{Channel: "none:x"}, want: UnknownChannel},
		{name: "bad name", on: true, insecure: true, query: ReadQuery{Channel: "é"}, want: BadRequest},
		{name: "off", client: true, insecure: true, query: ReadQuery{Channel: "x", User: "1"}, want: NotAvailable},
		{name: "client", on: true, client: true, query: ReadQuery{Channel: "x", User: "1"}, want: Allowed},
		{name: "anonymous client", on: true, client: true, query: ReadQuery{Channel: "x"}, want: Denied},
		{name: "anonymous client allowed", on: true, client: true, anon: true, query: ReadQuery{Channel: "x"}, want: Allowed},
		{name: "subscriber", on: true, subscriber: true, query: ReadQuery{Channel: "x", User: "1", Subscribed: true}, want: Allowed},
		{name: "not subscribed", on: true, subscriber: true, query: ReadQuery{Channel: "x", User: "1"}, want: Denied},
		{name: "anonymous subscriber", on: true, subscriber: true, query: ReadQuery{Channel: "x", Subscribed: true}, want: Denied},
		{name: "anonymous subscriber allowed", on: true, subscriber: true, anon: true, query: ReadQuery{Channel: "x", Subscribed: true}, want: Allowed},
		{name: "anonymous alone (server.md 4.4)", on: true, anon: true, query: ReadQuery{Channel: "x", Subscribed: true}, want: Denied},
		{name: "insecure", on: true, insecure: true, query: ReadQuery{Channel: "x"}, want: Allowed},
		{name: "nothing", on: true, query: ReadQuery{Channel: "x", User: "1", Subscribed: true}, want: Denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options{Presence: tt.on, AllowPresenceForClient: tt.client, AllowPresenceForSubscriber: tt.subscriber, AllowPresenceForAnonymous: tt.anon}
			r := newRules(t, Settings{Insecure: tt.insecure}, o, nil)
			if v := r.MayPresence(tt.query); v.Outcome != tt.want {
				t.Errorf("presence: %v, want %v", v.Outcome, tt.want)
			}
			o = options{AllowHistoryForClient: tt.client, AllowHistoryForSubscriber: tt.subscriber, AllowHistoryForAnonymous: tt.anon}
			if tt.on {
				o.HistorySize, o.HistoryTTL = history.HistorySize, history.HistoryTTL
			}
			r = newRules(t, Settings{Insecure: tt.insecure}, o, nil)
			if v := r.MayHistory(tt.query); v.Outcome != tt.want {
				t.Errorf("history: %v, want %v", v.Outcome, tt.want)
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	want := map[Outcome]struct {
		name string
		code uint32
	}{
		Denied: {"denied", 103}, Allowed: {"allowed", 0}, CheckToken: {"check_token", 0}, AskProxy: {"ask_proxy", 0},
		AskStreamProxy: {"ask_stream_proxy", 0}, UnknownChannel: {"unknown_channel", 102}, BadRequest: {"bad_request", 107}, NotAvailable: {"not_available", 108},
		Outcome(99): {"invalid", 0},
	}
	for o, w := range want {
		if o.String() != w.name || o.ErrorCode() != w.code {
			t.Errorf("%d: %s %d; want %v and %v", o, o, o.ErrorCode(), w.name, w.code)
		}
	}
}

func TestFeatures(t *testing.T) {
	yes, no := &override.BoolValue{Value: true}, &override.BoolValue{}
	request := Request{Positioned: true, Recoverable: true, JoinLeave: true}
	history := options{HistorySize: 1, HistoryTTL: time.Second, AllowHistoryForSubscriber: true}
	joins := options{JoinLeave: true, Presence: true, AllowPresenceForSubscriber: true}
	const meta = 720 * time.Hour
	tests := []struct {
		name    string
		options options
		source  Source
		user    string
		request Request
		over    *override.SubscribeOverride
		want    Features
	}{
		{"request not allowed", options{}, SourceClientAllowed, "1", request, nil, Features{HistoryMetaTTL: meta}},
		{"allow_positioning", options{AllowPositioning: true}, SourceClientAllowed, "1", request, nil, Features{Positioned: true, HistoryMetaTTL: meta}},
		{"allow_recovery", options{AllowRecovery: true}, SourceUserLimited, "1", request, nil, Features{Recoverable: true, HistoryMetaTTL: meta}},
		{"no request", options{AllowPositioning: true, AllowRecovery: true}, SourceClientAllowed, "1", Request{}, nil, Features{HistoryMetaTTL: meta}},
		{"history access", history, SourceClientInsecure, "1", request, nil, Features{Positioned: true, Recoverable: true, HistoryMetaTTL: meta}},
		{"history access of anonymous", history, SourceClientAllowed, "", request, nil, Features{HistoryMetaTTL: meta}},
		{"presence access", joins, SourceClientAllowed, "1", request, nil, Features{Presence: true, JoinLeave: true, PushJoinLeave: true, HistoryMetaTTL: meta}},
		{"presence access of anonymous", joins, SourceClientAllowed, "", request, nil, Features{Presence: true, JoinLeave: true, HistoryMetaTTL: meta}},
		{"no join_leave", options{Presence: true, AllowPresenceForSubscriber: true}, SourceClientAllowed, "1", request, nil, Features{Presence: true, HistoryMetaTTL: meta}},
		{"no presence", options{JoinLeave: true, AllowPresenceForSubscriber: true}, SourceClientAllowed, "1", request, nil, Features{JoinLeave: true, HistoryMetaTTL: meta}},
		{"forced", options{ForcePositioning: true, ForceRecovery: true, ForcePushJoinLeave: true}, SourceClientAllowed, "", Request{}, nil, Features{Positioned: true, Recoverable: true, PushJoinLeave: true, HistoryMetaTTL: meta}},
		{"cache", options{ForceRecovery: true, ForceRecoveryMode: "cache", AutoCacheRecover: true}, SourceClientAllowed, "", Request{}, nil, Features{Recoverable: true, CacheRecovery: true, AutoCacheRecover: true, HistoryMetaTTL: meta}},
		{"own meta TTL", options{HistoryMetaTTL: time.Hour}, SourceClientAllowed, "", Request{}, nil, Features{HistoryMetaTTL: time.Hour}},
		{"token: meta TTL of all channels", options{HistoryMetaTTL: time.Hour}, SourceSubscriptionToken, "", Request{}, nil, Features{HistoryMetaTTL: meta}},
		{"token: request counts (server.md 4.3)", options{AllowPositioning: true, AllowRecovery: true}, SourceSubscriptionToken, "1", request, nil, Features{Positioned: true, Recoverable: true, HistoryMetaTTL: meta}},
		{"token: override on", options{}, SourceSubscriptionToken, "1", Request{}, &override.SubscribeOverride{Presence: yes, JoinLeave: yes, ForceRecovery: yes, ForcePositioning: yes, ForcePushJoinLeave: yes}, Features{Presence: true, JoinLeave: true, PushJoinLeave: true, Positioned: true, Recoverable: true, HistoryMetaTTL: meta}},
		{"token: override off", options{Presence: true, JoinLeave: true, ForcePushJoinLeave: true, ForcePositioning: true, ForceRecovery: true}, SourceSubscriptionToken, "1", Request{}, &override.SubscribeOverride{Presence: no, JoinLeave: no, ForceRecovery: no, ForcePositioning: no, ForcePushJoinLeave: no}, Features{HistoryMetaTTL: meta}},
		{"override of presence", options{}, SourceServerAPI, "1", Request{}, &override.SubscribeOverride{Presence: yes}, Features{Presence: true, HistoryMetaTTL: meta}},
		{"override of join_leave", options{}, SourceServerAPI, "1", Request{}, &override.SubscribeOverride{JoinLeave: yes}, Features{JoinLeave: true, HistoryMetaTTL: meta}},
		{"override of force_recovery", options{}, SourceServerAPI, "1", Request{}, &override.SubscribeOverride{ForceRecovery: yes}, Features{Recoverable: true, HistoryMetaTTL: meta}},
		{"override of force_positioning", options{}, SourceServerAPI, "1", Request{}, &override.SubscribeOverride{ForcePositioning: yes}, Features{Positioned: true, HistoryMetaTTL: meta}},
		{"override of force_push_join_leave", options{}, SourceServerAPI, "1", Request{}, &override.SubscribeOverride{ForcePushJoinLeave: yes}, Features{PushJoinLeave: true, HistoryMetaTTL: meta}},
		{"proxy: request ignored (server.md 4.3)", options{AllowPositioning: true, AllowRecovery: true, JoinLeave: true}, SourceSubscribeProxy, "1", request, nil, Features{JoinLeave: true, HistoryMetaTTL: meta}},
		{"proxy: force and override count", options{ForcePositioning: true}, SourceSubscribeProxy, "1", request, &override.SubscribeOverride{ForceRecovery: yes}, Features{Positioned: true, Recoverable: true, HistoryMetaTTL: meta}},
		{"stream proxy never recovers", options{ForceRecovery: true}, SourceStreamProxy, "1", request, &override.SubscribeOverride{ForceRecovery: yes}, Features{HistoryMetaTTL: meta}},
		{"server side: request ignored", options{AllowRecovery: true, ForcePositioning: true}, SourceConnectionToken, "1", request, nil, Features{Positioned: true, HistoryMetaTTL: meta}},
	}
	for _, tt := range tests {
		r := newRules(t, Settings{}, tt.options, nil)
		ns, _ := r.Namespace("x")
		if got := r.Features(ns, tt.source, tt.user, tt.request, tt.over); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	insecure := newRules(t, Settings{Insecure: true}, options{HistorySize: 1, HistoryTTL: time.Second}, nil)
	ns, _ := insecure.Namespace("x")
	if f := insecure.Features(ns, SourceClientInsecure, "", request, nil); !f.Positioned || !f.Recoverable {
		t.Errorf("insecure: %+v; want positioned and recoverable", f)
	}
}

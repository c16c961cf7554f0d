package access

import (
	"context"
	"strings"
	"testing"
	"time"

	"centrifugo/protocol"
	"centrifugo/server/internal/config"
)

// Source: server.md 4.4, protocol.md 6.10 to 6.12.
func TestChannelCommands(t *testing.T) {
	long := "open:" + strings.Repeat("a", 251)
	tests := []struct {
		name       string
		change     func(*Sections)
		user       string // empty: anonymous
		subscribed bool
		channel    string
		// The codes of publish, presence (and presence_stats) and history.
		publish, presence, history uint32
	}{
		{name: "allowed", user: "42", channel: "open:1"},
		{name: "no channel", user: "42", channel: "", publish: 3501, presence: 3501, history: 3501},
		{name: "unknown namespace", user: "42", channel: "x:1", publish: 102, presence: 102, history: 102},
		{name: "too long", user: "42", channel: long, publish: 107, presence: 107, history: 107},
		{name: "not ASCII", user: "42", channel: "open:é", publish: 107, presence: 107, history: 107},
		{name: "nothing allowed, nothing on", user: "42", channel: "shut:1", publish: 103, presence: 108, history: 108},
		{name: "anonymous", channel: "open:1", publish: 103, presence: 103, history: 103},
		{name: "anonymous allowed", channel: "open:1", change: func(s *Sections) {
			o := &s.Channel.Namespaces[0].ChannelOptions
			o.AllowPublishForAnonymous, o.AllowPresenceForAnonymous, o.AllowHistoryForAnonymous = true, true, true
		}},
		{name: "for anonymous grants nothing alone", channel: "shut:1", publish: 103, presence: 103, history: 108, change: func(s *Sections) {
			o := &s.Channel.Namespaces[len(s.Channel.Namespaces)-1].ChannelOptions
			o.Presence, o.AllowPublishForAnonymous, o.AllowPresenceForAnonymous = true, true, true
		}},
		{name: "not subscribed", user: "42", channel: "member:1", publish: 103, presence: 103, history: 103},
		{name: "subscribed", user: "42", channel: "member:1", subscribed: true},
		{name: "insecure", channel: "member:1", change: func(s *Sections) { s.Client.Insecure = true }},
		{name: "insecure does not switch on", channel: "shut:1", presence: 108, history: 108,
			change: func(s *Sections) { s.Client.Insecure = true }},
		{name: "proxy", user: "42", channel: "proxied:1", publish: 108, presence: 108, history: 108},
		{name: "stream proxy", user: "42", channel: "streamed:1", publish: 108, presence: 108, history: 108},
		{name: "data format", user: "42", channel: "object:1", publish: 107, presence: 108, history: 108},
	}
	for _, test := range tests {
		for _, command := range []struct {
			name string
			make func() *protocol.Command
			want uint32
		}{
			{"publish", func() *protocol.Command {
				return &protocol.Command{Publish: &protocol.PublishRequest{Channel: test.channel, Data: []byte("1")}}
			}, test.publish},
			{"presence", func() *protocol.Command {
				return &protocol.Command{Presence: &protocol.PresenceRequest{Channel: test.channel}}
			}, test.presence},
			{"presence stats", func() *protocol.Command {
				return &protocol.Command{PresenceStats: &protocol.PresenceStatsRequest{Channel: test.channel}}
			}, test.presence},
			{"history", func() *protocol.Command {
				return &protocol.Command{History: &protocol.HistoryRequest{Channel: test.channel}}
			}, test.history},
		} {
			t.Run(test.name+"/"+command.name, func(t *testing.T) {
				c := newServer(t, test.change).connect(t, claims{"sub": test.user})
				if test.subscribed {
					subscribe := &protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: test.channel}}
					if got := outcome(c, subscribe); got != 0 {
						t.Fatalf("subscribing: %d; want 0", got)
					}
				}
				if got := outcome(c, command.make()); got != command.want {
					t.Errorf("outcome %d, want %d", got, command.want)
				}
			})
		}
	}
}

// The history contains the client info of the publisher.
func TestPublishIsKept(t *testing.T) {
	s := newServer(t, nil)
	c := s.connect(t, claims{"sub": "42", "info": claims{"name": "A"}})
	for _, data := range []string{`{"a":1}`, `null`} {
		if got := outcome(c, &protocol.Command{Publish: &protocol.PublishRequest{Channel: "open:1", Data: []byte(data)}}); got != 0 {
			t.Fatalf("publishing %s: %d; want 0", data, got)
		}
	}
	_, reply := answer(c, &protocol.Command{History: &protocol.HistoryRequest{Channel: "open:1", Limit: -1}})
	if reply == nil || len(reply.History.Publications) != 2 || reply.History.Offset != 2 {
		t.Fatalf("history %+v; want len(History.Publications) 2 and History.Offset 2", reply)
	}
	pub := reply.History.Publications[0]
	if string(pub.Data) != `{"a":1}` || pub.Info == nil || pub.Info.User != "42" || string(pub.Info.ConnInfo) != `{"name":"A"}` {
		t.Errorf("publication %+v, info %+v; want Data %q, User \"42\" and ConnInfo %q", pub, pub.Info, `{"a":1}`, `{"name":"A"}`)
	}
	if len(s.read) != 1 || s.read[0].MetaTTL != time.Hour {
		t.Errorf("history was read with %+v; want length 1 and [0].MetaTTL %v", s.read, time.Hour)
	}
	since := &protocol.StreamPosition{Offset: 1, Epoch: "other"}
	if got := outcome(c, &protocol.Command{History: &protocol.HistoryRequest{Channel: "open:1", Since: since}}); got != 112 {
		t.Errorf("history of another epoch: %d; want 112", got)
	}
}

func TestRPC(t *testing.T) {
	ping := func(s *Sections) { s.RPC.Ping = config.RPCPing{Enabled: true, Method: "ping"} }
	proxied := func(s *Sections) {
		s.RPC.Namespaces = []config.RPCNamespace{{Name: "ns", RPCOptions: config.RPCOptions{ProxyEnabled: true}}}
	}
	for _, test := range []struct {
		name   string
		change func(*Sections)
		method string
		want   uint32
	}{
		{"no support", nil, "anything", 108},
		{"no support, namespace", nil, "x:anything", 108},
		{"no method", nil, "", 108},
		{"ping is off", nil, "ping", 108},
		{"ping", ping, "ping", 0},
		{"not ping", ping, "pong", 108},
		{"proxied", proxied, "ns:anything", 108},
		{"unknown namespace", proxied, "x:anything", 104},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newServer(t, test.change).connect(t, claims{"sub": "42"})
			code, reply := answer(c, &protocol.Command{RPC: &protocol.RPCRequest{Method: test.method, Data: []byte("{}")}})
			if code != test.want {
				t.Fatalf("outcome %d, want %d", code, test.want)
			}
			if code == 0 && len(reply.RPC.Data) != 0 {
				t.Errorf("data %s; want none", reply.RPC.Data)
			}
		})
	}
}

func TestSendHasNoReceiver(t *testing.T) {
	s := newServer(t, nil)
	c := s.connect(t, claims{"sub": "42"})
	c.Send(&protocol.Command{Send: &protocol.SendRequest{Data: []byte("{}")}})
	if got := c.Closed().Code; got != 3508 {
		t.Errorf("disconnect %d, want 3508", got)
	}
	if s := newServer(t, nil); outcome(s.dial(context.Background(), t), &protocol.Command{Publish: &protocol.PublishRequest{Channel: "open:1"}}) != 3501 {
		t.Error("a command before connect is not closed; want outcome 3501")
	}
}

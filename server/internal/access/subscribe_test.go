package access

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
	"centrifugo/server/internal/config"
)

// Source: server.md 4.3 and 3.6, protocol.md 6.1.
func TestSubscribe(t *testing.T) {
	subToken := func(c claims) func(*testing.T) string { return token(c) }
	good := claims{"sub": "42", "channel": "shut:1"}
	with := func(more claims) claims {
		c := claims{"sub": "42", "channel": "shut:1"}
		for name, value := range more {
			c[name] = value
		}
		return c
	}
	own := func(s *Sections) {
		s.Client.SubscriptionToken = config.SubscriptionToken{Enabled: true, Token: config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: subSecret}}}
	}
	tests := []struct {
		name    string
		change  func(*Sections)
		user    string // empty: 42; "-": anonymous
		channel string
		token   func(t *testing.T) string
		want    uint32
	}{
		{name: "no channel", channel: "", want: 3501},
		{name: "unknown namespace", channel: "x:1", want: 102},
		{name: "too long", channel: "open:" + strings.Repeat("a", 251), want: 107},
		{name: "not ASCII", channel: "open:é", want: 107},
		{name: "allowed", channel: "open:1"},
		{name: "not allowed", channel: "shut:1", want: 103},
		{name: "anonymous not allowed", user: "-", channel: "open:1", want: 103},
		{name: "anonymous allowed", user: "-", channel: "anon:1"},
		{name: "insecure", channel: "shut:1", change: func(s *Sections) { s.Client.Insecure = true }},
		{name: "private without token", channel: "$open:1", want: 103},
		{name: "private without token, insecure", channel: "$open:1", want: 103, change: func(s *Sections) { s.Client.Insecure = true }},
		{name: "private with token", channel: "$shut:1", token: subToken(with(claims{"channel": "$shut:1"}))},
		{name: "user in the list", channel: "limited:a#7,42"},
		{name: "user not in the list", channel: "limited:a#7", want: 103},
		{name: "no list in the name", channel: "limited:a"},
		{name: "anonymous in an empty list", user: "-", channel: "limited:a#"},
		{name: "option off", channel: "open:a#7"},
		{name: "proxy", channel: "proxied:1", want: 108},
		{name: "stream proxy", channel: "streamed:1", want: 108},

		{name: "token", channel: "shut:1", token: subToken(good)},
		{name: "token beats proxy", channel: "proxied:1", token: subToken(with(claims{"channel": "proxied:1"}))},
		{name: "token in an unknown namespace", channel: "x:1", token: subToken(with(claims{"channel": "x:1"})), want: 102},
		{name: "bad token where none is needed", channel: "open:1", token: raw("x"), want: 103},
		{name: "malformed token", channel: "shut:1", token: raw("x"), want: 103},
		{name: "forged token", channel: "shut:1", want: 103, token: func(t *testing.T) string { t.Helper(); return sign(t, "x", good) }},
		{name: "connection token", channel: "shut:1", token: subToken(claims{"sub": "42"}), want: 103},
		{name: "expired token", channel: "shut:1", token: subToken(with(claims{"exp": past()})), want: 109},
		{name: "token not valid yet", channel: "shut:1", token: subToken(with(claims{"nbf": future()})), want: 109},
		{name: "expire_at in the past", channel: "shut:1", token: subToken(with(claims{"expire_at": past()})), want: 110},
		{name: "other user", channel: "shut:1", token: subToken(with(claims{"sub": "7"})), want: 3500},
		{name: "other channel", channel: "shut:2", token: subToken(good), want: 3500},
		{name: "other client", channel: "shut:1", token: subToken(with(claims{"client": "x"})), want: 3500},
		{name: "bad b64info", channel: "shut:1", token: subToken(with(claims{"b64info": "!"})), want: 103},
		{name: "own verifier", channel: "shut:1", change: own, token: func(t *testing.T) string { t.Helper(); return sign(t, subSecret, good) }},
		{name: "own verifier, secret of connections", channel: "shut:1", change: own, token: subToken(good), want: 103},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			user := test.user
			switch user {
			case "":
				user = "42"
			case "-":
				user = ""
			}
			c := newServer(t, test.change).connect(t, claims{"sub": user})
			request := &protocol.SubscribeRequest{Channel: test.channel}
			if test.token != nil {
				request.Token = test.token(t)
			}
			if got := outcome(c, &protocol.Command{Subscribe: request}); got != test.want {
				t.Errorf("outcome %d, want %d", got, test.want)
			}
		})
	}
}

// What a client gets of what it requests (server.md 4.3, protocol.md 6.2).
func TestSubscribeWishes(t *testing.T) {
	over := func(name string, value bool) claims { return claims{name: claims{"value": value}} }
	tests := []struct {
		name                    string
		channel                 string
		requested               bool
		token                   claims
		positioned, recoverable bool
	}{
		{name: "nothing asked", channel: "asked:1"},
		{name: "asked and allowed", channel: "asked:1", requested: true, positioned: true, recoverable: true},
		{name: "asked with access to history", channel: "open:1", requested: true, positioned: true, recoverable: true},
		{name: "asked without any right", channel: "bare:1", requested: true},
		{name: "forced", channel: "forced:1", positioned: true, recoverable: true},
		{name: "asked with a token", channel: "asked:1", requested: true, token: claims{}, positioned: true, recoverable: true},
		{name: "token without a request", channel: "asked:1", token: claims{}},
		{name: "token overrides to true", channel: "asked:1", token: over("force_recovery", true), positioned: true, recoverable: true},
		{name: "token overrides to false", channel: "forced:1", token: over("force_recovery", false), positioned: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newServer(t, nil).connect(t, claims{"sub": "42"})
			request := &protocol.SubscribeRequest{Channel: test.channel, Positioned: test.requested, Recoverable: test.requested}
			if test.token != nil {
				request.Token = sign(t, secret, claims{"sub": "42", "channel": test.channel, "override": test.token})
			}
			code, reply := answer(c, &protocol.Command{Subscribe: request})
			if code != 0 {
				t.Fatalf("outcome %d; want 0", code)
			}
			if got := reply.Subscribe; got.Positioned != test.positioned || got.Recoverable != test.recoverable {
				t.Errorf("positioned %v, recoverable %v; want %v and %v",
					got.Positioned, got.Recoverable, test.positioned, test.recoverable)
			}
		})
	}
}

func TestSubscribeTokenOptions(t *testing.T) {
	s := newServer(t, nil)
	c := s.connect(t, claims{"sub": "42"})
	_, reply := answer(c, &protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "shut:1", Token: sign(t, secret, claims{
		"sub": "42", "channel": "shut:1", "exp": future(), "info": claims{"i": 1}, "data": claims{"d": 1},
		"override": claims{"presence": claims{"value": true}},
	})}})
	if reply == nil || !reply.Subscribe.Expires || reply.Subscribe.TTL == 0 || string(reply.Subscribe.Data) != `{"d":1}` {
		t.Fatalf("reply %+v; want a subscription that expires, with a TTL and data {\"d\":1}", reply)
	}
	presence, err := s.Presence(context.Background(), "shut:1")
	if err != nil || len(presence) != 1 {
		t.Fatalf("presence %v, %v; want length 1", presence, err)
	}
	for _, info := range presence {
		if string(info.ChanInfo) != `{"i":1}` {
			t.Errorf("channel info %s; want %q", info.ChanInfo, `{"i":1}`)
		}
	}
}

// Subscribers that requested joins get those of others, if they may read presence.
func TestSubscribeJoinLeave(t *testing.T) {
	s := newServer(t, nil)
	join := func(requested bool) *protocol.Command {
		return &protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "open:1", JoinLeave: requested}}
	}
	first := s.connect(t, claims{"sub": "1"})
	if got := outcome(first, join(true)); got != 0 {
		t.Fatalf("the first subscribe: error %d; want none", got)
	}
	if push := first.Push(); push == nil || push.Join == nil || push.Join.Info.User != "1" {
		t.Fatalf("its own join: %+v; want Join.Info.User \"1\"", push)
	}
	second := s.connect(t, claims{"sub": "2"})
	if got := outcome(second, join(false)); got != 0 {
		t.Fatalf("the second subscribe: error %d; want none", got)
	}
	if push := first.Push(); push == nil || push.Join == nil || push.Join.Info.User != "2" {
		t.Errorf("first: %+v; want Join.Info.User \"2\"", push)
	}
	if outcome(second, &protocol.Command{Presence: &protocol.PresenceRequest{Channel: "open:1"}}); second.Buffered() != 0 {
		t.Errorf("second got %d pushes; want none", second.Buffered())
	}
}

// Source: server.md 3.6, protocol.md 6.8.
func TestSubRefresh(t *testing.T) {
	good := claims{"sub": "42", "channel": "shut:1", "exp": future()}
	tests := []struct {
		name    string
		channel string
		token   func(t *testing.T) string
		want    uint32
		expires bool
	}{
		{name: "new expiry", channel: "shut:1", token: token(good), expires: true},
		{name: "no expiry any more", channel: "shut:1", token: token(claims{"sub": "42", "channel": "shut:1"})},
		{name: "not subscribed", channel: "shut:2", token: token(claims{"sub": "42", "channel": "shut:2"}), want: 103},
		{name: "no channel", channel: "", token: token(good), want: 3501},
		{name: "no token", channel: "shut:1", token: raw(""), want: 107},
		{name: "invalid token", channel: "shut:1", token: raw("x"), want: 3500},
		{name: "other user", channel: "shut:1", token: token(claims{"sub": "7", "channel": "shut:1"}), want: 3500},
		{name: "other channel", channel: "shut:1", token: token(claims{"sub": "42", "channel": "shut:2"}), want: 3500},
		{name: "other client", channel: "shut:1", token: token(claims{"sub": "42", "channel": "shut:1", "client": "x"}), want: 3500},
		{name: "expired token", channel: "shut:1", token: token(claims{"sub": "42", "channel": "shut:1", "exp": past()}), want: 109},
		{name: "expire_at in the past", channel: "shut:1", want: 110,
			token: token(claims{"sub": "42", "channel": "shut:1", "exp": future(), "expire_at": past()})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newServer(t, nil).connect(t, claims{"sub": "42"})
			subscribe := &protocol.SubscribeRequest{Channel: "shut:1", Token: sign(t, secret, good)}
			if got := outcome(c, &protocol.Command{Subscribe: subscribe}); got != 0 {
				t.Fatalf("subscribing: %d; want 0", got)
			}
			code, reply := answer(c, &protocol.Command{SubRefresh: &protocol.SubRefreshRequest{Channel: test.channel, Token: test.token(t)}})
			if code != test.want {
				t.Fatalf("outcome %d, want %d", code, test.want)
			}
			if code == 0 && (reply.SubRefresh.Expires != test.expires || test.expires && reply.SubRefresh.TTL == 0) {
				t.Errorf("reply %+v; want expires %v, with a TTL then", reply.SubRefresh, test.expires)
			}
		})
	}
}

// TestServerSideExpiry: a subscription made by the API ends expired_sub_close_delay,
// 25 s, after its expiry, at the next tick; ticks come every 25 s.
func TestServerSideExpiry(t *testing.T) {
	for _, expires := range []time.Duration{time.Second, 10 * time.Second, 24 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, nil)
			c := s.connect(t, claims{"sub": "42"})
			start := time.Now()
			options := centrifuge.SubscribeOptions{ExpireAt: start.Add(expires).Unix()}
			if err := s.Subscribe(t.Context(), centrifuge.Target{User: "42"}, "open:1", options); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				c.WaitPing()
				c.SendRaw([]byte("{}"))
			}
			if why := c.Closed(); why != centrifuge.DisconnectSubExpired {
				t.Errorf("closed with %v; want %v", why, centrifuge.DisconnectSubExpired)
			}
			if d := time.Since(start).Truncate(time.Second); d != 50*time.Second {
				t.Errorf("closed after %v; want %v", d, 50*time.Second)
			}
		})
	}
}

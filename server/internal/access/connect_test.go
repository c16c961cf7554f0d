package access

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
	"centrifugo/server/internal/config"
)

func future() int64 { return time.Now().Unix() + 1000 }

func past() int64 { return time.Now().Unix() - 1000 }

// connectTest is a connect command and its result. Source:
// server.md 3.6 and 3.8, protocol.md 5.2.
type connectTest struct {
	name   string
	change func(*Sections)
	token  func(t *testing.T) string // nil: none
	header string                    // user from an authenticating proxy
	asked  []string

	want    uint32 // code of the error or disconnect
	user    string
	expires bool
	subs    string // sorted
}

func token(c claims) func(*testing.T) string {
	return func(t *testing.T) string { t.Helper(); return sign(t, secret, c) }
}

func raw(text string) func(*testing.T) string { return func(*testing.T) string { return text } }

func (test connectTest) run(t *testing.T) {
	s := newServer(t, test.change)
	ctx := context.Background()
	if test.header != "" {
		ctx = context.WithValue(ctx, headerUserKey{}, test.header)
	}
	request := &protocol.ConnectRequest{Subs: map[string]*protocol.SubscribeRequest{}}
	for _, channel := range test.asked {
		request.Subs[channel] = &protocol.SubscribeRequest{}
	}
	if test.token != nil {
		request.Token = test.token(t)
	}
	c := s.dial(ctx, t)
	code, reply := answer(c, &protocol.Command{Connect: request})
	if code != test.want {
		t.Fatalf("outcome %d, want %d", code, test.want)
	}
	if request.Token != "" && strings.Contains(s.log.String(), request.Token) {
		t.Error("the token is in the log; want it left out")
	}
	if code != 0 {
		return
	}
	if got := c.Client().UserID(); got != test.user {
		t.Errorf("user %q, want %q", got, test.user)
	}
	if reply.Connect.Expires != test.expires || test.expires && reply.Connect.TTL == 0 {
		t.Errorf("expires %v, ttl %d; want %v and a time if it expires", reply.Connect.Expires, reply.Connect.TTL, test.expires)
	}
	if got := strings.Join(slices.Sorted(maps.Keys(reply.Connect.Subs)), " "); got != test.subs {
		t.Errorf("subs %q, want %q", got, test.subs)
	}
}

func TestConnectByToken(t *testing.T) {
	tests := []connectTest{
		{name: "without expiry", token: token(claims{"sub": "42"}), user: "42"},
		{name: "with expiry", token: token(claims{"sub": "42", "exp": future()}), user: "42", expires: true},
		{name: "malformed", token: raw("x"), want: 3500},
		{name: "three parts of nothing", token: raw(".."), want: 3500},
		{name: "forged", token: func(t *testing.T) string { t.Helper(); return sign(t, "x", claims{"sub": "42"}) }, want: 3500},
		{name: "wrong audience", token: token(claims{"sub": "42", "aud": "x"}), want: 3500,
			change: func(s *Sections) { s.Client.Token.Audience = "y" }},
		{name: "wrong issuer", token: token(claims{"sub": "42"}), want: 3500, change: func(s *Sections) { s.Client.Token.Issuer = "y" }},
		{name: "subscription token", token: token(claims{"sub": "42", "channel": "open:1"}), want: 3500},
		{name: "sub is a number", token: token(claims{"sub": 42}), want: 3500},
		{name: "expired", token: token(claims{"sub": "42", "exp": past()}), want: 109},
		{name: "not valid yet", token: token(claims{"sub": "42", "nbf": future()}), want: 109},
		{name: "expire_at in the past", token: token(claims{"sub": "42", "exp": future(), "expire_at": past()}), want: 110},
		{name: "expire_at never", token: token(claims{"sub": "42", "exp": future(), "expire_at": 0}), user: "42"},
		{name: "expire_at alone", token: token(claims{"sub": "42", "expire_at": future()}), user: "42", expires: true},
		{name: "expire_at does not excuse exp", token: token(claims{"sub": "42", "exp": past(), "expire_at": future()}), want: 109},
		{name: "anonymous", token: token(claims{}), user: ""},
		{name: "anonymous not allowed", token: token(claims{}), want: 3507,
			change: func(s *Sections) { s.Client.DisallowAnonymousConnectionTokens = true }},
		{name: "user id claim", token: token(claims{"sub": "1", "uid": "2"}), user: "2",
			change: func(s *Sections) { s.Client.Token.UserIDClaim = "uid" }},
		{name: "user id claim missing", token: token(claims{"sub": "1"}), want: 3500,
			change: func(s *Sections) { s.Client.Token.UserIDClaim = "uid" }},
		{name: "bad b64info", token: token(claims{"sub": "42", "b64info": "!"}), want: 100},
		{name: "bad b64info of a sub", token: token(claims{"sub": "42", "subs": claims{"open:1": claims{"b64info": "!"}}}), want: 3500},
		{name: "channels", token: token(claims{"sub": "42", "channels": []string{"open:1", "$x", "shut:1"}}), user: "42",
			subs: "$x open:1 shut:1"},
		{name: "subs beat channels", token: token(claims{"sub": "42", "channels": []string{"open:1"}, "subs": claims{"shut:1": claims{}}}),
			user: "42", subs: "shut:1"},
		{name: "unknown namespace", token: token(claims{"sub": "42", "channels": []string{"x:1"}}), want: 102},
		{name: "empty channel", token: token(claims{"sub": "42", "channels": []string{""}}), user: "42"},
		{name: "empty channel among others", token: token(claims{"sub": "42", "channels": []string{"", "shut:1", ""}}), user: "42", subs: "shut:1"},
		{name: "empty channel in subs", token: token(claims{"sub": "42", "subs": claims{"": claims{}, "shut:1": claims{}}}), user: "42", subs: "shut:1"},
		{name: "nothing before the boundary", token: token(claims{"sub": "42", "channels": []string{":x"}}), user: "42", subs: ":x"},
		{name: "too many channels", token: token(claims{"sub": "42", "channels": []string{"1", "2", "3", "4", "5", "6"}}), want: 3505},
		{name: "forged in insecure mode", token: raw("x"), want: 3500, change: func(s *Sections) { s.Client.Insecure = true }},
		{name: "insecure drops the expiry", token: token(claims{"sub": "42", "exp": future()}), user: "42",
			change: func(s *Sections) { s.Client.Insecure = true }},
		{name: "signature skipped", token: func(t *testing.T) string { t.Helper(); return sign(t, "x", claims{"sub": "42"}) }, user: "42",
			change: func(s *Sections) { s.Client.InsecureSkipTokenSignatureVerify = true }},
		{name: "signature skipped, expired", token: token(claims{"exp": past()}), want: 109,
			change: func(s *Sections) { s.Client.InsecureSkipTokenSignatureVerify = true }},
		{name: "token beats the header", token: token(claims{"sub": "42"}), user: "42", header: "7",
			change: func(s *Sections) { s.Client.UserIDHTTPHeader = "X-User" }},
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}

func TestConnectWithoutToken(t *testing.T) {
	insecure := func(s *Sections) { s.Client.Insecure = true }
	anonymous := func(s *Sections) { s.Client.AllowAnonymousConnectWithoutToken = true }
	header := func(s *Sections) { s.Client.UserIDHTTPHeader = "X-User" }
	tests := []connectTest{
		{name: "refused", want: 3501},
		{name: "insecure", change: insecure},
		{name: "anonymous", change: anonymous},
		{name: "header", change: header, header: "42", user: "42"},
		{name: "header missing", change: header, want: 3501},
		{name: "header not configured", header: "42", want: 3501},
		{name: "anonymous beats the header", change: func(s *Sections) { anonymous(s); header(s) }, header: "42"},
		{name: "header gets no personal channel", header: "42", user: "42", change: func(s *Sections) {
			header(s)
			s.Client.SubscribeToUserPersonalChannel.Enabled = true
		}},
		{name: "header cannot ask for channels", header: "42", user: "42", change: header, asked: []string{"open:1", "x:1"}},
		{name: "anonymous gets no personal channel", change: func(s *Sections) {
			anonymous(s)
			s.Client.SubscribeToUserPersonalChannel.Enabled = true
		}},
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}

func TestChannelsAskedOnConnect(t *testing.T) {
	user := token(claims{"sub": "42"})
	tests := []connectTest{
		{name: "allowed", token: user, user: "42", asked: []string{"open:1", "bare:1"}, subs: "bare:1 open:1"},
		{name: "unknown namespace", token: user, asked: []string{"open:1", "x:1"}, want: 3501},
		{name: "empty name", token: user, asked: []string{""}, want: 3501},
		{name: "not allowed", token: user, user: "42", asked: []string{"shut:1", "open:1", "free"}, subs: "open:1"},
		{name: "private", token: user, user: "42", asked: []string{"$open:1"}},
		{name: "proxied", token: user, user: "42", asked: []string{"proxied:1", "streamed:1"}},
		{name: "bad names", token: user, user: "42", asked: []string{"open:é", "open:" + strings.Repeat("a", 255)}},
		{name: "limited to this user", token: user, user: "42", asked: []string{"limited:a#42,7", "limited:a#7"}, subs: "limited:a#42,7"},
		{name: "anonymous", change: func(s *Sections) { s.Client.AllowAnonymousConnectWithoutToken = true },
			asked: []string{"open:1", "anon:1", "limited:a#"}, subs: "anon:1"},
		{name: "insecure", change: func(s *Sections) { s.Client.Insecure = true }, asked: []string{"shut:1", "$shut:1"}, subs: "shut:1"},
		{name: "also in the token", token: token(claims{"sub": "42", "channels": []string{"shut:1"}}), user: "42",
			asked: []string{"shut:1"}, subs: "shut:1"},
		{name: "too many", token: user, asked: []string{"open:1", "open:2", "open:3", "open:4", "open:5", "open:6"}, want: 3505},
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}

func TestPersonalChannel(t *testing.T) {
	enabled := func(personal config.UserPersonalChannel) func(*Sections) {
		return func(s *Sections) {
			personal.Enabled = true
			s.Client.SubscribeToUserPersonalChannel = personal
		}
	}
	user := token(claims{"sub": "42"})
	tests := []connectTest{
		{name: "without namespace", token: user, user: "42", subs: "#42", change: enabled(config.UserPersonalChannel{})},
		{name: "in a namespace", token: user, user: "42", subs: "mine:#42",
			change: enabled(config.UserPersonalChannel{PersonalChannelNamespace: "mine"})},
		{name: "in an unknown namespace", token: user, want: 102,
			change: enabled(config.UserPersonalChannel{PersonalChannelNamespace: "x"})},
		{name: "also in the token", token: token(claims{"sub": "42", "channels": []string{"#42"}}), user: "42", subs: "#42",
			change: enabled(config.UserPersonalChannel{})},
		{name: "anonymous token", token: token(claims{}), change: enabled(config.UserPersonalChannel{})},
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}

func TestSingleConnection(t *testing.T) {
	s := newServer(t, func(s *Sections) {
		s.Client.SubscribeToUserPersonalChannel = config.UserPersonalChannel{
			Enabled: true, PersonalChannelNamespace: "mine", SingleConnection: true,
		}
	})
	first, other := s.connect(t, claims{"sub": "42"}), s.connect(t, claims{"sub": "7"})
	second := s.connect(t, claims{"sub": "42"})
	if got := first.Closed(); got != centrifuge.DisconnectConnectionLimit {
		t.Errorf("first connection: %v; want %v", got, centrifuge.DisconnectConnectionLimit)
	}
	// The new connection is excluded by its id, whether or not the node counts it
	// among the user's connections already.
	if len(s.disconnected) != 1 || !slices.Equal(s.disconnected[0].Except, []string{second.Client().ID()}) {
		t.Errorf("disconnected %+v; want all except %s", s.disconnected, second.Client().ID())
	}
	for name, c := range map[string]*centrifugetest.Client{"second": second, "of another user": other} {
		// The reply to connect may come before the subscription counts as live; a later
		// command is processed after that.
		c.Do(&protocol.Command{ID: 2, Unsubscribe: &protocol.UnsubscribeRequest{Channel: "other"}})
		if !slices.Contains(c.Client().ServerSideChannels(), "mine:#"+c.Client().UserID()) {
			t.Errorf("connection %s has the subscriptions %q; want its personal channel", name, c.Client().ServerSideChannels())
		}
	}
}

// The options of subscriptions in a token are applied.
func TestTokenSubscriptions(t *testing.T) {
	s := newServer(t, nil)
	c := s.dial(context.Background(), t)
	// Requesting the channel too changes nothing.
	asked := map[string]*protocol.SubscribeRequest{"open:1": {}}
	_, reply := answer(c, &protocol.Command{Connect: &protocol.ConnectRequest{Subs: asked, Token: sign(t, secret, claims{
		"sub": "42", "info": claims{"name": "A"},
		"subs": claims{
			"open:1":   claims{"data": claims{"d": 1}, "info": claims{"i": 1}, "override": claims{"force_recovery": claims{"value": true}}},
			"forced:1": claims{"override": claims{"force_recovery": claims{"value": false}, "force_positioning": claims{"value": false}}},
		},
	})}})
	if reply == nil {
		t.Fatal("there is no reply; want a connect result")
	}
	one, two := reply.Connect.Subs["open:1"], reply.Connect.Subs["forced:1"]
	if one == nil || !one.Recoverable || string(one.Data) != `{"d":1}` {
		t.Errorf("open:1: %+v; want it recoverable with {\"d\":1}", one)
	}
	if two == nil || two.Recoverable || two.Positioned {
		t.Errorf("forced:1: %+v; want one without positions", two)
	}
	presence, err := s.Presence(context.Background(), "open:1")
	if err != nil || len(presence) != 1 {
		t.Fatalf("presence %v, %v; want length 1", presence, err)
	}
	for _, info := range presence {
		if info.User != "42" || string(info.ConnInfo) != `{"name":"A"}` || string(info.ChanInfo) != `{"i":1}` {
			t.Errorf("info %+v; want User \"42\", ConnInfo %q and ChanInfo %q", info, `{"name":"A"}`, `{"i":1}`)
		}
	}
}

// Source: server.md 3.6, protocol.md 5.4.
func TestRefresh(t *testing.T) {
	connected := claims{"sub": "42", "exp": future(), "channels": []string{"open:1"}}
	tests := []struct {
		name    string
		change  func(*Sections)
		token   func(t *testing.T) string
		want    uint32
		expires bool
	}{
		{name: "new expiry", token: token(connected), expires: true},
		{name: "no expiry any more", token: token(claims{"sub": "42", "channels": []string{"open:1"}})},
		{name: "no token", token: raw(""), want: 3501},
		{name: "invalid token", token: raw("x"), want: 3500},
		{name: "other user", token: token(claims{"sub": "7", "exp": future(), "channels": []string{"open:1"}}), want: 3500},
		{name: "expired token", token: token(claims{"sub": "42", "exp": past(), "channels": []string{"open:1"}}), want: 3005},
		{name: "expire_at in the past", want: 110,
			token: token(claims{"sub": "42", "exp": future(), "expire_at": past(), "channels": []string{"open:1"}})},
		{name: "more channels", token: token(claims{"sub": "42", "exp": future(), "channels": []string{"open:1", "open:2"}}), want: 3010},
		{name: "fewer channels", token: token(claims{"sub": "42", "exp": future()}), want: 3010},
		{name: "other channels", token: token(claims{"sub": "42", "exp": future(), "channels": []string{"open:2"}}), want: 3010},
		{name: "same channels, other form", token: token(claims{"sub": "42", "exp": future(), "subs": claims{"open:1": claims{}}}), expires: true},
		{name: "subscription token", token: token(claims{"sub": "42", "channel": "open:1"}), want: 3500},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newServer(t, test.change).connect(t, connected)
			code, reply := answer(c, &protocol.Command{Refresh: &protocol.RefreshRequest{Token: test.token(t)}})
			if code != test.want {
				t.Fatalf("outcome %d, want %d", code, test.want)
			}
			if code == 0 && (reply.Refresh.Expires != test.expires || test.expires && reply.Refresh.TTL == 0) {
				t.Errorf("reply %+v; want expires %v, with a TTL then", reply.Refresh, test.expires)
			}
		})
	}
}

// A connection without a token cannot be refreshed.
func TestRefreshWithoutToken(t *testing.T) {
	s := newServer(t, func(s *Sections) { s.Client.AllowAnonymousConnectWithoutToken = true })
	c := s.dial(context.Background(), t)
	if got := outcome(c, &protocol.Command{Connect: &protocol.ConnectRequest{}}); got != 0 {
		t.Fatalf("connecting: %d; want 0", got)
	}
	if got := outcome(c, &protocol.Command{Refresh: &protocol.RefreshRequest{Token: sign(t, secret, claims{})}}); got != 3501 {
		t.Errorf("outcome %d, want 3501", got)
	}
}

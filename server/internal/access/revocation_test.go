package access

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
	"centrifugo/server/internal/revocation"
)

func (s *testServer) revoke(t *testing.T, kind revocation.Kind, key string, issuedBefore int64) {
	t.Helper()
	if err := s.revocations.Put(t.Context(), revocation.Entry{Kind: kind, Key: key, IssuedBefore: issuedBefore}); err != nil {
		t.Fatal(err)
	}
}

// expectConnect checks the outcome of a connect command.
func (s *testServer) expectConnect(t *testing.T, what string, c claims, want uint32) {
	t.Helper()
	request := &protocol.ConnectRequest{Token: sign(t, secret, c)}
	if got := outcome(s.dial(context.Background(), t), &protocol.Command{Connect: request}); got != want {
		t.Errorf("%s connects: outcome %d; want %d", what, got, want)
	}
}

// expectAlive checks that a connection answers, and so was not closed.
func expectAlive(t *testing.T, what string, c *centrifugetest.Client) {
	t.Helper()
	if got := outcome(c, &protocol.Command{Presence: &protocol.PresenceRequest{Channel: "open:1"}}); got != 0 {
		t.Errorf("%s: outcome %d; want an answer", what, got)
	}
}

func expectClosed(t *testing.T, what string, c *centrifugetest.Client, want centrifuge.Disconnect) {
	t.Helper()
	if got := c.Closed(); got != want {
		t.Errorf("%s: closed with %v; want %v", what, got, want)
	}
}

// A blocked user is disconnected and cannot return, by whatever way it connects.
func TestBlockedUser(t *testing.T) {
	s := newServer(t, func(s *Sections) {
		s.Client.UserIDHTTPHeader = "X-User"
	})
	header := func() *centrifugetest.Client {
		return s.dial(context.WithValue(context.Background(), headerUserKey{}, "42"), t)
	}
	first, second, other := s.connect(t, claims{"sub": "42"}), header(), s.connect(t, claims{"sub": "7"})
	anonymous := s.connect(t, claims{})
	if got := outcome(second, &protocol.Command{Connect: &protocol.ConnectRequest{}}); got != 0 {
		t.Fatalf("connecting by header: %d; want 0", got)
	}
	s.revoke(t, revocation.BlockUser, "42", 0)
	expectClosed(t, "by token", first, centrifuge.DisconnectPermissionDenied)
	expectClosed(t, "by header", second, centrifuge.DisconnectPermissionDenied)
	expectAlive(t, "another user", other)
	_ = anonymous
	s.expectConnect(t, "blocked user", claims{"sub": "42"}, 3507)
	if got := outcome(header(), &protocol.Command{Connect: &protocol.ConnectRequest{}}); got != 3507 {
		t.Errorf("blocked user connects by header: outcome %d; want 3507", got)
	}
	s.expectConnect(t, "anonymous user", claims{}, 0)
	if err := s.revocations.Remove(t.Context(), revocation.BlockUser, "42"); err != nil {
		t.Fatal(err)
	}
	s.expectConnect(t, "unblocked user", claims{"sub": "42"}, 0)
}

// What is revoked closes connections with 3014, upon which SDKs get a new token. With the old
// one they get 109.
func TestRevokedTokens(t *testing.T) {
	now := time.Now().Unix()
	tests := []struct {
		name    string
		revoked func(t *testing.T, s *testServer)
		claims  claims
		want    bool
	}{
		{"by id", func(t *testing.T, s *testServer) { t.Helper(); s.revoke(t, revocation.RevokeToken, "a", 0) }, claims{"sub": "42", "jti": "a"}, true},
		{"by id, anonymous", func(t *testing.T, s *testServer) { t.Helper(); s.revoke(t, revocation.RevokeToken, "a", 0) }, claims{"jti": "a"}, true},
		{"another id", func(t *testing.T, s *testServer) { t.Helper(); s.revoke(t, revocation.RevokeToken, "a", 0) }, claims{"sub": "42", "jti": "b"}, false},
		{"no id", func(t *testing.T, s *testServer) { t.Helper(); s.revoke(t, revocation.RevokeToken, "a", 0) }, claims{"sub": "42"}, false},
		{"id of another type", func(t *testing.T, s *testServer) { t.Helper(); s.revoke(t, revocation.RevokeToken, "1", 0) }, claims{"sub": "42", "jti": 1}, false},
		{"issued before", func(t *testing.T, s *testServer) { t.Helper(); s.revoke(t, revocation.InvalidateTokens, "42", now) }, claims{"sub": "42", "iat": now - 1}, true},
		{"issued then", func(t *testing.T, s *testServer) { t.Helper(); s.revoke(t, revocation.InvalidateTokens, "42", now) }, claims{"sub": "42", "iat": now}, false},
		{"issued at an unknown time", func(t *testing.T, s *testServer) { t.Helper(); s.revoke(t, revocation.InvalidateTokens, "42", now) }, claims{"sub": "42"}, true},
		{"another user", func(t *testing.T, s *testServer) { t.Helper(); s.revoke(t, revocation.InvalidateTokens, "42", now) }, claims{"sub": "7", "iat": now - 1}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, nil)
			connected, refreshing := s.connect(t, tt.claims), s.connect(t, tt.claims)
			expected := uint32(0)
			tt.revoked(t, s)
			if tt.want {
				expectClosed(t, tt.name, connected, centrifuge.DisconnectStateInvalidated)
				expectClosed(t, tt.name, refreshing, centrifuge.DisconnectStateInvalidated)
				expected = 109
			} else if got := outcome(refreshing, &protocol.Command{Refresh: &protocol.RefreshRequest{Token: sign(t, secret, tt.claims)}}); got != 0 {
				t.Errorf("refresh: outcome %d; want success", got)
			}
			s.expectConnect(t, tt.name, tt.claims, expected)
		})
	}
}

// A refresh with a revoked token, and of a blocked user. A refresh replaces the token that can
// be revoked.
func TestRevokedRefresh(t *testing.T) {
	s := newServer(t, nil)
	s.revoke(t, revocation.RevokeToken, "revoked", 0)
	c := s.connect(t, claims{"sub": "42", "jti": "first"})
	refresh := func(id string) *protocol.Command {
		return &protocol.Command{Refresh: &protocol.RefreshRequest{Token: sign(t, secret, claims{"sub": "42", "jti": id})}}
	}
	if got := outcome(c, refresh("revoked")); got != 3014 {
		t.Errorf("refresh with a revoked token: outcome %d; want 3014", got)
	}
	c = s.connect(t, claims{"sub": "42", "jti": "first"})
	if got := outcome(c, refresh("second")); got != 0 {
		t.Fatalf("refresh: outcome %d; want 0", got)
	}
	other := s.connect(t, claims{"sub": "42", "jti": "first"})
	s.revoke(t, revocation.RevokeToken, "first", 0)
	expectClosed(t, "connection with the token", other, centrifuge.DisconnectStateInvalidated)
	if got := outcome(c, refresh("second")); got != 0 {
		t.Errorf("connection with another token since: outcome %d; want success", got)
	}
	s.revoke(t, revocation.RevokeToken, "second", 0)
	expectClosed(t, "connection with the token of the refresh", c, centrifuge.DisconnectStateInvalidated)
}

// Subscription tokens: the subscription ends with 2502, and the connection stays.
func TestRevokedSubscriptionTokens(t *testing.T) {
	s := newServer(t, nil)
	c := s.connect(t, claims{"sub": "42"})
	subscribe := func(channel, id string) *protocol.Command {
		text := sign(t, secret, claims{"sub": "42", "channel": channel, "jti": id})
		return &protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: channel, Token: text}}
	}
	for channel, id := range map[string]string{"shut:1": "a", "shut:2": "b"} {
		if got := outcome(c, subscribe(channel, id)); got != 0 {
			t.Fatalf("subscribing to %s: outcome %d; want 0", channel, got)
		}
	}
	s.revoke(t, revocation.RevokeToken, "a", 0)
	push := c.Push()
	if push == nil || push.Channel != "shut:1" || push.Unsubscribe == nil || push.Unsubscribe.Code != centrifuge.UnsubscribeStateInvalidated.Code {
		t.Fatalf("push %+v; want unsubscribe from shut:1 with 2502", push)
	}
	if got := outcome(c, subscribe("shut:1", "a")); got != 109 {
		t.Errorf("subscribing with the revoked token: outcome %d; want 109", got)
	}
	if got := outcome(c, subscribe("shut:1", "c")); got != 0 {
		t.Errorf("subscribing with another token: outcome %d; want success", got)
	}
	refresh := sign(t, secret, claims{"sub": "42", "channel": "shut:2", "jti": "a"})
	if got := outcome(c, &protocol.Command{SubRefresh: &protocol.SubRefreshRequest{Channel: "shut:2", Token: refresh}}); got != 109 {
		t.Errorf("sub_refresh with the revoked token: outcome %d; want 109", got)
	}
}

// What is revoked between the decision and the connection closes it.
func TestRevokedWhileConnecting(t *testing.T) {
	for _, kind := range []revocation.Kind{revocation.BlockUser, revocation.RevokeToken} {
		var s *testServer
		s = newServer(t, nil, func(h *centrifuge.Handlers) {
			connecting := h.Connecting
			h.Connecting = func(ctx context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
				reply, err := connecting(ctx, e)
				s.revoke(t, kind, "42", 0)
				s.policy.Enforce([]revocation.Entry{{Kind: kind, Key: "42"}}) // finds no connection
				return reply, err
			}
		})
		c := s.dial(context.Background(), t)
		c.Send(&protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{Token: sign(t, secret, claims{"sub": "42", "jti": "42"})}})
		want := centrifuge.DisconnectStateInvalidated
		if kind == revocation.BlockUser {
			want = centrifuge.DisconnectPermissionDenied
		}
		expectClosed(t, "connection", c, want)
	}
}

// watchedContext notes that something was derived from it that its end cancels.
type watchedContext struct {
	context.Context
	derived *atomic.Bool
}

func (c watchedContext) Done() <-chan struct{} {
	c.derived.Store(true)
	return c.Context.Done()
}

// The decision of a connect command leaves nothing in the connection's context, which would
// be memory of every connection.
func TestConnectingDerivesNothing(t *testing.T) {
	derived := &atomic.Bool{}
	s := newServer(t, nil, func(h *centrifuge.Handlers) {
		connecting := h.Connecting
		h.Connecting = func(ctx context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			reply, err := connecting(watchedContext{ctx, derived}, e)
			reply.Context = ctx
			return reply, err
		}
	})
	s.expectConnect(t, "connection", claims{"sub": "42"}, 0)
	if derived.Load() {
		t.Error("connecting asked for Done of the connection's context; want it left alone")
	}
}

// The facts of tokens of ended subscriptions do not accumulate.
func TestFactsOfEndedSubscriptions(t *testing.T) {
	s := newServer(t, nil)
	client := s.connect(t, claims{"sub": "42"}).Client()
	state := new(tokenState)
	old := time.Now().Unix() - 2*pruneAge
	for i := range 1000 {
		channel := fmt.Sprint(i)
		state.noteSubscription(client, channel, tokenFacts{id: channel})
		f := state.subscriptions[channel]
		f.noted = old
		state.subscriptions[channel] = f
	}
	if got := len(state.subscriptions); got > 2*minPrune {
		t.Errorf("facts of %d tokens; want at most %d", got, 2*minPrune)
	}
}

package access

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/internal/await"
	"centrifugo/protocol"
	"centrifugo/server/internal/auth/authtest"
	"centrifugo/server/internal/config"
)

// While a key set cannot be fetched, clients whose key is known go on, and others get a
// temporary error with every command that has a token. A reload keeps the keys.
func TestKeySetIsDown(t *testing.T) {
	p := authtest.NewProvider(t)
	known, next := authtest.NewKey(t, "known", "RS256"), authtest.NewKey(t, "next", "ES256")
	p.Publish(known)
	sections := func(s *Sections) { s.Client.Token = config.Token{OpenIDIssuer: p.Issuer} }
	s := newServer(t, sections)
	claims := func(more string) string { return fmt.Sprintf(`{"sub":"42","iss":%q%s}`, p.Issuer, more) }
	connect := func(token string) *protocol.Command {
		return &protocol.Command{Connect: &protocol.ConnectRequest{Token: token}}
	}
	var c *centrifugetest.Client
	// A request may take longer than its second on a loaded machine: the client tries again.
	await.Until(t, "the key set", func() bool {
		c = s.dial(context.Background(), t)
		code := outcome(c, connect(known.Sign(t, claims(""))))
		if code != 0 && code != 100 {
			t.Fatalf("connecting: outcome %d; want 0 or 100", code)
		}
		return code == 0
	})
	p.Down()
	changed := baseSections()
	sections(&changed)
	changed.Client.Token.Audience = "" // the same keys, in a new verifier
	if err := s.policy.Reload(changed); err != nil {
		t.Fatal(err)
	}
	if got := outcome(s.dial(context.Background(), t), connect(known.Sign(t, claims("")))); got != 0 {
		t.Errorf("connecting with a known key: outcome %d; want success", got)
	}
	for _, tt := range []struct {
		name    string
		command *protocol.Command
		want    uint32
	}{
		{"refresh, known key", &protocol.Command{Refresh: &protocol.RefreshRequest{Token: known.Sign(t, claims(""))}}, 0},
		{"refresh, new key", &protocol.Command{Refresh: &protocol.RefreshRequest{Token: next.Sign(t, claims(""))}}, 100},
		{"subscribe, known key", &protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "shut:1", Token: known.Sign(t, claims(`,"channel":"shut:1"`))}}, 0},
		{"subscribe, new key", &protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "shut:2", Token: next.Sign(t, claims(`,"channel":"shut:2"`))}}, 100},
		{"sub_refresh, new key", &protocol.Command{SubRefresh: &protocol.SubRefreshRequest{Channel: "shut:1", Token: next.Sign(t, claims(`,"channel":"shut:1"`))}}, 100},
		{"refresh, forged", &protocol.Command{Refresh: &protocol.RefreshRequest{Token: next.SignAs(t, next.Method, "known", claims(""))}}, 3500},
	} {
		if got := outcome(c, tt.command); got != tt.want {
			t.Errorf("%s: outcome %d; want %d", tt.name, got, tt.want)
		}
	}
	if got := outcome(s.dial(context.Background(), t), connect(next.Sign(t, claims("")))); got != 100 {
		t.Errorf("connecting with a new key: outcome %d; want 100", got)
	}
	if got := s.policy.KeySetStats(); got.Fetched != 1 {
		t.Errorf("counters %+v; want 1 fetched", got)
	}
}

// What a configuration probably does not mean is in the log.
func TestTokenWarnings(t *testing.T) {
	const skipped, audience = "insecure_skip_jwks_endpoint_safety_check: ", "openid_issuer without audience"
	template := config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: "https://x/{{t}}"}, IssuerRegex: "(?P<t>.*)", InsecureSkipJWKSEndpointSafetyCheck: true}
	for _, tt := range []struct {
		name string
		c    config.Client
		want string // empty: no warning
	}{
		{"no key set", config.Client{}, ""},
		{"check skipped", config.Client{Token: template}, "client.token." + skipped},
		{"check skipped without need", config.Client{Token: config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: "https://x"}, InsecureSkipJWKSEndpointSafetyCheck: true}}, ""},
		{"no audience", config.Client{Token: config.Token{OpenIDIssuer: "https://x"}}, "client.token." + audience},
		{"audience", config.Client{Token: config.Token{OpenIDIssuer: "https://x", Audience: "a"}}, ""},
		{"subscriptions", config.Client{SubscriptionToken: config.SubscriptionToken{Enabled: true, Token: template}}, "client.subscription_token." + skipped},
		{"subscriptions, off", config.Client{SubscriptionToken: config.SubscriptionToken{Token: template}}, ""},
	} {
		var log bytes.Buffer
		sections := baseSections()
		sections.Client = tt.c
		if _, err := New(sections, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
			t.Fatal(err)
		}
		if got := log.String(); !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") {
			t.Errorf("%s: log %q; want %q", tt.name, got, tt.want)
		}
	}
}

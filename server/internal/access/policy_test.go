package access

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/proxy"
	"centrifugo/server/internal/revocation"
)

const (
	secret    = "a secret of connections"
	subSecret = "a secret of subscriptions"
)

// claims of a token.
type claims map[string]any

// sign returns an HS256 token.
func sign(t testing.TB, secret string, c claims) string {
	t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(body)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

// baseSections has a namespace for each case of the tests.
func baseSections() Sections {
	history := func(o config.ChannelOptions) config.ChannelOptions {
		o.HistorySize, o.HistoryTTL = 10, time.Minute
		return o
	}
	return Sections{
		Client: config.Client{Token: config.Token{TokenKeys: config.TokenKeys{HMACSecretKey: secret}}},
		Channel: config.Channel{
			MaxLength: 255, PrivatePrefix: "$", NamespaceBoundary: ":", UserBoundary: "#", UserSeparator: ",",
			HistoryMetaTTL: time.Hour,
			Namespaces: []config.Namespace{
				{Name: "open", ChannelOptions: history(config.ChannelOptions{
					Presence: true, JoinLeave: true,
					AllowSubscribeForClient: true, AllowPublishForClient: true, AllowPresenceForClient: true, AllowHistoryForClient: true,
				})},
				{Name: "anon", ChannelOptions: config.ChannelOptions{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true}},
				{Name: "member", ChannelOptions: history(config.ChannelOptions{
					Presence: true, AllowSubscribeForClient: true,
					AllowPublishForSubscriber: true, AllowPresenceForSubscriber: true, AllowHistoryForSubscriber: true,
				})},
				{Name: "bare", ChannelOptions: config.ChannelOptions{AllowSubscribeForClient: true}},
				{Name: "asked", ChannelOptions: history(config.ChannelOptions{
					AllowSubscribeForClient: true, AllowPositioning: true, AllowRecovery: true,
				})},
				{Name: "forced", ChannelOptions: history(config.ChannelOptions{
					AllowSubscribeForClient: true, ForcePositioning: true, ForceRecovery: true,
				})},
				{Name: "limited", ChannelOptions: config.ChannelOptions{AllowUserLimitedChannels: true, AllowSubscribeForClient: true}},
				{Name: "proxied", ChannelOptions: config.ChannelOptions{
					SubscribeProxyEnabled: true, SubscribeProxyName: proxy.DefaultName, PublishProxyEnabled: true, PublishProxyName: proxy.DefaultName,
				}},
				{Name: "streamed", ChannelOptions: config.ChannelOptions{SubscribeStreamProxyEnabled: true}},
				{Name: "object", ChannelOptions: config.ChannelOptions{AllowPublishForClient: true, PublicationDataFormat: "json_object"}},
				{Name: "mine", ChannelOptions: config.ChannelOptions{Presence: true}},
				{Name: "shut"},
			},
		},
		RPC: config.RPC{NamespaceBoundary: ":"},
	}
}

type testServer struct {
	*recorder
	policy      *Policy
	revocations *revocation.Registry
	log         *bytes.Buffer
}

// recorder is a node that records the calls of the policy.
type recorder struct {
	*centrifuge.Node
	mu           sync.Mutex
	disconnected []centrifuge.Target
	read         []centrifuge.HistoryOptions
}

func (r *recorder) Disconnect(ctx context.Context, t centrifuge.Target, d centrifuge.Disconnect) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disconnected = append(r.disconnected, t)
	return r.Node.Disconnect(ctx, t, d)
}

func (r *recorder) History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (centrifuge.HistoryResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = append(r.read, opts)
	return r.Node.History(ctx, channel, opts)
}

type headerUserKey struct{}

// newServer runs a node with a policy, whose handlers adjust may change, and with the proxies
// of its sections.
func newServer(t testing.TB, change func(*Sections), adjust ...func(*centrifuge.Handlers)) *testServer {
	t.Helper()
	sections := baseSections()
	if change != nil {
		change(&sections)
	}
	proxies, err := proxy.NewSet(proxy.Sections{
		Client: sections.Client.Proxy, Channel: sections.Channel.Proxy, RPC: sections.RPC.Proxy,
	}, proxy.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxies.Close(); err != nil {
			t.Errorf("closing proxies: %v", err)
		}
	})
	node, err := centrifuge.New(centrifuge.Config{ChannelLimit: 5})
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{recorder: &recorder{Node: node}, log: &bytes.Buffer{}}
	s.revocations = revocation.New(revocation.Options{
		Enforce: func(entries []revocation.Entry) { s.policy.Enforce(entries) }, Log: slog.New(slog.DiscardHandler),
	})
	s.policy, err = New(sections, Options{
		Node: s.recorder, Revocations: s.revocations, Proxies: proxies,
		Log:  slog.New(slog.NewTextHandler(s.log, nil)),
		User: func(ctx context.Context) string { user, _ := ctx.Value(headerUserKey{}).(string); return user },
	})
	if err != nil {
		t.Fatal(err)
	}
	handlers := s.policy.Handlers()
	for _, f := range adjust {
		f(&handlers)
	}
	node.Handle(handlers)
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.revocations.Run(running) }()
	t.Cleanup(func() {
		stop()
		<-done
		s.policy.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Shutdown(ctx); err != nil {
			t.Errorf("shutting down: %v", err)
		}
	})
	return s
}

func (s *testServer) dial(ctx context.Context, t testing.TB) *centrifugetest.Client {
	return centrifugetest.Dial(ctx, t, s.Node, protocol.Format(0))
}

// connect dials and connects with the token of a user.
func (s *testServer) connect(t testing.TB, c claims) *centrifugetest.Client {
	t.Helper()
	client := s.dial(context.Background(), t)
	if got := outcome(client, &protocol.Command{Connect: &protocol.ConnectRequest{Token: sign(t, secret, c)}}); got != 0 {
		t.Fatalf("connecting as %v: %d; want 0", c, got)
	}
	return client
}

// outcome sends a command and returns the code of the error or disconnect that
// answers it, zero for a success.
func outcome(c *centrifugetest.Client, command *protocol.Command) uint32 {
	code, _ := answer(c, command)
	return code
}

func answer(c *centrifugetest.Client, command *protocol.Command) (uint32, *protocol.Reply) {
	reply := c.Do(command)
	switch {
	case reply == nil:
		return c.Closed().Code, nil
	case reply.Error != nil:
		return reply.Error.Code, nil
	}
	return 0, reply
}

func TestNewRefusesBadSettings(t *testing.T) {
	sections := baseSections()
	sections.Channel.Namespaces = append(sections.Channel.Namespaces,
		config.Namespace{Name: "bad", ChannelOptions: config.ChannelOptions{ChannelRegex: "("}})
	sections.Client.Token.IssuerRegex = "["
	sections.Client.SubscriptionToken.Enabled = true
	sections.Client.SubscriptionToken.AudienceRegex = "*"
	_, err := New(sections, Options{})
	if err == nil {
		t.Fatal("accepted; want an error")
	}
	for _, part := range []string{"channel.namespaces[bad]", "client.token: issuer_regex", "client.subscription_token: audience_regex"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q; want %q in it", err, part)
		}
	}
}

func TestReload(t *testing.T) {
	s := newServer(t, nil)
	old := s.connect(t, claims{"sub": "42"})
	publish := func(c *centrifugetest.Client) uint32 {
		return outcome(c, &protocol.Command{Publish: &protocol.PublishRequest{Channel: "shut:1", Data: []byte("1")}})
	}
	if got := publish(old); got != 103 {
		t.Fatalf("before: %d; want 103", got)
	}
	sections := baseSections()
	sections.Client.Token.HMACSecretKey = "another secret"
	sections.Channel.Namespaces[len(sections.Channel.Namespaces)-1].AllowPublishForClient = true
	if err := s.policy.Reload(sections); err != nil {
		t.Fatal(err)
	}
	if got := publish(old); got != 0 {
		t.Errorf("after: %d; want 0", got)
	}
	tokens := map[string]uint32{sign(t, secret, claims{"sub": "42"}): 3500, sign(t, "another secret", claims{"sub": "42"}): 0}
	for token, want := range tokens {
		c := s.dial(context.Background(), t)
		if got := outcome(c, &protocol.Command{Connect: &protocol.ConnectRequest{Token: token}}); got != want {
			t.Errorf("connecting after: %d, want %d", got, want)
		}
	}

	// All or nothing.
	sections.Client.Token.HMACSecretKey = "a third secret"
	sections.Client.Token.IssuerRegex = "["
	rules := s.policy.Rules()
	if err := s.policy.Reload(sections); err == nil {
		t.Fatal("bad settings were accepted; want an error")
	}
	if got := s.policy.Rules(); got != rules {
		t.Errorf("rules changed by a reload that failed: s.policy.Rules() = %v; want %v", got, rules)
	}
	c := s.dial(context.Background(), t)
	if got := outcome(c, &protocol.Command{Connect: &protocol.ConnectRequest{Token: sign(t, "another secret", claims{"sub": "1"})}}); got != 0 {
		t.Errorf("tokens changed by a reload that failed: %d; want 0", got)
	}
}

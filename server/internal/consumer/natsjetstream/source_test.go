package natsjetstream_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/nettest"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/natsjetstream"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// Messages are processed in order and acknowledged; the durable consumer is created.
func TestStream(t *testing.T) {
	b := startBroker(t, nil)
	b.mustPublish(0, 100)
	b.send(&nats.Msg{Subject: "commands.a", Data: []byte("no JSON")})
	node := &apitest.Node{}
	r := consumertest.Start(t, b.source(nil), node)
	r.Processed(t, 101)
	b.mustPublish(100, 110)
	r.Processed(t, 111)
	r.Stop()
	if got, want := node.Calls(), consumertest.Published(0, 0, 110); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	if n, err := b.waiting(); n != 0 || err != nil || r.Stats().Refused(consumer.Malformed) != 1 {
		t.Errorf("waiting %d, %v, malformed %d; want 0, nil, 1", n, err, r.Stats().Refused(consumer.Malformed))
	}
}

// deliver_policy says whether a new consumer gets what was published before.
func TestDeliverPolicy(t *testing.T) {
	b := startBroker(t, nil)
	b.mustPublish(0, 5)
	node := &apitest.Node{}
	r := consumertest.Start(t, b.source(func(c *config.NATSJetStreamConsumer) { c.DeliverPolicy = "new" }), node)
	await.Until(t, "the consumer to exist", func() bool { _, err := b.info(); return err == nil })
	b.mustPublish(5, 10)
	r.Processed(t, 5)
	r.Stop()
	if got, want := node.Calls(), consumertest.Published(0, 5, 10); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// The settings reach the durable consumer: subjects, max_ack_pending, stream and name.
func TestDurableConsumer(t *testing.T) {
	b := startBroker(t, nil)
	node := &apitest.Node{}
	r := consumertest.Start(t, b.source(func(c *config.NATSJetStreamConsumer) {
		c.Subjects, c.MaxAckPending = []string{"commands.b", "commands.c"}, 7
	}), node)
	b.send(
		&nats.Msg{Subject: "commands.a", Data: []byte(consumertest.Command(0, 0))},
		&nats.Msg{Subject: "commands.b", Data: []byte(consumertest.Command(0, 1))},
		&nats.Msg{Subject: "commands.c", Data: []byte(consumertest.Command(0, 2))})
	r.Processed(t, 2)
	r.Stop()
	if got, want := node.Calls(), consumertest.Published(0, 1, 3); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	info, err := b.info()
	if err != nil || info.Config.MaxAckPending != 7 || info.Config.AckWait != 30*time.Second || info.Stream != streamName {
		t.Errorf("consumer = %+v, %v; want max_ack_pending 7, acknowledgements within 30s", info, err)
	}
	wrong := consumertest.Start(t, b.source(func(c *config.NATSJetStreamConsumer) { c.StreamName = "NONE" }), node)
	await.Until(t, "an error", func() bool { return strings.Contains(wrong.Log.String(), "of stream NONE") })
}

// With use_existing_consumer nothing is created or changed.
func TestUseExistingConsumer(t *testing.T) {
	b := startBroker(t, nil)
	b.mustPublish(0, 5)
	existing := func(c *config.NATSJetStreamConsumer) { c.UseExistingConsumer = true }
	node := &apitest.Node{}
	r := consumertest.Start(t, b.source(existing), node)
	await.Until(t, "an error", func() bool { return strings.Contains(r.Log.String(), "looking for consumer centrifugo") })
	create := func(name string, policy jetstream.AckPolicy) {
		err := b.with(func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateConsumer(ctx, streamName, jetstream.ConsumerConfig{Durable: name, AckPolicy: policy, MaxAckPending: 3})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	create(durable, jetstream.AckExplicitPolicy)
	r.Processed(t, 5)
	if info, err := b.info(); err != nil || info.Config.MaxAckPending != 3 {
		t.Errorf("consumer = %+v, %v; want it unchanged", info, err)
	}
	create("all", jetstream.AckAllPolicy)
	wrong := consumertest.Start(t, b.source(func(c *config.NATSJetStreamConsumer) {
		c.UseExistingConsumer, c.DurableConsumerName = true, "all"
	}), node)
	await.Until(t, "an error", func() bool { return strings.Contains(wrong.Log.String(), "explicit is needed") })
}

func TestHeaders(t *testing.T) {
	b := startBroker(t, nil)
	b.send(&nats.Msg{Subject: "commands.a", Data: []byte(consumertest.Request(0, 1)), Header: nats.Header{"way": {"publish"}}})
	node := &apitest.Node{}
	r := consumertest.Start(t, b.source(func(c *config.NATSJetStreamConsumer) { c.MethodHeader = "way" }), node)
	r.Processed(t, 1)
	r.Stop()
	b.send(&nats.Msg{Subject: "commands.a", Data: []byte("\xff"), Header: nats.Header{"centrifugo-channels": {"a"}}})
	r = consumertest.Start(t, b.source(func(c *config.NATSJetStreamConsumer) {
		c.PublicationDataMode = config.PublicationDataHeaders{Enabled: true, ChannelsHeader: "centrifugo-channels"}
	}), node)
	r.Processed(t, 1)
	r.Stop()
	if got, want := node.Calls(), []string{"publish p0 1", "publish a \xff"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// A message that is repeated for longer than the server waits for acknowledgements is not
// delivered again, nor are those behind it.
func TestMessagesInWorkAreKept(t *testing.T) {
	b := startBroker(t, nil)
	b.mustPublish(0, 5)
	o := b.config(nil)
	o.AckWait = 2 * time.Second
	s, err := natsjetstream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	node := &consumertest.Node{Before: func([]byte) error {
		if time.Since(started) < 7*time.Second {
			return consumertest.ErrBroken
		}
		return nil
	}}
	r := consumertest.Start(t, s, node)
	r.Processed(t, 5)
	await.Until(t, "the messages to be acknowledged", func() bool { n, err := b.waiting(); return err == nil && n == 0 })
	r.Stop()
	if got, want := node.Calls(), consumertest.Published(0, 0, 5); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// A connection on which nothing arrives any more, as behind a firewall that has dropped its state,
// is replaced.
func TestSilentConnection(t *testing.T) {
	b := startBroker(t, nil)
	link := nettest.StartProxy(t, strings.TrimPrefix(b.url(), "nats://"))
	o := b.config(func(c *config.NATSJetStreamConsumer) { c.URL = "nats://" + link.Address() })
	o.AckWait = 2 * time.Second
	s, err := natsjetstream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := consumertest.Start(t, s, &apitest.Node{})
	b.mustPublish(0, 5)
	r.Processed(t, 5)
	link.SilenceOpen()
	b.mustPublish(5, 10)
	r.Processed(t, 10)
}

// Each way to authenticate admits, and is needed.
func TestAuthentication(t *testing.T) {
	check := func(t *testing.T, b *broker, good func(*config.NATSJetStreamConsumer)) {
		t.Helper()
		b.mustPublish(0, 1)
		consumertest.Start(t, b.source(good), &apitest.Node{}).Processed(t, 1)
		without := consumertest.Start(t, b.source(nil), &apitest.Node{})
		await.Until(t, "an error", func() bool { return strings.Contains(strings.ToLower(without.Log.String()), "authorization violation") })
	}
	t.Run("username and password", func(t *testing.T) {
		b := startBroker(t, func(o *server.Options) { o.Username, o.Password = "u", "p" }, nats.UserInfo("u", "p"))
		check(t, b, func(c *config.NATSJetStreamConsumer) { c.Username, c.Password = "u", "p" })
	})
	t.Run("token", func(t *testing.T) {
		b := startBroker(t, func(o *server.Options) { o.Authorization = "t0ken" }, nats.Token("t0ken"))
		check(t, b, func(c *config.NATSJetStreamConsumer) { c.Token = "t0ken" })
	})
	t.Run("credentials_file", func(t *testing.T) {
		o, file := operator(t)
		b := startBroker(t, o, nats.UserCredentials(file))
		check(t, b, func(c *config.NATSJetStreamConsumer) { c.CredentialsFile = file })
	})
}

// operator returns settings of a server that admits the users of an account, and the
// credentials of one.
func operator(t *testing.T) (change func(*server.Options), file string) {
	t.Helper()
	pair := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		keys, err := create()
		if err != nil {
			t.Fatal(err)
		}
		public, err := keys.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return keys, public
	}
	encode := func(c jwt.Claims, by nkeys.KeyPair) string {
		text, err := c.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	operatorKeys, operatorID := pair(nkeys.CreateOperator)
	accountKeys, accountID := pair(nkeys.CreateAccount)
	_, systemID := pair(nkeys.CreateAccount)
	userKeys, userID := pair(nkeys.CreateUser)
	account := jwt.NewAccountClaims(accountID)
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1}
	resolver := &server.MemAccResolver{}
	for id, claims := range map[string]*jwt.AccountClaims{accountID: account, systemID: jwt.NewAccountClaims(systemID)} {
		if err := resolver.Store(id, encode(claims, operatorKeys)); err != nil {
			t.Fatal(err)
		}
	}
	claims := jwt.NewOperatorClaims(operatorID)
	trusted, err := jwt.DecodeOperatorClaims(encode(claims, operatorKeys))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := userKeys.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(encode(jwt.NewUserClaims(userID), accountKeys), seed)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(o *server.Options) {
		o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{trusted}, systemID, resolver
	}, file
}

// url may name several servers, of which one must answer.
func TestAddress(t *testing.T) {
	b := startBroker(t, nil)
	b.mustPublish(0, 1)
	r := consumertest.Start(t, b.source(func(c *config.NATSJetStreamConsumer) { c.URL = "nats://127.0.0.1:1," + b.url() }), &apitest.Node{})
	r.Processed(t, 1)
}

func TestConfiguration(t *testing.T) {
	b := &broker{t: t}
	for _, tt := range []struct {
		want   string
		change func(*config.NATSJetStreamConsumer)
	}{
		{"url: ", func(c *config.NATSJetStreamConsumer) { c.URL = "" }},
		{"stream_name: ", func(c *config.NATSJetStreamConsumer) { c.StreamName = "" }},
		{"durable_consumer_name: ", func(c *config.NATSJetStreamConsumer) { c.DurableConsumerName = "" }},
		{"subjects: ", func(c *config.NATSJetStreamConsumer) { c.UseExistingConsumer, c.Subjects = true, []string{"a"} }},
		{"deliver_policy: ", func(c *config.NATSJetStreamConsumer) { c.DeliverPolicy = "last" }},
		{"max_ack_pending: ", func(c *config.NATSJetStreamConsumer) { c.MaxAckPending = 0 }},
	} {
		if _, err := natsjetstream.New(b.config(tt.change)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("New = %v; want %s", err, tt.want)
		}
	}
}

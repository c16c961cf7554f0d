package googlepubsub_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/googlepubsub"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"go.uber.org/goleak"
)

// The library has goroutines that never end: one for statistics, and one of each subscription.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		goleak.IgnoreTopFunction("cloud.google.com/go/pubsub/v2.(*messageIterator).streamKeepAliveHandler"))
}

const topic = "projects/p/topics/t"

// startServer starts the library's own server for tests, with a topic and subscriptions.
func startServer(t *testing.T, subscriptions ...string) *pstest.Server {
	t.Helper()
	server := pstest.NewServer()
	t.Cleanup(func() { _ = server.Close() })
	t.Setenv("PUBSUB_EMULATOR_HOST", server.Addr)
	ctx := context.Background()
	if _, err := server.GServer.CreateTopic(ctx, &pubsubpb.Topic{Name: topic}); err != nil {
		t.Fatal(err)
	}
	for _, name := range subscriptions {
		_, err := server.GServer.CreateSubscription(ctx, &pubsubpb.Subscription{
			Name: "projects/p/subscriptions/" + name, Topic: topic, AckDeadlineSeconds: 10, EnableMessageOrdering: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return server
}

func configuration(change func(*config.GooglePubSubConsumer)) googlepubsub.Options {
	c := config.GooglePubSubConsumer{
		ProjectID: "p", Subscriptions: []string{"a"}, MaxOutstandingMessages: 100, MaxOutstandingBytes: 1000000, MethodAttribute: "centrifugo-method",
	}
	if change != nil {
		change(&c)
	}
	return googlepubsub.Options{Config: c}
}

func source(t *testing.T, change func(*config.GooglePubSubConsumer)) *googlepubsub.Source {
	t.Helper()
	s, err := googlepubsub.New(configuration(change))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// acknowledged waits until a number of messages are.
func acknowledged(t *testing.T, server *pstest.Server, number int) {
	t.Helper()
	await.Until(t, "the messages to be acknowledged", func() bool {
		n := 0
		for _, m := range server.Messages() {
			n += m.Acks
		}
		return n >= number
	})
}

// Messages with the same ordering key are processed in order; all are acknowledged, those
// without effect too.
func TestSubscription(t *testing.T) {
	server := startServer(t, "a")
	var want []string
	for n := range 50 {
		server.PublishOrdered(topic, []byte(consumertest.Command(0, n)), nil, "key")
		want = append(want, fmt.Sprintf("publish p0 %d", n))
	}
	server.Publish(topic, []byte("no JSON"), nil)
	node := &apitest.Node{}
	r := consumertest.Start(t, source(t, nil), node)
	r.Processed(t, 51)
	acknowledged(t, server, 51)
	r.Stop()
	if got := node.Calls(); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	if n := r.Stats().Refused(consumer.Malformed); n != 1 {
		t.Errorf("malformed = %d; want 1", n)
	}
}

// Each of the subscriptions is read; one that does not exist is an error.
func TestSubscriptions(t *testing.T) {
	server := startServer(t, "a", "b")
	server.Publish(topic, []byte(consumertest.Command(0, 1)), nil)
	r := consumertest.Start(t, source(t, func(c *config.GooglePubSubConsumer) { c.Subscriptions = []string{"a", "b", "none"} }), &apitest.Node{})
	r.Processed(t, 2)
	await.Until(t, "an error", func() bool { return strings.Contains(r.Log.String(), "subscription none") })
	other := consumertest.Start(t, source(t, func(c *config.GooglePubSubConsumer) { c.ProjectID = "q" }), &apitest.Node{})
	await.Until(t, "an error", func() bool { return strings.Contains(other.Log.String(), "subscription a") })
}

func TestAttributes(t *testing.T) {
	server := startServer(t, "a")
	server.Publish(topic, []byte(consumertest.Request(0, 1)), map[string]string{"way": "publish"})
	node := &apitest.Node{}
	r := consumertest.Start(t, source(t, func(c *config.GooglePubSubConsumer) { c.MethodAttribute = "way" }), node)
	r.Processed(t, 1)
	acknowledged(t, server, 1)
	r.Stop()
	server.Publish(topic, []byte("\xff"), map[string]string{"centrifugo-channels": "a"})
	r = consumertest.Start(t, source(t, func(c *config.GooglePubSubConsumer) {
		c.PublicationDataMode = config.PublicationDataAttributes{Enabled: true, ChannelsAttribute: "centrifugo-channels"}
	}), node)
	r.Processed(t, 1)
	if got, want := node.Calls(), []string{"publish p0 1", "publish a \xff"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// A message that this server cannot process yet keeps those with the same ordering key waiting.
func TestRetry(t *testing.T) {
	server := startServer(t, "a")
	for n := range 3 {
		server.PublishOrdered(topic, []byte(consumertest.Command(0, n)), nil, "key")
	}
	node := &consumertest.Node{Before: consumertest.Failing(4)}
	r := consumertest.Start(t, source(t, nil), node)
	r.Processed(t, 3)
	if got, want := node.Calls(), consumertest.Published(0, 0, 3); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// max_outstanding_messages and max_outstanding_bytes bound what is in work at the same time.
func TestOutstanding(t *testing.T) {
	size := len(consumertest.Command(0, 0))
	for name, change := range map[string]func(*config.GooglePubSubConsumer){
		"messages": func(c *config.GooglePubSubConsumer) { c.MaxOutstandingMessages = 2 },
		"bytes":    func(c *config.GooglePubSubConsumer) { c.MaxOutstandingBytes = 2 * size },
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, "a")
			for n := range 6 {
				server.Publish(topic, []byte(consumertest.Command(0, n)), nil)
			}
			barrier := consumertest.NewBarrier("")
			node := &consumertest.Node{Before: barrier.Wait}
			r := consumertest.Start(t, source(t, change), node)
			await.Until(t, "two messages in work", func() bool { return node.InWork() == 2 })
			barrier.Open()
			r.Processed(t, 6)
			if got := node.Most(); got != 2 {
				t.Errorf("%d messages were in work at the same time; want 2", got)
			}
		})
	}
}

func TestConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want   string
		change func(*config.GooglePubSubConsumer)
	}{
		{"project_id: ", func(c *config.GooglePubSubConsumer) { c.ProjectID = "" }},
		{"subscriptions: ", func(c *config.GooglePubSubConsumer) { c.Subscriptions = nil }},
		{"max_outstanding_messages: ", func(c *config.GooglePubSubConsumer) { c.MaxOutstandingMessages = 0 }},
		{"max_outstanding_bytes: ", func(c *config.GooglePubSubConsumer) { c.MaxOutstandingBytes = 0 }},
		{"auth_mechanism: ", func(c *config.GooglePubSubConsumer) { c.AuthMechanism = "x" }},
		{"credentials_file: ", func(c *config.GooglePubSubConsumer) { c.AuthMechanism = "service_account" }},
	} {
		if _, err := googlepubsub.New(configuration(tt.change)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("New = %v; want %s", err, tt.want)
		}
	}
	// Without an emulator the file with credentials is read when the source starts.
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	r := consumertest.Start(t, source(t, func(c *config.GooglePubSubConsumer) {
		c.AuthMechanism, c.CredentialsFile = "service_account", file
	}), &apitest.Node{})
	await.Until(t, "an error", func() bool { return strings.Contains(r.Log.String(), "making a client") })
}

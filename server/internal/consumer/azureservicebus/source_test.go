package azureservicebus_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/azureservicebus"
	"centrifugo/server/internal/consumer/consumertest"

	sdk "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

const longLock = time.Minute

// One reader processes a queue in order; all messages are completed, those without effect too.
func TestQueue(t *testing.T) {
	s := start(t, longLock)
	for n := range 25 {
		s.send("a", message(consumertest.Command(0, n), nil))
	}
	s.send("a", message("no JSON", nil))
	node := &apitest.Node{}
	r := consumertest.Start(t, s.source(nil), node)
	r.Processed(t, 26)
	s.awaitCount("a", 0)
	r.Stop()
	if got, want := node.Calls(), consumertest.Published(0, 0, 25); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	if n := r.Stats().Refused(consumer.Malformed); n != 1 {
		t.Errorf("malformed = %d; want 1", n)
	}
}

// Each of the queues is read. A key that the service refuses is an error, and is not in the log.
func TestQueues(t *testing.T) {
	s := start(t, longLock)
	s.send("a", message(consumertest.Command(0, 1), nil))
	s.send("b", message(consumertest.Command(0, 1), nil))
	r := consumertest.Start(t, s.source(func(c *config.AzureServiceBusConsumer) { c.Queues = []string{"a", "b"} }), &apitest.Node{})
	r.Processed(t, 2)
	other := consumertest.Start(t, s.source(func(c *config.AzureServiceBusConsumer) { c.ConnectionString = s.ConnectionString("wrong-key") }), &apitest.Node{})
	await.Until(t, "an error", func() bool { return strings.Contains(other.Log.String(), "receiving from a") })
	other.Stop()
	if log := other.Log.String(); strings.Contains(log, "wrong-key") {
		t.Errorf("log = %s; want it without the key", log)
	}
}

func TestProperties(t *testing.T) {
	s := start(t, longLock)
	node := &apitest.Node{}
	s.send("a", message(consumertest.Request(0, 1), map[string]any{"way": "publish"}))
	r := consumertest.Start(t, s.source(func(c *config.AzureServiceBusConsumer) { c.MethodProperty = "way" }), node)
	r.Processed(t, 1)
	s.awaitCount("a", 0)
	r.Stop()
	s.send("a", message("\xff", map[string]any{"channels": "a", "delta": true, "version": int64(7), "tag-k": "v"}))
	r = consumertest.Start(t, s.source(func(c *config.AzureServiceBusConsumer) {
		c.PublicationDataMode = config.PublicationDataProperties{
			Enabled: true, ChannelsProperty: "channels", DeltaProperty: "delta", VersionProperty: "version", TagsPropertyPrefix: "tag-",
		}
	}), node)
	r.Processed(t, 1)
	if got, want := node.Calls(), []string{"publish p0 1", "publish a \xff tags=map[k:v] version=7/ delta"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// A body may be a value of AMQP instead of bytes, and have several sections.
func TestBodies(t *testing.T) {
	s := start(t, longLock)
	sender, err := s.client.NewSender("a", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close(t.Context()) }()
	command := consumertest.Command(0, 2)
	for _, body := range []sdk.AMQPAnnotatedMessageBody{
		{Value: consumertest.Command(0, 0)},
		{Value: []byte(consumertest.Command(0, 1))},
		{Data: [][]byte{[]byte(command)}},
	} {
		number++
		m := &sdk.AMQPAnnotatedMessage{Body: body, Properties: &sdk.AMQPAnnotatedMessageProperties{MessageID: fmt.Sprint(number)}}
		if err := sender.SendAMQPAnnotatedMessage(t.Context(), m, nil); err != nil {
			t.Fatal(err)
		}
	}
	node := &apitest.Node{}
	r := consumertest.Start(t, s.source(nil), node)
	r.Processed(t, 3)
	if got, want := node.Calls(), consumertest.Published(0, 0, 3); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// A message that this server cannot process yet keeps those behind it waiting.
func TestRetry(t *testing.T) {
	s := start(t, longLock)
	for n := range 3 {
		s.send("a", message(consumertest.Command(0, n), nil))
	}
	node := &consumertest.Node{Before: consumertest.Failing(4)}
	r := consumertest.Start(t, s.source(nil), node)
	r.Processed(t, 3)
	s.awaitCount("a", 0)
	if got, want := node.Calls(), consumertest.Published(0, 0, 3); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// Messages in work are not delivered again however long that takes, and when the server stops those
// that are not begun are given back at once. A session is another server's at once, too.
func TestLocks(t *testing.T) {
	for _, sessions := range []bool{false, true} {
		t.Run(fmt.Sprintf("sessions %v", sessions), func(t *testing.T) {
			const lock = 3 * time.Second
			s, queue := start(t, lock), "a"
			change := func(c *config.AzureServiceBusConsumer) { c.Queues, c.UseSessions = []string{queue}, sessions }
			session := "s"
			if sessions {
				queue = "sessions"
			}
			for n := range 3 {
				m := message(consumertest.Command(0, n), nil)
				m.SessionID = &session
				s.send(queue, m)
			}
			barrier := consumertest.NewBarrier("")
			node := &consumertest.Node{Before: barrier.Wait}
			r := consumertest.Start(t, s.source(change), node)
			defer barrier.Open()
			await.Until(t, "a message in work", func() bool { return node.InWork() == 1 })
			if sessions {
				s.expire(lock)
				if other := consumertest.Start(t, s.source(change), &apitest.Node{}); other.Stats().Processed.Load() > 0 {
					t.Error("another server has the session; want it locked")
				} else {
					other.Stop()
				}
			} else if got := func() int { s.expire(lock); return s.receive(queue) }(); got != 0 {
				t.Errorf("%d messages are delivered again; want none", got)
			}
			r.Interrupt()
			barrier.Open()
			r.Stop()
			s.awaitCount(queue, 2)
			again := &apitest.Node{}
			consumertest.Start(t, s.source(change), again).Processed(t, 2)
			if got, want := again.Calls(), consumertest.Published(0, 1, 3); !slices.Equal(got, want) {
				t.Errorf("calls after the stop = %q; want %q", got, want)
			}
		})
	}
}

// expire returns when a lock that is given now and not renewed has expired twice.
func (s *service) expire(lock time.Duration) {
	s.t.Helper()
	for range 2 {
		s.send("clock", message("x", nil))
		receiver, err := s.client.NewReceiverForQueue("clock", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		for range 2 {
			messages, err := receiver.ReceiveMessages(s.t.Context(), 1, nil)
			if err != nil || len(messages) != 1 {
				s.t.Fatalf("received %d messages, %v; want one", len(messages), err)
			}
			if messages[0].DeliveryCount > 1 {
				break
			}
		}
		_ = receiver.Close(s.t.Context())
	}
}

// Sessions are read one after another, or as many at once as max_concurrent_calls says, each in order.
func TestSessions(t *testing.T) {
	for _, calls := range []int{1, 3} {
		t.Run(fmt.Sprintf("max_concurrent_calls %d", calls), func(t *testing.T) {
			s := start(t, longLock)
			for n := range 10 {
				for session := range 3 {
					m, id := message(consumertest.Command(session, n), nil), fmt.Sprint(session)
					m.SessionID = &id
					s.send("sessions", m)
				}
			}
			barrier := consumertest.NewBarrier("0")
			node := &consumertest.Node{Before: barrier.Wait}
			r := consumertest.Start(t, s.source(func(c *config.AzureServiceBusConsumer) {
				c.Queues, c.UseSessions, c.MaxConcurrentCalls, c.MaxReceiveMessages = []string{"sessions"}, true, calls, 4
			}), node)
			defer barrier.Open()
			await.Until(t, "messages in work", func() bool { return node.InWork() == calls })
			barrier.Open()
			r.Processed(t, 30)
			s.awaitCount("sessions", 0)
			if got := node.Most(); got != calls {
				t.Errorf("%d messages were in work at the same time; want %d", got, calls)
			}
			for session := range 3 {
				var got []string
				for _, call := range node.Calls() {
					if strings.HasPrefix(call, "publish "+consumertest.Channel(session)+" ") {
						got = append(got, call)
					}
				}
				if want := consumertest.Published(session, 0, 10); !slices.Equal(got, want) {
					t.Errorf("session %d: calls = %q; want %q", session, got, want)
				}
			}
		})
	}
}

// max_concurrent_calls bounds what is in work of a queue, and max_receive_messages what a reader locks.
func TestConcurrency(t *testing.T) {
	s := start(t, longLock)
	for n := range 6 {
		s.send("a", message(consumertest.Command(0, n), nil))
	}
	barrier := consumertest.NewBarrier("")
	node := &consumertest.Node{Before: barrier.Wait}
	r := consumertest.Start(t, s.source(func(c *config.AzureServiceBusConsumer) { c.MaxConcurrentCalls, c.MaxReceiveMessages = 2, 1 }), node)
	defer barrier.Open()
	await.Until(t, "two messages in work", func() bool { return node.InWork() == 2 })
	if got := s.receive("a"); got != 4 {
		t.Errorf("%d messages are not locked; want 4", got)
	}
	barrier.Open()
	r.Processed(t, 2)
	if got := node.Most(); got != 2 {
		t.Errorf("%d messages were in work at the same time; want 2", got)
	}
}

func TestConfiguration(t *testing.T) {
	const connection = "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k"
	for _, tt := range []struct {
		want   string // the beginning of the error, or nothing
		change func(*config.AzureServiceBusConsumer)
	}{
		{"", nil},
		{"queues: ", func(c *config.AzureServiceBusConsumer) { c.Queues = nil }},
		{"max_concurrent_calls: ", func(c *config.AzureServiceBusConsumer) { c.MaxConcurrentCalls = 0 }},
		{"max_receive_messages: ", func(c *config.AzureServiceBusConsumer) { c.MaxReceiveMessages = 0 }},
		{"max_receive_messages: ", func(c *config.AzureServiceBusConsumer) { c.MaxReceiveMessages = 1001 }},
		{"connection_string: ", func(c *config.AzureServiceBusConsumer) { c.ConnectionString = "" }},
		{"connection_string: ", func(c *config.AzureServiceBusConsumer) { c.ConnectionString = "Endpoint=x" }},
		{"connection_string: ", func(c *config.AzureServiceBusConsumer) { c.UseAzureIdentity, c.FullyQualifiedNamespace = true, "x" }},
		{"fully_qualified_namespace: ", func(c *config.AzureServiceBusConsumer) { c.UseAzureIdentity, c.ConnectionString = true, "" }},
		{"tenant_id, client_id, client_secret: ", identity("tenant", "", "")},
		{"use_azure_identity: ", identity("ten/ant", "client", "secret")},
		{"", identity("tenant", "client", "secret")},
		{"", identity("", "", "")},
	} {
		_, err := azureservicebus.New(options(connection, tt.change))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("New = %v; want %q", err, tt.want)
		}
	}
}

// identity makes the configuration one with an identity.
func identity(tenant, client, secret string) func(*config.AzureServiceBusConsumer) {
	return func(c *config.AzureServiceBusConsumer) {
		c.ConnectionString, c.UseAzureIdentity, c.FullyQualifiedNamespace = "", true, "x.servicebus.windows.net"
		c.TenantID, c.ClientID, c.ClientSecret = tenant, client, secret
	}
}

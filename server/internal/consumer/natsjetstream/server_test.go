package natsjetstream_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/natsjetstream"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamName = "COMMANDS"
	durable    = "centrifugo"
)

// broker is a NATS server, which keeps its streams when it is stopped.
type broker struct {
	t       testing.TB
	options server.Options
	server  *server.Server
	login   []nats.Option
}

func startBroker(t testing.TB, change func(*server.Options), login ...nats.Option) *broker {
	t.Helper()
	b := &broker{t: t, login: login, options: server.Options{
		Host: "127.0.0.1", Port: testprocess.FreePort(t), JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, SyncAlways: true,
	}}
	if change != nil {
		change(&b.options)
	}
	b.start()
	t.Cleanup(b.stop)
	err := b.with(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: streamName, Subjects: []string{"commands.>"}, Duplicates: time.Hour})
		return err
	})
	if err != nil {
		t.Fatalf("creating a stream: %v", err)
	}
	return b
}

func (b *broker) start() {
	b.t.Helper()
	o := b.options
	s, err := server.NewServer(&o)
	if err != nil {
		b.t.Fatalf("making a server: %v", err)
	}
	b.server = s
	s.Start()
	if !s.ReadyForConnections(await.Limit) {
		b.t.Fatal("the server does not start; want it ready")
	}
}

func (b *broker) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (b *broker) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", b.options.Port) }

// with calls do with a connection.
func (b *broker) with(do func(ctx context.Context, js jetstream.JetStream) error) error {
	conn, err := nats.Connect(b.url(), b.login...)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return do(ctx, js)
}

// publish adds commands with the numbers from <= n < to. One that is there already is not added
// again.
func (b *broker) publish(partition, from, to int) error {
	return b.with(func(ctx context.Context, js jetstream.JetStream) error {
		for n := from; n < to; n++ {
			// The answer does not come if the server is stopped meanwhile.
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			_, err := js.Publish(ctx, "commands.a", []byte(consumertest.Command(partition, n)), jetstream.WithMsgID(fmt.Sprint(partition, " ", n)))
			cancel()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *broker) mustPublish(from, to int) {
	b.t.Helper()
	if err := b.publish(0, from, to); err != nil {
		b.t.Fatalf("publishing: %v", err)
	}
}

func (b *broker) send(messages ...*nats.Msg) {
	b.t.Helper()
	err := b.with(func(ctx context.Context, js jetstream.JetStream) error {
		for _, m := range messages {
			if _, err := js.PublishMsg(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatalf("publishing: %v", err)
	}
}

// info returns the state of the durable consumer.
func (b *broker) info() (info *jetstream.ConsumerInfo, err error) {
	err = b.with(func(ctx context.Context, js jetstream.JetStream) error {
		c, err := js.Consumer(ctx, streamName, durable)
		if err == nil {
			info = c.CachedInfo()
		}
		return err
	})
	return info, err
}

func (b *broker) waiting() (int, error) {
	info, err := b.info()
	if err != nil {
		return 0, err
	}
	return int(info.NumPending) + info.NumAckPending, nil
}

func (b *broker) config(change func(*config.NATSJetStreamConsumer)) natsjetstream.Options {
	c := config.NATSJetStreamConsumer{
		URL: b.url(), StreamName: streamName, DurableConsumerName: durable, DeliverPolicy: "all", MaxAckPending: 100, MethodHeader: "centrifugo-method",
	}
	if change != nil {
		change(&c)
	}
	return natsjetstream.Options{Config: c}
}

func (b *broker) source(change func(*config.NATSJetStreamConsumer)) *natsjetstream.Source {
	b.t.Helper()
	s, err := natsjetstream.New(b.config(change))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

package kafka_test

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/kafka"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic = "commands"
	group = "centrifugo"
)

// broker is a Kafka cluster of one broker, which keeps its records when it is stopped.
type broker struct {
	t       testing.TB
	options []kfake.Opt
	cluster *kfake.Cluster
	address string
}

func startBroker(t testing.TB, partitions int32, options ...kfake.Opt) *broker {
	t.Helper()
	port := testprocess.FreePort(t)
	b := &broker{t: t, address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), options: append([]kfake.Opt{kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(t.TempDir()), kfake.SyncWrites(), kfake.SeedTopics(partitions, topic, "other")}, options...)}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.t.Helper()
	cluster, err := kfake.NewCluster(b.options...)
	if err != nil {
		b.t.Fatalf("starting a broker: %v", err)
	}
	b.cluster = cluster
}

func (b *broker) stop() { b.cluster.Close() }

// with calls do with a client.
func (b *broker) with(do func(ctx context.Context, client *kgo.Client) error, options ...kgo.Opt) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.address), kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)...)
	if err != nil {
		return err
	}
	defer client.Close()
	return do(ctx, client)
}

// produce writes records, in order, and waits until the broker has them.
func (b *broker) produce(records ...*kgo.Record) error {
	return b.with(func(ctx context.Context, client *kgo.Client) error {
		return client.ProduceSync(ctx, records...).FirstErr()
	})
}

func (b *broker) mustProduce(records ...*kgo.Record) {
	b.t.Helper()
	if err := b.produce(records...); err != nil {
		b.t.Fatalf("producing: %v", err)
	}
}

// commands are records with the numbers from <= n < to.
func commands(partition, from, to int) (records []*kgo.Record) {
	for n := from; n < to; n++ {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(partition), Value: []byte(consumertest.Command(partition, n))})
	}
	return records
}

// committed returns the offset that the group has committed in partition 0.
func (b *broker) committed() (offset int64) {
	b.t.Helper()
	err := b.with(func(ctx context.Context, client *kgo.Client) error {
		offsets, err := kadm.NewClient(client).FetchOffsets(ctx, group)
		if o, ok := offsets.Lookup(topic, 0); ok {
			offset = o.At
		}
		return err
	})
	if err != nil {
		b.t.Fatalf("reading offsets: %v", err)
	}
	return offset
}

// waiting returns how many records the group has not committed.
func (b *broker) waiting() (records int, err error) {
	err = b.with(func(ctx context.Context, client *kgo.Client) error {
		admin := kadm.NewClient(client)
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		ends.Each(func(end kadm.ListedOffset) {
			records += int(end.Offset)
			if o, ok := offsets.Lookup(topic, end.Partition); ok {
				records -= int(o.At)
			}
		})
		return nil
	})
	return records, err
}

func (b *broker) config(change func(*config.KafkaConsumer)) kafka.Options {
	c := config.KafkaConsumer{
		Brokers: []string{b.address}, Topics: []string{topic}, ConsumerGroup: group, MaxPollRecords: 100, FetchMaxWait: 500 * time.Millisecond,
		PartitionQueueMaxSize: 1000, DialTimeout: 3 * time.Second, MethodHeader: "centrifugo-method",
	}
	if change != nil {
		change(&c)
	}
	return kafka.Options{Config: c}
}

func (b *broker) source(change func(*config.KafkaConsumer)) *kafka.Source {
	b.t.Helper()
	s, err := kafka.New(b.config(change))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

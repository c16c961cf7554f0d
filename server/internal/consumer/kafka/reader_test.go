package kafka

import (
	"testing"
	"time"

	"centrifugo/server/internal/config"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Beyond partition_queue_max_size nothing more is fetched for a partition, until half of the
// queue is processed.
func TestQueueIsBounded(t *testing.T) {
	client, err := kgo.NewClient(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c := config.KafkaConsumer{PartitionQueueMaxSize: 10, MaxPollRecords: 3}
	r := &reader{place: place{"t", 7}, client: client, limit: c.PartitionQueueMaxSize, batch: c.MaxPollRecords, added: make(chan struct{}, 1)}
	paused := func() bool { return len(client.PauseFetchPartitions(nil)["t"]) > 0 }
	records := func(n int) (records []*kgo.Record) {
		for range n {
			records = append(records, &kgo.Record{Topic: "t", Partition: 7})
		}
		return records
	}
	for i, step := range []struct {
		add, take int
		want      bool
	}{{9, 0, false}, {1, 0, true}, {3, 0, true}, {0, 3, true}, {0, 3, true}, {0, 3, false}, {5, 0, false}, {1, 0, true}} {
		if step.add > 0 {
			r.add(records(step.add), 100)
		}
		if step.take > 0 {
			if n := len(r.take()); n != step.take {
				t.Errorf("step %d: took %d; want %d", i, n, step.take)
			}
		}
		if got := paused(); got != step.want {
			t.Errorf("step %d: paused = %v; want %v, with %d records", i, got, step.want, len(r.queue))
		}
	}
}

// Settings that a broker cannot tell reach the client.
func TestClientSettings(t *testing.T) {
	s, err := New(Options{Config: config.KafkaConsumer{
		Brokers: []string{"b:1"}, Topics: []string{"t"}, ConsumerGroup: "g", MaxPollRecords: 1, PartitionQueueMaxSize: 1, // TestQueueIsBounded
		FetchMaxWait: time.Second, DialTimeout: 7 * time.Second, InstanceID: "i",
	}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(s.options...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got := client.OptValue(kgo.DialTimeout); got != 7*time.Second {
		t.Errorf("dial_timeout = %v; want 7s", got)
	}
	if got, ok := client.OptValue(kgo.InstanceID).(string); !ok || got != "i" {
		t.Errorf("instance_id = %v; want i", client.OptValue(kgo.InstanceID))
	}
}

package kafka_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/kafka"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Records of the topics are processed in order, those from before the first start included, and
// committed for the group.
func TestTopics(t *testing.T) {
	b := startBroker(t, 1)
	b.mustProduce(commands(0, 0, 50)...)
	b.mustProduce(&kgo.Record{Topic: topic, Value: []byte("no JSON")}, &kgo.Record{Topic: "other", Value: []byte(consumertest.Command(9, 9))})
	b.mustProduce(commands(0, 50, 60)...)
	node := &apitest.Node{}
	r := consumertest.Start(t, b.source(nil), node)
	r.Processed(t, 61)
	b.mustProduce(commands(0, 60, 70)...)
	r.Processed(t, 71)
	r.Stop()
	if got, want := node.Calls(), consumertest.Published(0, 0, 70); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	if got := b.committed(); got != 71 || r.Stats().Refused(consumer.Malformed) != 1 {
		t.Errorf("committed %d, malformed %d; want 71, 1", got, r.Stats().Refused(consumer.Malformed))
	}
	again := consumertest.Start(t, b.source(func(c *config.KafkaConsumer) { c.Topics = []string{topic, "other"} }), node)
	again.Processed(t, 1)
	again.Stop()
	if got := node.Calls(); got[len(got)-1] != "publish p9 9" || len(got) != 71 {
		t.Errorf("calls = %q; want one more, of the other topic", got)
	}
	fresh := consumertest.Start(t, b.source(func(c *config.KafkaConsumer) { c.ConsumerGroup = "another" }), &apitest.Node{})
	fresh.Processed(t, 71)
}

// The method may be in a header, and the whole publication in headers.
func TestHeaders(t *testing.T) {
	header := func(pairs ...string) (headers []kgo.RecordHeader) {
		for i := 0; i < len(pairs); i += 2 {
			headers = append(headers, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
		return headers
	}
	b := startBroker(t, 1)
	b.mustProduce(&kgo.Record{Topic: topic, Value: []byte(consumertest.Request(0, 1)), Headers: header("way", "publish")})
	node := &apitest.Node{}
	r := consumertest.Start(t, b.source(func(c *config.KafkaConsumer) { c.MethodHeader = "way" }), node)
	r.Processed(t, 1)
	r.Stop()
	b.mustProduce(&kgo.Record{Topic: topic, Value: []byte("\x00\xff"), Headers: header("centrifugo-channels", "a", "centrifugo-tag-x", "y")})
	r = consumertest.Start(t, b.source(func(c *config.KafkaConsumer) {
		c.PublicationDataMode = config.PublicationDataHeaders{Enabled: true, ChannelsHeader: "centrifugo-channels", TagsHeaderPrefix: "centrifugo-tag-"}
	}), node)
	r.Processed(t, 1)
	r.Stop()
	if got, want := node.Calls(), []string{"publish p0 1", "publish a \x00\xff tags=map[x:y]"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// max_poll_records is how many records are committed together.
func TestMaxPollRecords(t *testing.T) {
	b := startBroker(t, 1)
	b.mustProduce(commands(0, 0, 10)...)
	barrier := consumertest.NewBarrier("4")
	node := &consumertest.Node{Before: barrier.Wait}
	r := consumertest.Start(t, b.source(func(c *config.KafkaConsumer) { c.MaxPollRecords = 3 }), node)
	<-barrier.Reached
	if got := b.committed(); got != 3 {
		t.Errorf("committed %d while the fifth record is processed; want 3", got)
	}
	barrier.Open()
	r.Processed(t, 10)
	r.Stop()
	if got := b.committed(); got != 10 {
		t.Errorf("committed %d after the stop; want 10", got)
	}
}

// The settings of fetches reach the broker.
func TestFetches(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*config.KafkaConsumer)
		want   [3]int // bytes, milliseconds, isolation
	}{
		{"defaults", nil, [3]int{50 << 20, 500, 1}},
		{"fetch_max_bytes", func(c *config.KafkaConsumer) { c.FetchMaxBytes = 70000 }, [3]int{70000, 500, 1}},
		{"fetch_max_wait", func(c *config.KafkaConsumer) { c.FetchMaxWait = 300 * time.Millisecond }, [3]int{50 << 20, 300, 1}},
		{"fetch_read_uncommitted", func(c *config.KafkaConsumer) { c.FetchReadUncommitted = true }, [3]int{50 << 20, 500, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := startBroker(t, 1)
			fetches := make(chan [3]int, 1)
			b.cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
				b.cluster.KeepControl()
				if f, ok := request.(*kmsg.FetchRequest); ok {
					select {
					case fetches <- [3]int{int(f.MaxBytes), int(f.MaxWaitMillis), int(f.IsolationLevel)}:
					default:
					}
				}
				return nil, nil, false
			})
			consumertest.Start(t, b.source(tt.change), &apitest.Node{})
			if got := await.Receive(t, fetches, "a fetch"); got != tt.want {
				t.Errorf("bytes, milliseconds, isolation of a fetch = %v; want %v", got, tt.want)
			}
		})
	}
}

func TestSASL(t *testing.T) {
	b := startBroker(t, 1, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p1"), kfake.Superuser("SCRAM-SHA-256", "u", "p2"), kfake.Superuser("SCRAM-SHA-512", "u", "p3"))
	for _, tt := range []struct {
		mechanism, user, password string
		works                     bool
	}{
		{"plain", "u", "p1", true},
		{"plain", "v", "p1", false},
		{"scram-sha-256", "u", "p2", true},
		{"scram-sha-512", "u", "p3", true},
		{"scram-sha-512", "u", "p2", false},
	} {
		t.Run(tt.mechanism+tt.user+tt.password, func(t *testing.T) {
			node := &apitest.Node{}
			r := consumertest.Start(t, b.source(func(c *config.KafkaConsumer) {
				c.SASLMechanism, c.SASLUser, c.SASLPassword, c.ConsumerGroup = tt.mechanism, tt.user, tt.password, "g"+tt.mechanism
			}), node)
			if !tt.works {
				await.Until(t, "an error", func() bool { return strings.Contains(r.Log.String(), "consumer failed") })
				if text := r.Log.String(); strings.Contains(text, tt.password) {
					t.Errorf("log = %s; want no password", text)
				}
				return
			}
			await.Until(t, "the group to have a member", func() bool {
				info := b.cluster.GroupInfo("g" + tt.mechanism)
				return info != nil && len(info.Members) == 1
			})
		})
	}
}

func TestConfiguration(t *testing.T) {
	b := &broker{t: t, address: "127.0.0.1:1"}
	for _, tt := range []struct {
		want   string
		change func(*config.KafkaConsumer)
	}{
		{"brokers: ", func(c *config.KafkaConsumer) { c.Brokers = nil }},
		{"topics: ", func(c *config.KafkaConsumer) { c.Topics = nil }},
		{"consumer_group: ", func(c *config.KafkaConsumer) { c.ConsumerGroup = "" }},
		{"max_poll_records: ", func(c *config.KafkaConsumer) { c.MaxPollRecords = 0 }},
		{"fetch_max_bytes: ", func(c *config.KafkaConsumer) { c.FetchMaxBytes = 101 << 20 }},
		{"fetch_max_wait: ", func(c *config.KafkaConsumer) { c.FetchMaxWait = 0 }},
		{"partition_queue_max_size: ", func(c *config.KafkaConsumer) { c.PartitionQueueMaxSize = 0 }},
		{"dial_timeout: ", func(c *config.KafkaConsumer) { c.DialTimeout = 0 }},
		{"sasl_mechanism: ", func(c *config.KafkaConsumer) { c.SASLMechanism = "gssapi" }},
		{"sasl_user and sasl_password: ", func(c *config.KafkaConsumer) { c.SASLMechanism = "plain" }},
	} {
		if _, err := kafka.New(b.config(tt.change)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("New = %v; want %s", err, tt.want)
		}
	}
}

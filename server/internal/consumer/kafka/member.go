package kafka

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"

	"github.com/twmb/franz-go/pkg/kgo"
)

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// member is this node's membership in a group. The client calls its callbacks one at a time,
// and not while poll holds records.
type member struct {
	// Static after construction.
	config    config.KafkaConsumer
	processor *consumer.Processor
	client    *kgo.Client
	fail      context.CancelCauseFunc // ends Run

	// Guarded by mu.
	mu      sync.Mutex
	readers map[place]*reader
}

// poll gets records and queues them for their readers. Afterwards the group may
// change.
func (m *member) poll(ctx context.Context) {
	fetches := m.client.PollRecords(ctx, m.config.MaxPollRecords)
	defer m.client.AllowRebalance()
	if fetches.IsClientClosed() {
		m.fail(errors.New("the client was closed"))
		return
	}
	fetches.EachError(func(topic string, partition int32, err error) {
		if ctx.Err() == nil {
			m.processor.Failed("kafka: fetching failed", "topic", topic, "partition", partition, "error", err)
		}
	})
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		m.mu.Lock()
		r := m.readers[place{f.Topic, f.Partition}]
		m.mu.Unlock()
		if r != nil && len(f.Records) > 0 {
			r.add(f.Records, f.HighWatermark)
		}
	})
}

// assigned begins to read partitions.
func (m *member) assigned(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for topic, numbers := range partitions {
		for _, number := range numbers {
			at := place{topic, number}
			ctx, cancel := context.WithCancel(context.Background())
			r := &reader{
				place: at, client: client, processor: m.processor, batch: m.config.MaxPollRecords, limit: m.config.PartitionQueueMaxSize,
				added: make(chan struct{}, 1), stop: cancel, done: make(chan struct{}),
			}
			m.readers[at] = r
			go func() {
				defer close(r.done)
				if err := m.processor.Guard(ctx, r.run); err != nil {
					m.fail(err)
				}
			}()
		}
	}
}

// revoked stops reading partitions. Before another node gets them, the record in work is
// finished and what was processed is committed.
func (m *member) revoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	var stopped []*reader
	m.mu.Lock()
	for topic, numbers := range partitions {
		for _, number := range numbers {
			if r := m.readers[place{topic, number}]; r != nil {
				delete(m.readers, r.place)
				stopped = append(stopped, r)
				r.stop()
			}
		}
	}
	m.mu.Unlock()
	for _, r := range stopped {
		<-r.done
	}
}

// lost stops reading partitions that another node may have already. Commits fail.
func (m *member) lost(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
	for topic, numbers := range partitions {
		m.processor.Warn("kafka: partitions lost, records may be delivered again", "topic", topic, "partitions", numbers)
	}
	m.revoked(ctx, client, partitions)
}

// lag returns how many records of this node's partitions are not processed.
func (m *member) lag() (records int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.readers {
		records += r.lag()
	}
	return records
}

// reader processes the records of one partition in order.
type reader struct {
	// Static after construction.
	place
	client    *kgo.Client
	processor *consumer.Processor
	batch     int           // records that are committed together
	limit     int           // records that wait
	added     chan struct{} // from add, never closed
	stop      context.CancelFunc
	done      chan struct{} // closed when run has returned

	// Guarded by mu.
	mu     sync.Mutex
	queue  []*kgo.Record
	paused bool  // fetching
	end    int64 // offset behind the last record of the partition
	next   int64 // offset behind the last processed record
}

// add queues records. Beyond the limit no more are fetched for the partition.
func (r *reader) add(records []*kgo.Record, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue, records...)
	r.end = end
	if r.next == 0 {
		r.next = records[0].Offset
	}
	if len(r.queue) >= r.limit && !r.paused {
		r.paused = true
		r.client.PauseFetchPartitions(map[string][]int32{r.topic: {r.partition}})
	}
	select {
	case r.added <- struct{}{}:
	default:
	}
}

// take removes the first records from the queue.
func (r *reader) take() []*kgo.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.queue), r.batch)
	records := r.queue[:n:n]
	if r.queue = r.queue[n:]; len(r.queue) == 0 {
		r.queue = nil
	}
	if r.paused && len(r.queue) <= r.limit/2 {
		r.resumeLocked()
	}
	return records
}

func (r *reader) resumeLocked() {
	r.paused = false
	r.client.ResumeFetchPartitions(map[string][]int32{r.topic: {r.partition}})
}

func (r *reader) lag() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.end-r.next, 0)
}

// run processes records until ctx is done.
func (r *reader) run(ctx context.Context) error {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.paused { // the client would not fetch the partition when this node gets it again
			r.resumeLocked()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.added:
		}
		for ctx.Err() == nil {
			records := r.take()
			if len(records) == 0 {
				break
			}
			r.process(ctx, records)
		}
	}
}

// process processes records and commits those that are processed when ctx is done.
func (r *reader) process(ctx context.Context, records []*kgo.Record) {
	var last *kgo.Record
	for _, record := range records {
		if ctx.Err() != nil || r.processor.Process(ctx, message(record)) != nil {
			break
		}
		last = record
	}
	if last == nil {
		return
	}
	finishing, cancel := consumer.Finishing(ctx)
	defer cancel()
	if err := r.client.CommitRecords(finishing, last); err != nil {
		r.processor.Failed("kafka: committing failed, records may be delivered again", "topic", r.topic, "partition", r.partition, "offset", last.Offset, "error", err)
	}
	r.mu.Lock()
	r.next = last.Offset + 1
	r.mu.Unlock()
}

func message(record *kgo.Record) consumer.Message {
	m := consumer.Message{
		ID:   record.Topic + " partition " + strconv.Itoa(int(record.Partition)) + " offset " + strconv.FormatInt(record.Offset, 10),
		Body: record.Value,
	}
	for _, h := range record.Headers {
		m.Attributes = append(m.Attributes, consumer.Attribute{Name: h.Key, Value: string(h.Value)})
	}
	return m
}

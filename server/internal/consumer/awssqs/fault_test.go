package awssqs

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Message groups of a FIFO queue are in order whatever happens, also with two nodes. What a
// killed node has received comes again after the visibility timeout.
func TestFaults(t *testing.T) {
	consumertest.Faults(t, func(t *testing.T) consumertest.Subject {
		s := start(t)
		queue := s.queue("a.fifo")
		return consumertest.Subject{
			Config: func(string) any {
				return s.configuration(func(c *config.AWSSQSConsumer) { c.Queues, c.VisibilityTimeout = []string{queue}, 5*time.Second })
			},
			Partitions: 3, Batch: maxMessages,
			Send:  func(partition, from, to int) error { return s.sendAll(queue, partition, from, to) },
			Stop:  func() { s.server.Stop(t) },
			Start: func() { s.server.Restart(t) },
			Waiting: func() (int, error) {
				visible, hidden, err := s.counts(queue)
				return visible + hidden, err
			},
		}
	})
}

// sendAll sends the commands with the numbers from <= n < to. The queue, which is a FIFO one, does
// not take one twice.
func (s *service) sendAll(queue string, partition, from, to int) error {
	var entries []types.SendMessageBatchRequestEntry
	for n := from; n < to; n++ {
		entries = append(entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(n)), MessageBody: aws.String(consumertest.Command(partition, n)),
			MessageGroupId: aws.String(consumertest.Channel(partition)), MessageDeduplicationId: aws.String(fmt.Sprintf("%d-%d", partition, n)),
		})
	}
	for part := range slices.Chunk(entries, maxMessages) {
		result, err := s.client.SendMessageBatch(s.t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &queue, Entries: part})
		if err != nil {
			return err
		}
		if n := len(result.Failed); n > 0 {
			return fmt.Errorf("%d messages were not taken: %s", n, aws.ToString(result.Failed[0].Message))
		}
	}
	return nil
}

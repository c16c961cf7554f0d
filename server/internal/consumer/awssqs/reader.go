package awssqs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// callTime bounds a call, beside the time for which one may wait for messages.
const callTime = 30 * time.Second

// reader reads one queue. It is safe for concurrent use.
type reader struct {
	// Static after construction.
	config    config.AWSSQSConsumer
	queue     string // its URL
	name      string
	client    *sqs.Client
	processor *consumer.Processor
}

// run receives and processes messages until ctx is done.
func (r *reader) run(ctx context.Context) error {
	for ctx.Err() == nil {
		messages, err := r.receive(ctx)
		if err != nil {
			return err
		}
		if err := r.process(ctx, messages); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) receive(ctx context.Context) ([]types.Message, error) {
	limited, cancel := context.WithTimeout(ctx, r.config.WaitTimeTime+callTime)
	defer cancel()
	received, err := r.client.ReceiveMessage(limited, &sqs.ReceiveMessageInput{
		QueueUrl:                    &r.queue,
		MaxNumberOfMessages:         int32(r.config.MaxNumberOfMessages),         //nolint:gosec // at most 10
		WaitTimeSeconds:             int32(r.config.WaitTimeTime.Seconds()),      //nolint:gosec // at most 20
		VisibilityTimeout:           int32(r.config.VisibilityTimeout.Seconds()), //nolint:gosec // at most 43200
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameMessageGroupId},
	})
	if err != nil {
		return nil, fmt.Errorf("receiving from %s: %w", r.name, err)
	}
	return received.Messages, nil
}

// batch are the messages that were received together and are not finished yet. The service
// must not deliver them again meanwhile.
type batch struct {
	mu       sync.Mutex
	messages map[string]types.Message // by receipt
}

func (b *batch) remove(m types.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.messages, aws.ToString(m.ReceiptHandle))
}

// entries returns the requests to set the visibility timeout of the messages.
func (b *batch) entries(seconds int32) []types.ChangeMessageVisibilityBatchRequestEntry {
	b.mu.Lock()
	defer b.mu.Unlock()
	var entries []types.ChangeMessageVisibilityBatchRequestEntry
	for receipt := range b.messages {
		entries = append(entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(len(entries))), ReceiptHandle: aws.String(receipt), VisibilityTimeout: seconds,
		})
	}
	return entries
}

// process processes messages one after another. A message that this server cannot process now is
// delivered again after its visibility timeout; those behind it in its group, in a queue with an
// order, are given back.
func (r *reader) process(ctx context.Context, messages []types.Message) error {
	if len(messages) == 0 {
		return nil
	}
	b := &batch{messages: make(map[string]types.Message, len(messages))}
	for _, m := range messages {
		b.messages[aws.ToString(m.ReceiptHandle)] = m
	}
	finishing, cancel := consumer.Finishing(ctx)
	defer cancel()
	extend := func(ctx context.Context) error {
		return r.setVisibility(ctx, b, int32(r.config.VisibilityTimeout.Seconds())) //nolint:gosec // at most 43200
	}
	err := r.processor.While(ctx, r.config.VisibilityTimeout/3, "extending the visibility timeout failed", extend, func() error {
		return r.processAll(ctx, finishing, b, messages)
	})
	if back := r.setVisibility(finishing, b, 0); back != nil {
		r.processor.Warn("giving messages back failed, they come later", "queue", r.name, "error", back)
	}
	return err
}

func (r *reader) processAll(ctx, finishing context.Context, b *batch, messages []types.Message) error {
	held := map[string]bool{} // groups of which a message waits
	for _, m := range messages {
		group := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
		if ctx.Err() != nil {
			return nil
		}
		if group != "" && held[group] {
			continue
		}
		if r.processor.Process(ctx, r.decode(m)) != nil {
			held[group] = true
			if ctx.Err() == nil {
				b.remove(m) // it waits for its timeout
			}
			continue
		}
		b.remove(m)
		limited, cancel := context.WithTimeout(finishing, callTime)
		_, err := r.client.DeleteMessage(limited, &sqs.DeleteMessageInput{QueueUrl: &r.queue, ReceiptHandle: m.ReceiptHandle})
		cancel()
		if err != nil {
			return fmt.Errorf("deleting a message of %s: %w", r.name, err)
		}
	}
	return nil
}

// setVisibility says how long the messages that are not finished stay invisible for others.
func (r *reader) setVisibility(ctx context.Context, b *batch, seconds int32) error {
	entries := b.entries(seconds)
	if len(entries) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	result, err := r.client.ChangeMessageVisibilityBatch(limited, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &r.queue, Entries: entries})
	if err != nil {
		return fmt.Errorf("changing the visibility: %w", err)
	}
	if n := len(result.Failed); n > 0 {
		return fmt.Errorf("changing the visibility of %d messages: %s", n, aws.ToString(result.Failed[0].Message))
	}
	return nil
}

// decode makes a message of one of the queue, or of the envelope of SNS in it.
func (r *reader) decode(m types.Message) consumer.Message {
	decoded := consumer.Message{ID: r.name + " " + aws.ToString(m.MessageId), Body: []byte(aws.ToString(m.Body))}
	if r.config.SNSEnvelope {
		body, attributes, err := openEnvelope(decoded.Body)
		if err != nil {
			r.processor.Warn("the body is no envelope of SNS", "message", decoded.ID, "error", err)
		}
		decoded.Body, decoded.Attributes = body, attributes
		return decoded
	}
	for name, value := range m.MessageAttributes {
		text := aws.ToString(value.StringValue)
		if value.BinaryValue != nil {
			text = string(value.BinaryValue)
		}
		decoded.Attributes = append(decoded.Attributes, consumer.Attribute{Name: name, Value: text})
	}
	return decoded
}

// openEnvelope returns the body and the attributes of a notification of SNS.
func openEnvelope(envelope []byte) (body []byte, attributes []consumer.Attribute, err error) {
	var notification struct {
		Message           *string
		MessageAttributes map[string]struct{ Type, Value string }
	}
	if err := json.Unmarshal(envelope, &notification); err != nil {
		return nil, nil, fmt.Errorf("decoding: %w", err)
	}
	if notification.Message == nil {
		return nil, nil, errors.New("it has no field Message")
	}
	for name, a := range notification.MessageAttributes {
		value := a.Value
		if a.Type == "Binary" {
			bytes, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, nil, fmt.Errorf("attribute %s: %w", name, err)
			}
			value = string(bytes)
		}
		attributes = append(attributes, consumer.Attribute{Name: name, Value: value})
	}
	return []byte(*notification.Message), attributes, nil
}

// countInterval is the time between counts of the waiting messages.
const countInterval = 10 * time.Second

// count tells how many messages wait in all queues.
func count(ctx context.Context, client *sqs.Client, queues []string, p *consumer.Processor) error {
	var sum int64
	for _, queue := range queues {
		result, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages},
		})
		if err != nil {
			return fmt.Errorf("attributes of %s: %w", nameOf(queue), err)
		}
		n, err := strconv.ParseInt(result.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessages)], 10, 64)
		if err != nil {
			return fmt.Errorf("number of messages of %s: %w", nameOf(queue), err)
		}
		sum += n
	}
	p.Stats().SetLag(sum)
	return nil
}

package azureservicebus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

const (
	// callTime bounds a call that does not wait for messages. After a lost connection the library
	// repeats a settlement only seconds later, and in vain: the message comes again.
	callTime = 5 * time.Second
	// acceptTime is how long one waits for a session with messages.
	acceptTime = 30 * time.Second
	// sessionIdle is how long a session may have no message before another one is read.
	sessionIdle = time.Second
	// sessionTime is how long a session is read that always has messages.
	sessionTime = time.Minute
	// minRenewal is the shortest interval in which locks are renewed.
	minRenewal = time.Second
)

// reader reads one queue. It is safe for concurrent use.
type reader struct {
	// Static after construction.
	config    config.AzureServiceBusConsumer
	queue     string
	client    *azservicebus.Client
	processor *consumer.Processor
}

// receiver receives the messages of a queue, or of a session.
type receiver interface {
	ReceiveMessages(ctx context.Context, most int, o *azservicebus.ReceiveMessagesOptions) ([]*azservicebus.ReceivedMessage, error)
	CompleteMessage(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.CompleteMessageOptions) error
	AbandonMessage(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.AbandonMessageOptions) error
}

// readQueue receives and processes messages until ctx is done.
func (r *reader) readQueue(ctx context.Context) error {
	from, err := r.client.NewReceiverForQueue(r.queue, nil)
	if err != nil {
		return fmt.Errorf("queue %s: %w", r.queue, err)
	}
	defer closeAfter(ctx, from)
	for ctx.Err() == nil {
		messages, err := from.ReceiveMessages(ctx, r.config.MaxReceiveMessages, nil)
		if err != nil {
			return fmt.Errorf("receiving from %s: %w", r.queue, err)
		}
		b := &batch{messages: messages}
		err = r.process(ctx, from, b, func(ctx context.Context) error {
			for _, m := range b.rest() {
				if err := from.RenewMessageLock(ctx, m, nil); err != nil {
					return err //nolint:wrapcheck // logged with what failed
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readSessions reads one session after another until ctx is done.
func (r *reader) readSessions(ctx context.Context) error {
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, acceptTime)
		from, err := r.client.AcceptNextSessionForQueue(limited, r.queue, nil)
		none := limited.Err() != nil || isTimeout(err)
		cancel()
		switch {
		case err == nil:
			if err := r.readSession(ctx, from); err != nil {
				return err
			}
		case !none:
			return fmt.Errorf("accepting a session of %s: %w", r.queue, err)
		}
	}
	return nil
}

// isTimeout reports that no session has had messages.
func isTimeout(err error) bool {
	var e *azservicebus.Error
	return errors.As(err, &e) && e.Code == azservicebus.CodeTimeout
}

// readSession reads a session until it has no more messages, others are due, or ctx is done. It
// receives one message at a time: the library gives back what arrives after it has returned fewer
// messages than were asked for, and they would come again behind later ones.
func (r *reader) readSession(ctx context.Context, from *azservicebus.SessionReceiver) error {
	defer closeAfter(ctx, from)
	until := time.Now().Add(sessionTime)
	for ctx.Err() == nil && time.Now().Before(until) {
		limited, cancel := context.WithTimeout(ctx, sessionIdle)
		messages, err := from.ReceiveMessages(limited, 1, nil)
		idle := limited.Err() != nil
		cancel()
		if len(messages) == 0 {
			if err != nil && !idle {
				return fmt.Errorf("receiving from session %s of %s: %w", from.SessionID(), r.queue, err)
			}
			return nil
		}
		err = r.process(ctx, from, &batch{messages: messages}, func(ctx context.Context) error { return from.RenewSessionLock(ctx, nil) })
		if err != nil {
			return err
		}
	}
	return nil
}

// process processes messages one after another, and gives back those that are not done when ctx ends.
func (r *reader) process(ctx context.Context, from receiver, b *batch, renew func(ctx context.Context) error) error {
	finishing, cancel := consumer.Finishing(ctx)
	defer cancel()
	err := r.processor.While(ctx, b.renewal(), "renewing locks failed", renew, func() error {
		return r.processAll(ctx, finishing, from, b)
	})
	if back := r.giveBack(finishing, from, b.rest()); back != nil {
		r.processor.Warn("giving messages back failed, they come later", "queue", r.queue, "error", back)
	}
	return err
}

func (r *reader) processAll(ctx, finishing context.Context, from receiver, b *batch) error {
	for _, m := range b.rest() {
		if ctx.Err() != nil || r.processor.Process(ctx, r.decode(m)) != nil {
			return nil
		}
		b.done()
		if err := limit(finishing, func(ctx context.Context) error { return from.CompleteMessage(ctx, m, nil) }); err != nil {
			return fmt.Errorf("completing message %s of %s: %w", m.MessageID, r.queue, err)
		}
	}
	return nil
}

// giveBack makes messages available for others, until one call fails.
func (r *reader) giveBack(ctx context.Context, from receiver, messages []*azservicebus.ReceivedMessage) error {
	for _, m := range messages {
		if err := limit(ctx, func(ctx context.Context) error { return from.AbandonMessage(ctx, m, nil) }); err != nil {
			return err
		}
	}
	return nil
}

// limit calls f with a context of at most callTime.
func limit(ctx context.Context, f func(ctx context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return f(limited)
}

// batch are messages that were received together. They are processed in order, so those that are
// not done are the last ones. It is safe for concurrent use.
type batch struct {
	mu       sync.Mutex
	messages []*azservicebus.ReceivedMessage
}

// rest returns the messages that are not done. The result does not change.
func (b *batch) rest() []*azservicebus.ReceivedMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.messages
}

// done notes that the first of the rest is done.
func (b *batch) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = b.messages[1:]
}

// renewal returns the interval in which the locks are renewed: a third of the time for which they
// were given.
func (b *batch) renewal() time.Duration {
	messages := b.rest()
	if len(messages) == 0 || messages[0].LockedUntil == nil {
		return minRenewal
	}
	return max(time.Until(*messages[0].LockedUntil)/3, minRenewal)
}

// decode makes a message of one of the service.
func (r *reader) decode(m *azservicebus.ReceivedMessage) consumer.Message {
	decoded := consumer.Message{ID: r.queue + " " + m.MessageID, Body: bodyOf(m)}
	for name, value := range m.ApplicationProperties {
		decoded.Attributes = append(decoded.Attributes, consumer.Attribute{Name: name, Value: string(textOf(value))})
	}
	return decoded
}

// bodyOf returns the body. Some libraries send it in several sections, or as a value of AMQP.
func bodyOf(m *azservicebus.ReceivedMessage) []byte {
	switch raw := m.RawAMQPMessage; {
	case m.Body != nil || raw == nil:
		return m.Body
	case raw.Body.Value != nil:
		return textOf(raw.Body.Value)
	default:
		return bytes.Join(raw.Body.Data, nil)
	}
}

// textOf returns a value of AMQP as text.
func textOf(value any) []byte {
	switch v := value.(type) {
	case string:
		return []byte(v)
	case []byte:
		return v
	default:
		return fmt.Append(nil, v)
	}
}

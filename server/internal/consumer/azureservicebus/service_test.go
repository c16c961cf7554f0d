package azureservicebus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"centrifugo/internal/asbtest"
	"centrifugo/internal/await"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/azureservicebus"

	sdk "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// service is a broker with a client of the vendor's library.
type service struct {
	*asbtest.Server

	t      *testing.T
	client *sdk.Client
}

// start starts a broker that locks messages for a time.
func start(t *testing.T, lock time.Duration) *service {
	t.Helper()
	s := &service{Server: asbtest.Start(t, lock), t: t}
	client, err := sdk.NewClientFromConnectionString(s.ConnectionString("secret"), &sdk.ClientOptions{
		RetryOptions: sdk.RetryOptions{MaxRetries: 1, RetryDelay: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	t.Cleanup(func() { _ = client.Close(context.Background()) })
	return s
}

func options(connection string, change func(*config.AzureServiceBusConsumer)) azureservicebus.Options {
	c := config.AzureServiceBusConsumer{
		ConnectionString: connection, Queues: []string{"a"}, MaxConcurrentCalls: 1, MaxReceiveMessages: 10, MethodProperty: "centrifugo-method",
	}
	if change != nil {
		change(&c)
	}
	return azureservicebus.Options{Config: c}
}

func (s *service) source(change func(*config.AzureServiceBusConsumer)) *azureservicebus.Source {
	s.t.Helper()
	source, err := azureservicebus.New(options(s.ConnectionString("secret"), change))
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

// send sends messages in one connection.
func (s *service) send(queue string, messages ...*sdk.Message) {
	s.t.Helper()
	if err := s.trySend(queue, messages...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) trySend(queue string, messages ...*sdk.Message) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), await.Limit)
	defer cancel()
	sender, err := s.client.NewSender(queue, nil)
	if err != nil {
		return err
	}
	defer func() { _ = sender.Close(ctx) }()
	for _, m := range messages {
		if err := sender.SendMessage(ctx, m, nil); err != nil {
			return err
		}
	}
	return nil
}

var number int

// message returns a message with a body of its own id, and properties.
func message(body string, properties map[string]any) *sdk.Message {
	number++
	id := fmt.Sprint(number)
	return &sdk.Message{Body: []byte(body), MessageID: &id, ApplicationProperties: properties}
}

// waiting returns how many messages a queue has, locked ones included.
func (s *service) waiting(queue string) (count int, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), await.Limit)
	defer cancel()
	receiver, err := s.client.NewReceiverForQueue("all/"+queue, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = receiver.Close(ctx) }()
	for {
		messages, err := receiver.PeekMessages(ctx, 1000, nil)
		if err != nil || len(messages) == 0 {
			return count, err
		}
		count += len(messages)
	}
}

// awaitCount waits until a queue has a number of messages.
func (s *service) awaitCount(queue string, want int) {
	s.t.Helper()
	await.Until(s.t, fmt.Sprintf("%d messages in the queue", want), func() bool {
		count, err := s.waiting(queue)
		return err == nil && count == want
	})
}

// receive returns how many messages a queue delivers before it delivers a last one, which is sent now.
func (s *service) receive(queue string) (before int) {
	s.t.Helper()
	const last = "last"
	s.send(queue, message(last, nil))
	receiver, err := s.client.NewReceiverForQueue(queue, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), await.Limit)
	defer cancel()
	defer func() { _ = receiver.Close(ctx) }()
	for {
		messages, err := receiver.ReceiveMessages(ctx, 1, nil)
		if err = errors.Join(err, ctx.Err()); err != nil {
			s.t.Fatal(err)
		}
		for _, m := range messages {
			if err := receiver.CompleteMessage(ctx, m, nil); err != nil {
				s.t.Fatal(err)
			}
			if string(m.Body) == last {
				return before
			}
			before++
		}
	}
}

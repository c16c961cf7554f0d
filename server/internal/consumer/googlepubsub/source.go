package googlepubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"

	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/api/option"
)

// Options of a source.
type Options struct {
	// Config is the section google_pub_sub of the consumer.
	Config config.GooglePubSubConsumer
}

// Source implements consumer.Source.
type Source struct {
	// Static after construction.
	config  config.GooglePubSubConsumer
	options []option.ClientOption
}

var _ consumer.Source = (*Source)(nil)

// New checks the configuration and returns a source. It makes no connections. The variable
// PUBSUB_EMULATOR_HOST of the environment makes the library use an emulator.
func New(o Options) (*Source, error) {
	c := o.Config
	switch {
	case c.ProjectID == "":
		return nil, errors.New("project_id: is needed")
	case len(c.Subscriptions) == 0:
		return nil, errors.New("subscriptions: at least one is needed")
	case c.MaxOutstandingMessages < 1:
		return nil, errors.New("max_outstanding_messages: must be at least 1")
	case c.MaxOutstandingBytes < 1:
		return nil, errors.New("max_outstanding_bytes: must be at least 1")
	}
	s := &Source{config: c}
	switch {
	case c.AuthMechanism == "service_account" && c.CredentialsFile == "":
		return nil, errors.New("credentials_file: is needed for service_account")
	case c.AuthMechanism == "service_account" || c.AuthMechanism == "" && c.CredentialsFile != "":
		s.options = append(s.options, option.WithAuthCredentialsFile(option.ServiceAccount, c.CredentialsFile))
	case c.AuthMechanism != "" && c.AuthMechanism != "default":
		return nil, fmt.Errorf("auth_mechanism: %q is unknown; there is: default, service_account", c.AuthMechanism)
	}
	return s, nil
}

// Format implements consumer.Source.
func (s *Source) Format() consumer.Format {
	return consumer.Format{Method: s.config.MethodAttribute, Publication: consumer.Attributes(s.config.PublicationDataMode)}
}

// Attempts implements consumer.Source. The library keeps a message in work for up to an hour.
// Messages with the same ordering key wait behind it.
func (s *Source) Attempts() int { return 0 }

// Run implements consumer.Source.
func (s *Source) Run(ctx context.Context, p *consumer.Processor) error {
	// The context of a client must last until its subscribers have acknowledged.
	client, err := pubsub.NewClient(context.WithoutCancel(ctx), s.config.ProjectID, s.options...)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer func() { _ = client.Close() }()
	var tasks []func(context.Context) error
	for _, name := range s.config.Subscriptions {
		subscriber := client.Subscriber(name)
		subscriber.ReceiveSettings.MaxOutstandingMessages = s.config.MaxOutstandingMessages
		subscriber.ReceiveSettings.MaxOutstandingBytes = s.config.MaxOutstandingBytes
		tasks = append(tasks, func(ctx context.Context) error {
			for ctx.Err() == nil {
				if err := receive(ctx, subscriber, p); ctx.Err() == nil {
					p.Failed("receiving messages failed", "subscription", name, "error", err)
				}
				wait(ctx)
			}
			return nil
		})
	}
	return p.Together(ctx, tasks...)
}

// pause is the time before a subscription is received again that the library has given up; it
// repeats by itself what may be temporary. Each time leaves a goroutine of the library behind, which
// waits for a ticker that is stopped.
const pause = time.Minute

// wait returns after pause, or when ctx is done.
func wait(ctx context.Context) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// receive processes messages until ctx is done and those in work have returned.
func receive(ctx context.Context, subscriber *pubsub.Subscriber, p *consumer.Processor) error {
	err := subscriber.Receive(ctx, func(ctx context.Context, m *pubsub.Message) {
		decoded := consumer.Message{ID: subscriber.ID() + " " + m.ID, Body: m.Data}
		for name, value := range m.Attributes {
			decoded.Attributes = append(decoded.Attributes, consumer.Attribute{Name: name, Value: value})
		}
		if ctx.Err() != nil || p.Process(ctx, decoded) != nil {
			m.Nack()
			return
		}
		m.Ack()
	})
	if err != nil {
		return fmt.Errorf("subscription %s: %w", subscriber.ID(), err)
	}
	return nil
}

package natsjetstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxBatch is how many messages are read, and acknowledged, together.
	maxBatch = 64
	// fetchWait is how long a read waits for a message. A stop waits for it, because a message
	// that arrives after the read was given up would not be delivered again for a while.
	fetchWait = time.Second
	// defaultAckWait is the time after which a message that is not acknowledged is delivered
	// again.
	defaultAckWait = 30 * time.Second
	callTimeout    = 10 * time.Second
	lagInterval    = 10 * time.Second
	// maxPings is how many pings may be without an answer before a connection counts as lost.
	maxPings = 2
)

// maxAckPending bounds max_ack_pending.
const maxAckPending = 100_000

// Options of a source.
type Options struct {
	// Config is the section nats_jetstream of the consumer.
	Config config.NATSJetStreamConsumer
	// TLS is made from Config.TLS; nil means none.
	TLS *tls.Config `json:"-"`
	// AckWait is that of a consumer that is created; zero means 30 seconds.
	AckWait time.Duration
}

// Source implements consumer.Source.
type Source struct {
	// Static after construction.
	config  config.NATSJetStreamConsumer
	options []nats.Option
	ackWait time.Duration
}

var _ consumer.Source = (*Source)(nil)

// New checks the configuration and returns a source. It makes no connections.
func New(o Options) (*Source, error) {
	c := o.Config
	switch {
	case c.URL == "":
		return nil, errors.New("url: is needed")
	case c.StreamName == "":
		return nil, errors.New("stream_name: is needed")
	case c.DurableConsumerName == "":
		return nil, errors.New("durable_consumer_name: is needed")
	case c.UseExistingConsumer && len(c.Subjects) > 0:
		return nil, errors.New("subjects: an existing consumer has its own")
	case c.DeliverPolicy != "new" && c.DeliverPolicy != "all":
		return nil, fmt.Errorf("deliver_policy: %q is unknown; there is: new, all", c.DeliverPolicy)
	case c.MaxAckPending < 1 || c.MaxAckPending > maxAckPending:
		return nil, fmt.Errorf("max_ack_pending: must be from 1 to %d", maxAckPending)
	}
	s := &Source{config: c, ackWait: o.AckWait, options: []nats.Option{nats.Name("centrifugo"), nats.MaxReconnects(-1), nats.Timeout(callTimeout)}}
	if s.ackWait == 0 {
		s.ackWait = defaultAckWait
	}
	// A server that does not answer is given up after about the time in which it would deliver
	// messages again.
	s.options = append(s.options, nats.PingInterval(s.ackWait/(maxPings+1)), nats.MaxPingsOutstanding(maxPings))
	if o.TLS != nil {
		s.options = append(s.options, nats.Secure(o.TLS))
	}
	if c.CredentialsFile != "" {
		s.options = append(s.options, nats.UserCredentials(c.CredentialsFile))
	}
	if c.Username != "" || c.Password != "" {
		s.options = append(s.options, nats.UserInfo(c.Username, c.Password))
	}
	if c.Token != "" {
		s.options = append(s.options, nats.Token(c.Token))
	}
	return s, nil
}

// Format implements consumer.Source.
func (s *Source) Format() consumer.Format {
	return consumer.Format{Method: s.config.MethodHeader, Publication: consumer.Headers(s.config.PublicationDataMode)}
}

// Attempts implements consumer.Source. The stream waits for a message that must be repeated.
func (s *Source) Attempts() int { return 0 }

// Run implements consumer.Source.
func (s *Source) Run(ctx context.Context, p *consumer.Processor) error {
	lost := make(chan struct{})
	lose := sync.OnceFunc(func() { close(lost) })
	options := append([]nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			lose()
			if err != nil && ctx.Err() == nil {
				p.Failed("nats: disconnected", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			p.Failed("nats: connection reports an error", "error", err)
		}),
	}, s.options...)
	conn, err := nats.Connect(s.config.URL, options...)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close()
	durable, err := s.consumer(ctx, conn)
	if err != nil {
		return err
	}
	r := &reader{
		durable: durable, processor: p, lost: lost,
		ackWait: durable.CachedInfo().Config.AckWait, batch: min(maxBatch, s.config.MaxAckPending),
	}
	return p.Together(ctx, r.run, func(ctx context.Context) error {
		p.Every(ctx, lagInterval, "counting waiting messages failed", r.count)
		return nil
	})
}

// consumer returns the durable consumer, which it creates unless it is to exist.
func (s *Source) consumer(ctx context.Context, conn *nats.Conn) (jetstream.Consumer, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("using JetStream: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c := s.config
	if c.UseExistingConsumer {
		existing, err := js.Consumer(ctx, c.StreamName, c.DurableConsumerName)
		if err != nil {
			return nil, fmt.Errorf("looking for consumer %s of stream %s: %w", c.DurableConsumerName, c.StreamName, err)
		}
		if policy := existing.CachedInfo().Config.AckPolicy; policy != jetstream.AckExplicitPolicy {
			return nil, fmt.Errorf("consumer %s has the acknowledgement policy %s; explicit is needed", c.DurableConsumerName, policy)
		}
		return existing, nil
	}
	settings := jetstream.ConsumerConfig{
		Durable: c.DurableConsumerName, AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.ackWait, MaxAckPending: c.MaxAckPending,
		FilterSubjects: c.Subjects, DeliverPolicy: jetstream.DeliverNewPolicy,
	}
	if c.DeliverPolicy == "all" {
		settings.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	created, err := js.CreateOrUpdateConsumer(ctx, c.StreamName, settings)
	if err != nil {
		return nil, fmt.Errorf("creating consumer %s of stream %s: %w", c.DurableConsumerName, c.StreamName, err)
	}
	return created, nil
}

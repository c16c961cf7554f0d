package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Times of the membership in a group. A member that is silent for sessionTimeout loses its
// partitions to others.
const (
	sessionTimeout    = 10 * time.Second
	heartbeatInterval = 2 * time.Second
	startTimeout      = 10 * time.Second
	lagInterval       = 10 * time.Second
)

// Bounds of the configuration.
const (
	maxPollRecords = 100_000
	maxQueue       = 1_000_000
	maxFetchBytes  = 100 << 20 // what the client reads at once
)

// Options of a source.
type Options struct {
	// Config is the section kafka of the consumer.
	Config config.KafkaConsumer
	// TLS is made from Config.TLS; nil means none.
	TLS *tls.Config `json:"-"`
	// IAM returns the credentials of AWS with which the mechanism aws-msk-iam signs. It is needed
	// for that mechanism only.
	IAM func(ctx context.Context) (accessKey, secretKey, sessionToken string, err error) `json:"-"`
}

// Source implements consumer.Source.
type Source struct {
	// Static after construction.
	config  config.KafkaConsumer
	options []kgo.Opt
}

var _ consumer.Source = (*Source)(nil)

// New checks the configuration and returns a source. It makes no connections.
func New(o Options) (*Source, error) {
	c := o.Config
	switch {
	case len(c.Brokers) == 0:
		return nil, errors.New("brokers: at least one is needed")
	case len(c.Topics) == 0:
		return nil, errors.New("topics: at least one is needed")
	case c.ConsumerGroup == "":
		return nil, errors.New("consumer_group: is needed")
	case c.MaxPollRecords < 1 || c.MaxPollRecords > maxPollRecords:
		return nil, fmt.Errorf("max_poll_records: must be from 1 to %d", maxPollRecords)
	case c.FetchMaxBytes < 0 || c.FetchMaxBytes > maxFetchBytes:
		return nil, fmt.Errorf("fetch_max_bytes: must be from 0 to %d", maxFetchBytes)
	case c.PartitionQueueMaxSize < 1 || c.PartitionQueueMaxSize > maxQueue:
		return nil, fmt.Errorf("partition_queue_max_size: must be from 1 to %d", maxQueue)
	case c.FetchMaxWait <= 0:
		return nil, errors.New("fetch_max_wait: must be more than zero")
	case c.DialTimeout <= 0:
		return nil, errors.New("dial_timeout: must be more than zero")
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID("centrifugo"), kgo.DialTimeout(c.DialTimeout),
		kgo.ConsumerGroup(c.ConsumerGroup), kgo.ConsumeTopics(c.Topics...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(heartbeatInterval), kgo.FetchMaxWait(c.FetchMaxWait),
		// A new group begins with what is there: what was written before the first start is not lost.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	if c.FetchMaxBytes > 0 {
		options = append(options, kgo.FetchMaxBytes(int32(c.FetchMaxBytes))) //nolint:gosec // bounded above
	}
	if !c.FetchReadUncommitted {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if c.InstanceID != "" {
		options = append(options, kgo.InstanceID(c.InstanceID))
	}
	if o.TLS != nil {
		options = append(options, kgo.DialTLSConfig(o.TLS))
	}
	mechanism, err := mechanism(o)
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		options = append(options, kgo.SASL(mechanism))
	}
	if err := kgo.ValidateOpts(options...); err != nil {
		return nil, err //nolint:wrapcheck // names the option
	}
	return &Source{config: c, options: options}, nil
}

// mechanism returns how the client authenticates, nil for not at all.
func mechanism(o Options) (sasl.Mechanism, error) {
	c := o.Config
	named := c.SASLMechanism == "plain" || c.SASLMechanism == "scram-sha-256" || c.SASLMechanism == "scram-sha-512"
	if named && (c.SASLUser == "" || c.SASLPassword == "") {
		return nil, fmt.Errorf("sasl_user and sasl_password: are needed for %s", c.SASLMechanism)
	}
	switch c.SASLMechanism {
	case "":
		return nil, nil //nolint:nilnil // none
	case "plain":
		return plain.Auth{User: c.SASLUser, Pass: c.SASLPassword}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: c.SASLUser, Pass: c.SASLPassword}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: c.SASLUser, Pass: c.SASLPassword}.AsSha512Mechanism(), nil
	case "aws-msk-iam":
		return aws.ManagedStreamingIAM(func(ctx context.Context) (auth aws.Auth, err error) {
			auth.AccessKey, auth.SecretKey, auth.SessionToken, err = o.IAM(ctx)
			return auth, err
		}), nil
	}
	return nil, fmt.Errorf("sasl_mechanism: %q is unknown; there is: plain, scram-sha-256, scram-sha-512, aws-msk-iam", c.SASLMechanism)
}

// Format implements consumer.Source.
func (s *Source) Format() consumer.Format {
	return consumer.Format{Method: s.config.MethodHeader, Publication: consumer.Headers(s.config.PublicationDataMode)}
}

// Attempts implements consumer.Source. A partition waits for a record that must be repeated.
func (s *Source) Attempts() int { return 0 }

// Run implements consumer.Source. The partitions that the group gives to this node are read
// by a goroutine each.
func (s *Source) Run(ctx context.Context, p *consumer.Processor) error {
	failing, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	m := &member{config: s.config, processor: p, fail: fail, readers: make(map[place]*reader)}
	options := append([]kgo.Opt{
		kgo.OnPartitionsAssigned(m.assigned), kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.lost), kgo.WithLogger(logger{p}),
	}, s.options...)
	client, err := kgo.NewClient(options...)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	m.client = client
	defer client.CloseAllowingRebalance() // calls revoked, which finishes the records in work
	starting, cancel := context.WithTimeout(failing, startTimeout)
	err = client.Ping(starting)
	cancel()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("connecting: %w", err)
	}
	var lag sync.WaitGroup
	lag.Go(func() {
		p.Every(failing, lagInterval, "", func(context.Context) error { p.Stats().SetLag(m.lag()); return nil })
	})
	defer lag.Wait()
	defer fail(nil)
	for failing.Err() == nil {
		m.poll(failing)
	}
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(failing) //nolint:wrapcheck // of a reader
}

// logger passes warnings of the client on. The client connects by itself, and says there why
// it cannot.
type logger struct{ processor *consumer.Processor }

// Level implements kgo.Logger.
func (logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log implements kgo.Logger.
func (l logger) Log(_ kgo.LogLevel, message string, facts ...any) {
	l.processor.Failed("kafka: "+message, facts...)
}

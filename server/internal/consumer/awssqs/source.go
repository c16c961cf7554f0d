package awssqs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/awsidentity"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Options of a source.
type Options struct {
	// Config is the section aws_sqs of the consumer.
	Config config.AWSSQSConsumer
}

// Source implements consumer.Source.
type Source struct {
	// Static after construction.
	config config.AWSSQSConsumer
}

var _ consumer.Source = (*Source)(nil)

// Limits of the service.
const (
	maxMessages   = 10
	maxWait       = 20 * time.Second
	maxVisibility = 12 * time.Hour
)

// New checks the configuration and returns a source. It makes no connections.
func New(o Options) (*Source, error) {
	c := o.Config
	switch {
	case len(c.Queues) == 0:
		return nil, errors.New("queues: at least one is needed")
	case c.MaxNumberOfMessages < 1 || c.MaxNumberOfMessages > maxMessages:
		return nil, fmt.Errorf("max_number_of_messages: must be 1 to %d", maxMessages)
	case c.WaitTimeTime < 0 || c.WaitTimeTime > maxWait || c.WaitTimeTime%time.Second != 0:
		return nil, fmt.Errorf("wait_time_time: must be whole seconds, at most %v", maxWait)
	case c.VisibilityTimeout < time.Second || c.VisibilityTimeout > maxVisibility || c.VisibilityTimeout%time.Second != 0:
		return nil, fmt.Errorf("visibility_timeout: must be whole seconds, 1s to %v", maxVisibility)
	case c.MaxConcurrency < 1:
		return nil, errors.New("max_concurrency: must be at least 1")
	case c.LocalStackEndpoint != "" && !isURL(c.LocalStackEndpoint):
		return nil, errors.New("localstack_endpoint: must be a URL")
	}
	for _, queue := range c.Queues {
		if !isURL(queue) {
			return nil, fmt.Errorf("queues: %q is not the URL of a queue", queue)
		}
	}
	return &Source{c}, nil
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// Format implements consumer.Source.
func (s *Source) Format() consumer.Format {
	return consumer.Format{Method: s.config.MethodAttribute, Publication: consumer.Attributes(s.config.PublicationDataMode)}
}

// Attempts implements consumer.Source: after three repetitions the message is left to the queue, whose
// redrive policy may move it to another one (server.md 11.2).
func (s *Source) Attempts() int { return 4 }

// Run implements consumer.Source.
func (s *Source) Run(ctx context.Context, p *consumer.Processor) error {
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	tasks := []func(context.Context) error{func(ctx context.Context) error {
		p.Every(ctx, countInterval, "counting waiting messages failed", func(ctx context.Context) error { return count(ctx, client, s.config.Queues, p) })
		return nil
	}}
	for _, queue := range s.config.Queues {
		r := &reader{config: s.config, queue: queue, name: nameOf(queue), client: client, processor: p}
		for range s.config.MaxConcurrency {
			tasks = append(tasks, func(ctx context.Context) error {
				p.Restart(ctx, "reading a queue failed", r.run)
				return nil
			})
		}
	}
	return p.Together(ctx, tasks...)
}

// nameOf returns the name of a queue, without the account.
func nameOf(queue string) string { return queue[strings.LastIndexByte(queue, '/')+1:] }

// client makes a client for the service, or for an emulator.
func (s *Source) client(ctx context.Context) (*sqs.Client, error) {
	loaded, err := awsidentity.Load(ctx, awsidentity.Options{
		Region: s.config.Region, Profile: s.config.CredentialsProfile, Role: s.config.AssumeRoleARN, Endpoint: s.config.LocalStackEndpoint,
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // says everything
	}
	if loaded.Region == "" {
		return nil, errors.New("region: is needed, here or in the environment")
	}
	return sqs.NewFromConfig(loaded), nil
}

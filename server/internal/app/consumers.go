package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/awsidentity"
	"centrifugo/server/internal/consumer/awssqs"
	"centrifugo/server/internal/consumer/azureservicebus"
	"centrifugo/server/internal/consumer/googlepubsub"
	"centrifugo/server/internal/consumer/kafka"
	"centrifugo/server/internal/consumer/natsjetstream"
	"centrifugo/server/internal/consumer/postgresql"
	"centrifugo/server/internal/consumer/redisstream"
)

// consumerTypes make the sources of consumers, by type. An error names a key of the section
// that is named as the type.
var consumerTypes = map[string]func(c config.Consumer, node string) (consumer.Source, error){
	"postgresql": func(c config.Consumer, _ string) (consumer.Source, error) {
		return withTLS(c.PostgreSQL.TLS, func(t *tls.Config) (consumer.Source, error) {
			return postgresql.New(postgresql.Options{Name: c.Name, Config: c.PostgreSQL, TLS: t})
		})
	},
	"kafka": func(c config.Consumer, _ string) (consumer.Source, error) {
		return withTLS(c.Kafka.TLS, func(t *tls.Config) (consumer.Source, error) {
			return kafka.New(kafka.Options{Config: c.Kafka, TLS: t, IAM: awsidentity.Keys(c.Kafka.AssumeRoleARN)})
		})
	},
	"nats_jetstream": func(c config.Consumer, _ string) (consumer.Source, error) {
		return withTLS(c.NATSJetStream.TLS, func(t *tls.Config) (consumer.Source, error) {
			return natsjetstream.New(natsjetstream.Options{Config: c.NATSJetStream, TLS: t})
		})
	},
	"aws_sqs": func(c config.Consumer, _ string) (consumer.Source, error) {
		return awssqs.New(awssqs.Options{Config: c.AWSSQS})
	},
	"azure_service_bus": func(c config.Consumer, _ string) (consumer.Source, error) {
		return azureservicebus.New(azureservicebus.Options{Config: c.AzureServiceBus})
	},
	"google_pub_sub": func(c config.Consumer, _ string) (consumer.Source, error) {
		return googlepubsub.New(googlepubsub.Options{Config: c.GooglePubSub})
	},
	"redis_stream": func(c config.Consumer, node string) (consumer.Source, error) {
		shards, err := redisShards(c.Type, c.RedisStream.Redis)
		if err != nil {
			return nil, err
		}
		return redisstream.New(redisstream.Options{Config: c.RedisStream, Shards: shards, Node: node})
	},
}

// withTLS makes a source whose section has TLS settings.
func withTLS(c config.TLS, source func(*tls.Config) (consumer.Source, error)) (consumer.Source, error) {
	t, err := c.Client()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return source(t)
}

// newConsumers makes the consumers that are enabled. They make no connections yet.
func (a *App) newConsumers() error {
	asJSON, asBytes := a.newAPI(consuming, false), a.newAPI(consuming, true)
	var problems config.Problems
	for _, c := range a.config.Consumers {
		if !c.Enabled {
			continue
		}
		key := "consumers[" + c.Name + "]."
		newSource := consumerTypes[c.Type]
		if newSource == nil {
			there := strings.Join(slices.Sorted(maps.Keys(consumerTypes)), ", ")
			problems = append(problems, config.Problem{Key: key + "type", Message: fmt.Sprintf("%q is not in this version yet; there is: %s", c.Type, there)})
			continue
		}
		source, err := newSource(c, nodeName(a.config))
		if err != nil {
			problems = append(problems, config.Problem{Key: key + c.Type, Message: err.Error()})
			continue
		}
		a.consumers = append(a.consumers, consumer.New(consumer.Options{Name: c.Name, Source: source, API: asJSON, Binary: asBytes, Received: a.traceMessages(), Log: a.log}))
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// startConsumers runs the consumers. The function that it returns tells them to stop and
// waits until they have finished the messages in work, or ctx is done.
func (a *App) startConsumers() (stop func(ctx context.Context) error) {
	running, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, c := range a.consumers {
		all.Go(func() { c.Run(running) })
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	return func(ctx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("waiting for consumers: %w", ctx.Err())
		}
	}
}

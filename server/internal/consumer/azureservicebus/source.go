package azureservicebus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Options of a source.
type Options struct {
	// Config is the section azure_service_bus of the consumer.
	Config config.AzureServiceBusConsumer
}

// Source implements consumer.Source.
type Source struct {
	// Static after construction.
	config config.AzureServiceBusConsumer
}

var _ consumer.Source = (*Source)(nil)

// maxMessages bounds max_receive_messages. The library takes at most 5000.
const maxMessages = 1000

// retries of the library are few: the consumer repeats what fails, with pauses, and logs it.
var retries = azservicebus.RetryOptions{MaxRetries: 1, RetryDelay: 100 * time.Millisecond, MaxRetryDelay: time.Second}

// New checks the configuration and returns a source. It makes no connections.
func New(o Options) (*Source, error) {
	c := o.Config
	switch {
	case len(c.Queues) == 0:
		return nil, errors.New("queues: at least one is needed")
	case c.MaxConcurrentCalls < 1:
		return nil, errors.New("max_concurrent_calls: must be at least 1")
	case c.MaxReceiveMessages < 1 || c.MaxReceiveMessages > maxMessages:
		return nil, fmt.Errorf("max_receive_messages: must be 1 to %d", maxMessages)
	case c.UseAzureIdentity && c.ConnectionString != "":
		return nil, errors.New("connection_string: not together with use_azure_identity")
	case c.UseAzureIdentity && c.FullyQualifiedNamespace == "":
		return nil, errors.New("fully_qualified_namespace: is needed with use_azure_identity")
	case !c.UseAzureIdentity && c.ConnectionString == "":
		return nil, errors.New("connection_string: is needed without use_azure_identity")
	}
	s := &Source{c}
	if _, err := s.client(); err != nil {
		return nil, err
	}
	return s, nil
}

// client makes a client. It connects when it is used.
func (s *Source) client() (*azservicebus.Client, error) {
	options := &azservicebus.ClientOptions{RetryOptions: retries}
	if !s.config.UseAzureIdentity {
		client, err := azservicebus.NewClientFromConnectionString(s.config.ConnectionString, options)
		if err != nil {
			return nil, fmt.Errorf("connection_string: %w", err)
		}
		return client, nil
	}
	identity, err := identity(s.config, azcore.ClientOptions{})
	if err != nil {
		return nil, err
	}
	client, err := azservicebus.NewClient(s.config.FullyQualifiedNamespace, identity, options)
	if err != nil {
		return nil, fmt.Errorf("fully_qualified_namespace: %w", err)
	}
	return client, nil
}

// identity returns the credentials of the configuration or, without any, those that the
// environment, the machine or the tools of Azure provide.
func identity(c config.AzureServiceBusConsumer, o azcore.ClientOptions) (azcore.TokenCredential, error) {
	if c.TenantID == "" && c.ClientID == "" && c.ClientSecret == "" {
		credential, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: o})
		if err != nil {
			return nil, fmt.Errorf("use_azure_identity: %w", err)
		}
		return credential, nil
	}
	if c.TenantID == "" || c.ClientID == "" || c.ClientSecret == "" {
		return nil, errors.New("tenant_id, client_id, client_secret: all three are needed, or none")
	}
	credential, err := azidentity.NewClientSecretCredential(c.TenantID, c.ClientID, c.ClientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: o})
	if err != nil {
		return nil, fmt.Errorf("use_azure_identity: %w", err)
	}
	return credential, nil
}

// Format implements consumer.Source.
func (s *Source) Format() consumer.Format {
	return consumer.Format{Method: s.config.MethodProperty, Publication: consumer.Properties(s.config.PublicationDataMode)}
}

// Attempts implements consumer.Source. The lock of a message is renewed while it is in work. To
// give it back would count as a delivery, and after some the service moves it to the dead letters.
func (s *Source) Attempts() int { return 0 }

// Run implements consumer.Source.
func (s *Source) Run(ctx context.Context, p *consumer.Processor) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	defer closeAfter(ctx, client)
	var tasks []func(context.Context) error
	for _, queue := range s.config.Queues {
		r := &reader{config: s.config, queue: queue, client: client, processor: p}
		read := r.readQueue
		if s.config.UseSessions {
			read = r.readSessions
		}
		for range s.config.MaxConcurrentCalls {
			tasks = append(tasks, func(ctx context.Context) error {
				p.Restart(ctx, "reading a queue failed", read)
				return nil
			})
		}
	}
	return p.Together(ctx, tasks...)
}

// closeAfter closes c, within the time for finishing if ctx is done.
func closeAfter(ctx context.Context, c interface {
	Close(ctx context.Context) error
}) {
	finishing, cancel := consumer.Finishing(ctx)
	defer cancel()
	_ = limit(finishing, c.Close) // what it does not tell the service, the end of the locks does
}

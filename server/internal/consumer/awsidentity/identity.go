// Package awsidentity tells as whom, and in which region, consumers call services of AWS.
package awsidentity

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Options of Load. What is empty is taken from the environment, from files or from the
// machine, as the vendor's other programs do.
type Options struct {
	// Region is where the services are.
	Region string
	// Profile names credentials in a file.
	Profile string
	// Role is the ARN of a role to assume.
	Role string
	// Endpoint is the URL of an emulator. It gets no credentials of the machine, unless Profile
	// names some.
	Endpoint string
}

// Load returns the settings of clients. It reads files, and makes no connections.
func Load(ctx context.Context, o Options) (aws.Config, error) {
	var options []func(*awsconfig.LoadOptions) error
	if o.Region != "" {
		options = append(options, awsconfig.WithRegion(o.Region))
	}
	if o.Profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(o.Profile))
	}
	if o.Endpoint != "" {
		options = append(options, awsconfig.WithBaseEndpoint(o.Endpoint))
		if o.Profile == "" {
			options = append(options, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
		}
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("loading the configuration of AWS: %w", err)
	}
	if o.Role != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(loaded), o.Role)
		loaded.Credentials = aws.NewCredentialsCache(role)
	}
	return loaded, nil
}

// Keys returns a function that returns the credentials which Load finds with a role, for
// programs that sign by themselves. It is safe for concurrent use.
func Keys(role string) func(ctx context.Context) (accessKey, secretKey, sessionToken string, err error) {
	var mu sync.Mutex
	var provider aws.CredentialsProvider // nil until the configuration was loaded
	load := func(ctx context.Context) (aws.CredentialsProvider, error) {
		mu.Lock()
		defer mu.Unlock()
		if provider == nil {
			loaded, err := Load(ctx, Options{Role: role})
			if err != nil {
				return nil, err
			}
			provider = loaded.Credentials
		}
		return provider, nil
	}
	return func(ctx context.Context) (accessKey, secretKey, sessionToken string, err error) {
		p, err := load(ctx)
		if err != nil {
			return "", "", "", err
		}
		c, err := p.Retrieve(ctx)
		if err != nil {
			return "", "", "", fmt.Errorf("credentials of AWS: %w", err)
		}
		return c.AccessKeyID, c.SecretAccessKey, c.SessionToken, nil
	}
}

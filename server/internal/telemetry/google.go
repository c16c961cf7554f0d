package telemetry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/oauth"
)

// googleScope is what the access tokens are for.
const googleScope = "https://www.googleapis.com/auth/cloud-platform"

// exportTimeout bounds an export over HTTP with credentials of Google, as the library does
// without them.
const exportTimeout = 10 * time.Second

// googleTokens returns the access tokens of Google's application default credentials. It finds
// the credentials, which may take seconds outside Google's cloud, and asks for no token yet.
func googleTokens(ctx context.Context) (oauth2.TokenSource, error) {
	credentials, err := google.FindDefaultCredentials(ctx, googleScope)
	if err != nil {
		return nil, fmt.Errorf("google_cloud_adc_auth: %w", err)
	}
	return credentials.TokenSource, nil
}

// authenticated adds an access token to each call of gRPC, which refuses to do so without TLS.
func authenticated(tokens oauth2.TokenSource) grpc.DialOption {
	return grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: tokens})
}

// googleClient returns a client of HTTP whose requests have an access token. The library of
// OTLP ignores OTEL_EXPORTER_OTLP_CERTIFICATE for clients that it is given, so it is read here.
func googleClient(tokens oauth2.TokenSource) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is never replaced
	if file := os.Getenv("OTEL_EXPORTER_OTLP_CERTIFICATE"); file != "" {
		text, err := os.ReadFile(file) //nolint:gosec // the operator names it
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, errors.New("OTEL_EXPORTER_OTLP_CERTIFICATE: no certificate in it")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: secureOnly{&oauth2.Transport{Source: tokens, Base: transport}}, Timeout: exportTimeout}, nil
}

// secureOnly refuses requests that are not encrypted, as gRPC does by itself: they would show
// the access token.
type secureOnly struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s secureOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return s.RoundTripper.RoundTrip(r) //nolint:wrapcheck // it is the transport
	}
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, errors.New("credentials of Google are sent over https only")
}

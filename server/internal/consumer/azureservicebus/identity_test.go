package azureservicebus

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// With use_azure_identity the client connects to fully_qualified_namespace, with TLS.
func TestNamespace(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	source, err := New(Options{Config: config.AzureServiceBusConsumer{
		UseAzureIdentity: true, FullyQualifiedNamespace: listener.Addr().String(), TenantID: "tenant", ClientID: "application", ClientSecret: "secret",
		Queues: []string{"a"}, MaxConcurrentCalls: 1, MaxReceiveMessages: 1,
	}})
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan byte, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return // the test has ended
		}
		first := make([]byte, 1)
		_, _ = io.ReadFull(conn, first) // without a byte it stays 0
		_ = conn.Close()
		_ = listener.Close() // later attempts are refused at once
		connected <- first[0]
	}()
	r := consumertest.Start(t, source, &apitest.Node{})
	const handshake = 22 // the first byte of TLS
	if first := await.Receive(t, connected, "a connection"); first != handshake {
		t.Errorf("the connection begins with byte %d; want %d", first, handshake)
	}
	r.Stop()
}

// directory answers for the service that gives tokens to applications, and keeps the last
// request for one.
type directory struct {
	path string
	form url.Values
}

// Do implements policy.Transporter.
func (d *directory) Do(request *http.Request) (*http.Response, error) {
	const host = "https://login.microsoftonline.com/tenant/"
	answer := `{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}`
	switch path := request.URL.Path; {
	case strings.Contains(path, "/discovery/instance"):
		answer = `{"tenant_discovery_endpoint": "` + host + `v2.0/.well-known/openid-configuration", "metadata": []}`
	case strings.HasSuffix(path, "/openid-configuration"):
		answer = `{"issuer": "` + host + `v2.0", "authorization_endpoint": "` + host + `authorize", "token_endpoint": "` + host + `oauth2/v2.0/token"}`
	default:
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		d.path = path
		if d.form, err = url.ParseQuery(string(body)); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(answer)), Request: request,
	}, nil
}

// The token is that of the application client_id in tenant_id, for its client_secret.
func TestIdentity(t *testing.T) {
	d := &directory{}
	c := config.AzureServiceBusConsumer{TenantID: "tenant", ClientID: "application", ClientSecret: "secret"}
	credential, err := identity(c, azcore.ClientOptions{Transport: d})
	if err != nil {
		t.Fatal(err)
	}
	token, err := credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://servicebus.azure.net//.default"}})
	if err != nil || token.Token != "t" {
		t.Fatalf("GetToken = %q, %v; want t", token.Token, err)
	}
	if !strings.HasPrefix(d.path, "/tenant/") || d.form.Get("client_id") != "application" || d.form.Get("client_secret") != "secret" {
		t.Errorf("the request for a token is %s with client_id %q; want that of the tenant, for the application with its secret", d.path, d.form.Get("client_id"))
	}
}

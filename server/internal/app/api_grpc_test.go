package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"centrifugo/apipb"
	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/config"
)

// grpcAPI returns a client of the API over gRPC, whose listener is the last one.
func (i *instance) grpcAPI(c *tls.Config) apipb.CentrifugoApiClient {
	i.t.Helper()
	return apipb.NewCentrifugoApiClient(i.grpcConn(c))
}

func withKey(t *testing.T, key string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), apptest.Timeout)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "apikey "+key)
}

// grpcSection makes a member of the configuration: the API over gRPC on a free port.
func grpcSection(members string) string {
	return `"grpc_api": {"enabled": true, "address": "127.0.0.1", "key": "k"` + members + `}`
}

// TestGRPCAPI publishes over gRPC to a client of a WebSocket.
func TestGRPCAPI(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, `+grpcSection(""))
	c := i.connected(apptest.Dialer{})
	ask(t, c, `{"id":2,"subscribe":{"channel":"x"}}`)
	calls := i.grpcAPI(nil)
	if _, err := calls.Publish(withKey(t, "k"), &apipb.PublishRequest{Channel: "x", Data: []byte(`{"a":1}`)}); err != nil {
		t.Fatalf("publishing: %v", err)
	}
	if got, err := c.Next(); err != nil || got != `{"push":{"channel":"x","pub":{"data":{"a":1}}}}` {
		t.Errorf("the subscriber: got %s, %v; want the publication", got, err)
	}
	info, err := calls.Info(withKey(t, "k"), &apipb.InfoRequest{})
	if err != nil || len(info.GetResult().GetNodes()) != 1 || info.GetResult().GetNodes()[0].GetNumClients() != 1 {
		t.Errorf("info: got %v, %v; want a node with a client", info, err)
	}
}

// TestGRPCAPITLS asks clients for certificates.
func TestGRPCAPITLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.leaf()
	section, err := json.Marshal(map[string]any{"enabled": true, "cert_pem": cert, "key_pem": key, "client_ca_pem": string(a.pem)})
	if err != nil {
		t.Fatal(err)
	}
	i := start(t, grpcSection(`, "tls": `+string(section)))
	c := a.client()
	if _, err := i.grpcAPI(c).Info(withKey(t, "k"), &apipb.InfoRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("without a certificate: got %v; want %v", err, codes.Unavailable)
	}
	cert, key = a.leaf()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	c.Certificates = []tls.Certificate{pair}
	if _, err := i.grpcAPI(c).Info(withKey(t, "k"), &apipb.InfoRequest{}); err != nil {
		t.Errorf("with a certificate: got %v; want no error", err)
	}
	if _, err := i.grpcAPI(nil).Info(withKey(t, "k"), &apipb.InfoRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("without TLS: got %v; want %v", err, codes.Unavailable)
	}
}

// TestGRPCAPIReload replaces the key, and the certificate, of a running server.
func TestGRPCAPIReload(t *testing.T) {
	a := newAuthority(t)
	i := start(t, grpcSection(", "+a.section("tls", "")))
	calls := i.grpcAPI(a.client())
	if _, err := calls.Info(withKey(t, "k"), &apipb.InfoRequest{}); err != nil {
		t.Fatal(err)
	}
	other := newAuthority(t)
	i.configure(strings.Replace(grpcSection(", "+other.section("tls", "")), `"k"`, `"new"`, 1))
	i.hangup <- nil
	i.hangup <- nil // the first reload has ended when the second is received
	if _, err := calls.Info(withKey(t, "k"), &apipb.InfoRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the old key: got %v; want %v", err, codes.Unauthenticated)
	}
	if _, err := i.grpcAPI(other.client()).Info(withKey(t, "new"), &apipb.InfoRequest{}); err != nil {
		t.Errorf("the new key and certificate: got %v; want no error", err)
	}
}

// TestGRPCAPIInsecure: without a key every call is refused. grpc_api.insecure admits all,
// and listens on loopback unless grpc_api.address says otherwise.
func TestGRPCAPIInsecure(t *testing.T) {
	i := start(t, strings.Replace(grpcSection(""), `"k"`, `""`, 1))
	if _, err := i.grpcAPI(nil).Info(withKey(t, ""), &apipb.InfoRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a key: got %v; want %v", err, codes.Unauthenticated)
	}
	i = start(t, `"grpc_api": {"enabled": true, "insecure": true}`)
	if host, _, _ := net.SplitHostPort(i.internal()); host != "127.0.0.1" {
		t.Errorf("listens on %s; want 127.0.0.1", i.internal())
	}
	if _, err := i.grpcAPI(nil).Info(t.Context(), &apipb.InfoRequest{}); err != nil {
		t.Errorf("insecure: got %v; want no error", err)
	}
	if !i.logged("warn", "INSECURE endpoints on a loopback address: only this machine, or this container, reaches them", "CENTRIFUGO_GRPC_API_ADDRESS") {
		t.Errorf("log: got %v; want how to open the address", i.lines())
	}
}

// TestGRPCAPICheck: what does not start, fails the check.
func TestGRPCAPICheck(t *testing.T) {
	cfg, _, err := config.Load(config.Options{Flags: map[string]string{
		"grpc_api.enabled": "true", "grpc_api.tls.enabled": "true", "grpc_api.tls.cert_pem": "/nowhere/x.pem", "grpc_api.tls.key_pem": "/nowhere/y.pem",
	}})
	if err == nil {
		err = Check(cfg)
	}
	if err == nil || !strings.Contains(err.Error(), "grpc_api") {
		t.Errorf("got %v; want an error about grpc_api", err)
	}
}

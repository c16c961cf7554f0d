package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/config"
)

// rawMessages is the codec of a client whose messages are bytes.
type rawMessages struct{}

func (rawMessages) Name() string { return "proto" }

func (rawMessages) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawMessages) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// consume calls unidirectional gRPC, whose listener is the last one, with a connect request
// in Protobuf.
func (i *instance) consume(c *tls.Config, request string) grpc.ClientStream {
	i.t.Helper()
	conn := i.grpcConn(c)
	ctx, cancel := context.WithTimeout(context.Background(), apptest.Timeout)
	i.t.Cleanup(cancel)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true},
		"/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume", grpc.ForceCodecV2(rawMessages{}))
	if err == nil {
		err = stream.SendMsg([]byte(request))
	}
	if err != nil && !errors.Is(err, io.EOF) { // RecvMsg returns the status
		i.t.Logf("calling: %v", err)
	}
	return &failedStream{ClientStream: stream, err: err}
}

// failedStream is a stream, or the error of the call.
type failedStream struct {
	grpc.ClientStream
	err error
}

// nextPush returns the next push, undecoded.
func nextPush(s grpc.ClientStream) (push string, err error) {
	f := s.(*failedStream)
	if f.ClientStream == nil {
		return "", f.err
	}
	var b []byte
	err = f.RecvMsg(&b)
	return string(b), err
}

// uniGRPC makes a member of the configuration: unidirectional gRPC on a free port.
func uniGRPC(members string) string {
	return `"uni_grpc": {"enabled": true, "address": "127.0.0.1"` + members + `}`
}

// isConnectPush tells how a connect push begins: field 10, whose field 1 is a UUID.
func isConnectPush(push string) bool { return strings.HasPrefix(push, "\x52") }

// TestUniGRPC connects, counts, and stops the server.
func TestUniGRPC(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, `+uniGRPC(""))
	s := i.consume(nil, "")
	if push, err := nextPush(s); err != nil || !isConnectPush(push) {
		t.Fatalf("got %q, %v; want a connect push", push, err)
	}
	if got := i.app.node.NumClients(); got != 1 {
		t.Errorf("the node has %d clients; want 1", got)
	}
	if err := i.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if push, err := nextPush(s); err != nil || !strings.Contains(push, "shutdown") {
		t.Errorf("at the end: got %q, %v; want a disconnect push", push, err)
	}
	if push, err := nextPush(s); !errors.Is(err, io.EOF) {
		t.Errorf("behind it: got %q, %v; want the end with status OK", push, err)
	}
}

// TestUniGRPCLimits: uni_grpc.max_receive_message_size, client.connection_limit and
// client.connection_rate_limit.
func TestUniGRPCLimits(t *testing.T) {
	i := start(t, `"prometheus": {"enabled": true}, "client": {"insecure": true, "connection_limit": 1}, `+uniGRPC(`, "max_receive_message_size": 100`))
	long := "\x12\x7f" + strings.Repeat("x", 127) // data: 129 bytes
	byDefault := start(t, `"client": {"insecure": true}, `+uniGRPC(""))
	if push, err := nextPush(byDefault.consume(nil, strings.Repeat(long, 512))); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("more than 64 KiB by default: got %q, %v; want %v", push, err, codes.ResourceExhausted)
	}
	if push, err := nextPush(i.consume(nil, long)); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("a long request: got %q, %v; want %v", push, err, codes.ResourceExhausted)
	}
	if push, err := nextPush(i.consume(nil, "")); err != nil || !isConnectPush(push) {
		t.Errorf("the first: got %q, %v; want a connect push", push, err)
	}
	if _, err := nextPush(i.consume(nil, "")); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "client.connection_limit") {
		t.Errorf("the second: got %v; want %v", err, codes.ResourceExhausted)
	}
	i.awaitLogged("info", "connection refused", "client.connection_limit is reached")
	if _, metrics := i.request("GET", i.external(), "/metrics", ""); !strings.Contains(metrics, `centrifugo_node_client_connections_refused_count{status="ResourceExhausted"} 2`) {
		t.Errorf("metrics: want two connections refused with ResourceExhausted, got %s", metrics)
	}
	i = start(t, `"client": {"insecure": true, "connection_rate_limit": 1}, `+uniGRPC(""))
	for refused := false; !refused; {
		_, err := nextPush(i.consume(nil, ""))
		refused = status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "client.connection_rate_limit")
		if err != nil && !refused {
			t.Fatalf("got %v; want connections until %v", err, codes.ResourceExhausted)
		}
	}
}

// TestUniGRPCTLS asks clients for certificates (uni_grpc.tls).
func TestUniGRPCTLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.leaf()
	section, err := json.Marshal(map[string]any{"enabled": true, "cert_pem": cert, "key_pem": key, "client_ca_pem": string(a.pem)})
	if err != nil {
		t.Fatal(err)
	}
	i := start(t, `"client": {"insecure": true}, `+uniGRPC(`, "tls": `+string(section)))
	c := a.client()
	if push, err := nextPush(i.consume(c, "")); status.Code(err) != codes.Unavailable {
		t.Errorf("without a certificate: got %q, %v; want %v", push, err, codes.Unavailable)
	}
	cert, key = a.leaf()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	c.Certificates = []tls.Certificate{pair}
	if push, err := nextPush(i.consume(c, "")); err != nil || !isConnectPush(push) {
		t.Errorf("with a certificate: got %q, %v; want a connect push", push, err)
	}
}

// TestGRPCAddresses: with an insecure mode of clients the listeners are on loopback unless
// grpc.address and uni_grpc.address say otherwise; grpc.port and uni_grpc.port are their ports.
func TestGRPCAddresses(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "uni_grpc": {"enabled": true}`)
	if host, _, _ := net.SplitHostPort(i.internal()); host != "127.0.0.1" {
		t.Errorf("listens on %s; want 127.0.0.1", i.internal())
	}
	if host, _, _ := net.SplitHostPort(start(t, `"client": {"insecure": true}, "grpc": {"enabled": true}`).internal()); host != "127.0.0.1" {
		t.Errorf("bidirectional gRPC listens on %s; want 127.0.0.1", host)
	}
	a := &App{config: &config.Config{
		UniGRPC: config.UniGRPC{Enabled: true, Address: "127.0.0.9", Port: 12}, GRPC: config.GRPC{Enabled: true, Address: "127.0.0.8", Port: 11},
	}}
	plans := a.planGRPCTransports()
	if len(plans) != 2 || plans[0].address != "127.0.0.8:11" || plans[1].address != "127.0.0.9:12" {
		t.Errorf("plans are %+v; want addresses 127.0.0.8:11 and 127.0.0.9:12", plans)
	}
}

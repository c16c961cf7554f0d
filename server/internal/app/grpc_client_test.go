package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	schemas "github.com/jhump/protoreflect/desc" //nolint:staticcheck // grpcdynamic takes its types
	"github.com/jhump/protoreflect/dynamic"      //nolint:staticcheck // grpcdynamic takes its types
	"github.com/jhump/protoreflect/dynamic/grpcdynamic"
	"github.com/jhump/protoreflect/grpcreflect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"centrifugo/server/internal/app/apptest"
)

// bidirectionalGRPC makes a member of the configuration: bidirectional gRPC on a free port.
func bidirectionalGRPC(members string) string {
	return `"grpc": {"enabled": true, "address": "127.0.0.1"` + members + `}`
}

// grpcConn opens an HTTP/2 connection to the last listener.
func (i *instance) grpcConn(c *tls.Config) *grpc.ClientConn {
	i.t.Helper()
	transport := insecure.NewCredentials()
	if c != nil {
		transport = credentials.NewTLS(c)
	}
	conn, err := grpc.NewClient(i.internal(), grpc.WithTransportCredentials(transport))
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// dynamicStream is a call of a client that knows the schema only from reflection.
type dynamicStream struct {
	t      *testing.T
	stream *grpcdynamic.BidiStream
	input  *schemas.MessageDescriptor
}

// reflected calls the method Communicate of a service.
func (i *instance) reflected(t *testing.T, c *tls.Config, service string) *dynamicStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), apptest.Timeout)
	t.Cleanup(cancel)
	conn := i.grpcConn(c)
	reflection := grpcreflect.NewClientAuto(ctx, conn)
	defer reflection.Reset()
	if names, err := reflection.ListServices(); err != nil || !slices.Contains(names, service) {
		t.Fatalf("reflection lists %v, %v; want %s", names, err, service)
	}
	description, err := reflection.ResolveService(service)
	if err != nil {
		t.Fatalf("reflection of %s: %v", service, err)
	}
	method := description.FindMethodByName("Communicate")
	stream, err := grpcdynamic.NewStub(conn).InvokeRpcBidiStream(ctx, method)
	if err != nil {
		t.Fatalf("calling %s: %v", service, err)
	}
	return &dynamicStream{t, stream, method.GetInputType()}
}

// send sends a message written as JSON of Protobuf, in which bytes are base64.
func (s *dynamicStream) send(message string) {
	s.t.Helper()
	m := dynamic.NewMessage(s.input)
	if err := m.UnmarshalJSON([]byte(message)); err != nil {
		s.t.Fatalf("%s: %v", message, err)
	}
	if err := s.stream.SendMsg(m); err != nil {
		s.t.Fatalf("sending %s: %v", message, err)
	}
}

// receive returns the next message as JSON of Protobuf.
func (s *dynamicStream) receive() (string, error) {
	s.t.Helper()
	m, err := s.stream.RecvMsg()
	if err != nil {
		return "", err //nolint:wrapcheck // a status
	}
	message, ok := m.(*dynamic.Message)
	if !ok {
		s.t.Fatalf("received a %T; want a dynamic message", m)
	}
	text, err := message.MarshalJSON()
	if err != nil {
		s.t.Fatalf("received what is no message of the schema: %v", err)
	}
	return string(text), nil
}

func (s *dynamicStream) expect(prefix string) {
	s.t.Helper()
	if got, err := s.receive(); err != nil || !strings.HasPrefix(got, prefix) {
		s.t.Fatalf("received %s, %v; want %s", got, err, prefix)
	}
}

// TestGRPCReflection: a client that knows nothing but reflection (grpc.reflection) talks to
// each bidirectional service: connect, subscribe, a publication of the API, and the end.
func TestGRPCReflection(t *testing.T) {
	for _, test := range []struct {
		service                       string
		connect, connected            string
		subscribe, subscribed, pushed string
		advice                        string
	}{
		{
			"centrifugal.centrifuge.protocol.Centrifuge", `{"id":1,"connect":{}}`, `{"id":1,"connect":{"client":"`,
			`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":2,"subscribe":{`, `{"push":{"channel":"a","pub":{"data":"eyJ4IjoxfQ=="`,
			`{"code":3001,"reason":"shutdown","reconnect":true}`,
		},
		{ // params and result are messages as bytes
			"proto.Centrifuge", `{"id":1}`, `{"id":1,"result":"Ci`,
			`{"id":2,"method":"SUBSCRIBE","params":"CgFh"}`, `{"id":2`, `{"result":"EgFhGgkiB3sieCI6MX0="`,
			`{"reason":"shutdown","reconnect":true}`,
		},
	} {
		t.Run(test.service, func(t *testing.T) {
			i := start(t, `"client": {"insecure": true}, "http_api": {"insecure": true}, `+bidirectionalGRPC(`, "reflection": true`))
			s := i.reflected(t, nil, test.service)
			s.send(test.connect)
			s.expect(test.connected)
			s.send(test.subscribe)
			s.expect(test.subscribed)
			if code, body := i.request("POST", i.external(), "/api/publish", `{"channel":"a","data":{"x":1}}`); code != 200 {
				t.Fatalf("publishing: %d %s; want 200", code, body)
			}
			s.expect(test.pushed)
			if got := i.app.node.NumClients(); got != 1 {
				t.Errorf("the node has %d clients; want 1", got)
			}
			if err := i.stop(); err != nil {
				t.Errorf("stopping: %v", err)
			}
			if got, err := s.receive(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: got %s, %v; want the end with status OK", got, err)
			}
			if got := s.stream.Trailer().Get("disconnect"); len(got) != 1 || got[0] != test.advice {
				t.Errorf("the trailer is %q; want %s", got, test.advice)
			}
		})
	}
	i := start(t, `"client": {"insecure": true}, `+bidirectionalGRPC(""))
	reflection := grpcreflect.NewClientAuto(t.Context(), i.grpcConn(nil))
	defer reflection.Reset()
	if names, err := reflection.ListServices(); status.Code(errors.Unwrap(err)) != codes.Unimplemented && status.Code(err) != codes.Unimplemented {
		t.Errorf("reflection that is off lists %v, %v; want %v", names, err, codes.Unimplemented)
	}
}

// TestGRPCLimits: grpc.max_receive_message_size ends a connection, client.connection_limit
// refuses one.
func TestGRPCLimits(t *testing.T) {
	i := start(t, `"client": {"insecure": true, "connection_limit": 1}, `+bidirectionalGRPC(`, "reflection": true, "max_receive_message_size": 100`))
	s := i.reflected(t, nil, "centrifugal.centrifuge.protocol.Centrifuge")
	s.send(`{"id":1,"connect":{}}`)
	s.expect(`{"id":1,"connect":{`)
	other := i.reflected(t, nil, "centrifugal.centrifuge.protocol.Centrifuge")
	if got, err := other.receive(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "client.connection_limit") {
		t.Errorf("the second: got %s, %v; want %v", got, err, codes.ResourceExhausted)
	}
	s.send(`{"id":2,"rpc":{"method":"` + strings.Repeat("x", 100) + `"}}`)
	if got, err := s.receive(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("a long message: got %s, %v; want %v", got, err, codes.ResourceExhausted)
	}
	i.awaitLogged("info", "connection refused", "larger than max")
	i.awaitLogged("info", "connection refused", "client.connection_limit is reached")
}

// TestGRPCTLS asks clients for certificates (grpc.tls).
func TestGRPCTLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.leaf()
	section, err := json.Marshal(map[string]any{"enabled": true, "cert_pem": cert, "key_pem": key, "client_ca_pem": string(a.pem)})
	if err != nil {
		t.Fatal(err)
	}
	i := start(t, `"client": {"insecure": true}, `+bidirectionalGRPC(`, "reflection": true, "tls": `+string(section)))
	c := a.client()
	reflection := grpcreflect.NewClientAuto(t.Context(), i.grpcConn(c))
	if names, err := reflection.ListServices(); err == nil {
		t.Errorf("without a certificate: reflection lists %v; want an error", names)
	}
	reflection.Reset()
	cert, key = a.leaf()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	c.Certificates = []tls.Certificate{pair}
	s := i.reflected(t, c, "centrifugal.centrifuge.protocol.Centrifuge")
	s.send(`{"id":1,"connect":{}}`)
	s.expect(`{"id":1,"connect":{`)
}

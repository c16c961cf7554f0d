package grpcstream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"
)

// Full names of the bidirectional methods.
const (
	communicateV2  = "/centrifugal.centrifuge.protocol.Centrifuge/Communicate"
	communicateV1  = "/proto.Centrifuge/Communicate"
	communicateOld = "/proto.Centrifugo/Communicate"
)

// endpoint is a gRPC server with the services of a node.
type endpoint struct {
	address   string
	transport credentials.TransportCredentials // of clients
}

// listen serves the bidirectional services of n until the end of the test.
func listen(t testing.TB, n *centrifuge.Node, config Config, secure bool, options ...grpc.ServerOption) *endpoint {
	t.Helper()
	config.Bidirectional = true
	if config.OnError == nil {
		config.OnError = func(err error) { t.Errorf("OnError(%v)", err) }
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{listener.Addr().String(), insecure.NewCredentials()}
	if secure {
		some := httptest.NewUnstartedServer(nil) // for its certificate
		some.StartTLS()
		certificates := some.TLS.Certificates
		some.Close()
		options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: certificates}))) //nolint:gosec // versions are the default
		e.transport = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})                            //nolint:gosec // the test's own server
	}
	server := grpc.NewServer(append(options, grpc.ForceServerCodecV2(Codec()))...)
	NewService(n, config).Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return e
}

// clientEnd is a client's end of a bidirectional connection. Messages are written as JSON of V2
// and are on the wire what the format says.
type clientEnd struct {
	t      testing.TB
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	cancel context.CancelFunc
	format protocol.Format
	kinds  map[uint32]protocol.MessageKind
	deltas bool // publications are strings in JSON
}

// dial opens a connection by a method, with metadata in pairs.
func (e *endpoint) dial(t testing.TB, method string, pairs ...string) *clientEnd {
	t.Helper()
	conn, err := grpc.NewClient(e.address, grpc.WithTransportCredentials(e.transport),
		fixedWindow, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return open(t, conn, method, pairs...)
}

// open opens a connection as a stream of an HTTP/2 connection.
func open(t testing.TB, conn *grpc.ClientConn, method string, pairs ...string) *clientEnd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*transporttest.WaitLimit)
	t.Cleanup(cancel)
	stream, err := conn.NewStream(metadata.AppendToOutgoingContext(ctx, pairs...), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		method, grpc.ForceCodecV2(raw{}))
	if err != nil {
		t.Fatal(err)
	}
	p := &clientEnd{t: t, conn: conn, stream: stream, cancel: cancel, format: protocol.FormatProtobuf, kinds: map[uint32]protocol.MessageKind{}}
	if method != communicateV2 {
		p.format |= protocol.FormatV1
	}
	return p
}

// Send implements centrifugetest.TransportPeer. Each command is a message of its own.
func (p *clientEnd) Send(message []byte) error {
	decoder := protocol.NewDecoder(0, message, protocol.Limits{})
	for {
		command := new(protocol.Command)
		if err := decoder.Next(command); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		encoded, err := protocol.AppendCommand(nil, p.format, command)
		if err != nil {
			return err
		}
		p.kinds[command.ID] = command.Kind()
		if err := p.stream.SendMsg(encoded); err != nil {
			return err
		}
	}
}

// Receive implements centrifugetest.TransportPeer.
func (p *clientEnd) Receive() ([]byte, error) {
	var message []byte
	if err := p.stream.RecvMsg(&message); err != nil {
		return nil, err
	}
	kind := func(id uint32) protocol.MessageKind { return p.kinds[id] }
	reply, err := clientcodec.ReplyDecoder{Format: p.format, Kind: kind}.Decode(message)
	if err != nil {
		return nil, fmt.Errorf("decoding %.100q: %w", message, err)
	}
	if reply.Subscribe != nil && reply.Subscribe.Delta {
		p.deltas = true
	}
	if reply.Push != nil && reply.Push.Pub != nil && p.deltas { // protocol.md 2.3
		if reply.Push.Pub.Data, err = json.Marshal(string(reply.Push.Pub.Data)); err != nil {
			return nil, err
		}
	}
	return protocol.AppendReply(nil, 0, reply)
}

// Reason implements centrifugetest.TransportPeer.
func (p *clientEnd) Reason() centrifuge.Disconnect {
	advice := p.advice()
	return centrifuge.Disconnect{Code: advice.Code, Reason: advice.Reason}
}

// advice is the content of the trailer.
type advice struct {
	Code      uint32
	Reason    string
	Reconnect bool
}

func (p *clientEnd) advice() (a advice) {
	p.t.Helper()
	switch text := p.stream.Trailer().Get("disconnect"); len(text) {
	case 0:
	case 1:
		if err := json.Unmarshal([]byte(text[0]), &a); err != nil {
			p.t.Errorf("the trailer disconnect is %q: %v; want JSON", text[0], err)
		}
	default:
		p.t.Errorf("the trailer disconnect is %q; want one value", text)
	}
	return a
}

// Close implements centrifugetest.TransportPeer.
func (p *clientEnd) Close() error {
	p.cancel()
	return p.conn.Close()
}

func (p *clientEnd) send(commands string) {
	p.t.Helper()
	if err := p.Send([]byte(commands)); err != nil {
		p.t.Fatalf("Send(%s) = %v", commands, err)
	}
}

// expect reads messages that begin with prefixes.
func (p *clientEnd) expect(prefixes ...string) {
	p.t.Helper()
	transporttest.Expect(p.t, p, prefixes...)
}

// end reads up to the end of the stream and returns its status.
func (p *clientEnd) end() error {
	for {
		if _, err := p.Receive(); err != nil {
			return err
		}
	}
}

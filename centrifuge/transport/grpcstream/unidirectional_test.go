package grpcstream

import (
	"context"
	"net"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// uniPeer is a client as centrifugetest.TestUnidirectionalTransport uses it: what it sends
// and receives is JSON, and Protobuf on the wire.
type uniPeer struct {
	client *grpc.ClientConn
	ctx    context.Context
	cancel context.CancelFunc
	stream grpc.ClientStream
	why    centrifuge.Disconnect
}

// Send implements centrifugetest.TransportPeer.
func (p *uniPeer) Send(message []byte) error {
	request, err := protocol.DecodeConnectRequest(0, message)
	if err != nil {
		return err
	}
	encoded, err := protocol.AppendConnectRequest(nil, protocol.FormatProtobuf, request)
	if err != nil {
		return err
	}
	p.stream, err = p.client.NewStream(p.ctx, &grpc.StreamDesc{ServerStreams: true},
		"/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume", grpc.ForceCodecV2(raw{}))
	if err != nil {
		return err
	}
	if err := p.stream.SendMsg(encoded); err != nil {
		return err
	}
	return p.stream.CloseSend()
}

// Receive implements centrifugetest.TransportPeer.
func (p *uniPeer) Receive() ([]byte, error) {
	var message []byte
	if err := p.stream.RecvMsg(&message); err != nil {
		return nil, err
	}
	reply, err := clientcodec.DecodeReply(protocol.FormatProtobuf|protocol.FormatUni, message)
	if err != nil {
		return nil, err
	}
	if reply.Push != nil && reply.Push.Disconnect != nil {
		p.why = centrifuge.Disconnect{Code: reply.Push.Disconnect.Code, Reason: reply.Push.Disconnect.Reason}
	}
	return protocol.AppendReply(nil, protocol.FormatUni, reply)
}

// Reason implements centrifugetest.TransportPeer.
func (p *uniPeer) Reason() centrifuge.Disconnect { return p.why }

// Close implements centrifugetest.TransportPeer.
func (p *uniPeer) Close() error {
	p.cancel()
	return nil
}

// TestUnidirectionalTransport runs the suite of transports.
func TestUnidirectionalTransport(t *testing.T) {
	centrifugetest.TestUnidirectionalTransport(t, func(t *testing.T, n *centrifuge.Node) func(t *testing.T) centrifugetest.TransportPeer {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer(grpc.ForceServerCodecV2(Codec()))
		NewService(n, Config{}).Register(server)
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		client, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = client.Close()
			server.Stop()
			if err := <-served; err != nil {
				t.Errorf("Serve = %v", err)
			}
		})
		return func(*testing.T) centrifugetest.TransportPeer {
			ctx, cancel := context.WithTimeout(context.Background(), 4*transporttest.WaitLimit)
			return &uniPeer{client: client, ctx: ctx, cancel: cancel}
		}
	})
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"centrifugo/server/internal/app/apptest"
)

// grpcClient is the connection that the streams of a wireServer share.
type grpcClient struct {
	once sync.Once
	conn *grpc.ClientConn
	err  error
}

func (c *grpcClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// grpcLink returns a stream of a method, which the first message opens.
func (s *wireServer) grpcLink(method string) apptest.Link {
	s.streams.once.Do(func() {
		transport := insecure.NewCredentials()
		if s.clients.TLS != nil {
			transport = credentials.NewTLS(s.clients.TLS)
		}
		s.streams.conn, s.streams.err = grpc.NewClient(s.internal(), grpc.WithTransportCredentials(transport),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	})
	l := &grpcLink{client: &s.streams, method: method, uni: s.format.Uni()}
	l.ctx, l.cancel = context.WithTimeout(context.Background(), 6*apptest.Timeout)
	return l
}

// grpcLink is an apptest.Link. Its messages are pushes or replies in Protobuf.
type grpcLink struct {
	client *grpcClient
	method string
	uni    bool
	ctx    context.Context
	cancel context.CancelFunc
	stream grpc.ClientStream
}

// Send implements apptest.Link. Commands of one message are sent one by one: gRPC delimits them.
func (l *grpcLink) Send(message []byte) (err error) {
	if l.client.err != nil {
		return l.client.err
	}
	if l.stream == nil {
		l.stream, err = l.client.conn.NewStream(l.ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: !l.uni}, l.method, grpc.ForceCodecV2(rawMessages{}))
		if err != nil {
			return grpcEnd(err)
		}
	}
	if l.uni {
		if err := l.stream.SendMsg(message); err != nil && !errors.Is(err, io.EOF) { // RecvMsg returns the status
			return err
		}
		return l.stream.CloseSend()
	}
	for len(message) > 0 {
		command, n := protowire.ConsumeBytes(message)
		if n < 0 { // malformed
			command, n = message, len(message)
		}
		if err := l.stream.SendMsg(command); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		message = message[n:]
	}
	return nil
}

// Receive implements apptest.Link.
func (l *grpcLink) Receive() (message []byte, err error) {
	err = l.stream.RecvMsg(&message)
	if err == nil {
		return message, nil
	}
	if advice := l.stream.Trailer().Get("disconnect"); len(advice) == 1 {
		ended := new(apptest.Ended)
		if err := json.Unmarshal([]byte(advice[0]), ended); err != nil {
			return nil, err
		}
		return nil, ended
	}
	return nil, grpcEnd(err)
}

// grpcEnd returns the error of a stream: io.EOF for the status OK.
func grpcEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	return &apptest.Ended{Status: status.Code(err).String(), Reason: status.Convert(err).Message()}
}

// Close implements apptest.Link.
func (l *grpcLink) Close() error {
	l.cancel()
	return nil
}

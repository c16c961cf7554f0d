package loadtest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
)

// grpcStreams is how many clients share a connection of gRPC, as they do behind a proxy.
const grpcStreams = 100

// rawCodec passes messages as bytes.
type rawCodec struct{}

// Name implements encoding.CodecV2.
func (rawCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is not []byte", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is not *[]byte", v)
	}
	*b = data.Materialize()
	return nil
}

// dialGRPC returns a connection that clients share. It connects with the first call.
func (f *fleet) dialGRPC(c *client) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if f.server.tls {
		config := tlsConfig(f.server, f.opts.SkipVerify)
		config.NextProtos = []string{"h2"}
		transport = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient("passthrough:///"+f.server.address, grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return f.dialer(c).DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return conn, nil
}

// grpcLink is the link of a client over gRPC. Each write is a message.
type grpcLink struct {
	stream grpc.ClientStream
	cancel context.CancelFunc
}

func (l *grpcLink) write(b []byte) (int, error) {
	if err := l.stream.SendMsg(append([]byte(nil), b...)); err != nil && !errors.Is(err, io.EOF) { // RecvMsg says why
		return 0, fmt.Errorf("writing: %w", err)
	}
	return len(b), nil
}

func (l *grpcLink) watch(bool) {}

func (l *grpcLink) close() { l.cancel() }

// call gives a client a goroutine and a stream.
func (f *fleet) call(c *client) {
	began := c.began
	f.wg.Go(func() {
		ctx, cancel := context.WithCancel(f.stop)
		defer cancel()
		stream, err := f.openGRPC(ctx, c)
		f.mu.Lock()
		switch {
		case c.state != stateDialing || c.began != began: // given up meanwhile
			f.mu.Unlock()
			return
		case err != nil:
			f.fail(c, Cause{Kind: causeConnect, Reason: err.Error()})
			f.mu.Unlock()
			return
		}
		l := &grpcLink{stream, cancel}
		c.link = l
		f.greet(c)
		f.mu.Unlock()
		f.receive(c, l, func() (message []byte, err error) {
			err = stream.RecvMsg(&message)
			return message, err
		}, f.protobufMessage, func(err error) Cause { return grpcEnd(c, stream, err) })
	})
}

func (f *fleet) openGRPC(ctx context.Context, c *client) (grpc.ClientStream, error) {
	conn, err := f.grpc.of(c.index, func() (*grpc.ClientConn, error) { return f.dialGRPC(c) })
	if err != nil {
		return nil, err
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: !f.transport.unidirectional}, f.transport.path)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return stream, nil
}

// writeGRPC sends a batch, each message by itself.
func (f *fleet) writeGRPC(c *client, batch []byte) {
	if f.transport.unidirectional { // the connect request, which has no length
		f.send(c, batch)
		return
	}
	for len(batch) > 0 && c.state != stateClosed {
		size, n := binary.Uvarint(batch)
		f.send(c, batch[n:n+int(size)]) //nolint:gosec // encode made it
		batch = batch[n+int(size):]     //nolint:gosec // likewise
	}
}

// grpcEnd says why a stream has ended (protocol.md 3.6).
func grpcEnd(c *client, stream grpc.ClientStream, err error) Cause {
	var advice struct {
		Code   uint32 `json:"code"`
		Reason string `json:"reason"`
	}
	for _, text := range stream.Trailer().Get("disconnect") {
		if json.Unmarshal([]byte(text), &advice) == nil {
			return Cause{Kind: causeDisconnect, Code: advice.Code, Reason: advice.Reason}
		}
	}
	return ended(c, err)
}

package proxygrpc

import (
	"context"
	"errors"
	"io"
	"net/http"

	"centrifugo/proxypb"
	"centrifugo/server/internal/proxy"
)

// stream is a stream of either kind.
type stream struct {
	// Static after construction.
	receive func() (*proxypb.StreamSubscribeResponse, error)
	send    func(*proxypb.StreamSubscribeRequest) error // nil for a unidirectional stream
}

var errUnidirectional = errors.New("the stream is unidirectional")

// Open implements proxy.StreamCarrier.
func (c *carrier) Open(ctx context.Context, bidirectional bool, r *proxy.Request, headers http.Header) (proxy.Stream, error) {
	ctx = withMetadata(ctx, headers)
	client := proxypb.NewCentrifugoProxyClient(c.conn)
	request, _ := encode(r, (*proxypb.SubscribeRequest)(nil)).(*proxypb.SubscribeRequest)
	if !bidirectional {
		s, err := client.SubscribeUnidirectional(ctx, request, c.options...)
		if err != nil {
			return nil, failure(err)
		}
		return &stream{receive: s.Recv}, nil
	}
	s, err := client.SubscribeBidirectional(ctx, c.options...)
	if err != nil {
		return nil, failure(err)
	}
	// An error of Send is io.EOF: Recv has the reason.
	if err := s.Send(&proxypb.StreamSubscribeRequest{SubscribeRequest: request}); err != nil && !errors.Is(err, io.EOF) {
		return nil, failure(err)
	}
	return &stream{receive: s.Recv, send: s.Send}, nil
}

// Recv implements proxy.Stream.
func (s *stream) Recv() (proxy.StreamMessage, error) {
	m, err := s.receive()
	switch {
	case errors.Is(err, io.EOF):
		return proxy.StreamMessage{}, io.EOF
	case err != nil:
		return proxy.StreamMessage{}, failure(err)
	}
	var out proxy.StreamMessage
	if r := m.GetSubscribeResponse(); r != nil {
		out.Response = decode(r)
	}
	if p := m.GetPublication(); p != nil {
		out.Publication = &proxy.Publication{Data: p.GetData(), Tags: p.GetTags()}
	}
	return out, nil
}

// Send implements proxy.Stream.
func (s *stream) Send(data []byte) error {
	if s.send == nil {
		return errUnidirectional
	}
	return s.send(&proxypb.StreamSubscribeRequest{Publication: &proxypb.Publication{Data: data}}) //nolint:wrapcheck // proxy answers with an error of its own
}

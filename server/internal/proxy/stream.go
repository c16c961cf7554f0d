package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"centrifugo/centrifuge"
)

// StreamCarrier is a Carrier that can also open streams, for the event SubscribeStream.
type StreamCarrier interface {
	Carrier
	// Open begins a stream, which lasts until it or ctx ends. It does not wait for the
	// backend.
	Open(ctx context.Context, bidirectional bool, r *Request, headers http.Header) (Stream, error)
}

// Stream is what a backend sends for one subscription. Recv and Send may be called at the
// same time, but neither by several goroutines.
type Stream interface {
	// Recv waits for the next message: the first has a response, others have a publication.
	// The error is io.EOF at a regular end, otherwise a *Failure.
	Recv() (StreamMessage, error)
	// Send sends what the client publishes. Only a bidirectional stream can.
	Send(data []byte) error
}

// StreamMessage is a message of a stream.
type StreamMessage struct {
	Response    *Response
	Publication *Publication
}

// Publication is delivered to the subscriber of a stream.
type Publication struct {
	Data []byte
	Tags map[string]string
}

// Subscription is a stream whose backend has answered (server.md 5.10).
type Subscription struct {
	// Static after construction.
	proxy         *Proxy
	stream        Stream
	bidirectional bool
	cancel        context.CancelFunc

	once sync.Once
	send sync.Mutex // held during Stream.Send
}

// errSilent ends a stream without a first message.
var errSilent = errors.New("the first message has no subscribe_response")

// Open asks the backend about a subscription whose client has the context ctx, and returns
// its answer as Call does. Without an error or a disconnect in the answer, the Subscription
// is not nil and must be closed; the end of ctx closes it too. The errors are those of Call;
// ErrorNotAvailable means that the endpoint has no streams.
func (p *Proxy) Open(ctx context.Context, caller Caller, r Request, bidirectional bool) (*Response, *Subscription, error) {
	carrier, ok := p.carrier.(StreamCarrier)
	if !ok {
		return nil, nil, centrifuge.ErrorNotAvailable
	}
	p.complete(SubscribeStream, &caller, &r)
	permit, err := p.guard.enter(ctx)
	if err != nil {
		return nil, nil, p.refuse(ctx, SubscribeStream, err)
	}
	streamCtx, cancel := context.WithCancel(ctx)
	s := &Subscription{proxy: p, bidirectional: bidirectional, cancel: cancel}
	p.used[SubscribeStream].Store(true)
	p.inFlight[SubscribeStream].Add(1)
	late := time.AfterFunc(p.config.Timeout, cancel)
	headers := p.headersOf(caller.Session)
	streamCtx, ended := p.trace(streamCtx, SubscribeStream, headers)
	response, err := s.begin(streamCtx, carrier, &r, headers)
	if !late.Stop() && ctx.Err() == nil {
		err = &Failure{Reason: Timeout, Down: true, Err: err}
	}
	ended(err)
	if err = p.conclude(ctx, SubscribeStream, &permit, response, err); err != nil {
		s.Close()
		return nil, nil, err
	}
	if response.Err() != nil {
		s.Close()
		return response, nil, nil
	}
	return response, s, nil
}

// begin opens the stream and receives its first message.
func (s *Subscription) begin(ctx context.Context, carrier StreamCarrier, r *Request, headers http.Header) (*Response, error) {
	var err error
	if s.stream, err = carrier.Open(ctx, s.bidirectional, r, headers); err != nil {
		return nil, err //nolint:wrapcheck // a *Failure
	}
	switch first, err := s.stream.Recv(); {
	case errors.Is(err, io.EOF):
		return nil, &Failure{Reason: Malformed, Err: errSilent}
	case err != nil:
		return nil, err //nolint:wrapcheck // a *Failure
	case first.Response == nil:
		return nil, &Failure{Reason: Malformed, Err: errSilent}
	default:
		return first.Response, nil
	}
}

// Recv waits for the next publication. The error is io.EOF if the backend has ended the
// stream regularly. Other failures are logged and counted, unless the stream was closed.
func (s *Subscription) Recv(ctx context.Context) (*Publication, error) {
	for {
		m, err := s.stream.Recv()
		var failure *Failure
		switch {
		case err == nil && m.Publication != nil:
			return m.Publication, nil
		case err == nil: // a message of another kind
		case errors.As(err, &failure) && ctx.Err() == nil:
			s.proxy.observe(SubscribeStream, time.Now(), true)
			s.proxy.logFailure(ctx, SubscribeStream, failure)
			return nil, err //nolint:wrapcheck // a *Failure
		default:
			return nil, err //nolint:wrapcheck // io.EOF, or the stream was closed
		}
	}
}

// Publish sends what the client publishes to the backend. The errors answer the command.
// A backend that does not read for the time of a call loses the stream.
func (s *Subscription) Publish(data []byte) error {
	if !s.bidirectional {
		return centrifuge.ErrorNotAvailable
	}
	s.send.Lock()
	defer s.send.Unlock()
	late := time.AfterFunc(s.proxy.config.Timeout, s.cancel)
	defer late.Stop()
	if err := s.stream.Send(data); err != nil {
		return fmt.Errorf("%w: %w", err, centrifuge.ErrorInternal)
	}
	return nil
}

// Close ends the stream. It may be called several times.
func (s *Subscription) Close() {
	s.once.Do(func() {
		s.cancel()
		s.proxy.inFlight[SubscribeStream].Add(-1)
	})
}

package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"centrifugo/apipb"
)

// Ways into the API.
const (
	wayHTTP       = "http"
	wayHTTPStream = "http_stream"
	wayGRPC       = "grpc"
	wayGRPCStream = "grpc_stream"
)

// apiWays returns the ways that scenario ways measures, in the order of the report.
func (o *Options) apiWays() []string {
	ways := []string{wayHTTP, wayHTTPStream}
	if o.APIGRPC != "" {
		ways = append(ways, wayGRPC, wayGRPCStream)
	}
	return ways
}

// dialAPI returns a connection to the API over gRPC, which all publishers share. It connects
// with the first call.
func (f *fleet) dialAPI() (*grpc.ClientConn, error) {
	server, err := parseEndpoint(f.opts.APIGRPC, "/")
	if err != nil {
		return nil, err
	}
	transport := insecure.NewCredentials()
	if server.tls {
		config := tlsConfig(server, f.opts.SkipVerify)
		config.NextProtos = []string{"h2"}
		transport = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient("passthrough:///"+server.address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return nil, fmt.Errorf("connecting to the API over gRPC: %w", err)
	}
	return conn, nil
}

// apiContext returns a context of calls over gRPC, with the key.
func (f *fleet) apiContext() context.Context {
	if f.opts.APIKey == "" {
		return f.stop
	}
	return metadata.AppendToOutgoingContext(f.stop, "authorization", "apikey "+f.opts.APIKey)
}

// call makes one publication by a call over gRPC. Its number is used again when it was refused.
func (p *publisher) call(t *target, at int64) *Cause {
	p.payload = p.fleet.payloads.append(p.payload[:0], stamp{t.source, t.count + 1, at})
	ctx, cancel := context.WithTimeout(p.fleet.apiContext(), apiTimeout)
	defer cancel()
	reply, err := apipb.NewCentrifugoApiClient(p.fleet.api).Publish(ctx, &apipb.PublishRequest{Channel: t.name, Data: p.payload})
	if err != nil {
		t.count++ // it may have been published
		return &Cause{Kind: causePublish, Reason: clip(err.Error())}
	}
	return refused(reply.GetError())
}

func refused(e *apipb.Error) *Cause {
	if e == nil {
		return nil
	}
	return &Cause{Kind: causePublish, Code: e.GetCode(), Reason: clip(e.GetMessage())}
}

// commandStream is a long call of the API with many publications, which are answered in order.
// One goroutine sends while another receives.
type commandStream interface {
	send(t *target, payload []byte) error // may keep it until flush
	flush() error
	end() error               // nothing more is sent
	receive() (*Cause, error) // the next answer, nil for a publication that was made
	close()                   // ends the other calls; may be called by any goroutine, several times
}

// streamWindow is how many publications of a stream may be unanswered.
const streamWindow = 1024

// sending is a publication that is not answered.
type sending struct {
	target *target
	at     int64
}

// stream publishes by one long call, from start on until ctx ends.
func (p *publisher) stream(ctx context.Context, start int64, open func() (commandStream, error)) {
	s, err := open()
	if err != nil {
		p.fleet.refusedBy(err)
		return
	}
	defer s.close()
	unanswered := make(chan sending, streamWindow)
	received := make(chan struct{})
	go func() {
		defer close(received)
		p.receive(s, unanswered)
	}()
	err = p.sendAll(ctx, start, s, unanswered, received)
	close(unanswered)
	if err == nil {
		err = s.end()
	}
	<-received
	if err != nil && !errors.Is(err, io.EOF) { // receive has the reason of an EOF
		p.fleet.refusedBy(err)
	}
}

// sendAll sends until ctx ends, or until nothing is received any more.
func (p *publisher) sendAll(ctx context.Context, start int64, s commandStream, unanswered chan<- sending, received <-chan struct{}) error {
	pace := p.pace(start)
	for {
		at, err := pace.wait(ctx)
		if err != nil {
			return nil //nolint:nilerr // the time is over
		}
		t := &p.targets[p.next%len(p.targets)]
		p.next++
		select {
		case unanswered <- sending{t, at}:
		default: // the server has to answer what was kept
			if err := s.flush(); err != nil {
				return err
			}
			select {
			case unanswered <- sending{t, at}:
			case <-received:
				return nil
			}
		}
		t.count++
		p.payload = p.fleet.payloads.append(p.payload[:0], stamp{t.source, t.count, at})
		err = s.send(t, p.payload)
		if err == nil && pace.interval > 0 {
			err = s.flush()
		}
		if err != nil {
			return err
		}
	}
}

// receive counts answers until all have come. After an error it closes the stream.
func (p *publisher) receive(s commandStream, unanswered <-chan sending) {
	for item := range unanswered {
		cause, err := s.receive()
		if err != nil {
			p.fleet.refusedBy(err)
			s.close()
			return
		}
		p.count(item.target, item.at, cause)
	}
}

// refusedBy counts an error of a call that is none of the API.
func (f *fleet) refusedBy(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tally.cause(Cause{Kind: causePublish, Reason: clip(err.Error())})
}

// httpStream is a request of POST /api/stream, whose body goes on.
type httpStream struct {
	conn    net.Conn
	reader  *bufio.Reader
	chunks  io.WriteCloser
	body    *bufio.Writer
	line    []byte
	answers *bufio.Scanner // nil before the first answer
}

func (p *publisher) openHTTPStream() (commandStream, error) {
	p.hangUp()
	if err := p.dial(); err != nil {
		return nil, err
	}
	if _, err := p.conn.Write(p.streamHead); err != nil {
		return nil, fmt.Errorf("calling: %w", err)
	}
	s := &httpStream{conn: p.conn, reader: p.reader, chunks: httputil.NewChunkedWriter(p.conn)}
	s.body = bufio.NewWriterSize(s.chunks, 16<<10)
	return s, nil
}

func (s *httpStream) send(t *target, payload []byte) error {
	s.line = append(append(append(s.line[:0], `{"publish":{"channel":`...), t.channel...), `,"data":`...)
	s.line = append(append(s.line, payload...), "}}\n"...)
	_, err := s.body.Write(s.line)
	return err //nolint:wrapcheck // says what it is
}

func (s *httpStream) flush() error { return s.body.Flush() } //nolint:wrapcheck // says what it is

func (s *httpStream) end() error {
	if err := s.body.Flush(); err != nil {
		return err //nolint:wrapcheck // says what it is
	}
	if err := s.chunks.Close(); err != nil {
		return err //nolint:wrapcheck // says what it is
	}
	_, err := io.WriteString(s.conn, "\r\n") // no trailers
	return err                               //nolint:wrapcheck // says what it is
}

func (s *httpStream) receive() (*Cause, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(apiTimeout)); err != nil {
		return nil, fmt.Errorf("reading answer: %w", err)
	}
	if s.answers == nil {
		response, err := http.ReadResponse(s.reader, nil)
		if err != nil {
			return nil, fmt.Errorf("reading answer: %w", err)
		}
		if response.StatusCode != http.StatusOK {
			_ = response.Body.Close()
			return nil, fmt.Errorf("HTTP %s", response.Status)
		}
		s.answers = bufio.NewScanner(response.Body)
	}
	if !s.answers.Scan() {
		if err := s.answers.Err(); err != nil {
			return nil, fmt.Errorf("reading answer: %w", err)
		}
		return nil, fmt.Errorf("reading answer: %w", io.ErrUnexpectedEOF)
	}
	if answer := s.answers.Bytes(); !bytes.HasPrefix(answer, []byte(`{"publish":`)) {
		return refusal(answer), nil
	}
	return nil, nil //nolint:nilnil // a publication that was made
}

func (s *httpStream) close() { _ = s.conn.Close() }

// grpcCommands is a stream of commands over gRPC.
type grpcCommands struct {
	stream apipb.CentrifugoApi_StreamClient
	cancel context.CancelFunc
}

func (p *publisher) openGRPCStream() (commandStream, error) {
	ctx, cancel := context.WithCancel(p.fleet.apiContext())
	stream, err := apipb.NewCentrifugoApiClient(p.fleet.api).Stream(ctx)
	if err != nil {
		cancel()
		return nil, err //nolint:wrapcheck // says everything
	}
	return &grpcCommands{stream, cancel}, nil
}

func (s *grpcCommands) send(t *target, payload []byte) error {
	return s.stream.Send(&apipb.Command{Publish: &apipb.PublishRequest{Channel: t.name, Data: payload}}) //nolint:wrapcheck // says everything
}

func (s *grpcCommands) flush() error { return nil } // the library gathers what is sent

func (s *grpcCommands) end() error { return s.stream.CloseSend() } //nolint:wrapcheck // says everything

func (s *grpcCommands) receive() (*Cause, error) {
	reply, err := s.stream.Recv()
	if err != nil {
		return nil, err //nolint:wrapcheck // says everything
	}
	return refused(reply.GetError()), nil
}

func (s *grpcCommands) close() { s.cancel() }

package httpstream

import (
	"context"
	"net/http"
	"sync"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/refuse"
	"centrifugo/protocol"
)

// past is a deadline that ends a write that waits.
var past = time.Time{}.Add(time.Second)

// served is a connection that net/http serves, over HTTP/2 or HTTP/3. Its writes wait for
// the peer.
type served struct {
	// Static after construction.
	handler *Handler
	framing framing
	writer  http.ResponseWriter
	control *http.ResponseController

	// Owned by Write.
	positions *positions // nil while the client has none

	// Guarded by mu.
	mu      sync.Mutex
	session *centrifuge.Conn // nil before Accept has returned
	writing bool             // a Write is under way
	stuck   bool             // a Write was interrupted
	judged  bool             // the status has not been sent
	code    uint32           // of the end
}

var _ centrifuge.Transport = (*served)(nil)

// serve serves a connection until its end.
func (h *Handler) serve(s *served, r *http.Request, asked *opened) {
	h.group.Begin()
	defer h.group.End()
	defer s.answer()
	session, err := h.node.Accept(r.Context(), s)
	if err != nil {
		d := refuse.Disconnect(err, h.config.name(), h.config.OnError)
		if message, err := refuse.Push(h.format(s.framing), d); err == nil {
			_, _ = s.Write(context.Background(), []*protocol.Encoded{message}) // its error has ended the connection
		}
		s.Close(d.Code, d.Reason)
		return
	}
	s.mu.Lock()
	s.session = session
	s.mu.Unlock()
	h.pass(session, asked)
	s.wait(r.Context())
}

// answer answers a connect request that was refused (Config.ConnectStatus).
func (s *served) answer() {
	s.mu.Lock()
	judged, code := s.judged, s.code
	s.mu.Unlock()
	if judged {
		status, body := s.handler.config.ConnectStatus(code)
		s.writer.Header().Set("Content-Type", "text/plain; charset=utf-8")
		s.writer.WriteHeader(status)
		_, _ = s.writer.Write([]byte(body)) // the client has gone
	}
}

// wait returns when the connection has ended and nothing is written any more.
func (s *served) wait(ctx context.Context) {
	select {
	case <-ctx.Done():
		s.session.Closed(context.Cause(ctx))
		<-s.session.Done()
	case <-s.session.Done():
		s.session.Closed(nil)
	}
}

// Info implements centrifuge.Transport.
func (s *served) Info() centrifuge.TransportInfo { return s.handler.info(s.framing, true) }

// Resume implements centrifuge.Transport. Nothing is read after the request.
func (s *served) Resume() {}

// Ping implements centrifuge.Transport. The transport has no pings of its own.
func (s *served) Ping() error { return nil }

// Close implements centrifuge.Transport. The handler returns when Done is closed, which
// ends the response.
func (s *served) Close(code uint32, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code = code
}

// servedPart is how many bytes are written before the node is told of the progress.
const servedPart = 16 << 10

// Write implements centrifuge.Transport.
func (s *served) Write(ctx context.Context, batch []*protocol.Encoded) (pending int, err error) {
	session, ok := s.startWriting()
	if !ok {
		return 0, context.Canceled
	}
	defer s.stopWriting()
	stop := context.AfterFunc(ctx, s.interrupt)
	defer stop()
	if refused, err := s.begin(batch); refused || err != nil {
		return 0, err
	}
	buffer := outgoing.Get().(*[]byte)
	defer putOutgoing(buffer)
	id := s.handler.nextID(&s.positions, batch, session.Client)
	*buffer = s.framing.appendBatch(*buffer, batch, id)
	for b := *buffer; len(b) > 0; {
		n, err := s.writer.Write(b[:min(len(b), servedPart)])
		if err != nil {
			return 0, err
		}
		if b = b[n:]; len(b) > 0 && session != nil {
			session.Writable()
		}
	}
	return 0, s.control.Flush()
}

// begin sends the header of a response that waits for the outcome of the connect request,
// which batch shows.
func (s *served) begin(batch []*protocol.Encoded) (refused bool, err error) {
	s.mu.Lock()
	judged := s.judged
	refused = judged && refuses(batch)
	s.judged = judged && refused
	s.mu.Unlock()
	if judged && !refused {
		err = respond(s.writer, s.framing.wire)
	}
	return refused, err
}

func (s *served) startWriting() (session *centrifuge.Conn, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = true
	return s.session, !s.stuck
}

func (s *served) stopWriting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
}

// interrupt ends the Write that is under way. Without one it must not touch the response,
// which may have ended.
func (s *served) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.writing {
		return
	}
	s.stuck = true
	_ = s.control.SetWriteDeadline(past) // an error means that the connection has ended
}

package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"centrifugo/centrifuge/transport/webtransport"
	"centrifugo/server/internal/admission"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Bounds of a QUIC connection. Browsers send the requests of all their tabs to a server
// over one connection, and a stream lasts as long as its tab. The windows bound what a
// client can make the server keep that nothing has read yet.
const (
	maxQUICStreams           = 256
	maxQUICUniStreams        = 16 // HTTP/3 itself needs three
	maxQUICStreamWindow      = 1 << 20
	maxQUICConnectionWindow  = 4 << 20
	unverifiedQUICHandshakes = 500 // per second; clients beyond it prove their address first
)

// quietQUIC is how long a browser keeps a QUIC connection over which nothing is sent
// (30 s), less some time for the way. If the server pings less often, QUIC must.
const quietQUIC = 27 * time.Second

// quicLingering is how long a shut down server waits for clients to close their QUIC
// connections after the last request: closing one discards what has not arrived.
const quicLingering = time.Second

// altSvcAge is how long browsers may remember that there is HTTP/3, in seconds.
const altSvcAge = 24 * 60 * 60

// http3Service serves an HTTP server's handler over HTTP/3 too, on a UDP port.
type http3Service struct {
	// Static after construction.
	tcp       *http.Server
	listener  *quic.EarlyListener
	transport *quic.Transport
	packets   net.PacketConn
	serve     func(*quic.Conn) error
	goAway    func(context.Context) error // waits until clients have closed their connections
	requests  requestCount

	// Guarded by mu.
	mu     sync.Mutex
	conns  map[*quic.Conn]struct{}
	closed bool           // no more connections
	done   sync.WaitGroup // a connection each
}

// newHTTP3 makes tcp announce HTTP/3, and returns a service that serves both. It owns
// packets.
func (a *App) newHTTP3(tcp *http.Server, t *tls.Config, packets *net.UDPConn) (*http3Service, error) {
	s := &http3Service{tcp: tcp, packets: packets, conns: make(map[*quic.Conn]struct{})}
	handler := tcp.Handler
	tcp.Handler = announced(handler, packets.LocalAddr())
	server := &http3.Server{
		Handler:        s.requests.count(watched(timed(a.timeouts, handler))),
		MaxHeaderBytes: maxQUICHeaderBytes,
		IdleTimeout:    a.timeouts.idle,
		Logger:         slog.New(warnings{a.log.Handler()}),
		ConnContext: func(ctx context.Context, conn *quic.Conn) context.Context {
			ctx = context.WithValue(ctx, watchKey{}, watchRequests(conn, a.timeouts))
			return context.WithValue(ctx, http.ServerContextKey, tcp) // handlers of profiles look for its timeouts
		},
	}
	settings := &quic.Config{
		MaxIdleTimeout:     a.timeouts.idle,
		MaxIncomingStreams: maxQUICStreams, MaxIncomingUniStreams: maxQUICUniStreams,
		MaxStreamReceiveWindow: maxQUICStreamWindow, MaxConnectionReceiveWindow: maxQUICConnectionWindow,
	}
	if ping := a.config.Client.PingInterval; ping <= 0 || ping > quietQUIC {
		settings.KeepAlivePeriod = quietQUIC
	}
	s.serve, s.goAway = server.ServeQUICConn, server.Shutdown
	if a.webTransport != nil {
		a.webTransport.Attach(server)
		webtransport.EnableQUIC(settings)
		s.serve = a.webTransport.ServeQUICConn
	}
	ownWarnings()
	handshakes := admission.NewGate(admission.Config{Rate: unverifiedQUICHandshakes})
	s.transport = &quic.Transport{Conn: packets, VerifySourceAddress: func(net.Addr) bool { return handshakes.Admit() != "" }}
	var err error
	if s.listener, err = s.transport.ListenEarly(http3.ConfigureTLSConfig(t), settings); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for QUIC: %w", err), s.transport.Close(), packets.Close())
	}
	a.warnOfBuffer(packets)
	return s, nil
}

// announced tells clients of a handler that there is HTTP/3 at address (RFC 7838).
func announced(next http.Handler, address net.Addr) http.Handler {
	_, port, _ := net.SplitHostPort(address.String()) // it is that of a socket
	value := fmt.Sprintf(`h3=":%s"; ma=%d`, port, altSvcAge)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", value)
		next.ServeHTTP(w, r)
	})
}

// timed gives requests over HTTP/3 the timeouts that an http.Server gives others.
func timed(t timeouts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control, now := http.NewResponseController(w), time.Now()
		// An error means that the stream has ended.
		_ = control.SetReadDeadline(now.Add(t.read))
		_ = control.SetWriteDeadline(now.Add(t.write))
		next.ServeHTTP(w, r)
	})
}

// warnings is a log without the entries of each request, which have its URL and so
// perhaps a token.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// Serve implements service.
func (s *http3Service) Serve(listener net.Listener) error {
	failed := make(chan error, 2)
	go func() { failed <- s.tcp.Serve(listener) }()
	go func() { failed <- s.accept() }()
	return <-failed
}

// accept serves QUIC connections until the listener is closed.
func (s *http3Service) accept() error {
	for {
		conn, err := s.listener.Accept(context.Background())
		if errors.Is(err, quic.ErrServerClosed) {
			return http.ErrServerClosed
		}
		if err != nil {
			return fmt.Errorf("accepting QUIC connections: %w", err)
		}
		s.hold(conn)
	}
}

// hold serves a connection, unless the service was closed.
func (s *http3Service) hold(conn *quic.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		closeQUIC(conn)
		return
	}
	s.conns[conn] = struct{}{}
	s.done.Go(func() {
		_ = s.serve(conn) // it ends with an error whenever a client leaves
		closeQUIC(conn)   // one that came during the shutdown is not served
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	})
}

func closeQUIC(conn *quic.Conn) {
	_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // it may have ended
}

// Shutdown implements service. Clients are told by GOAWAY that further requests are not
// processed, except on a server with WebTransport, whose library has no way to say so: there
// they learn it when the connection is closed, without an error, after the last request.
func (s *http3Service) Shutdown(ctx context.Context) error {
	s.stopAccepting()
	leaving, stop := context.WithCancel(ctx)
	var told sync.WaitGroup
	told.Go(func() { _ = s.goAway(leaving) }) // its error is that of leaving
	defer func() {
		stop()
		told.Wait()
	}()
	err := s.tcp.Shutdown(ctx)
	if idle := s.requests.wait(ctx); idle != nil {
		err = errors.Join(err, fmt.Errorf("waiting for requests over HTTP/3: %w", idle))
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.done.Wait()
	}()
	lingering, cancel := context.WithTimeout(ctx, quicLingering)
	defer cancel()
	select {
	case <-left:
	case <-lingering.Done():
	}
	s.closeQUIC()
	return err //nolint:wrapcheck // it says what took too long
}

// stopAccepting takes no more connections; those that there are go on.
func (s *http3Service) stopAccepting() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// closeQUIC ends all connections and gives up the UDP port.
func (s *http3Service) closeQUIC() {
	s.stopAccepting()
	s.mu.Lock()
	for conn := range s.conns {
		closeQUIC(conn)
	}
	s.mu.Unlock()
	s.done.Wait()
	_ = s.transport.Close() // its errors are of a socket that is given up
	_ = s.packets.Close()
}

// Close implements service.
func (s *http3Service) Close() error {
	s.closeQUIC()
	return s.tcp.Close() //nolint:wrapcheck // of the listener
}

// bindAttempts is how often a free port is looked for that is free for UDP too.
const bindAttempts = 20

// bind opens the listener of a plan, and for HTTP/3 the UDP socket on the same port, unless
// they were inherited.
func (a *App) bind(ctx context.Context, p plan) (listener net.Listener, packets *net.UDPConn, err error) {
	for range bindAttempts {
		if listener, err = a.options.Sockets.Listener(p.name, p.address); err == nil && listener == nil {
			listener, err = listenConfig(a.config.HTTPServer.ReusePort).Listen(ctx, "tcp", p.address)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("opening listener: %w", err)
		}
		if !p.http3 {
			return listener, nil, nil
		}
		if packets, err = a.options.Sockets.Packets(p.name, p.address); packets != nil || err != nil {
			return listener, packets, err //nolint:wrapcheck // it names the socket
		}
		bound, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			return nil, nil, errors.Join(fmt.Errorf("HTTP/3 needs a port, and %s has none", p.name), listener.Close())
		}
		packets, err = net.ListenUDP("udp", &net.UDPAddr{IP: bound.IP, Port: bound.Port, Zone: bound.Zone})
		if err == nil {
			return listener, packets, nil
		}
		err = errors.Join(fmt.Errorf("opening the UDP port of HTTP/3: %w", err), listener.Close())
		if _, port, _ := net.SplitHostPort(p.address); port != "0" {
			break
		}
	}
	return nil, nil, err
}

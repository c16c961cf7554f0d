package loadtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	wt "github.com/quic-go/webtransport-go"
)

// webTransportLink is the link of a client over WebTransport: the only stream of the only
// session of a QUIC connection.
type webTransportLink struct {
	conn   *quic.Conn
	stream *wt.Stream
}

func (l *webTransportLink) write(b []byte) (int, error) { return writeInTime(l.stream, b) }

func (l *webTransportLink) watch(bool) {}

func (l *webTransportLink) close() { _ = l.conn.CloseWithError(0, "") }

// join gives a client a goroutine and a session.
func (f *fleet) join(c *client) {
	began := c.began
	f.wg.Go(func() {
		l, err := f.openSession(c)
		f.mu.Lock()
		switch {
		case c.state != stateDialing || c.began != began: // given up meanwhile
			f.mu.Unlock()
			if err == nil {
				l.close()
			}
			return
		case err != nil:
			f.fail(c, Cause{Kind: causeConnect, Reason: err.Error()})
			f.mu.Unlock()
			return
		}
		c.link = l
		f.greet(c)
		f.mu.Unlock()
		f.receiveFrom(c, l, l.stream)
	})
}

func (f *fleet) openSession(c *client) (*webTransportLink, error) {
	ctx, cancel := context.WithTimeout(f.stop, connectTimeout)
	defer cancel()
	l := new(webTransportLink)
	config := tlsConfig(f.server, f.opts.SkipVerify)
	config.NextProtos = []string{http3.NextProtoH3}
	dialer := &wt.Transport{TLSClientConfig: config, DialAddr: func(ctx context.Context, _ string, t *tls.Config, q *quic.Config) (_ *quic.Conn, err error) {
		l.conn, err = f.dialQUIC(ctx, c, t, q)
		return l.conn, err
	}}
	defer func() { _ = dialer.Close() }() // of what waits for the server's settings

	_, session, err := dialer.Dial(ctx, "https://"+f.server.host+f.server.path, http.Header{"User-Agent": {"centrifugo-bench"}}) //nolint:bodyclose // the session ends it
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if l.stream, err = session.OpenStreamSync(ctx); err != nil {
		l.close()
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return l, nil
}

// dialQUIC returns a connection from the address that a client comes from. It has a socket
// of its own, which is closed with it.
func (f *fleet) dialQUIC(ctx context.Context, c *client, t *tls.Config, q *quic.Config) (*quic.Conn, error) {
	local := new(net.UDPAddr)
	if source, ok := f.source(c); ok {
		local.IP = source.AsSlice()
	}
	socket, err := net.ListenUDP("udp", local)
	if err != nil {
		return nil, fmt.Errorf("opening a socket: %w", err)
	}
	conn, err := quic.DialEarly(ctx, socket, net.UDPAddrFromAddrPort(f.remotes[c.index%len(f.remotes)]), t, q)
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("connecting: %w", err)
	}
	context.AfterFunc(conn.Context(), func() { _ = socket.Close() })
	return conn, nil
}

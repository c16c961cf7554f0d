package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A slow reader takes slowPart in each slowPause: 10 KB/s.
const (
	slowPause = 100 * time.Millisecond
	slowPart  = 1000 // bytes
)

// thread gives a client a goroutine: with TLS, and on systems without epoll.
func (f *fleet) thread(c *client) {
	began := c.began
	f.wg.Go(func() {
		conn, err := f.open(c)
		f.mu.Lock()
		if c.state != stateDialing || c.began != began { // given up meanwhile
			f.mu.Unlock()
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		if err != nil {
			f.fail(c, Cause{Kind: causeConnect, Reason: err.Error()})
			f.mu.Unlock()
			return
		}
		l := &stream{conn: conn}
		c.link = l
		f.opened(c)
		f.mu.Unlock()
		f.readStream(c, l)
	})
}

// open connects, without the lock.
func (f *fleet) open(c *client) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(f.stop, connectTimeout)
	defer cancel()
	conn, err := f.dialer(c).DialContext(ctx, "tcp", f.remotes[c.index%len(f.remotes)].String())
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // as the poller does
		if c.slow {
			_ = tcp.SetReadBuffer(16 << 10)
		}
	}
	if !f.server.tls {
		return conn, nil
	}
	secure := tls.Client(conn, tlsConfig(f.server, f.opts.SkipVerify))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return secure, nil
}

// dialer dials from the address that a client comes from.
func (f *fleet) dialer(c *client) *net.Dialer {
	d := &net.Dialer{}
	if source, ok := f.source(c); ok {
		d.LocalAddr = &net.TCPAddr{IP: source.AsSlice()}
	}
	return d
}

// tlsConfig of connections to a server.
func tlsConfig(e endpoint, skipVerify bool) *tls.Config {
	host, _, _ := net.SplitHostPort(e.address)
	return &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		InsecureSkipVerify: skipVerify, //nolint:gosec // the operator asked for it by flag
	}
}

// stream is the link of a client with a goroutine.
type stream struct{ conn net.Conn }

// writeTimeout is how long a server may leave the socket full. A client holds
// the lock of the fleet meanwhile, but writes little: commands and pongs.
const writeTimeout = 5 * time.Second

func (s *stream) write(b []byte) (int, error) { return writeInTime(s.conn, b) }

// writeInTime writes within writeTimeout.
func writeInTime(w interface {
	io.Writer
	SetWriteDeadline(t time.Time) error
}, b []byte,
) (int, error) {
	_ = w.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := w.Write(b)
	if err != nil {
		return n, fmt.Errorf("writing: %w", err)
	}
	return n, nil
}

func (s *stream) watch(bool) {}

func (s *stream) close() { _ = s.conn.Close() }

// readStream feeds the client until the connection ends.
func (f *fleet) readStream(c *client, l *stream) {
	defer l.close()
	buf := make([]byte, 4096)
	kept := 0
	for {
		into := buf[kept:]
		f.mu.Lock()
		slow := c.slow && c.state == stateReady
		f.mu.Unlock()
		if slow {
			if !pause(f.stop, slowPause) {
				return
			}
			into = into[:min(len(into), slowPart)]
		}
		n, err := l.conn.Read(into)
		f.mu.Lock()
		if c.link != link(l) {
			f.mu.Unlock()
			return // closed by the fleet
		}
		if n > 0 {
			f.count(c, n)
			kept = copy(buf, f.feed(c, buf[:kept+n]))
		}
		if err != nil && c.link == link(l) {
			f.fail(c, ended(c, err))
		}
		closed := c.link != link(l)
		f.mu.Unlock()
		if closed {
			return
		}
		if kept == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// count counts bytes that a client has read.
func (f *fleet) count(c *client, n int) {
	f.tally.Bytes += uint64(n) //nolint:gosec // not negative
	if c.slow {
		f.tally.SlowBytes += uint64(n) //nolint:gosec // not negative
	}
}

// ended says that a connection has ended with an error of reading.
func ended(c *client, err error) Cause {
	if errors.Is(err, io.EOF) {
		return Cause{Kind: kindOf(c), Reason: "closed without a word"}
	}
	return Cause{Kind: kindOf(c), Reason: "reading: " + err.Error()}
}

// kindOf says whether the end of a connection is one of being made or of being there.
func kindOf(c *client) string {
	if c.state == stateReady {
		return causeTransport
	}
	return causeConnect
}

// pause waits; it reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

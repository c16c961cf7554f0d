package listener

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"centrifugo/internal/handshake"
	"centrifugo/internal/logsample"

	"github.com/pires/go-proxyproto"
)

// Bounds of the PROXY protocol. A balancer sends the header at once and in one packet. A
// header of version 2 may hold further facts, such as the certificate of the client; the
// format would allow 64 KiB.
const (
	maxHeaderV1     = 107 // as the specification says
	maxHeaderV2     = 4096
	headerTimeout   = 5 * time.Second
	pendingHeaders  = 1024 // connections whose header is being read; more wait in the kernel
	headerFaultRate = 10   // lines of the log in a second
)

// signatureV2 is how a header of version 2 begins; one of version 1 begins with signatureV1.
// No header is shorter than signatureV2.
var signatureV1, signatureV2 = []byte("PROXY "), []byte("\r\n\r\n\x00\r\nQUIT\n")

// ProxyProtocol returns a listener for load balancers that speak the PROXY protocol, version
// 1 or 2. Connections from trusted networks begin with a header. Their RemoteAddr is the
// address of the client that the header names, or that of the balancer if it speaks for itself
// (LOCAL, UNKNOWN). A connection of theirs without a valid header within five seconds is closed and
// logged. Connections from elsewhere are returned unchanged: no other client can choose its address.
//
// Headers are read outside Accept. The connections have a method Raw, by which the event loop
// reads and writes the socket itself. Close must be called, even if Accept was not.
func ProxyProtocol(l net.Listener, trusted []netip.Prefix, log *slog.Logger) net.Listener {
	return proxyProtocol(l, trusted, headerTimeout, log)
}

func proxyProtocol(l net.Listener, trusted []netip.Prefix, timeout time.Duration, log *slog.Logger) net.Listener {
	p := &proxyHeaders{log: log, timeout: timeout, faults: logsample.New(headerFaultRate, time.Second)}
	return handshake.Listener(l, handshake.Config{
		AtOnce: pendingHeaders,
		Needed: func(c net.Conn) bool {
			tcp, ok := c.(*net.TCPConn)
			return ok && contains(trusted, tcp.RemoteAddr())
		},
		Do: func(c net.Conn) net.Conn { return p.read(c.(*net.TCPConn)) }, // as Needed says
	})
}

// proxyHeaders reads the headers of connections. It is static.
type proxyHeaders struct {
	log     *slog.Logger
	timeout time.Duration // for a header
	faults  *logsample.Sampler
}

// read returns a connection behind its header, or closes it and returns nil.
func (p *proxyHeaders) read(conn *net.TCPConn) net.Conn {
	proxied, err := p.introduce(conn)
	if err != nil {
		_ = conn.Close()
		p.fault(conn, err)
		return nil
	}
	return proxied
}

// contains reports whether an address of TCP is in a network.
func contains(networks []netip.Prefix, a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(address) {
			return true
		}
	}
	return false
}

// fault logs a connection whose header cannot be used.
func (p *proxyHeaders) fault(conn net.Conn, err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	if ok, suppressed := p.faults.Take(logsample.Key{}); ok {
		p.log.Warn("connection without a PROXY protocol header closed", "remote", conn.RemoteAddr().String(), "error", err, "suppressed", suppressed)
	}
}

// introduce reads the header of a connection.
func (p *proxyHeaders) introduce(conn *net.TCPConn) (net.Conn, error) {
	if err := conn.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
		return nil, err //nolint:wrapcheck // it is logged
	}
	raw, err := readHeader(conn)
	if err != nil {
		return nil, err
	}
	header, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, err //nolint:wrapcheck // it is logged
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err //nolint:wrapcheck // it is logged
	}
	if from, ok := header.SourceAddr.(*net.TCPAddr); ok && !header.Command.IsLocal() {
		return &proxiedConn{conn, from}, nil
	}
	return conn, nil
}

// readHeader reads one header and nothing behind it: the event loop gets the socket, not a
// buffer.
func readHeader(r io.Reader) ([]byte, error) {
	header := make([]byte, len(signatureV2), 256)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	if bytes.Equal(header, signatureV2) {
		header = header[:16]
		if _, err := io.ReadFull(r, header[len(signatureV2):]); err != nil {
			return nil, fmt.Errorf("reading the header: %w", err)
		}
		rest := int(binary.BigEndian.Uint16(header[14:]))
		if rest > maxHeaderV2 {
			return nil, fmt.Errorf("a header of %d bytes; the limit is %d", rest, maxHeaderV2)
		}
		header = append(header, make([]byte, rest)...)
		if _, err := io.ReadFull(r, header[16:]); err != nil {
			return nil, fmt.Errorf("reading the header: %w", err)
		}
		return header, nil
	}
	if !bytes.HasPrefix(header, signatureV1) {
		return nil, errors.New("the connection begins with something else")
	}
	for header[len(header)-1] != '\n' {
		if len(header) == maxHeaderV1 {
			return nil, fmt.Errorf("a header of version 1 without an end within %d bytes", maxHeaderV1)
		}
		header = header[:len(header)+1]
		if _, err := io.ReadFull(r, header[len(header)-1:]); err != nil {
			return nil, fmt.Errorf("reading the header: %w", err)
		}
	}
	return header, nil
}

// proxiedConn is a TCP connection from a balancer, with the address of the client.
type proxiedConn struct {
	*net.TCPConn

	from net.Addr
}

// RemoteAddr implements net.Conn.
func (c *proxiedConn) RemoteAddr() net.Addr { return c.from }

// Raw returns the connection without the address of the client.
func (c *proxiedConn) Raw() *net.TCPConn { return c.TCPConn }

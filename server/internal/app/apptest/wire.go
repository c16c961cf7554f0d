// Package apptest has what tests of the whole server stand on: a WebSocket
// client that can also break the rules, and a reader of metrics.
package apptest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Patience bounds whatever a test waits for.
const Patience = 20 * time.Second

// Path is where the server's WebSocket endpoint is by default.
const Path = "/connection/websocket"

// Opcodes, and the bits beside them in a frame's first byte (RFC 6455 5.2).
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	Close        = 0x8
	Ping         = 0x9
	Pong         = 0xA

	Fin        = 0x80
	Compressed = 0x40
)

// Dialer says how to connect. Its zero value is a client without wishes.
type Dialer struct {
	// TLS of the connection, nil for none.
	TLS *tls.Config
	// Path and query, empty for Path.
	Path string
	// Header of the request, beside those of the handshake.
	Header http.Header
}

// Conn is an open WebSocket connection. One goroutine may read while another
// one writes.
type Conn struct {
	net.Conn
	r *bufio.Reader
}

// Closed is what a read returns after the peer's close frame.
type Closed struct {
	Code   int // 1005 for a frame without a code
	Reason string
}

func (c *Closed) Error() string { return fmt.Sprintf("closed: %d %q", c.Code, c.Reason) }

// Refused is the answer to a handshake that is not 101.
type Refused struct{ Status int }

func (r *Refused) Error() string { return fmt.Sprintf("handshake refused: %d", r.Status) }

// Handshake is the text of an upgrade request.
func (d Dialer) Handshake(address string) []byte {
	path := d.Path
	if path == "" {
		path = Path
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", path, address)
	b.WriteString("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	_ = d.Header.Write(&b) // a Buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

// Connect opens a TCP or TLS connection, on which reads give up after Patience.
func (d Dialer) Connect(address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: Patience}
	var c net.Conn
	var err error
	if d.TLS != nil {
		c, err = (&tls.Dialer{NetDialer: dialer, Config: d.TLS}).DialContext(context.Background(), "tcp", address)
	} else {
		c, err = dialer.DialContext(context.Background(), "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(2 * Patience))
}

// Dial connects and shakes hands. An answer other than 101 is a *Refused.
func (d Dialer) Dial(address string) (*Conn, error) {
	c, err := d.Connect(address)
	if err != nil {
		return nil, err
	}
	conn, err := d.Upgrade(c, address)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return conn, nil
}

// Upgrade shakes hands over c.
func (d Dialer) Upgrade(c net.Conn, address string) (*Conn, error) {
	if _, err := c.Write(d.Handshake(address)); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, 512) // thousands of clients live in one test
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close() // there is none
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, &Refused{response.StatusCode}
	}
	return &Conn{c, r}, nil
}

// AppendFrame appends a masked frame. length is what its header tells, which
// is a lie if payload has another one.
func AppendFrame[N int | uint64](dst []byte, first byte, payload []byte, length N) []byte {
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	dst = append(dst, first)
	switch {
	case length < 126:
		dst = append(dst, 0x80|byte(length))
	case length < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(length))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(length))
	}
	dst = append(dst, mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i%4])
	}
	return dst
}

// Frame sends one masked frame with this first byte.
func (c *Conn) Frame(first byte, payload []byte) error {
	_, err := c.Write(AppendFrame(nil, first, payload, len(payload)))
	return err
}

// Text sends a text message.
func (c *Conn) Text(message string) error { return c.Frame(Fin|Text, []byte(message)) }

// Binary sends a binary message.
func (c *Conn) Binary(message []byte) error { return c.Frame(Fin|Binary, message) }

// ReadFrame reads one frame.
func (c *Conn) ReadFrame() (first byte, payload []byte, err error) {
	var header [2]byte
	if _, err := io.ReadFull(c.r, header[:]); err != nil {
		return 0, nil, err
	}
	size := uint64(header[1])
	var extended [8]byte
	switch size {
	case 126:
		_, err = io.ReadFull(c.r, extended[6:])
		size = binary.BigEndian.Uint64(extended[:])
	case 127:
		_, err = io.ReadFull(c.r, extended[:])
		size = binary.BigEndian.Uint64(extended[:])
	}
	if err != nil {
		return 0, nil, err
	}
	if size > 64<<20 {
		return 0, nil, fmt.Errorf("a frame of %d bytes, or a masked one", size)
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(c.r, payload)
	return header[0], payload, err
}

// Message returns the next message. Pings are answered; a close frame is answered
// and becomes a *Closed.
func (c *Conn) Message() (string, error) {
	for {
		first, payload, err := c.ReadFrame()
		if err != nil {
			return "", err
		}
		switch first & 0xF {
		case Ping:
			if err := c.Frame(Fin|Pong, payload); err != nil {
				return "", err
			}
		case Pong:
		case Close:
			_ = c.Frame(Fin|Close, payload) // who has closed may be gone
			closed := &Closed{Code: 1005}
			if len(payload) >= 2 {
				closed.Code, closed.Reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
			}
			return "", closed
		default:
			return string(payload), nil
		}
	}
}

// WaitClosed skips messages until the connection ends, and returns the code of
// the close frame.
func (c *Conn) WaitClosed() (code int, err error) {
	for {
		_, err := c.Message()
		if err == nil {
			continue
		}
		var closed *Closed
		if errors.As(err, &closed) {
			return closed.Code, nil
		}
		return 0, err
	}
}

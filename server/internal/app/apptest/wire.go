// Package apptest provides tests of the whole server with a WebSocket client, which can
// also violate the protocol, and a reader of metrics.
package apptest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"centrifugo/internal/wsframe"
)

// Timeout bounds every wait of a test.
const Timeout = 20 * time.Second

// Path is where the server's WebSocket endpoint is by default.
const Path = "/connection/websocket"

// Dialer says how to connect. Its zero value connects with defaults.
type Dialer struct {
	// TLS of the connection, nil for none.
	TLS *tls.Config
	// Path and query, empty for Path.
	Path string
	// Header of the request, beside those of the handshake.
	Header http.Header
	// Preamble is sent before anything else, such as a header of the PROXY protocol.
	Preamble string
}

// Conn is an open WebSocket connection. One goroutine may read while another
// one writes.
type Conn struct {
	net.Conn
	r *bufio.Reader
}

// Closed is the error of a read after the close frame of the peer.
type Closed struct {
	Code   int // 1005 for a frame without a code
	Reason string
}

func (c *Closed) Error() string { return fmt.Sprintf("closed: %d %q", c.Code, c.Reason) }

// Refused is the error of a handshake whose answer is not 101.
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
	_ = d.Header.Write(&b) // never fails for a Buffer
	b.WriteString("\r\n")
	return b.Bytes()
}

// readBuffer is what the system and HTTP/2 keep for a client that does not read, in bytes. By
// themselves they would keep megabytes, which tests of slow readers have to fill.
const readBuffer = 64 << 10

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: Timeout, Control: limitBuffers}
	return dialer.DialContext(ctx, network, address)
}

// Connect opens a TCP or TLS connection, on which reads give up after Timeout.
func (d Dialer) Connect(address string) (net.Conn, error) {
	c, err := dial(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	err = c.SetDeadline(time.Now().Add(2 * Timeout))
	if err == nil && d.Preamble != "" {
		_, err = io.WriteString(c, d.Preamble)
	}
	if err == nil && d.TLS != nil {
		config := d.TLS.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(c, config)
		c, err = secure, secure.Handshake()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
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

// mask of every frame that a Conn sends.
var mask = [4]byte{0x12, 0x34, 0x56, 0x78}

// AppendFrame appends a client's frame.
func AppendFrame(dst []byte, first byte, payload []byte) []byte {
	return wsframe.AppendMasked(dst, first, payload, mask)
}

// AppendFalseFrame appends a client's frame whose header announces length bytes,
// however many payload has.
func AppendFalseFrame(dst []byte, first byte, payload []byte, length uint64) []byte {
	dst = wsframe.AppendHeader(dst, first, length, &mask)
	return append(dst, payload...)
}

// Frame sends one masked frame with this first byte.
func (c *Conn) Frame(first byte, payload []byte) error {
	_, err := c.Write(AppendFrame(nil, first, payload))
	return err
}

// Text sends a text message.
func (c *Conn) Text(message string) error { return c.Frame(wsframe.Fin|wsframe.Text, []byte(message)) }

// Binary sends a binary message.
func (c *Conn) Binary(message []byte) error { return c.Frame(wsframe.Fin|wsframe.Binary, message) }

// maxFrame bounds a frame of the server, in bytes.
const maxFrame = 64 << 20

// ReadFrame reads one frame. A masked one is an error.
func (c *Conn) ReadFrame() (wsframe.Frame, error) {
	f, err := wsframe.Read(c.r, maxFrame)
	if err == nil && f.Masked {
		err = errors.New("reading a frame: the server has masked it")
	}
	return f, err
}

// Message returns the next message. Pings are answered; a close frame is answered
// and becomes a *Closed.
func (c *Conn) Message() (string, error) {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return "", err
		}
		switch f.Opcode() {
		case wsframe.Ping:
			if err := c.Frame(wsframe.Fin|wsframe.Pong, f.Payload); err != nil {
				return "", err
			}
		case wsframe.Pong:
		case wsframe.Close:
			_ = c.Frame(wsframe.Fin|wsframe.Close, f.Payload) // the server may have closed the socket
			code, reason := wsframe.CloseCode(f.Payload)
			return "", &Closed{int(code), reason}
		default:
			return string(f.Payload), nil
		}
	}
}

// Next is Message of a bidirectional JSON client: pings of the protocol, which come after half
// of their interval at the earliest, are answered and left out.
func (c *Conn) Next() (string, error) {
	const ping = "{}"
	for {
		message, err := c.Message()
		if err != nil || message != ping {
			return message, err
		}
		if err := c.Text(ping); err != nil {
			return "", err
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

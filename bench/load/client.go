//go:build linux

// Package load is the other side of the measurements: many WebSocket clients of
// the JSON protocol in one process, read by one goroutine, so that the load
// takes as little of the machine as it can.
package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one client.
type conn struct {
	fd   int
	rest []byte // a frame of which the end has not come
	last uint64 // number of the last publication
}

// dial connects and subscribes to channel, and returns when that was answered.
func dial(ctx context.Context, addr, channel string) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // the descriptor is dup'ed before
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	if _, err := fmt.Fprintf(c, "GET /connection/websocket HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, 1024)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("handshake answered with %s", response.Status)
	}
	hello := fmt.Sprintf("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":%q}}", channel)
	if _, err := c.Write(masked(hello)); err != nil {
		return nil, err
	}
	if err := awaitSubscribed(r); err != nil {
		return nil, err
	}
	return detach(c)
}

// awaitSubscribed reads the replies to connect and subscribe, in one frame or two.
func awaitSubscribed(r *bufio.Reader) error {
	for {
		header, err := r.Peek(4)
		if err != nil {
			return err
		}
		h, ok := parseHeader(header)
		if !ok {
			return errors.New("malformed frame")
		}
		message := make([]byte, h.size+h.payload)
		if _, err := io.ReadFull(r, message); err != nil {
			return err
		}
		switch text := string(message[h.size:]); {
		case contains(text, `"error"`):
			return fmt.Errorf("refused: %s", text)
		case contains(text, `"id":2`):
			return nil
		}
	}
}

// detach takes the descriptor away from the runtime's poller.
func detach(c net.Conn) (*conn, error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, net.ErrClosed
	}
	var file *os.File
	file, err := tcp.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		return nil, err
	}
	return &conn{fd: fd}, unix.SetNonblock(fd, true)
}

// masked is one text frame of a client, with a mask of zeros.
func masked(text string) []byte {
	n := len(text)
	if n < 126 {
		return append([]byte{0x81, 0x80 | byte(n), 0, 0, 0, 0}, text...)
	}
	return append([]byte{0x81, 0x80 | 126, byte(n >> 8), byte(n), 0, 0, 0, 0}, text...) //nolint:gosec // commands are short
}

// header of a server's frame.
type header struct{ size, payload int }

func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < 2 {
		return h, false
	}
	switch n := int(b[1]); {
	case n < 126:
		return header{2, n}, true
	case n == 126 && len(b) >= 4:
		return header{4, int(b[2])<<8 | int(b[3])}, true
	case n == 127 && len(b) >= 10:
		return header{10, int(b[6])<<24 | int(b[7])<<16 | int(b[8])<<8 | int(b[9])}, true
	}
	return h, false
}

// timeout of connecting one client.
const timeout = 30 * time.Second

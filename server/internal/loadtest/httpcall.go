package loadtest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// caller makes requests over HTTP, one after the other, over one connection that it keeps.
type caller struct {
	fleet  *fleet
	server endpoint
	conn   net.Conn
	reader *bufio.Reader
}

const (
	apiTimeout = 10 * time.Second
	maxAnswer  = 1 << 20
)

// exchange sends a request and reads the answer.
func (p *caller) exchange(request []byte) (status int, answer []byte, err error) {
	if p.conn == nil {
		if err := p.dial(); err != nil {
			return 0, nil, err
		}
	}
	if err := p.conn.SetDeadline(time.Now().Add(apiTimeout)); err != nil {
		return 0, nil, fmt.Errorf("calling: %w", err)
	}
	if _, err := p.conn.Write(request); err != nil {
		return 0, nil, fmt.Errorf("calling: %w", err)
	}
	response, err := http.ReadResponse(p.reader, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("reading answer: %w", err)
	}
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading answer: %w", err)
	}
	if response.Close {
		p.hangUp()
	}
	return response.StatusCode, answer, nil
}

func (p *caller) dial() error {
	d := net.Dialer{Timeout: apiTimeout}
	conn, err := d.DialContext(p.fleet.stop, "tcp", p.server.address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	if p.server.tls {
		conn = tls.Client(conn, tlsConfig(p.server, p.fleet.opts.SkipVerify))
	}
	p.conn, p.reader = conn, bufio.NewReaderSize(conn, 4096)
	return nil
}

func (p *caller) hangUp() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

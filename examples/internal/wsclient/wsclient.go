// Package wsclient is a client for the tests of the examples: one line of JSON
// for each command, reply and push, over a real WebSocket.
package wsclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const timeout = time.Minute // for one step

// Client is a connection. It is not safe for concurrent use.
type Client struct {
	t      testing.TB
	conn   net.Conn
	lines  []string // received and not looked at
	pushes []string // skipped by Do
}

// Dial opens a connection that is closed at the end of the test.
func Dial(t testing.TB, url string, header http.Header) *Client {
	t.Helper()
	conn, err := dial(t, url, header)
	if err != nil {
		t.Fatalf("dialling %s: %v", url, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &Client{t: t, conn: conn}
}

// Refused returns the status of a handshake that the server must refuse.
func Refused(t testing.TB, url string, header http.Header) int {
	t.Helper()
	conn, err := dial(t, url, header)
	if err == nil {
		_ = conn.Close()
		t.Fatalf("the handshake with %s was accepted", url)
	}
	var status ws.StatusError
	if !errors.As(err, &status) {
		t.Fatalf("dialling %s: %v", url, err)
	}
	return int(status)
}

func dial(t testing.TB, url string, header http.Header) (net.Conn, error) {
	dialer := ws.Dialer{Timeout: timeout, Header: ws.HandshakeHeaderHTTP(header)}
	conn, buffered, _, err := dialer.Dial(t.Context(), "ws"+strings.TrimPrefix(url, "http"))
	if buffered != nil {
		err = errors.Join(err, fmt.Errorf("%d bytes before the first command", buffered.Buffered()))
	}
	return conn, err
}

// Do sends a command, an object that begins with its id, and returns the reply.
func (c *Client) Do(command string) string {
	c.t.Helper()
	c.Send(command)
	id, _, _ := strings.Cut(command, ",")
	for {
		line, err := c.line()
		if err != nil {
			c.t.Fatalf("waiting for the reply to %s: %v", command, err)
		}
		if strings.HasPrefix(line, id+",") {
			return line
		}
		c.pushes = append(c.pushes, line)
	}
}

// Send sends a command without waiting for what comes of it.
func (c *Client) Send(command string) {
	c.t.Helper()
	if err := wsutil.WriteClientText(c.conn, []byte(command)); err != nil {
		c.t.Fatalf("sending %s: %v", command, err)
	}
}

// push is what of a push tests look at.
type push struct {
	Push struct {
		Channel     string
		Pub         struct{ Data json.RawMessage }
		Unsubscribe *struct{ Code int }
	}
}

// Publications returns the data of the next n publications.
func (c *Client) Publications(n int) []string {
	c.t.Helper()
	var got []string
	for len(got) < n {
		message := c.push(fmt.Sprintf("publication %d", len(got)+1))
		if data := message.Push.Pub.Data; data != nil {
			got = append(got, string(data))
		}
	}
	return got
}

// Unsubscribed waits until the server ends the subscription to a channel, and returns the code.
func (c *Client) Unsubscribed(channel string) int {
	c.t.Helper()
	for {
		message := c.push("the end of the subscription to " + channel)
		if message.Push.Unsubscribe != nil && message.Push.Channel == channel {
			return message.Push.Unsubscribe.Code
		}
	}
}

// push returns the next push, also one that Do has skipped.
func (c *Client) push(awaited string) (message push) {
	c.t.Helper()
	var line string
	if len(c.pushes) > 0 {
		line, c.pushes = c.pushes[0], c.pushes[1:]
	} else {
		var err error
		if line, err = c.line(); err != nil {
			c.t.Fatalf("waiting for %s: %v", awaited, err)
		}
	}
	if err := json.Unmarshal([]byte(line), &message); err != nil {
		c.t.Fatalf("the server sent %q: %v", line, err)
	}
	return message
}

// Closed waits for the end of the connection and returns the code of the close
// frame.
func (c *Client) Closed() int {
	c.t.Helper()
	for {
		_, err := c.line()
		var closed wsutil.ClosedError
		switch {
		case errors.As(err, &closed):
			return int(closed.Code)
		case err != nil:
			c.t.Fatalf("waiting for the close frame: %v", err)
		}
	}
}

// Close ends the connection without a close frame, as a lost network does.
func (c *Client) Close() { _ = c.conn.Close() }

// line returns the next line that is no ping; pings are answered.
func (c *Client) line() (string, error) {
	for {
		line, err := c.anyLine()
		if err != nil || line != "{}" {
			return line, err
		}
		if err := wsutil.WriteClientText(c.conn, []byte(line)); err != nil {
			return "", err
		}
	}
}

func (c *Client) anyLine() (string, error) {
	for len(c.lines) == 0 {
		if err := c.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return "", err
		}
		message, err := wsutil.ReadServerText(c.conn)
		if err != nil {
			return "", err
		}
		c.lines = strings.Split(strings.TrimSuffix(string(message), "\n"), "\n")
	}
	line := c.lines[0]
	c.lines = c.lines[1:]
	return line, nil
}

package app

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"centrifugo/server/internal/app/apptest"

	wt "github.com/quic-go/webtransport-go"
)

// openSession opens a WebTransport session, which lasts until the test ends.
func (i *instance) openSession(a *authority, path, origin string) (*http.Response, *wt.Session, error) {
	i.t.Helper()
	client := &wt.Transport{TLSClientConfig: a.client()}
	i.t.Cleanup(func() { _ = client.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), apptest.Timeout)
	defer cancel()
	response, session, err := client.Dial(ctx, "https://"+i.external()+path, http.Header{"Origin": {origin}})
	if err == nil {
		i.t.Cleanup(func() { _ = session.CloseWithError(0, "") })
	}
	return response, session, err
}

// wtClient is a client over WebTransport.
type wtClient struct {
	t      *testing.T
	stream *wt.Stream
	lines  *bufio.Scanner
}

func (i *instance) wtClient(t *testing.T, session *wt.Session) *wtClient {
	t.Helper()
	stream, err := session.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SetDeadline(time.Now().Add(apptest.Timeout))
	return &wtClient{t, stream, bufio.NewScanner(stream)}
}

func (c *wtClient) send(command string) {
	c.t.Helper()
	if _, err := io.WriteString(c.stream, command+"\n"); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

func (c *wtClient) want(prefix string) {
	c.t.Helper()
	if !c.lines.Scan() || !strings.HasPrefix(c.lines.Text(), prefix) {
		c.t.Fatalf("got %q, %v; want %q", c.lines.Text(), c.lines.Err(), prefix)
	}
}

// TestWebTransport: with webtransport.enabled there are sessions at handler_prefix, for
// pages of allowed origins; they end with the server.
func TestWebTransport(t *testing.T) {
	a := newAuthority(t)
	i := start(t, `"webtransport": {"enabled": true, "handler_prefix": "/wt/"}, "http_api": {"key": "k"}, `+
		`"client": {"insecure": true, "allowed_origins": ["https://page.example"]}, `+http3Settings(a, ""))
	if response, _, err := i.openSession(a, "/wt", "https://evil.example"); err == nil || response == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("origin of another site: %+v, %v; want status 403", response, err)
	}
	i.awaitLogged("warn", "connection refused", "https://evil.example")
	if response, err := get(t, a.client(), "https://"+i.external()+"/wt"); err != nil || response.StatusCode != http.StatusHTTPVersionNotSupported {
		t.Errorf("over TCP: %+v, %v; want status 505", response, err)
	}
	_, session, err := i.openSession(a, "/wt", "https://page.example")
	if err != nil {
		t.Fatal(err)
	}
	c := i.wtClient(t, session)
	c.send(`{"id":1,"connect":{}}`)
	c.want(`{"id":1,"connect":{`)
	c.send(`{"id":2,"subscribe":{"channel":"x"}}`)
	c.want(`{"id":2,"subscribe":{}}`)
	publish := i.ask3(http3Client(t, a.client()), http.MethodPost, "/api/publish", `{"channel":"x","data":1}`, "X-API-Key", "k")
	if publish.StatusCode != 200 {
		t.Errorf("publishing: status %d; want 200", publish.StatusCode)
	}
	c.want(`{"push":{"channel":"x","pub":{"data":1}}}`)
	stopped := make(chan error, 1)
	go func() { stopped <- i.stop() }()
	c.want(`{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}`)
	if c.lines.Scan() {
		t.Errorf("behind the end: got %s; want nothing", c.lines.Text())
	}
	_ = c.stream.Close()
	var closed *wt.SessionError
	if _, err := session.AcceptStream(t.Context()); !errors.As(err, &closed) || closed.ErrorCode != 3001 || closed.Message != "shutdown" {
		t.Errorf("the session ended with %v; want code 3001", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// TestWebTransportLimit: webtransport.message_size_limit bounds a message.
func TestWebTransportLimit(t *testing.T) {
	a := newAuthority(t)
	i := start(t, `"client": {"insecure": true}, "webtransport": {"enabled": true, "message_size_limit": 1000}, `+http3Settings(a, ""))
	_, session, err := i.openSession(a, "/connection/webtransport", "")
	if err != nil {
		t.Fatal(err)
	}
	c := i.wtClient(t, session)
	connect := `{"id":1,"connect":{"name":"` + strings.Repeat("x", 15) + `"}}`
	c.send(connect + strings.Repeat(" ", 1000-len(connect)))
	c.want(`{"id":1,"connect":{`)
	c.send(strings.Repeat(" ", 1001))
	c.want(`{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}`)
	i.awaitLogged("info", "connection refused", "message is too large")
}

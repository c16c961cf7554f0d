package app

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/server/internal/app/apptest"
)

// Every client is closed with 3001, whatever it is doing, and the server leaves no
// goroutine (the leak check of TestMain).
func TestShutdownTellsEveryClient(t *testing.T) {
	a := newAuthority(t)
	tests := []struct {
		name, settings string
		dialer         apptest.Dialer
	}{
		{"plain", "", apptest.Dialer{}},
		{"TLS", `, "http_server": {` + a.section("tls", "") + `}`, apptest.Dialer{TLS: a.client()}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, `"client": {"insecure": true}`+test.settings)
			const clients = 60
			codes := make(chan string, clients)
			var ready sync.WaitGroup
			for n := range clients {
				ready.Add(1)
				go func() {
					c, err := test.dialer.Dial(i.external())
					if err == nil && n%3 > 0 {
						err = c.Text(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"x"}}`)
					}
					if err == nil && n%3 > 1 { // data in flight must not suppress the close frame
						err = c.Text(`{"id":3,"publish":{"channel":"x","data":"` + strings.Repeat("x", 8000) + `"}}`)
					}
					ready.Done()
					if err != nil {
						codes <- err.Error()
						return
					}
					defer func() { _ = c.Close() }()
					code, err := c.WaitClosed()
					codes <- fmt.Sprint(code, err)
				}()
			}
			ready.Wait()
			if err := i.stop(); err != nil {
				t.Errorf("stopping: %v", err)
			}
			for range clients {
				if got := <-codes; got != "3001 <nil>" {
					t.Errorf("a client was told %s; want \"3001 <nil>\"", got)
				}
			}
			if !i.logged("info", "stopped", "") {
				t.Error("the log does not say that the server has stopped; want it to")
			}
		})
	}
}

// A shutdown takes as long as the rate demands at which clients are told.
func TestShutdownReleasesByRate(t *testing.T) {
	const clients, rate = 11, 20
	i := start(t, anonymous+fmt.Sprintf(`, "shutdown": {"release_rate": %d}`, rate))
	connections := make([]*apptest.Conn, clients)
	for n := range connections {
		connections[n] = i.connected(apptest.Dialer{})
	}
	started := time.Now()
	if err := i.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if got, want := time.Since(started), (clients-1)*time.Second/rate; got < want {
		t.Errorf("the shutdown took %v; want at least %v", got, want)
	}
	for _, c := range connections {
		if code, err := c.WaitClosed(); code != 3001 || err != nil {
			t.Errorf("closed with %d, %v; want 3001", code, err)
		}
	}
}

// A client that does not answer the close frame delays the shutdown for as long as the
// transport waits for it, and is not an error.
func TestShutdownWithMuteClient(t *testing.T) {
	i := start(t, anonymous+`, "shutdown": {"timeout": "500ms"}`)
	c := i.connected(apptest.Dialer{})
	if err := i.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	if code, err := c.WaitClosed(); code != 3001 {
		t.Errorf("the client was told %d, %v; want 3001", code, err)
	}
}

// A request that does not end in time makes the shutdown an error.
func TestShutdownTooLong(t *testing.T) {
	i := start(t, `"http_api": {"key": "k"}, "shutdown": {"timeout": "300ms"}`)
	c, err := (apptest.Dialer{}).Connect(i.external())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	request := "POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
	if _, err := c.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	// The body is being waited for once the server asks for it.
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q, %v; want \"100\" in it", line, err)
	}
	if err := i.stop(); err == nil || !strings.Contains(err.Error(), "shutdown took longer than 300ms") {
		t.Errorf("error %v; want an error and \"shutdown took longer than 300ms\" in it", err)
	}
	if !i.logged("fatal", "stopped before its time", "300ms") {
		t.Error("the log has no line \"stopped before its time\" with the limit; want one")
	}
}

// Connections that arrive during a shutdown are refused or closed with 3001.
func TestConnectionsDuringShutdown(t *testing.T) {
	i := start(t, anonymous+`, "http_api": {"key": "k"}, "shutdown": {"timeout": "2s"}`)
	quit := make(chan struct{})
	var dialling sync.WaitGroup
	outcomes := make(chan string, 10_000)
	for range 4 {
		dialling.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				outcomes <- connectOnce(i.external())
			}
		})
	}
	first := <-outcomes
	if err := i.stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
	close(quit)
	dialling.Wait()
	close(outcomes)
	seen := map[string]int{first: 1}
	for outcome := range outcomes {
		seen[outcome]++
	}
	t.Log(seen)
	for outcome := range seen {
		switch outcome {
		case "connected", "closed 3001", "refused", "ended":
		default:
			t.Errorf("a client got %q; want connected, closed 3001, refused or ended", outcome)
		}
	}
}

// connectOnce connects and disconnects, and returns the outcome.
func connectOnce(address string) string {
	c, err := (apptest.Dialer{}).Dial(address)
	var refused *apptest.Refused
	if errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable {
		return "refused"
	}
	if err != nil {
		return "ended"
	}
	defer func() { _ = c.Close() }()
	if err := c.Text(`{"id":1,"connect":{}}`); err != nil {
		return "ended"
	}
	reply, err := c.Next()
	var closed *apptest.Closed
	switch {
	case strings.Contains(reply, `"connect":{`):
		return "connected"
	case err == nil:
		return "the reply " + reply
	case errors.As(err, &closed):
		return fmt.Sprint("closed ", closed.Code)
	case os.IsTimeout(err):
		return "a wait without end"
	}
	return "ended"
}

// A broken listener stops the server with an error.
func TestListenerFails(t *testing.T) {
	i, err := prepare(t, anonymous)
	if err != nil {
		t.Fatal(err)
	}
	servers, err := i.app.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		_ = s.listener.Close()
	}
	if err := i.app.serve(t.Context(), servers); err == nil || !strings.Contains(err.Error(), "serving 127.0.0.1") {
		t.Errorf("error %v; want an error and \"serving 127.0.0.1\" in it", err)
	}
}

// The server gives up on half a handshake and on a body that never arrives.
func TestSlowRequests(t *testing.T) {
	i := start(t, `"http_api": {"key": "k"}`, func(a *App) {
		a.timeouts.readHeader, a.timeouts.read = 150*time.Millisecond, 300*time.Millisecond
	})
	tests := map[string]string{
		"half a handshake": "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: webso",
		"no request":       "",
		"half a body":      "POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nContent-Length: 100\r\n\r\n{\"channel\":",
		"half a chunk":     "POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"c",
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := (apptest.Dialer{}).Connect(i.external())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := c.Write([]byte(request)); err != nil {
				t.Fatal(err)
			}
			var answer strings.Builder
			if _, err := bufio.NewReader(c).WriteTo(&answer); os.IsTimeout(err) {
				t.Fatal("the connection is not closed; want it closed")
			}
			if strings.HasPrefix(answer.String(), "HTTP/1.1 200") {
				t.Errorf("answered %s; want no prefix \"HTTP/1.1 200\"", answer.String())
			}
		})
	}
}

// A WebSocket outlives the timeouts of the HTTP server that it came from.
func TestConnectionsOutliveHTTPTimeouts(t *testing.T) {
	a := newAuthority(t)
	const timeout = 400 * time.Millisecond // a handshake fits, the test does not
	for name, d := range map[string]apptest.Dialer{"plain": {}, "TLS": {TLS: a.client()}} {
		t.Run(name, func(t *testing.T) {
			settings := `"client": {"allow_anonymous_connect_without_token": true, "ping_interval": "200ms", "pong_timeout": "190ms"}`
			if d.TLS != nil {
				settings += `, "http_server": {` + a.section("tls", "") + `}`
			}
			i := start(t, settings, func(a *App) { a.timeouts = timeouts{timeout, timeout, timeout, timeout, time.Hour, nil} })
			c := i.connected(d)
			for range 4 { // pings: at least 700 ms
				if message, err := c.Message(); err != nil || message != "{}" {
					t.Fatalf("%q, %v; want \"{}\"", message, err)
				}
				if err := c.Text("{}"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

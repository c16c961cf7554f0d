package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/app/apptest"
)

// streamTimeout is the read and write timeout of the servers in these tests. A
// stream lasts longer.
const streamTimeout = 2 * time.Second

// startStreaming runs a server with every middleware of a transport and one more
// transport, at /stream.
func startStreaming(t *testing.T, stream http.HandlerFunc) *instance {
	t.Helper()
	port := testprocess.FreePort(t) // h2c_external needs a port that is named
	settings := fmt.Sprintf(`"prometheus": {"enabled": true, "instrument_http_handlers": true},
		"client": {"connection_limit": 1000, "connection_rate_limit": 1000, "user_id_http_header": "X-User"},
		"http_server": {"h2c_external": true, "internal_address": "127.0.0.2", "internal_port": %d}`, port)
	return start(t, settings, func(a *App) {
		a.options.Dev = true
		a.timeouts.read, a.timeouts.write = streamTimeout, streamTimeout
		a.transports = append(a.transports, &transport{path: "/stream", handler: a.cors(stream), drain: func(context.Context) error { return nil }, close: func() {}})
	})
}

// TestStreams proves that a handler of a transport controls its response through all
// middlewares: it flushes, outlives the timeouts of the server and reads its request
// while it writes, over HTTP/1.1 and HTTP/2.
func TestStreams(t *testing.T) {
	i := startStreaming(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		err := errors.Join(c.EnableFullDuplex(), c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{}))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for line := bufio.NewScanner(r.Body); line.Scan(); {
			_, _ = fmt.Fprintf(w, "got %s\n", line.Text())
			if c.Flush() != nil {
				return
			}
		}
	})
	for _, major := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP/%d", major), func(t *testing.T) {
			t.Parallel()
			protocols := new(http.Protocols)
			protocols.SetHTTP1(major == 1)
			protocols.SetUnencryptedHTTP2(major == 2)
			client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
			defer client.CloseIdleConnections()
			body, say := io.Pipe()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+i.external()+"/stream", body)
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(say, "1\n") }()
			answer, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			if answer.ProtoMajor != major || answer.StatusCode != http.StatusOK {
				t.Fatalf("%s over %s; want 200 over HTTP/%d", answer.Status, answer.Proto, major)
			}
			lines := bufio.NewScanner(answer.Body)
			for n := 1; n <= 2; n++ {
				if !lines.Scan() || lines.Text() != fmt.Sprint("got ", n) {
					t.Fatalf("line %d = %q (%v); want got %[1]d", n, lines.Text(), lines.Err())
				}
				if n == 1 {
					<-time.After(streamTimeout + streamTimeout/4)
					if _, err := io.WriteString(say, "2\n"); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = say.Close()
			if lines.Scan() || lines.Err() != nil {
				t.Errorf("after the last line: %q, %v; want the end", lines.Text(), lines.Err())
			}
		})
	}
}

// TestHijackThroughMiddlewares: a transport can take over a connection of HTTP/1.
func TestHijackThroughMiddlewares(t *testing.T) {
	i := startStreaming(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ntaken")
		_ = conn.Close()
	})
	if status, body := i.request(http.MethodGet, i.external(), "/stream", ""); status != http.StatusOK || body != "taken" {
		t.Errorf("GET /stream = %d %q; want 200 taken", status, body)
	}
	i.awaitMetrics(map[string]float64{requestsMetric + `{method="GET",path="/stream",status="101"}`: 1})
}

// TestTransportsAreOneList: what the server does with transports follows from their list.
func TestTransportsAreOneList(t *testing.T) {
	drained, closed := make(chan struct{}), make(chan struct{})
	i := start(t, anonymous, func(a *App) {
		a.transports = append(a.transports, &transport{
			path: "/other", handler: http.NotFoundHandler(),
			drain: func(context.Context) error { close(drained); return errors.New("a peer does not answer") },
			close: func() { close(closed) },
		})
	})
	i.awaitLogged("info", "serving", `"/other"`)
	i.awaitLogged("info", "serving", `"/connection/websocket"`)
	if err := i.stop(); err != nil {
		t.Errorf("stop() = %v; want nil: a peer that does not answer is no failure", err)
	}
	<-drained
	<-closed
}

func TestDisabledTransport(t *testing.T) {
	i := start(t, `"websocket": {"disabled": true}, "health": {"enabled": true}`)
	if len(i.app.transports) != 0 {
		t.Errorf("%d transports; want none", len(i.app.transports))
	}
	if status, _ := i.request(http.MethodGet, i.external(), apptest.Path, ""); status != http.StatusNotFound {
		t.Errorf("GET %s = %d; want 404", apptest.Path, status)
	}
}

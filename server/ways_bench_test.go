package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"centrifugo/apipb"
	"centrifugo/internal/await"
)

// waysData is a payload of 128 bytes.
var waysData = `{"text":"` + strings.Repeat("x", 117) + `"}`

// BenchmarkWaysIn publishes to a server process by each way into the API and reports the CPU
// time that the process spends on one publication, as server-ns/op. The channel has no subscribers.
// Calls of their own come over eight connections, or over eight goroutines of one HTTP/2
// connection. grpc-floor are such calls of a server of the gRPC library that does nothing.
// The kernel counts CPU in hundredths of a second, so run at least 100,000:
//
//	go test ./server -run '^$' -bench WaysIn -benchtime 100000x
func BenchmarkWaysIn(b *testing.B) {
	const callers = 8
	for _, way := range waysIn(b) {
		b.Run(way.name, func(b *testing.B) { way.measure(b, callers) })
	}
}

// BenchmarkCallsAtOnce is BenchmarkWaysIn with more and fewer callers, for the ways that
// have a call for each publication.
func BenchmarkCallsAtOnce(b *testing.B) {
	ways := waysIn(b)[:3]
	for _, callers := range []int{1, 8, 32, 128} {
		for _, way := range ways {
			b.Run(fmt.Sprintf("%d/%s", callers, way.name), func(b *testing.B) { way.measure(b, callers) })
		}
	}
}

// way is a way to publish to a process.
type way struct {
	name    string
	to      *process
	publish func(b *testing.B, callers, n int)
}

// waysIn starts the processes and returns the ways into them.
func waysIn(b *testing.B) []way {
	b.Helper()
	p := launch(b, `{"http_api": {"key": "k"}, "grpc_api": {"enabled": true, "address": "127.0.0.1", "port": 0, "key": "k"}}`, loopback...)
	p.address = p.listener("/api")
	floor := launchCommand(b, "", exec.Command(os.Args[0], "-grpc-floor"))
	api, empty := grpcAPI(b, p.listener("gRPC API")), grpcAPI(b, floor.listener("floor"))
	ctx := metadata.AppendToOutgoingContext(b.Context(), "authorization", "apikey k")
	return []way{
		{"http", p, p.publishEach},
		{"grpc", p, func(b *testing.B, callers, n int) { callEach(ctx, b, api, callers, n) }},
		{"grpc-floor", floor, func(b *testing.B, callers, n int) { callEach(ctx, b, empty, callers, n) }},
		{"http-stream", p, func(b *testing.B, _, n int) { p.publishStream(b, n) }},
		{"grpc-stream", p, func(b *testing.B, _, n int) { callStream(ctx, b, api, n) }},
	}
}

// measure publishes b.N times and reports the CPU time of the process for each.
func (w way) measure(b *testing.B, callers int) {
	b.Helper()
	w.publish(b, callers, 100) // connections, pools
	before := w.to.cpu()
	b.ResetTimer()
	w.publish(b, callers, b.N)
	b.ReportMetric(float64((w.to.cpu()-before).Nanoseconds())/float64(b.N), "server-ns/op")
}

// listener returns the address of the listener with an endpoint.
func (p *process) listener(endpoint string) (address string) {
	p.t.Helper()
	if !await.Reached(func() bool {
		for _, entry := range logEntries(p.path("stderr")) {
			if entry["message"] == "serving" && strings.Contains(fmt.Sprint(entry["endpoints"]), endpoint) {
				address, _ = entry["address"].(string)
			}
		}
		return address != ""
	}) {
		p.t.Fatalf("the server does not serve %s: %s", endpoint, p.output())
	}
	return address
}

// cpu returns the CPU time of the process, by proc(5).
func (p *process) cpu() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Skipf("no CPU times: %v", err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	total := time.Duration(0)
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	return total
}

// share runs call n times by several goroutines.
func share(b *testing.B, callers, n int, caller func() (call func() error, end func())) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			call, end := caller()
			defer end()
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
}

// publishEach makes a request for each publication.
func (p *process) publishEach(b *testing.B, callers, n int) {
	b.Helper()
	body := `{"channel":"bench","data":` + waysData + `}`
	request := fmt.Appendf(nil, "POST /api/publish HTTP/1.1\r\nHost: h\r\nX-API-Key: k\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	share(b, callers, n, func() (func() error, func()) {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			b.Error(err)
			return func() error { return err }, func() {}
		}
		reader := bufio.NewReader(conn)
		return func() error {
			if _, err := conn.Write(request); err != nil {
				return err
			}
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				return err
			}
			text, err := io.ReadAll(response.Body)
			if err == nil && string(text) != `{"result":{}}` {
				err = fmt.Errorf("answered %d %s", response.StatusCode, text)
			}
			return err
		}, func() { _ = conn.Close() }
	})
}

// publishStream makes one request for all publications.
func (p *process) publishStream(b *testing.B, n int) {
	b.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	line := []byte(`{"publish":{"channel":"bench","data":` + waysData + "}}\n")
	sent := make(chan error, 1)
	go func() {
		_, _ = io.WriteString(conn, "POST /api/stream HTTP/1.1\r\nHost: h\r\nX-API-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n")
		body := httputil.NewChunkedWriter(conn)
		buffered := bufio.NewWriterSize(body, 16<<10)
		var err error
		for i := 0; i < n && err == nil; i++ {
			_, err = buffered.Write(line)
		}
		if err == nil {
			err = buffered.Flush()
		}
		if err == nil {
			err = body.Close()
		}
		_, _ = io.WriteString(conn, "\r\n")
		sent <- err
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		b.Fatal(err)
	}
	answers := bufio.NewScanner(response.Body)
	got := 0
	for ; answers.Scan(); got++ {
		if answers.Text() != `{"publish":{}}` {
			b.Fatalf("answered %s; want %q", answers.Text(), `{"publish":{}}`)
		}
	}
	if err := <-sent; err != nil || answers.Err() != nil || got != n {
		b.Fatalf("%d were answered, %v, %v; want %d", got, err, answers.Err(), n)
	}
}

func grpcAPI(b *testing.B, address string) apipb.CentrifugoApiClient {
	b.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return apipb.NewCentrifugoApiClient(conn)
}

// callEach makes a call for each publication.
func callEach(ctx context.Context, b *testing.B, api apipb.CentrifugoApiClient, callers, n int) {
	b.Helper()
	request := &apipb.PublishRequest{Channel: "bench", Data: []byte(waysData)}
	share(b, callers, n, func() (func() error, func()) {
		return func() error {
			response, err := api.Publish(ctx, request)
			if err == nil && response.Error != nil {
				err = fmt.Errorf("answered %v", response.Error)
			}
			return err
		}, func() {}
	})
}

// callStream makes one call for all publications.
func callStream(ctx context.Context, b *testing.B, api apipb.CentrifugoApiClient, n int) {
	b.Helper()
	stream, err := api.Stream(ctx)
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		command := &apipb.Command{Publish: &apipb.PublishRequest{Channel: "bench", Data: []byte(waysData)}}
		for range n {
			if stream.Send(command) != nil {
				return // Recv says why
			}
		}
		_ = stream.CloseSend()
	}()
	for range n {
		if reply, err := stream.Recv(); err != nil || reply.Error != nil {
			b.Fatalf("answered %v, %v; want a result", reply, err)
		}
	}
}

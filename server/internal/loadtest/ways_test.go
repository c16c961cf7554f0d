package loadtest_test

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/loadtest"
)

// startWays starts a server with the API over HTTP and over gRPC, and returns the addresses.
func startWays(t *testing.T) (http, grpc string) {
	t.Helper()
	port := testprocess.FreePort(t)
	addresses := serveTransports(t, false, map[string]any{
		"http_api": map[string]any{"key": apiKey},
		"grpc_api": map[string]any{"enabled": true, "address": "127.0.0.1", "port": port, "key": apiKey},
	})
	return addresses[loadtest.DefaultTransport], net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// TestWays: each way into the API publishes, and the report has each.
func TestWays(t *testing.T) {
	http, grpc := startWays(t)
	for name, tt := range map[string]struct {
		change func(*loadtest.Options)
		want   string
	}{
		"all":     {func(o *loadtest.Options) { o.APIGRPC = grpc }, "http http_stream grpc grpc_stream"},
		"HTTP":    {func(*loadtest.Options) {}, "http http_stream"},
		"paced":   {func(o *loadtest.Options) { o.APIGRPC, o.Rate, o.Channels = grpc, 200, 3 }, "http http_stream grpc grpc_stream"},
		"workers": {func(o *loadtest.Options) { o.APIGRPC, o.Workers = grpc, 2 }, "http http_stream grpc grpc_stream"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(loadtest.Ways, http)
			o.Channel = `no "subscribers"`
			tt.change(&o)
			report, err := loadtest.Run(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			var ways []string
			sum := uint64(0)
			for _, f := range report.Ways {
				ways = append(ways, f.Way)
				sum += f.Publications
				if f.Publications == 0 || f.PerSecond <= 0 {
					t.Errorf("%s: %+v; want publications", f.Way, f)
				}
			}
			if got := strings.Join(ways, " "); !report.OK || got != tt.want || report.Publish.Count != sum || report.Connect.Count != 0 {
				t.Errorf("OK = %v, failures %q, ways %s, %d of %d publications, %d connects; want %s without failures or connects",
					report.OK, report.Failures, got, sum, report.Publish.Count, report.Connect.Count, tt.want)
			}
			var table strings.Builder
			if err := report.WriteTable(&table); err != nil || !strings.Contains(table.String(), "http_stream") || strings.Contains(table.String(), "each client") {
				t.Errorf("the table is %q, %v; want the ways in it, and no clients", table.String(), err)
			}
		})
	}
}

// TestWaysFail: what the API refuses by any way is a failure of the run.
func TestWaysFail(t *testing.T) {
	http, grpc := startWays(t)
	for name, tt := range map[string]struct {
		change func(*loadtest.Options)
		want   []string
	}{
		"wrong key":           {func(o *loadtest.Options) { o.APIKey = "wrong" }, []string{"publish 401: HTTP Unauthorized", "publish: HTTP 401 Unauthorized", "code = Unauthenticated"}},
		"unknown namespace":   {func(o *loadtest.Options) { o.Channel = "nowhere:x" }, []string{"publish 102: unknown channel"}},
		"no listener of gRPC": {func(o *loadtest.Options) { o.APIGRPC = "127.0.0.1:1" }, []string{"connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(loadtest.Ways, http)
			o.APIGRPC, o.Duration, o.Warmup = grpc, 400*time.Millisecond, 0
			tt.change(&o)
			for _, want := range tt.want {
				wantFailure(t, o, want)
			}
		})
	}
}

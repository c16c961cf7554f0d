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

// startProxied starts a server whose connect proxy calls the backend address with at most
// 5 calls in flight, and lets 10 wait.
func startProxied(t *testing.T, backend string) (address string) {
	t.Helper()
	port := testprocess.FreePort(t)
	ended := runServer(t, map[string]any{
		"http_server": map[string]any{"address": "127.0.0.1", "port": port}, "log": map[string]any{"level": "error"},
		"client": map[string]any{"proxy": map[string]any{"connect": map[string]any{
			"enabled": true, "endpoint": "http://" + backend + "/connect", "timeout": "60s",
			"limit": map[string]any{"max_in_flight": 5, "fixed": true, "queue_size": 10, "queue_timeout": "60s"},
		}}},
		"channel": map[string]any{"without_namespace": map[string]any{"allow_subscribe_for_client": true}},
	})
	address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	awaitListening(t, address, ended)
	return address
}

func backendAddress(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(testprocess.FreePort(t)))
}

func stormOptions(address, backend string) loadtest.Options {
	o := options(loadtest.ProxyStorm, address)
	o.Clients, o.Duration, o.Backend, o.BackendTime, o.BackendParallel = 60, time.Millisecond, backend, 100*time.Millisecond, 5
	return o
}

// TestProxyStorm: more clients than may wait connect at once; those that do not fit come
// back until all are in, and the backend never has more calls than it takes.
func TestProxyStorm(t *testing.T) {
	for name, change := range map[string]func(*loadtest.Options){
		"one process": func(*loadtest.Options) {},
		"workers":     func(o *loadtest.Options) { o.Workers = 2 },
		"protobuf":    func(o *loadtest.Options) { o.Protobuf = true },
	} {
		t.Run(name, func(t *testing.T) {
			backend := backendAddress(t)
			o := stormOptions(startProxied(t, backend), backend)
			change(&o)
			report, err := loadtest.Run(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := report.Proxy
			if !report.OK || f == nil {
				t.Fatalf("OK = %v, failures %q, proxy %+v; want a run without failures, with figures of the backend", report.OK, report.Failures, f)
			}
			if report.Connect.Count != 60 || f.Calls != 60 || f.Answered != 60 || f.Abandoned != 0 || f.FailedConnects != 0 {
				t.Errorf("%d connects and %+v; want 60 connects, each by a call that was answered", report.Connect.Count, *f)
			}
			if f.MaxInFlight < 1 || f.MaxInFlight > 5 {
				t.Errorf("max_in_flight = %d; want 1 to 5", f.MaxInFlight)
			}
			if f.CameBack == 0 {
				t.Error("came_back = 0; want more, because 15 of 60 clients fit at once")
			}
			if f.AllInS <= 0 || f.Rounds != 1 {
				t.Errorf("all_in_s = %v, rounds = %d; want more than 0, and 1", f.AllInS, f.Rounds)
			}
			var table strings.Builder
			if err := report.WriteTable(&table); err != nil || !strings.Contains(table.String(), "60 calls of 100 ms") {
				t.Errorf("the table is %q, %v; want the calls of the backend in it", table.String(), err)
			}
		})
	}
}

// TestProxyStormFails: what the server or the configuration does wrong is a failure of the run.
func TestProxyStormFails(t *testing.T) {
	t.Run("more calls than the backend takes", func(t *testing.T) {
		backend := backendAddress(t)
		o := stormOptions(startProxied(t, backend), backend)
		o.Clients, o.BackendParallel = 15, 2
		wantFailure(t, o, "calls at the same time, which is more than the 2")
	})
	t.Run("another backend", func(t *testing.T) {
		wantFailure(t, stormOptions(startServer(t, false), backendAddress(t)), "the server has not called the backend")
	})
}

func wantFailure(t *testing.T, o loadtest.Options, want string) {
	t.Helper()
	report, err := loadtest.Run(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if report.OK || !strings.Contains(strings.Join(report.Failures, "; "), want) {
		t.Errorf("OK = %v, failures %q; want a failure with %q", report.OK, report.Failures, want)
	}
}

// TestBackendAddress: an address that cannot be listened at is an error of the run.
func TestBackendAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	o := stormOptions("127.0.0.1:1", l.Addr().String())
	if _, err := loadtest.Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "starting the backend") {
		t.Errorf("Run = %v; want an error about starting the backend", err)
	}
}

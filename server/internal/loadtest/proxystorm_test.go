package loadtest_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/loadtest"
)

// startProxied starts a server whose connect proxy calls the backend address with at most
// 5 calls in flight, and lets 10 wait. It returns the addresses by transport.
func startProxied(t *testing.T, secure bool, backend string) map[string]string {
	t.Helper()
	return serveTransports(t, secure, map[string]any{
		"client": map[string]any{"proxy": map[string]any{"connect": map[string]any{
			"enabled": true, "endpoint": "http://" + backend + "/connect", "timeout": "60s",
			"limit": map[string]any{"max_in_flight": 5, "fixed": true, "queue_size": 10, "queue_timeout": "60s"},
		}}},
		"channel": map[string]any{"without_namespace": map[string]any{"allow_subscribe_for_client": true}},
	})
}

// storm starts a server, and returns the options of a run against it.
func storm(t *testing.T, transport string) loadtest.Options {
	t.Helper()
	backend, secure := testprocess.FreeAddress(t), transport == "webtransport" // which needs TLS
	o := stormOptions(transport, startProxied(t, secure, backend)[transport], backend)
	if secure {
		o.Address, o.SkipVerify = "https://"+o.Address, true
	}
	return o
}

func stormOptions(transport, address, backend string) loadtest.Options {
	o := options(loadtest.ProxyStorm, address)
	o.Transport, o.Clients, o.Duration, o.Backend, o.BackendTime, o.BackendParallel = transport, 60, time.Millisecond, backend, 100*time.Millisecond, 5
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
			o := storm(t, loadtest.DefaultTransport)
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

// TestProxyStormTransports: over each transport clients that do not fit are told so, and come
// back until all are in. The runs come one after another: a port that is free for a listener of
// one could be taken by a client of another.
func TestProxyStormTransports(t *testing.T) {
	for _, transport := range loadtest.Transports() {
		if transport.Name == loadtest.DefaultTransport {
			continue // TestProxyStorm
		}
		t.Run(transport.Name, func(t *testing.T) {
			if testing.Short() && transport.Name != "grpc" && transport.Name != "uni_sse" {
				t.Skip("four seconds")
			}
			o := storm(t, transport.Name)
			o.Clients, o.BackendTime = 40, 300*time.Millisecond // 15 fit at once, and 17 a second
			report, err := loadtest.Run(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := report.Proxy
			if !report.OK || f.Answered != 40 || f.CameBack == 0 || f.FailedConnects != 0 {
				t.Errorf("OK = %v, failures %q, errors %+v, proxy %+v; want 40 calls answered and clients that came back", report.OK, report.Failures, report.Errors, *f)
			}
		})
	}
}

// TestProxyStormOutage: while the backend answers with status 503, clients come back until it
// does not; that is no failure of the run.
func TestProxyStormOutage(t *testing.T) {
	for _, transport := range []string{"websocket", "uni_sse"} {
		t.Run(transport, func(t *testing.T) {
			o := storm(t, transport)
			o.BackendOutage = 300 * time.Millisecond
			report, err := loadtest.Run(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := report.Proxy
			if !report.OK || f.Unavailable == 0 || f.FailedConnects < f.Unavailable || f.CameBack < f.FailedConnects || f.Answered != 60 || f.Calls != f.Answered+f.Unavailable {
				t.Errorf("OK = %v, failures %q, proxy %+v; want all in, after calls answered with 503 and clients that came back", report.OK, report.Failures, *f)
			}
			var table strings.Builder
			if err := report.WriteTable(&table); err != nil || !strings.Contains(table.String(), "were answered with 503") {
				t.Errorf("the table is %q, %v; want the outage in it", table.String(), err)
			}
		})
	}
}

// TestProxyStormFails: what the server or the configuration does wrong is a failure of the run.
func TestProxyStormFails(t *testing.T) {
	t.Run("more calls than the backend takes", func(t *testing.T) {
		o := storm(t, loadtest.DefaultTransport)
		o.Clients, o.BackendParallel = 15, 2
		wantFailure(t, o, "calls at the same time, which is more than the 2")
	})
	t.Run("another backend", func(t *testing.T) {
		wantFailure(t, stormOptions(loadtest.DefaultTransport, startServer(t, false), testprocess.FreeAddress(t)), "the server has not called the backend")
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
	o := stormOptions(loadtest.DefaultTransport, "127.0.0.1:1", l.Addr().String())
	if _, err := loadtest.Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "starting the backend") {
		t.Errorf("Run = %v; want an error about starting the backend", err)
	}
}

package loadtest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"

	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/testprocess"
	"centrifugo/server"
	"centrifugo/server/internal/loadtest"
)

// apiKey and an anonymous token are required, so that both are really sent.
const apiKey = "key of the test"

// startServer starts a real server in this process, with or without TLS, and
// returns its address.
func startServer(t *testing.T, secure bool) string {
	t.Helper()
	return startTransports(t, secure)[loadtest.DefaultTransport]
}

// startTransports is startServer, and returns the addresses by transport.
func startTransports(t *testing.T, secure bool) map[string]string {
	t.Helper()
	options := map[string]any{"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true, "allow_publish_for_client": true, "allow_publish_for_anonymous": true}
	history := map[string]any{"name": "hist", "history_size": 100, "history_ttl": "60s", "force_recovery": true}
	delta := map[string]any{"name": "delta", "allowed_delta_types": []string{"fossil"}, "delta_publish": true}
	for k, v := range options {
		history[k], delta[k] = v, v
	}
	return serveTransports(t, secure, map[string]any{
		"http_api": map[string]any{"key": apiKey}, "health": map[string]any{"enabled": true},
		"client": map[string]any{"allow_anonymous_connect_without_token": true, "channel_limit": 2000}, "websocket": map[string]any{"compression": true},
		"channel": map[string]any{"without_namespace": options, "namespaces": []any{history, delta}},
	})
}

// serveTransports runs a server with a configuration and every transport, and returns the
// addresses by transport.
func serveTransports(t *testing.T, secure bool, configuration map[string]any) map[string]string {
	t.Helper()
	number := testprocess.FreePort(t)
	ports := map[string]int{"grpc": testprocess.FreePort(t), "uni_grpc": testprocess.FreePort(t)}
	listen := map[string]any{"address": "127.0.0.1", "port": number}
	overGRPC := map[string]map[string]any{}
	for name, port := range ports {
		overGRPC[name] = map[string]any{"enabled": true, "address": "127.0.0.1", "port": port}
	}
	if secure {
		cert, key := certificate(t)
		for _, section := range []map[string]any{listen, overGRPC["grpc"], overGRPC["uni_grpc"]} {
			section["tls"] = map[string]any{"enabled": true, "cert_pem": cert, "key_pem": key}
		}
		listen["http3"] = map[string]any{"enabled": true}
	}
	for _, transport := range []string{"http_stream", "sse", "uni_websocket", "uni_http_stream", "uni_sse"} {
		configuration[transport] = map[string]any{"enabled": true}
	}
	configuration["webtransport"] = map[string]any{"enabled": secure}
	configuration["grpc"], configuration["uni_grpc"] = overGRPC["grpc"], overGRPC["uni_grpc"]
	configuration["http_server"], configuration["log"] = listen, map[string]any{"level": "error"}
	ended := runServer(t, configuration)
	addresses := map[string]string{}
	for _, transport := range loadtest.Transports() {
		port, ok := ports[transport.Name]
		if !ok {
			port = number
		}
		addresses[transport.Name] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		awaitListening(t, addresses[transport.Name], ended)
	}
	return addresses
}

// runServer runs a server with a configuration until the end of the test. Its exit code is
// sent when it has ended.
func runServer(t *testing.T, configuration map[string]any) (ended chan int) {
	t.Helper()
	text, err := json.Marshal(configuration)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended = make(chan int, 1)
	go func() { ended <- server.Main(ctx, []string{"-c", file}) }()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("the server ended with %d; want 0", code)
		}
	})
	return ended
}

// awaitListening waits until connections are taken.
func awaitListening(t *testing.T, address string, ended chan int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		select {
		case code := <-ended:
			ended <- code
			t.Fatalf("the server ended with %d; want it serving", code)
		case <-tick.C:
		}
	}
	t.Fatal("the server does not listen; want it listening")
}

// certificate makes one for 127.0.0.1, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return encode("CERTIFICATE", der), encode("EC PRIVATE KEY", keyDER)
}

func options(scenario, address string) loadtest.Options {
	return loadtest.Options{
		Scenario: scenario, Address: address, APIKey: apiKey, Clients: 40, Publishers: 4, Rate: loadtest.ScenarioRate, Duration: time.Second,
		Warmup: 200 * time.Millisecond, Payload: loadtest.DefaultPayload, Missed: 20, Channel: "t" + scenario,
		PID: os.Getpid(), WorkerCommand: []string{os.Args[0], workerArgument},
	}
}

// TestScenarios runs each scenario against a real server, in many ways.
func TestScenarios(t *testing.T) {
	if testing.Short() {
		t.Skip("several seconds")
	}
	plain, secure := startServer(t, false), startServer(t, true)
	t.Run("all", func(t *testing.T) { // so that the servers outlive them
		for name, change := range map[string]func(*loadtest.Options){
			"idle":            func(*loadtest.Options) {},
			"idle many":       func(o *loadtest.Options) { o.Clients, o.ClientChannels = 3, 2000 },
			"storm":           func(*loadtest.Options) {},
			"storm paced":     func(o *loadtest.Options) { o.Rate = 100 },
			"fanout":          func(*loadtest.Options) {},
			"fanout protobuf": func(o *loadtest.Options) { o.Protobuf = true },
			"fanout deflate":  func(o *loadtest.Options) { o.Deflate, o.Payload = true, 1024 },
			"fanout delta":    func(o *loadtest.Options) { o.Delta, o.Payload, o.Channel = true, 2048, "delta:one" },
			"fanout delta protobuf": func(o *loadtest.Options) {
				o.Delta, o.Payload, o.Channel, o.Protobuf, o.Channels = true, 2048, "delta:two", true, 2
			},
			"slow delta":        func(o *loadtest.Options) { o.Delta, o.Payload, o.Channel = true, 2048, "delta:three" },
			"fanout large":      func(o *loadtest.Options) { o.Payload, o.Rate, o.Clients = 600_000, 5, 4 },
			"fanout saturating": func(o *loadtest.Options) { o.Rate, o.Duration = 0, 300*time.Millisecond },
			"fanout channels":   func(o *loadtest.Options) { o.Channels, o.Sources = 3, "127.0.0.1-127.0.0.3" },
			"fanout lines":      func(o *loadtest.Options) { o.Payloads = [][]byte{[]byte(`{"a":1}`), []byte("2")} },
			"fanout workers":    func(o *loadtest.Options) { o.Workers = 3 },
			"fanout tls":        func(o *loadtest.Options) { o.Address, o.SkipVerify = "wss://"+secure, true },
			"unique":            func(o *loadtest.Options) { o.Rate = 200 },
			"unique few":        func(o *loadtest.Options) { o.Rate, o.Clients = 200, 3 },
			"unique many":       func(o *loadtest.Options) { o.Rate, o.Clients, o.ClientChannels = 500, 3, 1000 },
			"unique workers":    func(o *loadtest.Options) { o.Rate, o.ClientChannels, o.Workers = 500, 5, 3 },
			"unique protobuf":   func(o *loadtest.Options) { o.Rate, o.Clients, o.ClientChannels, o.Protobuf = 200, 1, 3, true },
			"echo":              func(o *loadtest.Options) { o.Rate = 200 },
			"echo saturating":   func(o *loadtest.Options) { o.Rate, o.Duration = 0, 300*time.Millisecond },
			"echo protobuf":     func(o *loadtest.Options) { o.Rate, o.Protobuf, o.Workers = 200, true, 2 },
			"recover":           func(o *loadtest.Options) { o.Channel = "hist:one" },
			"recover protobuf":  func(o *loadtest.Options) { o.Channel, o.Protobuf, o.Channels = "hist:two", true, 2 },
			"recover tls":       func(o *loadtest.Options) { o.Channel, o.Address, o.SkipVerify = "hist:one", "wss://"+secure, true },
			"slow":              func(*loadtest.Options) {},
			"slow tls":          func(o *loadtest.Options) { o.Address, o.SkipVerify = "wss://"+secure, true },
			"mixed":             func(o *loadtest.Options) { o.Rate = 100 },
			"mixed workers":     func(o *loadtest.Options) { o.Rate, o.Workers = 100, 2 },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				scenario, _, _ := strings.Cut(name, " ")
				o := options(scenario, plain)
				o.Channel = strings.ReplaceAll(name, " ", "-")
				change(&o)
				checkRun(t, o)
			})
		}
	})
}

// TestTransports runs scenarios over every transport, against a real server.
func TestTransports(t *testing.T) {
	plain, secure := startTransports(t, false), startTransports(t, true)
	t.Run("all", func(t *testing.T) { // so that the servers outlive them
		for _, transport := range loadtest.Transports() {
			scenarios, quic := []string{loadtest.Idle, loadtest.Fanout}, transport.Name == "webtransport"
			if !testing.Short() {
				scenarios = append(scenarios, loadtest.Storm, loadtest.Unique, loadtest.Recover, loadtest.Slow, "delta")
				if !strings.HasPrefix(transport.Name, "uni_") {
					scenarios = append(scenarios, loadtest.Echo, loadtest.Mixed)
				}
				if transport.Name == "http_stream" || quic {
					scenarios = append(scenarios, "protobuf")
				}
			}
			for _, scenario := range scenarios {
				for name, addresses := range map[string]map[string]string{"plain": plain, "tls": secure} {
					if quic && name == "plain" || !quic && name == "tls" && scenario != loadtest.Fanout {
						continue
					}
					t.Run(transport.Name+" "+scenario+" "+name, func(t *testing.T) {
						t.Parallel()
						o := options(scenario, addresses[transport.Name])
						o.Transport, o.API, o.Clients, o.Channel = transport.Name, "http://"+addresses["websocket"]+"/api", 20, transport.Name+"-"+scenario+"-"+name
						if name == "tls" {
							o.Address, o.SkipVerify, o.API = "https://"+o.Address, true, "https://"+addresses["websocket"]+"/api"
						}
						switch scenario {
						case loadtest.Unique: // a machine that is busy may publish nothing within a second
							o.Rate, o.Duration = 200, 3*time.Second
						case loadtest.Recover:
							o.Channel = "hist:" + transport.Name
						case "delta":
							o.Scenario, o.Delta, o.Payload, o.Channel = loadtest.Fanout, true, 2048, "delta:"+transport.Name
						case "protobuf":
							o.Scenario, o.Protobuf = loadtest.Fanout, true
						}
						checkRun(t, o)
					})
				}
			}
		}
	})
}

// TestHTTP2: streams over HTTP/2, each connection with several clients.
func TestHTTP2(t *testing.T) {
	secure := startTransports(t, true)
	t.Run("all", func(t *testing.T) { // so that the server outlives them
		for _, transport := range []string{"http_stream", "sse", "uni_sse"} {
			t.Run(transport, func(t *testing.T) {
				t.Parallel()
				o := options(loadtest.Fanout, "https://"+secure[transport])
				o.Transport, o.HTTP2Streams, o.Clients, o.SkipVerify = transport, 8, 20, true
				o.API, o.Channel = "https://"+secure["websocket"]+"/api", "http2-"+transport
				if r := checkRun(t, o); r.HTTP2Streams != 8 {
					t.Errorf("the report has %d streams of a connection; want 8", r.HTTP2Streams)
				}
			})
		}
	})
}

// TestTransportsRefused: what a transport cannot do is said before anything is done, and a
// server that does not serve it is told from others.
func TestTransportsRefused(t *testing.T) {
	address := startServer(t, false)
	for want, change := range map[string]func(*loadtest.Options){
		`unknown transport "x"`:     func(o *loadtest.Options) { o.Transport = "x" },
		"publish, which those of a": func(o *loadtest.Options) { o.Transport, o.Scenario = "uni_sse", loadtest.Echo },
		"has only JSON":             func(o *loadtest.Options) { o.Transport, o.Protobuf = "sse", true },
		"begins with https":         func(o *loadtest.Options) { o.Transport = "webtransport" },
		"is not an HTTP stream":     func(o *loadtest.Options) { o.HTTP2Streams = 1 },
		"101 is not from 0 to 100":  func(o *loadtest.Options) { o.Transport, o.HTTP2Streams = "sse", 101 },
		"has no permessage-deflate": func(o *loadtest.Options) { o.Transport, o.Deflate = "grpc", true },
	} {
		o := options(loadtest.Fanout, address)
		change(&o)
		if _, err := loadtest.Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %s", err, want)
		}
	}
	for _, test := range []struct{ transport, path, want string }{
		{"sse", "/nothing", "answered with 404 Not Found"},
		{"http_stream", "/health", "the body is not chunked"},
		{"grpc", "", "connecting: "},
	} {
		o := options(loadtest.Fanout, address+test.path)
		if o.Transport = test.transport; o.Transport == "grpc" {
			o.Address = "127.0.0.1:1"
		}
		o.Clients, o.Duration, o.Warmup = 3, 300*time.Millisecond, 0
		r, err := loadtest.Run(t.Context(), o, nil)
		if err != nil || r.OK || len(r.Errors) == 0 || !strings.Contains(r.Errors[0].Reason, test.want) {
			t.Errorf("%s%s: got %+v, %v; want a failure: %s", test.transport, test.path, r, err, test.want)
		}
	}
}

func checkRun(t *testing.T, o loadtest.Options) *loadtest.Report {
	t.Helper()
	r, err := loadtest.Run(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.Failures) > 0 || r.Loss.Lost > 0 || r.Loss.Foreign > 0 {
		t.Errorf("OK %v, failures %v, loss %+v; want true, none, none", r.OK, r.Failures, r.Loss)
	}
	if r.Connect.Count < uint64(o.Clients) || r.Connect.Latency.P50MS <= 0 {
		t.Errorf("connected: %+v; want Count at least %v and Latency.P50MS more than 0", r.Connect, uint64(o.Clients))
	}
	if r.Server == nil || r.Server.RSSBeforeBytes <= 0 || r.Load.CPUS <= 0 {
		t.Errorf("server %+v, load %+v; want RSSBeforeBytes more than 0 and CPUS more than 0", r.Server, r.Load)
	}
	if o.ClientChannels > 0 && (r.Subscriptions != o.Clients*o.ClientChannels || r.Channels != r.Subscriptions) {
		t.Errorf("%d subscriptions to %d channels; want %d", r.Subscriptions, r.Channels, o.Clients*o.ClientChannels)
	}
	publishes := o.Scenario != loadtest.Idle && o.Scenario != loadtest.Storm
	if publishes && (r.Deliver.Count == 0 || r.Loss.Expected == 0 || r.Loss.Received != r.Loss.Expected) {
		t.Errorf("delivered %+v, loss %+v; want all received", r.Deliver, r.Loss)
	}
	if publishes && r.Recover == nil && (r.Publish.Count == 0 || r.Deliver.Latency.Count == 0 || r.Deliver.Latency.P50MS <= 0) {
		t.Errorf("published %+v, latency %+v; want some", r.Publish, r.Deliver.Latency)
	}
	if f := r.Recover; (f != nil) != (o.Scenario == loadtest.Recover) || f != nil && f.Recovered != uint64(f.Rounds*o.Missed*o.Clients/max(o.Channels, 1)) {
		t.Errorf("recovered %+v; want all missed publications, of scenario %q only", f, loadtest.Recover)
	}
	if f := r.Slow; (f != nil) != (o.Scenario == loadtest.Slow) || f != nil && (f.Clients != 1 || f.Deliveries == 0) {
		t.Errorf("slow %+v; want one client with deliveries, of scenario %q only", f, loadtest.Slow)
	}
	var table, page bytes.Buffer
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "OK") {
		t.Errorf("table: %v\n%s; want \"OK\" in it", err, table.String())
	}
	if err := r.WriteHTML(&page); err != nil || !strings.Contains(page.String(), "<svg") {
		t.Errorf("page: %v; want \"<svg\" in it", err)
	}
	return r
}

// TestRefused: what a server refuses is counted by its code, and the run fails.
func TestRefused(t *testing.T) {
	address := startServer(t, false)
	for name, tt := range map[string]struct {
		change func(*loadtest.Options)
		want   loadtest.ErrorFigure
	}{
		"wrong key":       {func(o *loadtest.Options) { o.APIKey = "wrong" }, loadtest.ErrorFigure{Kind: "publish", Code: 401, Reason: "HTTP Unauthorized"}},
		"no API":          {func(o *loadtest.Options) { o.API = "http://" + address + "/nothing" }, loadtest.ErrorFigure{Kind: "publish", Code: 404, Reason: "HTTP Not Found"}},
		"bad token":       {func(o *loadtest.Options) { o.Token = "x" }, loadtest.ErrorFigure{Kind: "disconnect", Code: 3500, Reason: "invalid token"}},
		"unknown channel": {func(o *loadtest.Options) { o.Channel = "nowhere:x" }, loadtest.ErrorFigure{Kind: "reply", Code: 102, Reason: "unknown channel"}},
		"no recovery":     {func(o *loadtest.Options) { o.Scenario = loadtest.Recover }, loadtest.ErrorFigure{Kind: "recover", Reason: "the channel has no recovery"}},
		"too much missed": {func(o *loadtest.Options) { o.Scenario, o.Missed, o.Channel = loadtest.Recover, 101, "hist:x" }, loadtest.ErrorFigure{Kind: "recover", Reason: "not recovered"}},
		"wrong path":      {func(o *loadtest.Options) { o.Address += "/nothing" }, loadtest.ErrorFigure{Kind: "connect", Reason: "handshake: answered with 404 Not Found"}},
		"no listener":     {func(o *loadtest.Options) { o.Address = "127.0.0.1:1" }, loadtest.ErrorFigure{Kind: "connect", Reason: "connecting: connection refused"}},
	} {
		o := options(loadtest.Fanout, address)
		o.Clients, o.Duration, o.Warmup = 3, 300*time.Millisecond, 0
		tt.change(&o)
		r, err := loadtest.Run(t.Context(), o, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := false
		for _, e := range r.Errors {
			e.Count = 0
			found = found || e == tt.want
		}
		if r.OK || !found {
			t.Errorf("%s: OK %v, errors %+v; want %+v", name, r.OK, r.Errors, tt.want)
		}
		table := new(strings.Builder)
		if err := r.WriteTable(table); err != nil || !strings.Contains(table.String(), "FAILED") || !strings.Contains(table.String(), tt.want.Reason) {
			t.Errorf("%s: %v\n%s; want \"FAILED\" in it and %q in it", name, err, table, tt.want.Reason)
		}
	}
}

func TestRunIsStopped(t *testing.T) {
	address := startServer(t, false)
	for _, scenario := range []string{loadtest.Fanout, loadtest.Storm, loadtest.Recover, loadtest.Idle, loadtest.Mixed} {
		ctx, stop := context.WithCancel(t.Context())
		o := options(scenario, address)
		o.Channel, o.Duration = "hist:stop", 5*time.Minute
		began := time.Now()
		_, err := loadtest.Run(ctx, o, func(p loadtest.Point) { stop() })
		if err == nil || time.Since(began) > 30*time.Second {
			t.Errorf("%s: Run = %v after %v; want an error within 30s", scenario, err, time.Since(began))
		}
		stop()
	}
}

// TestResources: what the system cannot give is said before anything is done.
func TestResources(t *testing.T) {
	for want, change := range map[string]func(*loadtest.Options){
		"limit of":           func(o *loadtest.Options) { o.Clients, o.Sources = loadtest.MaxClients, "127.0.0.1-127.0.2.0" },
		"--source-addresses": func(o *loadtest.Options) { o.Clients = loadtest.MaxClients },
		"reading process":    func(o *loadtest.Options) { o.PID = 1 << 30 },
		"port \"x\"":         func(o *loadtest.Options) { o.Address = "ws://127.0.0.1:99999" },
		"workers need":       func(o *loadtest.Options) { o.Workers, o.WorkerCommand = 2, nil },
		"starting a worker":  func(o *loadtest.Options) { o.Workers, o.WorkerCommand = 2, []string{"/nothing"} },
		"starting worker 1":  func(o *loadtest.Options) { o.Workers, o.WorkerCommand = 2, []string{"true"} },
	} {
		o := options(loadtest.Idle, "127.0.0.1:1")
		change(&o)
		want = strings.ReplaceAll(want, `"x"`, `"99999"`)
		if _, err := loadtest.Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v; want %q", err, want)
		}
	}
}

// TestWorkerRefuses: a worker does nothing before it has a good share.
func TestWorkerRefuses(t *testing.T) {
	var w loadtest.Worker
	if err := w.Connect(loadtest.ConnectRequest{}, nil); err == nil {
		t.Error("connected without a share; want an error")
	}
	for _, share := range []loadtest.Share{
		{}, {Options: options(loadtest.Idle, "127.0.0.1:1"), Workers: 1}, {Options: options("x", "127.0.0.1:1"), Workers: 1, Clients: 1},
		{Options: options(loadtest.Idle, "127.0.0.1:1"), Workers: 1, Index: 1, Clients: 1},
	} {
		if err := w.Begin(share, nil); err == nil {
			t.Errorf("began with %+v; want an error", share)
		}
	}
	if err := loadtest.ServeWorker(strings.NewReader("nonsense"), nopCloser{io.Discard}); err != nil {
		t.Error(err)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

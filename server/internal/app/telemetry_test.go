package app

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	spanpb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"centrifugo/internal/await"
	"centrifugo/internal/otlptest"
	"centrifugo/internal/redistest"
	"centrifugo/server/internal/app/apptest"
)

// TestTraces checks opentelemetry.enabled, api and consuming with a receiver of OTLP: one trace
// goes from a call of the API through the broker to the fan-out, and on another node if the
// publication carries it; a backend gets the trace context of the call of its proxy.
func TestTraces(t *testing.T) {
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	const parent = "00-" + traceID + "-00f067aa0ba902b7-01"
	r := otlptest.Listen(t)
	asked := make(chan string, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		asked <- request.Header.Get("Traceparent")
		_, _ = w.Write([]byte(`{"result":{"data":1}}`))
	}))
	t.Cleanup(backend.Close)
	redis := redistest.Start(t)
	nodes := startCluster(t, redisEngine(redis.Address())+`, "opentelemetry": {"enabled": true, "api": true, "consuming": true},
		"rpc": {"proxy": {"endpoint": "`+backend.URL+`"}, "without_namespace": {"proxy_enabled": true}},
		"consumers": [{"name": "stream", "enabled": true, "type": "redis_stream", "redis_stream": {"address": ["`+redis.Address()+`"],
			"streams": ["commands"], "consumer_group": "g"}}]`, 2)
	c := nodes[1].connected(apptest.Dialer{})
	ask(t, c, `{"id":2,"subscribe":{"channel":"x"}}`)
	status, answer := nodes[0].request(http.MethodPost, nodes[0].internal(), "/api/publish",
		`{"channel":"x","data":{},"tags":{"traceparent":"`+parent+`"}}`, "traceparent", parent)
	if status != http.StatusOK {
		t.Fatalf("publishing: %d %s; want 200", status, answer)
	}
	await.Until(t, "the spans of a publication", func() bool {
		return r.Span("api publish") != nil && r.Span("publish") != nil && r.Span("fan-out") != nil
	})
	for name, of := range map[string]string{"api publish": "00f067aa0ba902b7", "publish": hex.EncodeToString(r.Span("api publish").GetSpanId()), "fan-out": "00f067aa0ba902b7"} {
		s := r.Span(name)
		if hex.EncodeToString(s.GetTraceId()) != traceID || hex.EncodeToString(s.GetParentSpanId()) != of {
			t.Errorf("%s: trace %x, parent %x; want %s, %s", name, s.GetTraceId(), s.GetParentSpanId(), traceID, of)
		}
	}
	ask(t, c, `{"id":3,"rpc":{"method":"m","data":{}}}`)
	got := await.Receive(t, asked, "the call of the backend")
	await.Until(t, "the span of the proxy", func() bool { return r.Span("proxy rpc") != nil })
	if s := r.Span("proxy rpc"); got != "00-"+hex.EncodeToString(s.GetTraceId())+"-"+hex.EncodeToString(s.GetSpanId())+"-01" {
		t.Errorf("the backend got %q, want the context of span %x", got, s.GetSpanId())
	}
	redis.Do("XADD", "commands", "*", "method", "publish", "payload", `{"channel":"y","data":{}}`, "TraceParent", "00-"+traceID+"-00f067aa0ba902b8-01")
	var consumed, published *spanpb.Span
	await.Until(t, "the spans of a message of a consumer", func() bool {
		consumed = r.Span("consume publish")
		for _, s := range r.Spans() {
			if s.GetName() == "publish" && bytes.Equal(s.GetParentSpanId(), consumed.GetSpanId()) {
				published = s
			}
		}
		return published != nil
	})
	if hex.EncodeToString(consumed.GetTraceId()) != traceID || hex.EncodeToString(consumed.GetParentSpanId()) != "00f067aa0ba902b8" || hex.EncodeToString(published.GetTraceId()) != traceID {
		t.Errorf("the message: trace %x, parent %x, its publication: trace %x; want %s, 00f067aa0ba902b8, the same", consumed.GetTraceId(), consumed.GetParentSpanId(), published.GetTraceId(), traceID)
	}
}

// TestTracedStream checks that the backend of a stream gets the context of its span.
func TestTracedStream(t *testing.T) {
	r := otlptest.Listen(t)
	asked := make(chan string, 1)
	address, _ := serveGRPC(t, grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		asked <- strings.Join(metadata.ValueFromIncomingContext(s.Context(), "traceparent"), " ")
		return handle(srv, s)
	}))
	i := start(t, `"client": {"insecure": true}, "opentelemetry": {"enabled": true}, "channel": {"proxy": {"subscribe_stream": {"endpoint": "grpc://`+address+`"}},
		"without_namespace": {"subscribe_stream_proxy_enabled": true}}`)
	ask(t, i.connected(apptest.Dialer{}), `{"id":2,"subscribe":{"channel":"short"}}`)
	got := await.Receive(t, asked, "the stream at the backend")
	await.Until(t, "the span of the stream", func() bool { return r.Span("proxy subscribe_stream") != nil })
	if s := r.Span("proxy subscribe_stream"); got != "00-"+hex.EncodeToString(s.GetTraceId())+"-"+hex.EncodeToString(s.GetSpanId())+"-01" {
		t.Errorf("the backend got %q, want the context of span %x", got, s.GetSpanId())
	}
}

// TestUntraced checks that nothing is traced that is switched off, and that metrics are exported
// if the environment says so.
func TestUntraced(t *testing.T) {
	t.Setenv("OTEL_METRICS_EXPORTER", "otlp")
	r := otlptest.Listen(t)
	i := start(t, clusterNode("n", `"opentelemetry": {"enabled": true}`))
	i.api("publish", `{"channel":"x","data":{}}`)
	await.Until(t, "the span of a publication, and metrics", func() bool {
		return r.Span("publish") != nil && slices.Contains(r.Metrics(), "centrifugo_node_num_clients")
	})
	for _, s := range r.Spans() {
		if strings.HasPrefix(s.GetName(), "api ") {
			t.Errorf("span %q, although opentelemetry.api is off; want none", s.GetName())
		}
	}
}

// TestGoogleCredentials checks opentelemetry.google_cloud_adc_auth: what is exported has an access
// token of the credentials, over gRPC and over HTTP, and never without TLS. Credentials that cannot
// be used are an error of the start.
func TestGoogleCredentials(t *testing.T) {
	const settings = `"http_api": {"insecure": true}, "opentelemetry": {"enabled": true, "api": true, "google_cloud_adc_auth": true}`
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}`))
	}))
	t.Cleanup(tokens.Close)
	received := make(chan string, 100)
	receive := func(protocol string, authorization []string) {
		select {
		case received <- protocol + " " + strings.Join(authorization, ","):
		default:
		}
	}
	overHTTP := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { receive("http/protobuf", r.Header["Authorization"]) }))
	t.Cleanup(overHTTP.Close)
	dir := t.TempDir()
	credentialsFile, authorityFile := filepath.Join(dir, "credentials.json"), filepath.Join(dir, "ca.pem")
	write(t, authorityFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: overHTTP.Certificate().Raw})))
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authorityFile)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", credentialsFile)

	otlptest.Listen(t, grpc.Creds(credentials.NewTLS(overHTTP.TLS.Clone())), grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			receive("grpc", metadata.ValueFromIncomingContext(ctx, "authorization"))
			return next(ctx, request)
		}))
	plain := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	if _, err := prepare(t, settings); err == nil || !strings.Contains(err.Error(), "opentelemetry: google_cloud_adc_auth: ") {
		t.Errorf("without the file of the credentials: %v; want an error of the key", err)
	}
	write(t, credentialsFile, `{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r", "token_uri": "`+tokens.URL+`"}`)
	for protocol, endpoint := range map[string]string{"grpc": strings.Replace(plain, "http:", "https:", 1), "http/protobuf": overHTTP.URL} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
			i := start(t, settings)
			i.api("info", `{}`)
			got := ""
			for !strings.HasPrefix(got, protocol) { // there may be more of the other one
				got = await.Receive(t, received, "an export")
			}
			if want := protocol + " Bearer token-1"; got != want {
				t.Errorf("exported as %q; want %q", got, want)
			}
		})
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", plain)
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "")
	if _, err := prepare(t, settings); err == nil || !strings.Contains(err.Error(), "transport level security") {
		t.Errorf("gRPC without TLS: %v; want an error about it", err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
	i := start(t, settings)
	i.api("info", `{}`)
	i.awaitLogged("warn", "telemetry was not exported", "over https only")
}

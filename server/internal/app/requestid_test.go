package app

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"centrifugo/apipb"
	"centrifugo/internal/await"
	"centrifugo/internal/otlptest"
	"centrifugo/server/internal/app/apptest"
)

// idsOf returns the field request_id of the lines with a message.
func (i *instance) idsOf(message string) (ids []string) {
	i.t.Helper()
	for _, entry := range i.entries() {
		if entry["message"] == message {
			id, _ := entry["request_id"].(string)
			ids = append(ids, id)
		}
	}
	return ids
}

// TestRequestIDsOfConnections: lines about the calls of a proxy for a connection, and about a
// connection that was refused, have the id with which it was opened.
func TestRequestIDsOfConnections(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, `+uniGRPC("")+`,
		"rpc": {"proxy": {"endpoint": "http://127.0.0.1:1"}, "without_namespace": {"proxy_enabled": true}}`)
	for _, id := range []string{"", "socket-1"} {
		c := i.connected(apptest.Dialer{Header: http.Header{"X-Request-Id": {id}}})
		ask(t, c, `{"id":2,"rpc":{"method":"m","data":{}}}`)
	}
	i.request(http.MethodGet, i.external(), "/connection/websocket", "", "X-Request-Id", "no-socket")
	client := i.grpcConn(nil)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "grpc-1", "cf_protocol_version", "other")
	stream, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume")
	if err == nil {
		err = stream.RecvMsg(new(apipb.InfoRequest))
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("a call for another version: %v; want %v", err, codes.InvalidArgument)
	}
	for message, want := range map[string]string{"proxy call failed": " socket-1", "connection refused": "no-socket grpc-1"} {
		var got string
		if !await.Reached(func() bool { got = strings.Join(i.idsOf(message), " "); return got == want }) {
			t.Errorf("ids of %q: %q; want %q", message, got, want)
		}
	}
}

// TestRequestIDs: lines about a request over HTTP and about a call over gRPC have the id that the
// caller has sent, which HTTP echoes and the span has too; otherwise all lines have one random id.
func TestRequestIDs(t *testing.T) {
	r := otlptest.Listen(t)
	const refused = "api call refused"
	i := start(t, anonymous+`, "http_api": {"insecure": true}, `+grpcSection("")+`,
		"opentelemetry": {"enabled": true, "api": true}`)
	ask := func(path, body, id string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+i.external()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if id != "" {
			request.Header.Set("X-Request-Id", id)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.Header.Get("X-Request-Id")
	}
	for _, step := range []struct{ path, body, id, echoed string }{
		{"/api/publish", `{`, "http-1", "http-1"},
		{"/api/stream", "{\n", "http-2", "http-2"},
		{"/api/publish", `{`, "not one", ""},
		{"/api/stream", "{\n{\n", "", ""},
		{"/api/publish", `{"channel":"x","data":1}`, "http-3", "http-3"},
	} {
		if echoed := ask(step.path, step.body, step.id); echoed != step.echoed {
			t.Errorf("%s with the id %q is answered with %q; want %q", step.path, step.id, echoed, step.echoed)
		}
	}
	ctx := metadata.AppendToOutgoingContext(withKey(t, "wrong"), "x-request-id", "grpc-1")
	if _, err := i.grpcAPI(nil).Info(ctx, new(apipb.InfoRequest)); err == nil {
		t.Fatal("a call with a wrong key is admitted; want an error")
	}
	var ids []string
	await.Until(t, "a line for each refusal", func() bool { ids = i.idsOf(refused); return len(ids) >= 6 })
	if len(ids) != 6 || ids[0] != "http-1" || ids[1] != "http-2" || ids[2] == "" || ids[2] == "not one" || ids[3] == "" || ids[3] == ids[2] ||
		ids[3] != ids[4] || ids[5] != "grpc-1" {
		t.Errorf("ids in the log: %q; want http-1, http-2, a random one, another one twice, grpc-1", ids)
	}
	var span string
	await.Until(t, "the span of a call", func() bool { return r.Span("api publish") != nil })
	for _, attribute := range r.Span("api publish").GetAttributes() {
		if attribute.GetKey() == "centrifugo.request_id" {
			span = attribute.GetValue().GetStringValue()
		}
	}
	if span != "http-3" {
		t.Errorf("the span has the id %q; want %q", span, "http-3")
	}
}

package app

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"centrifugo/apipb"
	"centrifugo/internal/await"
	"centrifugo/internal/otlptest"
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

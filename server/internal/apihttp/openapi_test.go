package apihttp

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"centrifugo/server/internal/api"

	"github.com/getkin/kin-openapi/openapi3"
)

// loadDocument returns docs/openapi.json, which must be valid. Objects of results
// are closed: a field that the document does not know fails the validation.
func loadDocument(t *testing.T) *openapi3.T {
	t.Helper()
	text, err := os.ReadFile("../../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatalf("docs/openapi.json: %v", err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Fatalf("docs/openapi.json is not valid: %v", err)
	}
	if !document.IsOpenAPI31OrLater() {
		t.Fatalf("docs/openapi.json is of version %s; want 3.1", document.OpenAPI)
	}
	closed := false
	for name, schema := range document.Components.Schemas {
		if !strings.HasSuffix(name, "Request") && len(schema.Value.Properties) > 0 {
			schema.Value.AdditionalProperties = openapi3.BoolSchema{Has: &closed}
		}
	}
	return document
}

func schemaOf(t *testing.T, content openapi3.Content) *openapi3.Schema {
	t.Helper()
	media := content["application/json"]
	if media == nil || media.Schema == nil {
		t.Fatal("docs/openapi.json: no schema of application/json; want one")
	}
	return media.Schema.Value
}

func validate(document *openapi3.T, schema *openapi3.Schema, text []byte) error {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return err
	}
	return document.ValidateSchemaJSON(schema, value, openapi3.EnableJSONSchema2020())
}

// TestAnswersFitTheDocument validates requests and the answers of the server, for
// every method, against docs/openapi.json.
func TestAnswersFitTheDocument(t *testing.T) {
	document := loadDocument(t)
	seen := map[string]bool{}
	for _, m := range methodBodies {
		seen[m.method] = true
		item := document.Paths.Value("/" + m.method)
		if item == nil || item.Post == nil {
			t.Errorf("docs/openapi.json has no path /%s; want one", m.method)
			continue
		}
		if strings.Contains(m.body, "null,{}") { // a batch with commands that are none
			continue
		}
		refused := strings.Contains(post(newHandler(t, answersNode(), nil), "/api/"+m.method, m.body).Body.String(), `"code":107`)
		if err := validate(document, schemaOf(t, item.Post.RequestBody.Value.Content), []byte(m.body)); err != nil && !refused {
			t.Errorf("request of %s %s: %v; want it valid", m.method, m.body, err)
		}
	}
	for _, m := range methodBodies {
		operation := document.Paths.Value("/" + m.method).Post
		for status, header := range map[string][]string{"as a result": nil, "as a status": {"X-Centrifugo-Error-Mode", "transport"}} {
			w := post(newHandler(t, answersNode(), nil), "/api/"+m.method, m.body, header...)
			response := operation.Responses.Status(w.Code)
			if response == nil {
				t.Errorf("%s, errors %s: status %d is not in the document; want it there", m.method, status, w.Code)
				continue
			}
			if err := validate(document, schemaOf(t, response.Value.Content), w.Body.Bytes()); err != nil {
				t.Errorf("%s, errors %s: answer %s: %v", m.method, status, w.Body, err)
			}
		}
	}
	for _, m := range api.Methods() {
		if !seen[m.Name] {
			t.Errorf("%s: no request is validated; want one", m.Name)
		}
	}
	for _, e := range []*api.Error{
		api.ErrorInternal, api.ErrorUnknownChannel, api.ErrorNotFound, api.ErrorBadRequest, api.ErrorNotAvailable,
		api.ErrorUnrecoverablePosition, api.ErrorConflict,
	} {
		response := document.Paths.Value("/history").Post.Responses.Status(transportStatus(e.Code))
		if response == nil {
			t.Errorf("error %d: status %d is not in the document; want it there", e.Code, transportStatus(e.Code))
			continue
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(document, schemaOf(t, response.Value.Content), text); err != nil {
			t.Errorf("error %s: %v", text, err)
		}
	}
	if stream := document.Paths.Value("/stream"); stream == nil || stream.Post == nil {
		t.Error("docs/openapi.json has no path /stream; want one")
	}
	if got, want := document.Paths.Len(), len(api.Methods())+1; got != want {
		t.Errorf("docs/openapi.json has %d paths; want %d", got, want)
	}
}

// TestDocumentRefuses proves that the validation can fail.
func TestDocumentRefuses(t *testing.T) {
	document := loadDocument(t)
	for _, test := range []struct{ method, answer string }{
		{"presence_stats", `{"result":{"num_clients":1}}`},
		{"presence_stats", `{"result":{"num_clients":-1,"num_users":0}}`},
		{"presence_stats", `{"result":{"num_clients":1,"num_users":0,"extra":0}}`},
		{"presence_stats", `{"error":{"code":"107","message":"bad request"}}`},
		{"presence_stats", `{"error":{"code":107}}`},
		{"broadcast", `{"result":{"responses":[{}]}}`},
		{"broadcast", `{"result":{}}`},
		{"presence_stats", `{}`},
		{"history", `{"result":{"publications":[{"offset":"1"}],"epoch":"","offset":0}}`},
		{"batch", `{"replies":[{"publish":{},"info":{}}]}`},
		{"batch", `{"replies":[{"nothing":{}}]}`},
	} {
		schema := schemaOf(t, document.Paths.Value("/"+test.method).Post.Responses.Status(200).Value.Content)
		if err := validate(document, schema, []byte(test.answer)); err == nil {
			t.Errorf("%s: answer %s is valid; want an error", test.method, test.answer)
		}
	}
}

// smallestRequests has for each method a request of which nothing can be left out.
var smallestRequests = map[string]string{
	"publish": `{"channel":"bin:1"}`, "broadcast": `{"channels":["bin:1"]}`, "subscribe": `{"channel":"a"}`,
	"unsubscribe": `{}`, "disconnect": `{}`, "presence": `{"channel":"a"}`, "presence_stats": `{"channel":"a"}`,
	"history": `{"channel":"hist:1"}`, "history_remove": `{"channel":"hist:1"}`, "info": `{}`, "rpc": `{"method":"x"}`,
	"block_user": `{"user":"u"}`, "unblock_user": `{"user":"u"}`, "revoke_token": `{"uid":"t"}`, "invalidate_user_tokens": `{"user":"u"}`,
	"refresh": `{}`, "channels": `{}`, "connections": `{}`, "trace_start": `{"channel":"a"}`, "trace_stop": `{"channel":"a"}`, "trace_query": `{}`, "map_publish": `{"channel":"map:1","key":"k"}`, "map_remove": `{"channel":"map:1","key":"k"}`,
	"map_read_state": `{"channel":"map:1"}`, "map_read_stream": `{"channel":"map:1"}`, "map_stats": `{"channel":"map:1"}`,
	"map_clear": `{"channel":"map:1"}`, "shared_poll_publish": `{"channel":"poll:1","key":"k","version":1}`, "batch": `{}`,
}

// alternatives are methods whose requests need one of several fields, which the document says
// in words.
var alternatives = []string{"trace_start", "trace_stop"}

// TestRequiredFields: the fields that docs/openapi.json requires of a request are those
// without which the server refuses it.
func TestRequiredFields(t *testing.T) {
	document := loadDocument(t)
	refused := func(method, body string) bool {
		return strings.Contains(post(newHandler(t, answersNode(), nil), "/api/"+method, body).Body.String(), `"code":107`)
	}
	for _, m := range api.Methods() {
		smallest := smallestRequests[m.Name]
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(smallest), &fields); err != nil {
			t.Fatalf("%s: no smallest request: %v", m.Name, err)
		}
		schema := schemaOf(t, document.Paths.Value("/"+m.Name).Post.RequestBody.Value.Content)
		required := slices.Sorted(slices.Values(schema.Required))
		if slices.Contains(alternatives, m.Name) {
			if !refused(m.Name, `{}`) || refused(m.Name, smallest) || len(required) > 0 {
				t.Errorf("%s: an empty request is taken, %s is refused, or %q are required; want none of these", m.Name, smallest, required)
			}
			continue
		}
		if want := slices.Sorted(maps.Keys(fields)); !slices.Equal(required, want) {
			t.Errorf("%s: docs/openapi.json requires %q; want %q, as the server", m.Name, required, want)
		}
		if err := validate(document, schema, []byte(smallest)); err != nil || refused(m.Name, smallest) {
			t.Errorf("%s: the smallest request %s is refused by the server, or not valid: %v; want it valid", m.Name, smallest, err)
		}
		for left := range fields {
			rest := maps.Clone(fields)
			delete(rest, left)
			body, err := json.Marshal(rest)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(document, schema, body); err == nil || !refused(m.Name, string(body)) {
				t.Errorf("%s: a request without %s is valid (%v), or not refused; want it refused by both", m.Name, left, err)
			}
		}
	}
}

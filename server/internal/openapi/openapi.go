// Package openapi describes the HTTP API of the server as an OpenAPI 3.1 document.
// The document follows from the table of methods in package api, from the types of
// their requests and results, and from the comments of these types. It is kept in
// docs/openapi.json, which go generate writes.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"

	"centrifugo/server/internal/api"
)

//go:generate go run ./generate -source .. -out ../../../docs/openapi.json

// object is a JSON object. encoding/json sorts its keys.
type object = map[string]any

const description = `The server API lets a backend publish, read presence and history, and manage connections.

Unknown keys of a request are ignored. A call that reached its method is answered with status 200 and an object that has
either "result" or "error"; the request header "X-Centrifugo-Error-Mode: transport", or http_api.error_mode, answers errors
with an HTTP status and the error alone.`

// packages declare the types of requests and results.
var packages = []string{"api", "override"}

// Document returns the document, indented. The source is the directory of the packages,
// for the comments of their types.
func Document(source fs.FS) ([]byte, error) {
	docs, err := readComments(source)
	if err != nil {
		return nil, err
	}
	s := &schemas{docs: docs, components: object{}}
	paths := object{}
	for _, m := range api.Methods() {
		paths["/"+m.Name] = object{"post": s.operation(m)}
	}
	paths["/stream"] = object{"post": s.stream()}
	document := object{
		"openapi": "3.1.0",
		"info":    object{"title": "Centrifugo HTTP API", "version": "1", "description": description},
		"servers": []any{object{
			"url": "{origin}{prefix}", "description": "The server; the prefix is http_api.handler_prefix.",
			"variables": object{"origin": object{"default": "http://localhost:8000"}, "prefix": object{"default": "/api"}},
		}},
		"security": []any{object{"header": []any{}}, object{"authorization": []any{}}, object{"query": []any{}}},
		"paths":    paths,
		"components": object{
			"schemas": s.components,
			"securitySchemes": object{
				"header":        object{"type": "apiKey", "in": "header", "name": "X-API-Key"},
				"authorization": object{"type": "apiKey", "in": "header", "name": "Authorization", "description": "The word apikey, a space and the key."},
				"query":         object{"type": "apiKey", "in": "query", "name": "api_key"},
			},
			"responses": object{
				"BadRequest":            refusal("The body is no request, or in transport mode the request is invalid."),
				"Unauthorized":          object{"description": "The key is missing or wrong."},
				"NotFound":              refusal("In transport mode: the channel's namespace or the method does not exist."),
				"TooLarge":              object{"description": "The body is too large.", "content": object{"text/plain": object{"schema": object{"type": "string"}}}},
				"Conflict":              refusal("In transport mode: reads of one channel collided."),
				"UnrecoverablePosition": refusal("In transport mode: the history has another epoch than the request."),
				"Internal":              refusal("In transport mode: the server failed. In any mode: the result contains data that is not JSON."),
			},
		},
	}
	s.refer(errorType) // by the responses
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document); err != nil {
		return nil, fmt.Errorf("encoding the document: %w", err)
	}
	return out.Bytes(), nil
}

// operation describes the endpoint of a method.
func (s *schemas) operation(m *api.Method) object {
	result := s.refer(m.Result)
	if m != &api.MethodBatch.Method { // its result has no envelope
		result = object{"oneOf": []any{
			object{"type": "object", "required": []any{"result"}, "properties": object{"result": result}},
			object{"type": "object", "required": []any{"error"}, "properties": object{"error": s.refer(errorType)}},
		}}
	}
	return object{
		"operationId": m.Name,
		"summary":     m.Summary,
		"requestBody": object{"required": true, "content": jsonContent(s.refer(m.Request))},
		"responses": object{
			"200": object{"description": "The call reached its method.", "content": jsonContent(result)},
			"400": refer("responses", "BadRequest"),
			"401": refer("responses", "Unauthorized"),
			"404": refer("responses", "NotFound"),
			"409": refer("responses", "Conflict"),
			"413": refer("responses", "TooLarge"),
			"416": refer("responses", "UnrecoverablePosition"),
			"500": refer("responses", "Internal"),
		},
	}
}

const streamDescription = `The body is a command on each line, the answer a reply on each line, in the same order. Both may go on
for as long as the caller likes: commands are executed as they arrive, one after another. A line that is no command is answered
with error 107 and the number of the line; empty lines are skipped. A caller that does not take the replies is slowed down.`

// stream describes the endpoint of streams, which is no method.
func (s *schemas) stream() object {
	lines := func(t reflect.Type) object { return object{"application/x-ndjson": object{"schema": s.refer(t)}} }
	return object{
		"operationId": "stream",
		"summary":     "Call methods with the lines of one long request.",
		"description": streamDescription,
		"requestBody": object{"required": true, "content": lines(commandType)},
		"responses": object{
			"200": object{"description": "The replies, one on each line.", "content": lines(replyType)},
			"401": refer("responses", "Unauthorized"),
		},
	}
}

// refusal describes a response that is an error in transport mode and text otherwise.
func refusal(description string) object {
	content := jsonContent(refer("schemas", "Error"))
	content["text/plain"] = object{"schema": object{"type": "string"}}
	return object{"description": description, "content": content}
}

func jsonContent(schema object) object { return object{"application/json": object{"schema": schema}} }

func refer(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }

// Package docs embeds the part of the documentation that the server itself serves.
package docs

import _ "embed"

// OpenAPI is the description of the HTTP API as an OpenAPI document in JSON.
//
//go:embed openapi.json
var OpenAPI []byte

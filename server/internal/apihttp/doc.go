// Package apihttp carries the calls of package api over HTTP: a route for each
// method, and the legacy endpoint that takes several commands in one body
// (server-interface 1.1 to 1.3 and 1.7).
//
// Bodies are read with the semantics of encoding/json: unknown keys are ignored,
// keys match in any case, the last of several wins, null leaves a field as it
// is, trailing garbage is refused. Results are compacted and HTML-escaped, the
// payloads in them included.
package apihttp

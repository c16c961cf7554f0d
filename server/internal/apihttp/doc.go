// Package apihttp serves the methods of package api over HTTP: a path for each
// method, and the legacy endpoint that accepts several commands in one body
// (server.md 1.1 to 1.3 and 1.7).
//
// Bodies are decoded as encoding/json does: unknown keys are ignored, keys match in
// any case, the last of several equal keys counts, null does not change a field, and
// data after the value is an error. Results are compacted and HTML-escaped, including
// the payloads in them.
package apihttp

// Package playground serves a page to try the server in a browser. The page connects
// over the transport of one's choice, subscribes, publishes, shows presence, history, joins
// and leaves, drops its connection and recovers, and shows every message.
//
// The page is plain HTML, CSS and JavaScript embedded in the binary. It speaks
// protocol V2 in JSON (protocol.md 4) to the bidirectional transports of its own
// origin and loads nothing from anywhere else.
package playground

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"

	"centrifugo/server/internal/static"
)

//go:embed page
var page embed.FS

// contentSecurityPolicy allows the page only to load its own files and to connect to its
// own origin (ws and wss of the same host count as 'self').
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// endpointsFile is the file of the paths by transport.
const endpointsFile = "transports.json"

// Handler returns the handler of the page, as static.Files.
//
// endpoints are the paths of the transports that the server has, by name: websocket,
// http_stream, sse, webtransport; and of emulation, which http_stream and sse need. The
// page offers those.
func Handler(endpoints map[string]string) http.Handler {
	pages, _ := fs.Sub(page, "page")   // the path is valid
	text, _ := json.Marshal(endpoints) // strings cannot fail
	files := static.Handler(pages, contentSecurityPolicy)
	files.Add(endpointsFile, text)
	return files
}

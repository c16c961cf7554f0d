// Package playground serves a page to try the server in a browser. The page connects
// over WebSocket, subscribes, publishes, shows presence, history, joins and leaves, drops
// its connection and recovers, and shows every message.
//
// The page is plain HTML, CSS and JavaScript embedded in the binary. It speaks
// protocol V2 in JSON (protocol.md 4) to /connection/websocket of its own
// origin and loads nothing from anywhere else.
package playground

import (
	"embed"
	"fmt"
	"hash/fnv"
	"net/http"
	"path"
	"strings"
)

//go:embed page
var page embed.FS

// contentSecurityPolicy allows the page only to load its own files and to connect to its
// own origin (ws and wss of the same host count as 'self').
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// contentTypes lists the files of the page with their types. The types are not taken from
// the table of the operating system, because that differs between machines.
var contentTypes = map[string]string{
	"index.html":     "text/html; charset=utf-8",
	"playground.css": "text/css; charset=utf-8",
	"playground.js":  "text/javascript; charset=utf-8",
	"connection.js":  "text/javascript; charset=utf-8",
	"frames.js":      "text/javascript; charset=utf-8",
	"icon.svg":       "image/svg+xml",
}

// file is an embedded file with its headers.
type file struct {
	body        []byte
	contentType string
	etag        string
}

// Handler returns the handler of the page: index.html at "/" and its files
// beside it. Mounted below another path it needs http.StripPrefix and a
// trailing slash, since the page refers to its files relatively. It answers
// GET and HEAD, 405 to other methods and 404 to other paths, and is safe for
// concurrent use.
func Handler() http.Handler {
	files := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		if name == "" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		f.serve(w, r)
	})
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	// A new binary may have a new page, so browsers must revalidate.
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", fmt.Sprint(len(f.body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(f.body) // fails only if the client has disconnected
}

// load reads the embedded files. It panics if one is missing, which is a mistake in the
// build.
func load() map[string]*file {
	files := make(map[string]*file, len(contentTypes))
	for name, contentType := range contentTypes {
		body, err := page.ReadFile("page/" + name)
		if err != nil {
			panic(fmt.Sprintf("playground: %v", err))
		}
		sum := fnv.New64a()
		_, _ = sum.Write(body) // hash.Hash never returns an error
		files[name] = &file{body: body, contentType: contentType, etag: fmt.Sprintf(`"%016x"`, sum.Sum64())}
	}
	return files
}

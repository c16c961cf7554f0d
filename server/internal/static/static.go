// Package static serves the files of a page that is embedded in the binary.
package static

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// contentTypes holds the types by extension. They are not taken from the table of the
// operating system, because that differs between machines.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
	".png":  "image/png",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// compressedFrom is the size, in bytes, from which a file is also kept compressed.
const compressedFrom = 1024

// file is a file with its headers.
type file struct {
	body        []byte
	compressed  []byte // by gzip; nil if that is not worth it
	contentType string
	etag        string
}

// Files are the files of a page, each by its path without a slash at the beginning. They are
// an http.Handler: index.html at "/", the others by their names. Mounted below another path
// it needs http.StripPrefix and a trailing slash, if the page refers to its files
// relatively. Every file has the content security policy. It answers GET and HEAD, 405 to
// other methods and 404 to other paths. After the last file was added it is safe for
// concurrent use. Adding a file with an unknown extension panics, because that is a mistake
// in the build.
type Files struct {
	// Static after construction.
	policy string

	files map[string]*file
}

// New returns files with a content security policy; there are none yet.
func New(contentSecurityPolicy string) *Files {
	return &Files{policy: contentSecurityPolicy, files: make(map[string]*file)}
}

// Handler returns the files in pages. It panics if one cannot be read.
func Handler(pages fs.FS, contentSecurityPolicy string) *Files {
	f := New(contentSecurityPolicy)
	f.AddAll(pages)
	return f
}

// AddAll adds the files in pages. It panics if one cannot be read.
func (f *Files) AddAll(pages fs.FS) {
	err := fs.WalkDir(pages, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(pages, name)
		if err != nil {
			return err //nolint:wrapcheck // it names the file
		}
		f.Add(name, body)
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("static: %v", err))
	}
}

// Add adds a file.
func (f *Files) Add(name string, body []byte) { f.add(name, body, compress(body)) }

// AddCompressed adds a file that is compressed with gzip.
func (f *Files) AddCompressed(name string, compressed []byte) error {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return fmt.Errorf("decompressing %s: %w", name, err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("decompressing %s: %w", name, err)
	}
	f.add(name, body, compressed)
	return nil
}

func (f *Files) add(name string, body, compressed []byte) {
	contentType, ok := contentTypes[path.Ext(name)]
	if !ok {
		panic(fmt.Sprintf("static: %s has an unknown extension", name))
	}
	sum := fnv.New64a()
	_, _ = sum.Write(body) // hash.Hash never returns an error
	f.files[name] = &file{body: body, compressed: compressed, contentType: contentType, etag: fmt.Sprintf(`W/"%016x"`, sum.Sum64())}
}

// ServeHTTP implements http.Handler.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" {
		name = "index.html"
	}
	found, ok := f.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Security-Policy", f.policy)
	found.serve(w, r)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	// A new binary may have a new page, so browsers must revalidate.
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.body
	if f.compressed != nil && acceptsGzip(r) {
		body = f.compressed
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // fails only if the client has disconnected
}

// acceptsGzip reports whether a client lists gzip without a weight of zero.
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if name == "gzip" {
			return strings.Trim(strings.TrimPrefix(strings.TrimSpace(weight), "q="), "0.") != "" || weight == ""
		}
	}
	return false
}

// compress returns nil if the compressed form is not smaller.
func compress(body []byte) []byte {
	if len(body) < compressedFrom {
		return nil
	}
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level exists
	_, _ = w.Write(body)                                    // a Buffer never returns an error
	_ = w.Close()
	if out.Len() >= len(body) {
		return nil
	}
	return out.Bytes()
}

package admin

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"strings"

	"centrifugo/server/internal/static"
)

// embedded holds the page that `make admin` builds from web/admin.
//
//go:embed page
var embedded embed.FS

const (
	// pagePolicy allows the page only to load its own files and to connect to its own
	// origin. ws and wss of the same host count as 'self'.
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// ownPagePolicy is for pages of admin.web_path. Styles may be inline, because many
	// frameworks make them at run time; scripts may not.
	ownPagePolicy = "script-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
)

// newPage returns the handler of everything but the calls: the embedded page, files of a
// directory, or a development server.
func newPage(dir, server string, logger *slog.Logger) (http.Handler, error) {
	switch {
	case dir != "" && server != "":
		return nil, errors.New("admin.web_path and admin.web_proxy_address are both set, only one page can be served")
	case server != "":
		return newProxy(server, logger)
	case dir != "":
		return newDirectory(dir)
	}
	files, err := fs.Sub(embedded, "page")
	if err != nil {
		return nil, fmt.Errorf("the embedded page: %w", err)
	}
	return static.Handler(files, pagePolicy), nil
}

// newProxy passes requests to a development server. Its pages get no content security
// policy: such servers add inline scripts.
func newProxy(address string, logger *slog.Logger) (http.Handler, error) {
	target, err := url.Parse(address)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return nil, errors.New("admin.web_proxy_address: want a URL such as http://127.0.0.1:5173")
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Authorization") // a token of this server is none of the other's business
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			logger.Warn("admin.web_proxy_address does not answer", "path", r.URL.Path, "error", err)
			http.Error(w, "the server of admin.web_proxy_address does not answer", http.StatusBadGateway)
		},
		ErrorLog: log.New(debugLog{logger}, "", 0),
	}, nil
}

// debugLog receives what the proxy reports beside errors of requests.
type debugLog struct{ log *slog.Logger }

func (d debugLog) Write(line []byte) (int, error) {
	d.log.Debug("admin proxy", "error", strings.TrimSpace(string(line)))
	return len(line), nil
}

// newDirectory serves the files of a directory. A path without an extension that is no
// file is a view of a single-page application, and answered with its index.html.
func newDirectory(dir string) (http.Handler, error) {
	files := os.DirFS(dir)
	if info, err := fs.Stat(files, "index.html"); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("admin.web_path: there is no file index.html in %s", dir)
	}
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", ownPagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		if hidden(name) {
			http.NotFound(w, r)
			return
		}
		info, err := fs.Stat(files, cmp.Or(name, "."))
		switch {
		case err == nil && !info.IsDir():
			server.ServeHTTP(w, r)
		case path.Ext(name) == "":
			http.ServeFileFS(w, r, files, "index.html")
		default:
			http.NotFound(w, r)
		}
	}), nil
}

// hidden reports whether a part of a path begins with a dot, as those of version control
// and of environment files do.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.Contains(name, "/.") }

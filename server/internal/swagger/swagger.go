// Package swagger serves a page on which the HTTP API can be read and tried: Swagger UI with
// the server's own OpenAPI document. All files are embedded in the binary.
package swagger

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"

	swaggerui "github.com/swaggest/swgui/v5/static"

	"centrifugo/docs"
	"centrifugo/server/internal/static"
)

//go:embed page
var page embed.FS

// contentSecurityPolicy allows the page only to load its own files and to call its own
// origin. Swagger UI writes styles into its elements, and has images in its style sheet.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ofSwaggerUI are the files that its module has, compressed or not.
var ofSwaggerUI = []string{"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"}

// Handler returns the handler of the page below prefix, which has no slash at its end. In the
// document the API is where apiPrefix says, on the same origin. Below prefix it is as
// static.Files.
func Handler(prefix, apiPrefix string) (http.Handler, error) {
	files, err := load(apiPrefix)
	if err != nil {
		return nil, fmt.Errorf("loading the swagger page: %w", err)
	}
	below := http.StripPrefix(prefix, files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == prefix { // the page refers to its files relatively
			http.Redirect(w, r, path.Base(prefix)+"/", http.StatusMovedPermanently)
			return
		}
		below.ServeHTTP(w, r)
	}), nil
}

func load(apiPrefix string) (*static.Files, error) {
	pages, err := fs.Sub(page, "page")
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the path
	}
	files := static.Handler(pages, contentSecurityPolicy)
	text, err := document(apiPrefix)
	if err != nil {
		return nil, err
	}
	files.Add("openapi.json", text)
	for _, name := range ofSwaggerUI {
		if body, err := fs.ReadFile(swaggerui.FS, name); err == nil {
			files.Add(name, body)
			continue
		}
		compressed, err := fs.ReadFile(swaggerui.FS, name+".gz")
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the file
		}
		if err := files.AddCompressed(name, compressed); err != nil {
			return nil, err //nolint:wrapcheck // it names the file
		}
	}
	return files, nil
}

// document returns the OpenAPI document with this server in the first place.
func document(apiPrefix string) ([]byte, error) {
	var d map[string]json.RawMessage
	if err := json.Unmarshal(docs.OpenAPI, &d); err != nil {
		return nil, fmt.Errorf("decoding the document: %w", err)
	}
	var servers []json.RawMessage
	if err := json.Unmarshal(d["servers"], &servers); err != nil {
		return nil, fmt.Errorf("decoding its servers: %w", err)
	}
	here, err := json.Marshal(map[string]string{"url": apiPrefix, "description": "This server."})
	if err != nil {
		return nil, fmt.Errorf("encoding its servers: %w", err)
	}
	if d["servers"], err = json.Marshal(append([]json.RawMessage{here}, servers...)); err != nil {
		return nil, fmt.Errorf("encoding its servers: %w", err)
	}
	return json.Marshal(d) //nolint:wrapcheck // the caller says what it is of
}

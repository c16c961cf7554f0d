package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"centrifugo/server/internal/config"
)

func (env Env) configDocCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "configdoc",
		Short: "Show the documentation of the configuration in a browser, or print it",
		Args:  cobra.NoArgs,
	}
	markdown := cmd.Flags().BoolP("markdown", "m", false, "print Markdown instead of serving HTML")
	section := cmd.Flags().StringP("section", "s", "", "only this top-level section")
	level := cmd.Flags().IntP("level", "l", 1, "level of the first heading")
	port := cmd.Flags().IntP("port", "p", 6060, "port of the HTML server on 127.0.0.1")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *markdown {
			text, err := config.Markdown(*section, *level)
			if err != nil {
				return err
			}
			return env.printf("%s", text)
		}
		page, err := referencePage(*section)
		if err != nil {
			return err
		}
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(page)
		})
		return env.serveHTTP(cmd.Context(), "127.0.0.1", *port, handler)
	}
	return cmd
}

var referenceTemplate = template.Must(template.New("reference").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Configuration</title>
<style>body{font:15px/1.5 sans-serif;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}</style>
<h1>Configuration</h1>
<table><tr><th>Key<th>Type<th>Default<th>Meaning<th>Environment</tr>
{{range .}}<tr id="{{.Path}}"><td><code>{{.Path}}</code><td>{{.Type}}<td>{{if .Default}}<code>{{.Default}}</code>{{end}}<td>{{.Doc}}{{if .Refused}} <em>Refused in this version.</em>{{else if .NotBuilt}} <em>Without effect in this version.</em>{{end}}<td>{{if .Env}}<code>{{.Env}}</code>{{end}}</tr>
{{end}}</table></html>
`))

// referencePage renders the reference, or one section of it, as HTML.
func referencePage(section string) ([]byte, error) {
	keys, err := config.Reference()
	if err != nil {
		return nil, err
	}
	var shown []config.Key
	for _, k := range keys {
		if top := strings.FieldsFunc(k.Path, func(r rune) bool { return r == '.' || r == '[' })[0]; section == "" || top == section {
			shown = append(shown, k)
		}
	}
	slices.SortStableFunc(shown, func(a, b config.Key) int { // keys with an effect come first
		switch {
		case a.NotBuilt() == b.NotBuilt():
			return 0
		case b.NotBuilt():
			return -1
		}
		return 1
	})
	if len(shown) == 0 {
		return nil, fmt.Errorf("unknown section %q", section)
	}
	var page bytes.Buffer
	if err := referenceTemplate.Execute(&page, shown); err != nil {
		return nil, fmt.Errorf("rendering reference: %w", err)
	}
	return page.Bytes(), nil
}

// serveHTTP serves until the context is done. It prints the address to standard error.
func (env Env) serveHTTP(ctx context.Context, address string, port int, handler http.Handler) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	_, _ = fmt.Fprintf(env.Stderr, "serving on http://%s\n", listener.Addr())
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

package config

import (
	"bytes"
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// The declarations of the sections, for the comments of their fields.
//
//go:embed config.go http_server.go client.go channel.go rpc.go proxy.go transport.go endpoint.go
//go:embed engine.go consumer.go publication_data.go
var declarations embed.FS

// Key documents one key of the configuration.
type Key struct {
	Path    string // dotted; `[]` stands for the items of a list
	Type    string // bool, int, string, duration, PEM, array of strings, map of strings, array of objects, object
	Default string // as text; empty for the zero value
	Env     string // environment variable, with <NAME> for the name of an item; empty if there is none
	Doc     string // the comment of the field
}

// Reference documents every key, sections and items of lists included, in the
// order in which they are declared.
func Reference() ([]Key, error) {
	docs, err := comments()
	if err != nil {
		return nil, err
	}
	var out []Key
	var walk func(t reflect.Type, path, env string)
	walk = func(t reflect.Type, path, env string) {
		for _, f := range fieldsOf(t) {
			k := Key{Path: join(path, f.key), Type: f.kind(), Default: f.def, Doc: docs[f.owner+"."+f.name]}
			inner := ""
			if env != "" {
				inner = envName(env, f.key)
			}
			if !f.isSection() && !(strings.HasSuffix(path, "]") && f.key == "name") {
				k.Env = inner
			}
			out = append(out, k)
			switch {
			case f.isSection():
				walk(f.typ, k.Path, inner)
			case f.isList():
				if f.named {
					inner += "_<NAME>"
				} else {
					inner = ""
				}
				walk(f.typ.Elem(), k.Path+"[]", inner)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "", envPrefix)
	return out, nil
}

// comments returns the comment of every field of every struct, by Struct.Field.
var comments = sync.OnceValues(func() (map[string]string, error) {
	entries, err := declarations.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("reading field comments: %w", err)
	}
	out := map[string]string{}
	for _, e := range entries {
		src, err := declarations.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading field comments: %w", err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("reading field comments: %w", err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			st, ok := spec.Type.(*ast.StructType)
			if !ok {
				return false
			}
			for _, f := range st.Fields.List {
				for _, name := range f.Names {
					out[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
				}
			}
			return false
		})
	}
	return out, nil
})

// Markdown writes the reference as Markdown: one table per section, then an
// appendix with the keys of features that this version lacks. level is the number
// of # of the title; section limits it to the keys of one top-level section,
// empty means all.
func Markdown(section string, level int) ([]byte, error) {
	keys, err := Reference()
	if err != nil {
		return nil, err
	}
	level = min(max(level, 1), 5)
	var b bytes.Buffer
	if section == "" {
		fmt.Fprintf(&b, "%s Configuration\n\n%s\n", strings.Repeat("#", level), introduction)
	}
	if section != "" && !slices.Contains(topLevel(keys), section) {
		return nil, fmt.Errorf("unknown section %q%s", section, nearest(section, topLevel(keys)))
	}
	heading := strings.Repeat("#", level+1)
	var chosen []Key
	for _, k := range keys {
		if section == "" || k.Path == section || strings.HasPrefix(k.Path, section+".") || strings.HasPrefix(k.Path, section+"[") {
			chosen = append(chosen, k)
		}
	}
	used, lacking := split(chosen)
	for _, k := range used {
		if !strings.Contains(k.Path, ".") {
			fmt.Fprintf(&b, "\n%s %s\n\n%s\n\n| Key | Type | Default | Meaning | Environment |\n|---|---|---|---|---|\n",
				heading, k.Path, markdownCell(k.Doc))
		}
		if k.Type != "object" {
			doc := k.Doc
			if reason := k.NoEffect(); reason != "" {
				doc += " **Without effect:** " + reason + "."
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(k.Path), k.Type, code(k.Default), markdownCell(doc), code(k.Env))
		}
	}
	writeAppendix(&b, lacking, heading)
	return b.Bytes(), nil
}

func topLevel(keys []Key) []string {
	var out []string
	for _, k := range keys {
		if !strings.ContainsAny(k.Path, ".[") {
			out = append(out, k.Path)
		}
	}
	return out
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

func markdownCell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

const introduction = `Generated from the comments of the configuration structs by ` + "`centrifugo configdoc -m`" + `; do not edit.

Sources, highest precedence first: command line flags, environment variables, the configuration file
(` + "`-c`" + `, JSON, YAML or TOML by extension), defaults. A ` + "`.env`" + ` file in the working directory adds
environment variables; those that exist win. Keys in files are compared without regard to letter case.

- An **unknown key in a file is an error**; an unknown ` + "`CENTRIFUGO_*`" + ` variable is a warning.
- A zero or empty value in a file for a key that has a default means the default, with a warning. Only a
  variable or a flag can set zero. An empty variable counts as not set.
- **duration**: text with a unit, such as ` + "`25s`, `100ms`, `1h30m`" + `; a bare number in a file means nanoseconds.
- **array of strings**: in a variable separated by spaces or commas, or a JSON array. Items of Redis addresses hold
  commas themselves and are separated by spaces.
- **map of strings**: an object (its keys become lower case) or an array of ` + "`{\"key\": ..., \"value\": ...}`" + `; in
  a variable JSON. ` + "`${CENTRIFUGO_VAR_NAME}`" + ` in a value is replaced by that variable, which must be set.
- **PEM**: the PEM text, base64 of it, or the path of a file with it, tried in this order.
- **array of objects**: in a variable JSON. ` + "`channel.namespaces`, `rpc.namespaces`, `proxies` and `consumers`" + ` may
  also be named: ` + "`CENTRIFUGO_CHANNEL_NAMESPACES=\"a b\"`" + ` adds the items a and b, and
  ` + "`CENTRIFUGO_CHANNEL_NAMESPACES_A_PRESENCE=true`" + ` sets an option of one, also of one from the file
  (<NAME> is the name in upper case with ` + "`.` and `-` as `_`" + `). JSON replaces the list of the file.
- When an insecure mode is on and http_server.address is not set, the server listens on 127.0.0.1 only.
`

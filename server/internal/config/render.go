package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
)

// Render writes a configuration as the content of a file. Loading the result
// gives an equal configuration, unless a value with a default has been set to
// zero, which a file cannot express.
func Render(cfg *Config, format Format) ([]byte, error) {
	return RenderTree(tree(reflect.ValueOf(cfg).Elem()), format)
}

// RenderTree writes nested maps, such as a part of a configuration, as the content of a file.
func RenderTree(object map[string]any, format Format) ([]byte, error) {
	var out bytes.Buffer
	var err error
	switch format {
	case JSON:
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(object)
	case YAML:
		enc := yaml.NewEncoder(&out)
		enc.SetIndent(2)
		err = enc.Encode(object)
	case TOML:
		err = toml.NewEncoder(&out).SetIndentTables(true).Encode(object)
	default:
		err = fmt.Errorf("unknown format %q", format)
	}
	if err != nil {
		return nil, fmt.Errorf("rendering configuration: %w", err)
	}
	return out.Bytes(), nil
}

// tree turns a section into maps, lists and scalars.
func tree(v reflect.Value) map[string]any {
	out := map[string]any{}
	for _, f := range fieldsOf(v.Type()) {
		out[f.key] = plain(v.FieldByIndex(f.index), f)
	}
	return out
}

func plain(v reflect.Value, f field) any {
	if f.isSection() {
		return tree(v)
	}
	if f.isList() {
		items := make([]any, v.Len())
		for i := range items {
			items[i] = tree(v.Index(i))
		}
		return items
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case []string:
		return append([]string{}, x...)
	case map[string]string:
		if x == nil {
			x = map[string]string{}
		}
		for k := range x {
			if k != strings.ToLower(k) { // an object in a file would lose the case
				return pairs(x)
			}
		}
		return x
	case PEM:
		return string(x)
	}
	return v.Interface()
}

func pairs(m map[string]string) []any {
	out := make([]any, 0, len(m))
	for _, k := range sortedKeys(m) {
		out = append(out, map[string]any{"key": k, "value": m[k]})
	}
	return out
}

// EnvironLines returns one line NAME="value" per key, in the order of docs/config.md;
// lists of objects as JSON. With changed, only the values that are not zero.
func EnvironLines(cfg *Config, changed bool) []string {
	var lines []string
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for _, f := range fieldsOf(v.Type()) {
			fv, name := v.FieldByIndex(f.index), envName(prefix, f.key)
			if f.isSection() {
				walk(fv, name)
				continue
			}
			text := ""
			if !f.isList() {
				text = formatText(fv)
			} else if fv.Len() > 0 {
				text = string(compactJSON(plain(fv, f)))
			}
			if !changed || !fv.IsZero() && !(fv.Kind() == reflect.Slice && fv.Len() == 0) {
				lines = append(lines, name+`="`+quoteEnv(text)+`"`)
			}
		}
	}
	walk(reflect.ValueOf(cfg).Elem(), envPrefix)
	return lines
}

// quoteEnv escapes text for a double-quoted value of a .env file. A dollar is
// escaped only where it would start a variable.
func quoteEnv(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
		case r == '\n':
			b.WriteString(`\n`)
			continue
		case r == '$' && i+1 < len(text):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// compactJSON encodes values that can always be encoded: strings, maps and lists of them.
func compactJSON(x any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(x)
	return bytes.TrimRight(out.Bytes(), "\n")
}

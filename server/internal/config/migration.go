package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// This file is what package migrate needs of the configuration.

// ReadTree reads a configuration file of any version as maps with lower-case keys, lists
// and scalars. JSON may have comments and commas behind the last item. The error of a
// missing file satisfies errors.Is(err, fs.ErrNotExist).
func ReadTree(name string) (map[string]any, error) {
	doc, err := readPrepared(name, func(format Format, raw []byte) []byte {
		if format == JSON {
			return withoutComments(raw)
		}
		return raw
	})
	if err != nil {
		return nil, err
	}
	return lowerKeys(doc.tree).(map[string]any), nil
}

// ParseJSON parses the JSON of a variable or flag as ReadTree parses that of a file.
func ParseJSON(text string) (any, error) {
	tree, err := parseJSON(withoutComments([]byte(text)))
	if err != nil {
		return nil, err
	}
	return lowerKeys(tree), nil
}

// lowerKeys turns the keys of all maps to lower case, and numbers of YAML, lists of TOML
// and the like into what JSON gives.
func lowerKeys(raw any) any {
	switch x := raw.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for key, value := range x {
			out[strings.ToLower(key)] = lowerKeys(value)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, item := range x {
			out[i] = lowerKeys(item)
		}
		return out
	case []map[string]any:
		out := make([]any, len(x))
		for i, item := range x {
			out[i] = lowerKeys(item)
		}
		return out
	}
	if text, loose, ok := rawText(raw); ok && loose {
		return json.Number(text)
	}
	if f, ok := raw.(float64); ok {
		return json.Number(strconv.FormatFloat(f, 'f', -1, 64))
	}
	return raw
}

// withoutComments replaces what JSON does not have by spaces: comments that begin with //
// or # or stand between /* and */, and a comma before the end of an object or array.
func withoutComments(raw []byte) []byte {
	out := bytes.Clone(raw)
	comma := -1 // index of a comma behind which there was only space
	for i := 0; i < len(out); {
		switch n := commentAt(out[i:]); {
		case n > 0:
			for end := i + n; i < end; i++ {
				if out[i] != '\n' {
					out[i] = ' '
				}
			}
			continue
		case out[i] == '"':
			i += stringLength(out[i:])
			comma = -1
			continue
		case out[i] == ',':
			comma = i
		case out[i] == '}' || out[i] == ']':
			if comma >= 0 {
				out[comma] = ' '
			}
			comma = -1
		case out[i] > ' ':
			comma = -1
		}
		i++
	}
	return out
}

// commentAt returns the length of the comment with which b begins, 0 if there is none.
func commentAt(b []byte) int {
	var end int
	switch {
	case bytes.HasPrefix(b, []byte("//")) || b[0] == '#':
		end = bytes.IndexByte(b, '\n')
	case bytes.HasPrefix(b, []byte("/*")):
		if end = bytes.Index(b[2:], []byte("*/")); end >= 0 {
			end += 4
		}
	default:
		return 0
	}
	if end < 0 {
		return len(b)
	}
	return end
}

// stringLength returns the length of the JSON string with which b begins.
func stringLength(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// CheckTree judges a configuration as Load does, without environment and without reading
// the files of certificates, which may be on another machine.
func CheckTree(tree map[string]any) (*Config, []Warning, error) {
	l := newLoader()
	l.elsewhere = true
	l.setTree(reflect.ValueOf(l.cfg).Elem(), "", tree)
	l.finish()
	if len(l.problems) > 0 {
		return nil, l.warnings, l.problems
	}
	return l.cfg, l.warnings, nil
}

// Former returns the key that has taken the place of a flat key of Centrifugo v2 to v5, by
// name only: some need more than another name. An empty path says that nothing has.
func Former(key string) (path string, ok bool) {
	path, ok = formerKeys()[key]
	return path, ok
}

// FormerOption is Former for an option of channels.
func FormerOption(option string) (now string, ok bool) {
	now, ok = formerOptions[option]
	return now, ok
}

// Strict returns raw in the form of the key with a path, with `[]` for the items of lists.
// The path must be that of a key which is neither a section nor a list of sections.
func Strict(path string, raw any) (any, error) {
	f, ok := keyAt(path)
	if !ok || f.isSection() || f.isList() {
		return nil, fmt.Errorf("no key %s", path)
	}
	v := reflect.New(f.typ).Elem()
	if _, err := f.setRaw(v, raw); err != nil {
		return nil, err
	}
	return parsed(plain(v, f)), nil
}

// parsed returns a value as the parser of a file gives it.
func parsed(raw any) any {
	switch x := raw.(type) {
	case []string:
		out := make([]any, len(x))
		for i, item := range x {
			out[i] = item
		}
		return out
	case map[string]string:
		out := make(map[string]any, len(x))
		for key, text := range x {
			out[key] = text
		}
		return out
	}
	if v := reflect.ValueOf(raw); v.CanInt() {
		return v.Int()
	} else if v.CanUint() {
		return json.Number(strconv.FormatUint(v.Uint(), 10))
	}
	return raw
}

// TypeAt returns the type of the key with a path as Reference names it, empty for a path
// that is none.
func TypeAt(path string) string {
	if f, ok := keyAt(path); ok {
		return f.kind()
	}
	return ""
}

// ChildKeys returns the last parts of the keys directly below a section.
func ChildKeys(section string) []string {
	f, ok := keyAt(section)
	if !ok || !f.isSection() {
		return nil
	}
	var out []string
	for _, child := range fieldsOf(f.typ) {
		out = append(out, child.key)
	}
	return out
}

// FormerOptions returns the options of channels that had another name.
func FormerOptions() []string { return sortedKeys(formerOptions) }

// Position returns the place of a key in the reference, a large number for unknown ones.
func Position(path string) int {
	if position, ok := positions()[path]; ok {
		return position
	}
	return 1 << 30
}

var positions = sync.OnceValue(func() map[string]int {
	out := map[string]int{}
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		for _, f := range fieldsOf(t) {
			fpath := join(path, f.key)
			out[fpath] = len(out)
			switch {
			case f.isSection():
				walk(f.typ, fpath)
			case f.isList():
				walk(f.typ.Elem(), fpath+"[]")
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return out
})

// IsCommercial reports whether a path is a key of the commercial edition only.
func IsCommercial(path string) bool { return isCommercial(path) }

// EnvName returns the environment variable of a dotted path.
func EnvName(path string) string { return envName(envPrefix, path) }

// Variables returns the variables of the server in the environment of a process and in a
// .env file, of which those of the process win, without those that are empty, that
// Kubernetes injects, or that are for `${CENTRIFUGO_VAR_NAME}`.
func Variables(environ []string, dotEnv string) (map[string]string, error) {
	l := newLoader()
	l.readEnviron(environ, dotEnv)
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	out := map[string]string{}
	for name, text := range l.environ {
		if strings.HasPrefix(name, envPrefix+"_") && !strings.HasPrefix(name, varPrefix) && text != "" && !injectedValue.MatchString(text) {
			out[name] = text
		}
	}
	return out, nil
}

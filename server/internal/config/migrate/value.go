package migrate

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"centrifugo/server/internal/config"
)

// isTrue reports whether a value is a switch that is on, in a file or as text.
func isTrue(raw any) bool {
	switch x := raw.(type) {
	case bool:
		return x
	case string:
		on, err := strconv.ParseBool(x)
		return err == nil && on
	}
	return false
}

// isZero reports whether a value is what old versions took for not given.
func isZero(raw any) bool {
	switch x := raw.(type) {
	case nil:
		return true
	case bool:
		return !x
	case string:
		return x == "" || x == "0" || x == "0s"
	case json.Number:
		n, err := x.Float64()
		return err == nil && n == 0
	case []any:
		return len(x) == 0
	case map[string]any:
		return len(x) == 0
	}
	return false
}

// seconds turns a number of seconds into a duration. Text with a unit stays as it is.
func seconds(raw any) any {
	text := ""
	switch x := raw.(type) {
	case json.Number:
		text = x.String()
	case string:
		text = strings.TrimSpace(x)
	default:
		return raw
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.Abs(n) > float64(math.MaxInt64/int64(time.Second)) {
		return raw
	}
	if n == math.Trunc(n) {
		return strconv.FormatInt(int64(n), 10) + "s"
	}
	return time.Duration(n * float64(time.Second)).String()
}

// list turns text with spaces or commas between its items into a list.
func list(raw any) any {
	text, ok := raw.(string)
	if !ok {
		return raw
	}
	out := []any{}
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		out = append(out, item)
	}
	return out
}

// objects returns the items of a list of objects, nil for anything else.
func objects(raw any) []map[string]any {
	items, ok := raw.([]any)
	if !ok {
		return nil
	}
	out := make([]map[string]any, 0, len(items))
	for _, item := range items {
		object, ok := item.(map[string]any)
		if !ok {
			return nil
		}
		out = append(out, object)
	}
	return out
}

func textOf(raw any) string {
	switch x := raw.(type) {
	case string:
		return x
	case json.Number:
		return x.String()
	}
	return ""
}

var indexes = regexp.MustCompile(`\[\d+\]`)

// general returns a path with `[]` for the items of lists.
func general(path string) string { return indexes.ReplaceAllString(path, "[]") }

// put sets a key of v6 in its strict form and says where it comes from. A value that has
// the wrong type becomes a decision.
func (m *migration) put(path string, v value) {
	raw, err := config.Strict(general(path), v.raw)
	if err != nil {
		m.note(Decision, v.origin, path, err.Error())
		return
	}
	m.set(path, raw)
	switch {
	case strings.HasPrefix(v.origin, implied):
		m.comment(path, v.origin)
	case v.origin != path:
		if inList := strings.HasSuffix(path, "]."+v.origin); !inList { // such an option has only moved with its list
			m.comment(path, "was "+v.origin)
		}
		m.note(Moved, v.origin, path, "")
	}
}

// plain turns lists that grew into plain ones, and numbers into what every format has.
func plain(raw any) any {
	switch x := raw.(type) {
	case map[string]any:
		for key := range x {
			x[key] = plain(x[key])
		}
	case *[]any:
		return plain(*x)
	case []any:
		for i := range x {
			x[i] = plain(x[i])
		}
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		if f, err := x.Float64(); err == nil {
			return f
		}
		return x.String()
	case value:
		return plain(x.raw)
	}
	return raw
}

// putNew is put unless the key is set.
func (m *migration) putNew(path string, v value) {
	if _, ok := m.get(path); !ok {
		m.put(path, v)
	}
}

func (m *migration) comment(path, text string) {
	m.comments[path] = append(m.comments[path], text)
}

// split returns the parts of a path: keys, and indexes of lists.
func split(path string) []any {
	var out []any
	for part := range strings.SplitSeq(path, ".") {
		name, rest, indexed := strings.Cut(part, "[")
		out = append(out, name)
		if indexed {
			i, _ := strconv.Atoi(strings.TrimSuffix(rest, "]"))
			out = append(out, i)
		}
	}
	return out
}

// set sets a value of the tree. Items of a list are added in order.
func (m *migration) set(path string, raw any) {
	var place any = m.Tree
	parts := split(path)
	for n, part := range parts[:len(parts)-1] {
		switch x := place.(type) {
		case map[string]any:
			key := part.(string)
			_, isList := parts[n+1].(int)
			if x[key] == nil && isList {
				x[key] = &[]any{}
			} else if x[key] == nil {
				x[key] = map[string]any{}
			}
			place = x[key]
		case *[]any:
			for len(*x) <= part.(int) {
				*x = append(*x, map[string]any{})
			}
			place = (*x)[part.(int)]
		}
	}
	if object, ok := place.(map[string]any); ok {
		object[parts[len(parts)-1].(string)] = raw
	}
}

func (m *migration) get(path string) (any, bool) {
	var place any = m.Tree
	for _, part := range split(path) {
		switch x := place.(type) {
		case map[string]any:
			key, _ := part.(string)
			next, ok := x[key]
			if !ok {
				return nil, false
			}
			place = next
		case *[]any:
			i, _ := part.(int)
			if i >= len(*x) {
				return nil, false
			}
			place = (*x)[i]
		default:
			return nil, false
		}
	}
	return place, true
}

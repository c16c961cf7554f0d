package config

import (
	"reflect"
	"strings"
)

// suggestion returns a hint for an unknown key of a section, or nothing.
func suggestion(fields map[string]field, path, key string) string {
	if near := closest(key, sortedKeys(fields)); near != "" {
		return ", did you mean " + join(path, near) + "?"
	}
	// A key in the wrong section or of the former flat form: log_level, token_hmac_secret_key, port.
	flat := strings.ReplaceAll(join(plainPath(path), key), ".", "_")
	for _, want := range []string{flat, key} {
		for _, known := range allPaths() {
			have := strings.ReplaceAll(known, ".", "_")
			if have == want || strings.HasSuffix(have, "_"+want) {
				return ", did you mean " + known + "?"
			}
		}
	}
	return ""
}

// nearest returns a hint for an unknown word among candidates, or nothing.
func nearest(word string, candidates []string) string {
	if near := closest(word, candidates); near != "" {
		return ", did you mean " + near + "?"
	}
	return ""
}

// closest returns the candidate with the fewest edits, if they are few for the length of the word.
func closest(word string, candidates []string) string {
	if len(word) > 200 {
		return ""
	}
	best, limit := "", max(1, min(4, len(word)/3))
	for _, c := range candidates {
		if d := distance(word, c, limit); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// distance is the number of edits (insert, delete, replace, swap of neighbours)
// from a to b; more than limit when it exceeds limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}

// allPaths lists the dotted paths of all keys, sections included; the keys of
// list items are left out.
func allPaths() []string {
	var out []string
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		for _, f := range fieldsOf(t) {
			p := join(path, f.key)
			out = append(out, p)
			if f.isSection() {
				walk(f.typ, p)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return out
}

// plainPath replaces the items in a path: channel.namespaces[news] becomes channel.namespaces[].
func plainPath(path string) string {
	var b strings.Builder
	for path != "" {
		open := strings.IndexByte(path, '[')
		if open < 0 {
			break
		}
		b.WriteString(path[:open] + "[]")
		path = path[open+1:]
		// A name may hold anything while it is not validated: the item ends at the last bracket before a dot.
		if end := strings.Index(path, "]."); end >= 0 {
			path = path[end+1:]
		} else {
			path = ""
		}
	}
	return b.String() + path
}

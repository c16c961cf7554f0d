package config

import (
	"reflect"
	"strings"
)

// suggest looks for what an unknown key of a section was meant to be. target is
// the path of that key where it is certain enough to judge the value by it.
func (l *loader) suggest(fields map[string]field, path, key string) (hint, target string) {
	if now, ok := former(path, key); ok {
		return l.formerHint(now), now
	}
	if near := closest(key, sortedKeys(fields)); near != "" {
		return ", did you mean " + join(path, near) + "?", join(path, near)
	}
	switch found := elsewhere(path, key); len(found) {
	case 0:
		return "", ""
	case 1:
		return ", did you mean " + found[0] + "?", found[0]
	default:
		return ", did you mean one of " + strings.Join(found, ", ") + "?", ""
	}
}

// maxElsewhere bounds how many places are named: a key that is in more of them says nothing.
const maxElsewhere = 3

// elsewhere returns the paths of keys with the name of one that is in the wrong
// section, those of its own top-level section if there are any.
func elsewhere(path, key string) []string {
	var all, near []string
	section, _, _ := strings.Cut(path, ".")
	for _, known := range allPaths() {
		if unbuiltFeature(known+".") != "" || !strings.HasSuffix(known, "."+key) || unbuiltFeature(known) != "" {
			continue
		}
		all = append(all, known)
		if section != "" && strings.HasPrefix(known, section+".") {
			near = append(near, known)
		}
	}
	if len(near) > 0 {
		all = near
	}
	if len(all) > maxElsewhere {
		return nil
	}
	return all
}

// keyAt returns the field of a dotted path; items of lists are written as in messages.
func keyAt(path string) (field, bool) {
	t := reflect.TypeFor[Config]()
	parts := strings.Split(plainPath(path), ".")
	for i, part := range parts {
		name, isItem := strings.CutSuffix(part, "[]")
		found := false
		for _, f := range fieldsOf(t) {
			if f.key != name {
				continue
			}
			if i == len(parts)-1 {
				return f, true
			}
			if found = f.isSection() || isItem && f.isList(); found {
				if t = f.typ; isItem {
					t = t.Elem()
				}
			}
			break
		}
		if !found {
			return field{}, false
		}
	}
	return field{}, false
}

// judgeMisplaced adds what is wrong inside of a section that is in the wrong place,
// so that all of it is told at once.
func (l *loader) judgeMisplaced(target, path string, raw any) {
	f, ok := keyAt(target)
	if !ok || !f.isSection() && !f.isList() {
		return
	}
	inner := newLoader()
	inner.environ, inner.depth = l.environ, l.depth+1
	if inner.depth > maxDepth {
		return
	}
	inner.setField(reflect.New(f.typ).Elem(), f, path, raw)
	for _, p := range inner.problems {
		l.problem(p.Key, p.Message)
	}
	l.former = l.former || inner.former
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

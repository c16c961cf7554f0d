package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setTree sets a section from the parsed content of a file. Problems are
// collected, so that all of them are told at once.
func (l *loader) setTree(v reflect.Value, path string, raw any) {
	object, ok := raw.(map[string]any)
	if !ok {
		l.problem(path, "want an object"+l.switchHint(v.Type(), path, raw))
		return
	}
	fields := map[string]field{}
	for _, f := range fieldsOf(v.Type()) {
		fields[f.key] = f
	}
	seen := map[string]bool{}
	for _, key := range sortedKeys(object) {
		if len(l.problems) > maxProblems {
			return
		}
		low := strings.ToLower(key)
		f, known := fields[low]
		switch {
		case seen[low]:
			l.problem(join(path, low), "given twice, in different letter case")
		case known && object[key] == nil: // null means not given
		case known:
			l.setField(v.FieldByIndex(f.index), f, join(path, low), object[key])
		case isCommercial(join(path, low)):
			l.warn(Warning{Kind: NotBuilt, Key: join(path, low), Message: commercialMessage})
		default:
			l.unknownKey(fields, path, key, object[key])
		}
		seen[low] = true
	}
}

func (l *loader) unknownKey(fields map[string]field, path, key string, raw any) {
	hint, target := l.suggest(fields, path, strings.ToLower(key))
	if path == "" && l.anchored[key] && hint == "" {
		l.looseForm(key, "to put each anchor where it is first used")
		return
	}
	l.problem(join(path, key), "unknown key"+hint)
	if target != "" {
		l.judgeMisplaced(target, join(path, key), raw)
	}
}

func (l *loader) setField(v reflect.Value, f field, path string, raw any) {
	switch {
	case f.isSection():
		l.setTree(v, path, raw)
		return
	case f.isList():
		l.setList(v, path, raw)
		return
	}
	given := reflect.New(f.typ).Elem()
	strict, err := f.setRaw(given, raw)
	if err != nil {
		l.problem(path, err.Error())
		return
	}
	if strict != "" {
		l.looseForm(path, strict)
	}
	// server.md 6.1: a zero in a file cannot be told from an absent key.
	if !l.bare && f.def != "" && (given.IsZero() || given.Kind() == reflect.Slice && given.Len() == 0) {
		l.warn(Warning{Kind: ZeroIgnored, Key: path, Message: fmt.Sprintf(
			"an empty or zero value in the file means the default, %s; only an environment variable or a flag can set zero", f.def)})
		return
	}
	v.Set(given)
	l.sources[path] = FromFile
}

// setList replaces a list of sections.
func (l *loader) setList(v reflect.Value, path string, raw any) {
	var items []any
	switch x := raw.(type) {
	case []any:
		items = x
	case []map[string]any: // TOML gives a list of tables this type
		for _, table := range x {
			items = append(items, table)
		}
	case map[string]any:
		items = []any{x}
		l.looseForm(path, "an array of objects")
	default:
		l.problem(path, "want an array of objects")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		if !l.bare {
			setDefaults(list.Index(i))
		}
		l.setTree(list.Index(i), itemPath(path, i, rawName(item)), item)
	}
	v.Set(list)
}

// itemPath is the path of an item of a list: by name when it has one, else by index.
func itemPath(path string, i int, name string) string {
	if name == "" {
		name = strconv.Itoa(i)
	}
	return path + "[" + name + "]"
}

func rawName(item any) string {
	object, _ := item.(map[string]any)
	for k, v := range object {
		if strings.EqualFold(k, "name") {
			name, _, _ := rawText(v)
			return name
		}
	}
	return ""
}

// itemName returns the name of an item of a list, empty when items have no names.
func itemName(item reflect.Value) string {
	if f := item.FieldByName("Name"); f.IsValid() && f.Kind() == reflect.String {
		return f.String()
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// nonNegative tells whether a number or duration is at least zero.
func nonNegative(v reflect.Value) bool {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x >= 0
	case int:
		return x >= 0
	case int64:
		return x >= 0
	}
	return true
}

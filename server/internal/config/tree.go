package config

import (
	"encoding/json"
	"errors"
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
		l.problem(path, "want an object")
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
		case !known:
			l.problem(join(path, key), "unknown key"+suggestion(fields, path, low))
		case object[key] == nil: // null means not given
		default:
			l.setField(v.FieldByIndex(f.index), f, join(path, low), object[key])
		}
		seen[low] = true
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
	if err := setValue(given, raw); err != nil {
		l.problem(path, err.Error())
		return
	}
	// server-interface 6.1: a zero in a file cannot be told from an absent key.
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
	items, ok := raw.([]any)
	if !ok {
		// TOML gives a list of tables this type.
		tables, isTables := raw.([]map[string]any)
		if !isTables {
			l.problem(path, "want an array of objects")
			return
		}
		for _, t := range tables {
			items = append(items, t)
		}
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

// setValue sets one value from what a file parser made of it. Types must fit:
// nothing is converted, so that `on` or 0123 never silently become something else.
func setValue(v reflect.Value, raw any) error {
	switch v.Type() {
	case durationType:
		return setDuration(v, raw)
	case stringListType:
		list, err := stringList(raw)
		if err == nil {
			v.Set(reflect.ValueOf(list))
		}
		return err
	case stringMapType:
		m, err := stringMap(raw, true)
		if err == nil {
			v.Set(reflect.ValueOf(m))
		}
		return err
	}
	switch v.Kind() {
	case reflect.String:
		s, ok := raw.(string)
		if !ok {
			return errors.New("want a string; a number or a word such as yes must be quoted")
		}
		v.SetString(s)
	case reflect.Bool:
		b, ok := raw.(bool)
		if !ok {
			return errWantBool
		}
		v.SetBool(b)
	default:
		text, ok := integerText(raw)
		if !ok {
			return errWantInt
		}
		return setInt(v, text)
	}
	return nil
}

func setDuration(v reflect.Value, raw any) error {
	if s, ok := raw.(string); ok {
		return setText(v, s)
	}
	text, ok := integerText(raw) // a bare number means nanoseconds, server-interface 6.2
	if !ok {
		return errWantDuration
	}
	return setInt(v, text)
}

// integerText returns the decimal text of a number, whatever type the parser of the format gave it.
func integerText(raw any) (string, bool) {
	switch n := raw.(type) {
	case json.Number:
		return n.String(), true
	case int:
		return strconv.Itoa(n), true
	case int64:
		return strconv.FormatInt(n, 10), true
	case uint64:
		return strconv.FormatUint(n, 10), true
	}
	return "", false
}

func stringList(raw any) ([]string, error) {
	items, ok := raw.([]any)
	if !ok {
		return nil, errors.New("want an array of strings")
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil, errors.New("want an array of strings")
		}
		list = append(list, s)
	}
	return list, nil
}

// stringMap accepts an object, or a list of {"key", "value"} objects. Keys of an
// object in a file are lower-cased; the list form keeps their case (server-interface 6.2).
func stringMap(raw any, lower bool) (map[string]string, error) {
	want := errors.New(`want an object of strings, or an array of {"key": "...", "value": "..."}`)
	out := map[string]string{}
	switch x := raw.(type) {
	case map[string]any:
		for _, k := range sortedKeys(x) {
			s, ok := x[k].(string)
			if !ok {
				return nil, want
			}
			if lower {
				k = strings.ToLower(k)
			}
			if _, twice := out[k]; twice {
				return nil, fmt.Errorf("key %q given twice", k)
			}
			out[k] = s
		}
	case []any:
		for _, item := range x {
			pair, ok := item.(map[string]any)
			k, okKey := pair["key"].(string)
			s, okValue := pair["value"].(string)
			if !ok || !okKey || !okValue || len(pair) != 2 {
				return nil, want
			}
			if _, twice := out[k]; twice {
				return nil, fmt.Errorf("key %q given twice", k)
			}
			out[k] = s
		}
	default:
		return nil, want
	}
	return out, nil
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
			name, _ := v.(string)
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

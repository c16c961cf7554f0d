package config

import (
	"reflect"
	"slices"
	"strings"
)

// Changes lists the keys whose values differ between two configurations, in the
// order of declaration. A list of sections counts as one key. Values, among which
// are secrets, are not told.
func Changes(a, b *Config) []string {
	return changes(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), "", nil)
}

func changes(a, b reflect.Value, path string, keys []string) []string {
	for _, f := range fieldsOf(a.Type()) {
		av, bv, key := a.FieldByIndex(f.index), b.FieldByIndex(f.index), join(path, f.key)
		switch {
		case f.isSection():
			keys = changes(av, bv, key, keys)
		case av.Kind() == reflect.Slice && av.Len() == 0 && bv.Len() == 0: // nil or empty
		case !reflect.DeepEqual(av.Interface(), bv.Interface()):
			keys = append(keys, key)
		}
	}
	return keys
}

// Reloadable reports whether a running server can change a key, which is written as
// Changes does. The tag reload of a field decides for it and, where it is a section,
// for the keys in it.
func Reloadable(key string) bool {
	t, reload := reflect.TypeFor[Config](), ""
	for part := range strings.SplitSeq(key, ".") {
		if t.Kind() != reflect.Struct {
			return false
		}
		i := slices.IndexFunc(fieldsOf(t), func(f field) bool { return f.key == part })
		if i < 0 {
			return false
		}
		f := fieldsOf(t)[i]
		if t = f.typ; f.reload != "" {
			reload = f.reload
		}
	}
	return reload == "yes"
}

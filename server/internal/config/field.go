package config

import (
	"reflect"
	"strings"
	"time"
)

// envPrefix starts the name of every environment variable of the server.
const envPrefix = "CENTRIFUGO"

var (
	durationType   = reflect.TypeFor[time.Duration]()
	pemType        = reflect.TypeFor[PEM]()
	stringListType = reflect.TypeFor[[]string]()
	stringMapType  = reflect.TypeFor[map[string]string]()
)

// field is one key of a section, found by reflection.
type field struct {
	key   string // last part of the dotted path
	def   string // tag default: the value as text, empty for the zero value
	named bool   // a list whose items may be named by environment variables
	text  bool   // a number that may be written as text, empty for 0
	words bool   // a list whose items may hold commas
	// reload is "yes" for a key, or all keys of a section, that a running server can
	// change, and "no" for a key in such a section that it cannot.
	reload string
	index  []int        // for reflect.Value.FieldByIndex
	typ    reflect.Type // type of the value
	owner  string       // struct that declares the field; with name it finds the comment
	name   string       // Go name
}

// fieldsOf lists the keys of a section in the order of declaration; the keys of
// an embedded struct count as keys of the section.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		if sf.Anonymous {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				out = append(out, f)
			}
			continue
		}
		key, option, _ := strings.Cut(sf.Tag.Get("key"), ",")
		out = append(out, field{
			key: key, def: sf.Tag.Get("default"),
			named: option == "named", text: option == "text", words: option == "words",
			reload: sf.Tag.Get("reload"),
			index:  []int{i}, typ: sf.Type, owner: t.Name(), name: sf.Name,
		})
	}
	return out
}

// isSection tells whether the field holds further keys and no value of its own.
func (f field) isSection() bool { return f.typ.Kind() == reflect.Struct }

// isList tells whether the field holds a list of sections.
func (f field) isList() bool {
	return f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.Struct
}

// kind names the type of the value for people.
func (f field) kind() string {
	switch {
	case f.isSection():
		return "object"
	case f.isList():
		return "array of objects"
	case f.typ == durationType:
		return "duration"
	case f.typ == pemType:
		return "PEM"
	case f.typ == stringListType:
		return "array of strings"
	case f.typ == stringMapType:
		return "map of strings"
	case f.typ.Kind() == reflect.Bool:
		return "bool"
	case f.typ.Kind() == reflect.String:
		return "string"
	}
	return "int"
}

// join appends a key to a dotted path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// envName returns the variable of a key below the variable prefix of its section.
func envName(prefix, key string) string {
	return prefix + "_" + strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(key))
}

// setDefaults fills a section, which must be zero, with its defaults.
func setDefaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if f.isSection() {
			setDefaults(fv)
		} else if f.def != "" {
			if err := setText(fv, f.def); err != nil {
				panic("config: default of " + f.owner + "." + f.name + ": " + err.Error()) // a mistake in this package's tags
			}
		}
	}
}

// Default returns the configuration that is in force when nothing is configured.
func Default() *Config {
	cfg := new(Config)
	setDefaults(reflect.ValueOf(cfg).Elem())
	return cfg
}

// visit calls fn for every value of a section, items of lists included. A path
// shows the name of an item when it has one, else its index.
func visit(v reflect.Value, path string, fn func(path string, f field, v reflect.Value)) {
	for _, f := range fieldsOf(v.Type()) {
		fv, fpath := v.FieldByIndex(f.index), join(path, f.key)
		switch {
		case f.isSection():
			visit(fv, fpath, fn)
		case f.isList():
			for i := range fv.Len() {
				visit(fv.Index(i), itemPath(fpath, i, itemName(fv.Index(i))), fn)
			}
		default:
			fn(fpath, f, fv)
		}
	}
}

// Types returns the type and the default of every key that is not inside a list, by dotted path.
func Types() map[string]Key {
	out := map[string]Key{}
	visit(reflect.ValueOf(new(Config)).Elem(), "", func(path string, f field, _ reflect.Value) {
		out[path] = Key{Path: path, Type: f.kind(), Default: f.def}
	})
	return out
}

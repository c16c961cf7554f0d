package server

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"centrifugo/protocol"
)

// member is a field of a message with a value that it must not have.
type member struct{ name, value string }

// scalars are wrong for each other; numbers out of range come with the kinds.
var scalars = map[reflect.Kind][]string{
	reflect.String: {`5`, `true`, `{}`, `[]`},
	reflect.Bool:   {`1`, `"true"`, `{}`, `[]`},
	reflect.Int32:  {`"1"`, `true`, `{}`, `[]`, `1.5`, `2147483648`, `-2147483649`},
	reflect.Int64:  {`"1"`, `true`, `{}`, `[]`, `0.1`, `9223372036854775808`},
	reflect.Uint32: {`"1"`, `true`, `{}`, `[]`, `1.5`, `-1`, `4294967296`},
	reflect.Uint64: {`"1"`, `true`, `{}`, `[]`, `1.5`, `-1`, `18446744073709551616`},
}

// wrong returns JSON values that a field of type t must not have. depth bounds
// types that contain themselves.
func wrong(t reflect.Type, depth int) (values []string) {
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return nil // a payload: any value is right
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		values = []string{`5`, `"x"`, `true`, `[]`, `[{}]`}
		if depth > 0 {
			for _, m := range wrongMembers(t.Elem(), depth-1) {
				values = append(values, fmt.Sprintf(`{%q:%s}`, m.name, m.value))
			}
		}
		return values
	case t.Kind() == reflect.Map:
		values = []string{`5`, `"x"`, `true`, `[]`}
		for _, value := range wrong(t.Elem(), depth) {
			values = append(values, `{"key":`+value+`}`)
		}
		return values
	case t.Kind() == reflect.Slice:
		values = []string{`5`, `"x"`, `true`, `{}`}
		for _, value := range wrong(t.Elem(), depth) {
			values = append(values, `[`+value+`]`)
		}
		return values
	}
	return scalars[t.Kind()]
}

// wrongMembers returns each field of a struct with each value it must not have.
func wrongMembers(t reflect.Type, depth int) (members []member) {
	for f := range fieldsOf(t) {
		for _, value := range wrong(f.Type, depth) {
			members = append(members, member{keyOf(f), value})
		}
	}
	return members
}

// fieldsOf yields the fields of a struct and of those embedded in it.
func fieldsOf(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			if f.IsExported() && !f.Anonymous && f.Tag.Get("json") != "-" && !yield(f) {
				return
			}
		}
	}
}

var capital = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// keyOf is the JSON name of a field.
func keyOf(f reflect.StructField) string {
	if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" {
		return tag
	}
	return strings.ToLower(capital.ReplaceAllString(f.Name, "${1}_$2"))
}

// requests are the commands of the client protocol by name.
func requests() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	for f := range fieldsOf(reflect.TypeFor[protocol.Command]()) {
		if f.Type.Kind() == reflect.Pointer {
			types[keyOf(f)] = f.Type.Elem()
		}
	}
	return types
}

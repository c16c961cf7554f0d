package openapi

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"

	"centrifugo/server/internal/api"
)

var (
	rawType     = reflect.TypeFor[json.RawMessage]()
	errorType   = reflect.TypeFor[api.Error]()
	commandType = reflect.TypeFor[api.Command]()
	replyType   = reflect.TypeFor[api.Reply]()
	// responseType is the outcome for one channel of a broadcast.
	responseType = reflect.TypeFor[api.PublishResponse]()
)

// schemas makes the schemas of types and collects those of structs as components.
type schemas struct {
	docs       comments
	components object
}

// refer returns a reference to the schema of a struct type, which it makes at first.
func (s *schemas) refer(t reflect.Type) object {
	if _, ok := s.components[t.Name()]; !ok {
		s.components[t.Name()] = object{} // for types that contain themselves
		s.components[t.Name()] = s.ofStruct(t)
	}
	return refer("schemas", t.Name())
}

func (s *schemas) ofStruct(t reflect.Type) object {
	var schema object
	switch t {
	case commandType:
		schema = s.oneKey(func(m *api.Method) reflect.Type { return m.Request })
	case responseType:
		schema = s.ofFields(t)
		schema["minProperties"], schema["maxProperties"] = 1, 1 // a result or an error
	case replyType:
		schema = s.oneKey(func(m *api.Method) reflect.Type { return m.Result })
		schema["properties"].(object)["error"] = s.refer(errorType) //nolint:forcetypeassert // made by oneKey
	default:
		schema = s.ofFields(t)
	}
	if doc := s.docs[t.Name()]; doc != "" {
		schema["description"] = doc
	}
	return schema
}

// oneKey returns the schema of an object whose key is the name of a method.
func (s *schemas) oneKey(value func(*api.Method) reflect.Type) object {
	properties := object{}
	for _, m := range api.Methods() {
		if m != &api.MethodBatch.Method {
			properties[m.Name] = s.refer(value(m))
		}
	}
	return object{"type": "object", "properties": properties, "minProperties": 1, "maxProperties": 1}
}

// ofFields returns the schema of a struct as encoding/json sees it. Requests must have
// the fields with the tag required, and results always have those without omitempty.
func (s *schemas) ofFields(t reflect.Type) object {
	properties := object{}
	var required []string
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		schema := s.of(f.Type)
		if doc := s.docs[s.owner(t, f)+"."+f.Name]; doc != "" {
			schema["description"] = names.ReplaceAllStringFunc(doc, func(name string) string { return jsonName(t, name) })
		}
		properties[name] = schema
		if f.Tag.Get("required") == "true" || option != "omitempty" && s.alwaysWritten(t) {
			required = append(required, name)
		}
	}
	schema := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

// names matches words that may be names of fields in Go.
var names = regexp.MustCompile(`\b[A-Z][A-Za-z0-9]*\b`)

// jsonName returns the name in JSON of a field of t, in backquotes, and other words
// unchanged.
func jsonName(t reflect.Type, name string) string {
	f, ok := t.FieldByName(name)
	if !ok {
		return name
	}
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return "`" + key + "`"
}

// alwaysWritten reports whether a struct is part of results, where fields without
// omitempty are always present.
func (s *schemas) alwaysWritten(t reflect.Type) bool {
	for _, m := range api.Methods() {
		if m != &api.MethodBatch.Method && reaches(m.Result, t) {
			return true
		}
	}
	return t == errorType
}

// owner returns the name of the struct that declares a field of t.
func (s *schemas) owner(t reflect.Type, f reflect.StructField) string {
	for _, i := range f.Index[:len(f.Index)-1] {
		t = t.Field(i).Type
	}
	return t.Name()
}

// of returns a new schema of the type of a field.
func (s *schemas) of(t reflect.Type) object {
	if t == rawType {
		return object{"type": []string{"array", "boolean", "null", "number", "object", "string"}}
	}
	switch t.Kind() { //nolint:exhaustive // the default is for all others
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		return s.refer(t)
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int32:
		return object{"type": "integer", "format": "int32", "minimum": math.MinInt32, "maximum": math.MaxInt32}
	case reflect.Int64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Uint32:
		return object{"type": "integer", "minimum": 0, "maximum": uint32(math.MaxUint32)}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0, "maximum": uint64(math.MaxUint64)}
	}
	panic(fmt.Sprintf("openapi: type %s has no schema", t))
}

// reaches reports whether a value of type from can contain one of type to.
func reaches(from, to reflect.Type) bool {
	seen := map[reflect.Type]bool{}
	var visit func(t reflect.Type) bool
	visit = func(t reflect.Type) bool {
		if t == to {
			return true
		}
		if seen[t] {
			return false
		}
		seen[t] = true
		switch t.Kind() { //nolint:exhaustive // the others contain nothing
		case reflect.Pointer, reflect.Slice, reflect.Map:
			return visit(t.Elem())
		case reflect.Struct:
			for _, f := range reflect.VisibleFields(t) {
				if visit(f.Type) {
					return true
				}
			}
		}
		return false
	}
	return visit(from)
}

package apigrpc

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"centrifugo/server/internal/api"
)

// structure maps the fields of a struct of package api to those of a message, by the names
// that they have in JSON. Numbers are in the schema only.
type structure struct {
	fields   []field
	byNumber map[protowire.Number]*field
}

// field is a field of a message and of the struct.
type field struct {
	number protowire.Number
	name   string
	index  []int // reflect.Value.FieldByIndex
	kind   fieldKind
	child  *structure // of a message, a list of messages, or the values of a map
}

// fieldKind is how a field is encoded, and its type in Go.
type fieldKind uint8

const (
	kindString fieldKind = iota
	kindStrings
	kindBytes // json.RawMessage
	kindBool
	kindUint // uint32, uint64
	kindInt  // int32, int64
	kindDouble
	kindMessage  // a pointer to a struct
	kindMessages // a slice of structs
	kindMap      // strings to strings, doubles or structs
	kindCommands // api.Commands
	kindReplies  // []api.Reply
)

// structures are built once; those of a recursive message refer to themselves.
var structures struct {
	mu sync.Mutex
	of map[reflect.Type]*structure
}

// structureOf returns the structure of a struct type that corresponds to a message. It
// panics if they do not match: that is an error in the schema, which tests find.
func structureOf(t reflect.Type, m protoreflect.MessageDescriptor) *structure {
	structures.mu.Lock()
	defer structures.mu.Unlock()
	if structures.of == nil {
		structures.of = make(map[reflect.Type]*structure)
	}
	return structureLocked(t, m)
}

func structureLocked(t reflect.Type, m protoreflect.MessageDescriptor) *structure {
	if s := structures.of[t]; s != nil {
		return s
	}
	s := &structure{byNumber: make(map[protowire.Number]*field)}
	structures.of[t] = s
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" {
			continue
		}
		d := m.Fields().ByName(protoreflect.Name(name))
		if d == nil {
			panic(fmt.Sprintf("apigrpc: %s has no field %s, which %s has", m.FullName(), name, t))
		}
		s.fields = append(s.fields, fieldOf(f, d))
	}
	for i := range s.fields {
		s.byNumber[s.fields[i].number] = &s.fields[i]
	}
	return s
}

var (
	rawType      = reflect.TypeFor[json.RawMessage]()
	commandsType = reflect.TypeFor[api.Commands]()
	repliesType  = reflect.TypeFor[[]api.Reply]()
)

// wireKinds are the types in the schema that a kind in Go may have. Messages are checked
// by their fields.
var wireKinds = map[fieldKind][]protoreflect.Kind{
	kindString: {protoreflect.StringKind}, kindStrings: {protoreflect.StringKind}, kindBytes: {protoreflect.BytesKind},
	kindBool: {protoreflect.BoolKind}, kindDouble: {protoreflect.DoubleKind},
	kindUint: {protoreflect.Uint32Kind, protoreflect.Uint64Kind}, kindInt: {protoreflect.Int32Kind, protoreflect.Int64Kind},
}

func fieldOf(f reflect.StructField, d protoreflect.FieldDescriptor) field {
	out := field{number: d.Number(), name: string(d.Name()), index: f.Index}
	switch t := f.Type; {
	case t == rawType:
		out.kind = kindBytes
	case t == commandsType:
		out.kind = kindCommands
	case t == repliesType:
		out.kind = kindReplies
	case t.Kind() == reflect.String:
		out.kind = kindString
	case t.Kind() == reflect.Bool:
		out.kind = kindBool
	case t.Kind() == reflect.Uint32 || t.Kind() == reflect.Uint64:
		out.kind = kindUint
	case t.Kind() == reflect.Int32 || t.Kind() == reflect.Int64:
		out.kind = kindInt
	case t.Kind() == reflect.Float64:
		out.kind = kindDouble
	case t.Kind() == reflect.Pointer:
		out.kind, out.child = kindMessage, structureLocked(t.Elem(), d.Message())
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		out.kind, out.child = kindMessages, structureLocked(t.Elem(), d.Message())
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		out.kind = kindStrings
	case t.Kind() == reflect.Map && d.IsMap():
		out.kind = kindMap
		if t.Elem().Kind() == reflect.Struct {
			out.child = structureLocked(t.Elem(), d.MapValue().Message())
		}
	default:
		panic(fmt.Sprintf("apigrpc: %s: no kind for %s", d.FullName(), t))
	}
	if kinds, ok := wireKinds[out.kind]; ok && !slices.Contains(kinds, d.Kind()) {
		panic(fmt.Sprintf("apigrpc: %s is %s in the schema and %s in Go", d.FullName(), d.Kind(), f.Type))
	}
	return out
}

package apigrpc

import (
	"math"
	"reflect"

	"google.golang.org/protobuf/encoding/protowire"

	"centrifugo/server/internal/api"
)

// Numbers of the fields of all responses (server.md 1.4) and of Reply.
const (
	responseError  protowire.Number = 1
	responseResult protowire.Number = 2
	replyError     protowire.Number = 2
)

// appendMessage appends the fields of v, a struct, that are not zero.
func appendMessage(b []byte, s *structure, v reflect.Value) []byte {
	for i := range s.fields {
		f := &s.fields[i]
		b = appendField(b, f, v.FieldByIndex(f.index))
	}
	return b
}

func appendField(b []byte, f *field, v reflect.Value) []byte {
	switch f.kind {
	case kindMessages, kindStrings, kindMap, kindCommands, kindReplies:
		return appendRepeated(b, f, v)
	}
	if v.IsZero() {
		return b
	}
	switch f.kind {
	case kindString:
		b = protowire.AppendTag(b, f.number, protowire.BytesType)
		b = protowire.AppendString(b, v.String())
	case kindBytes:
		if v.Len() > 0 {
			b = protowire.AppendTag(b, f.number, protowire.BytesType)
			b = protowire.AppendBytes(b, v.Bytes())
		}
	case kindBool:
		b = protowire.AppendTag(b, f.number, protowire.VarintType)
		b = protowire.AppendVarint(b, 1)
	case kindUint:
		b = protowire.AppendTag(b, f.number, protowire.VarintType)
		b = protowire.AppendVarint(b, v.Uint())
	case kindInt:
		b = protowire.AppendTag(b, f.number, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(v.Int())) //nolint:gosec // two's complement
	case kindDouble:
		b = protowire.AppendTag(b, f.number, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, math.Float64bits(v.Float()))
	case kindMessage:
		b = appendNested(b, f.number, f.child, v.Elem())
	}
	return b
}

func appendRepeated(b []byte, f *field, v reflect.Value) []byte {
	switch f.kind {
	case kindStrings:
		for i := range v.Len() {
			b = protowire.AppendTag(b, f.number, protowire.BytesType)
			b = protowire.AppendString(b, v.Index(i).String())
		}
	case kindMessages:
		for i := range v.Len() {
			b = appendNested(b, f.number, f.child, v.Index(i))
		}
	case kindMap:
		for entries := v.MapRange(); entries.Next(); {
			b = appendLength(b, f.number, func(b []byte) []byte { return appendEntry(b, f, entries.Key(), entries.Value()) })
		}
	case kindReplies:
		for _, reply := range v.Interface().([]api.Reply) { //nolint:forcetypeassert // the kind says so
			b = appendLength(b, f.number, func(b []byte) []byte { return appendReply(b, reply) })
		}
	}
	return b
}

// appendEntry appends an entry of a map. Key and value may be omitted when they are zero.
func appendEntry(b []byte, f *field, key, value reflect.Value) []byte {
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendString(b, key.String())
	switch {
	case f.child != nil:
		return appendNested(b, 2, f.child, value)
	case value.Kind() == reflect.Float64:
		b = protowire.AppendTag(b, 2, protowire.Fixed64Type)
		return protowire.AppendFixed64(b, math.Float64bits(value.Float()))
	}
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	return protowire.AppendString(b, value.String())
}

func appendNested(b []byte, number protowire.Number, s *structure, v reflect.Value) []byte {
	return appendLength(b, number, func(b []byte) []byte { return appendMessage(b, s, v) })
}

// appendLength appends a field whose length is known only after its content: it leaves
// a byte for the length and moves the content if that is not enough.
func appendLength(b []byte, number protowire.Number, content func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, number, protowire.BytesType)
	at := len(b)
	b = content(append(b, 0))
	length := uint64(len(b) - at - 1) //nolint:gosec // not negative
	if extra := protowire.SizeVarint(length) - 1; extra > 0 {
		b = append(b, make([]byte, extra)...)
		copy(b[at+1+extra:], b[at+1:])
	}
	protowire.AppendVarint(b[:at], length)
	return b
}

// appendResponse appends the response to a call: the result, or the error.
func appendResponse(b []byte, s *structure, result any, apiErr *api.Error) []byte {
	if apiErr != nil {
		return appendNested(b, responseError, errorForm(), reflect.ValueOf(*apiErr))
	}
	return appendNested(b, responseResult, s, reflect.ValueOf(result))
}

// appendReply appends the reply to a command.
func appendReply(b []byte, reply api.Reply) []byte {
	if reply.Error != nil {
		return appendNested(b, replyError, errorForm(), reflect.ValueOf(*reply.Error))
	}
	form := replyForms()[reply.Method.Name]
	return appendNested(b, form.number, form.result, reflect.ValueOf(reply.Result))
}

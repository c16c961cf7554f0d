package main

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// protobufAppend writes the methods of protoWriter.
func (g *generator) protobufAppend(messages []*message) {
	g.dispatch("w *protoWriter", "appends", func(f *field) string {
		if len(f.target.fields) == 0 {
			return ""
		}
		return fmt.Sprintf("w.%s(e.%s)", f.target.method, f.name)
	}, "")
	for _, m := range messages {
		if len(m.fields) > 0 {
			g.protobufAppendMessage(m)
		}
	}
	g.collections(messages, g.protobufAppendList, g.protobufAppendMap)
}

func (g *generator) protobufAppendMessage(m *message) {
	g.printf("\nfunc (w *protoWriter) %s(m *%s) {", m.method, m.name)
	if m.element {
		g.printf("if m == nil {\nreturn\n}")
	}
	for _, f := range m.fields {
		if !f.is(notProtobuf) {
			g.protobufAppendField(f)
		}
		if f.key == m.endV1 {
			g.printf("if w.v1 {\nreturn\n}")
		}
	}
	g.printf("}")
}

func (g *generator) protobufAppendField(f *field) {
	value := "m." + f.name
	switch {
	case f.is(ranged):
		g.printf("if m.Range != nil {\nw.encodedRange(m.Range)\n} else {")
		defer g.printf("}")
		fallthrough
	case f.shape != single && f.target != nil:
		g.printf("w.%s(%d, %s)", f.collection(), f.num, value)
	case f.shape == list:
		g.printf("w.strs(%d, %s)", f.num, value)
	case f.shape == dict:
		g.printf("w.strMap(%d, %s)", f.num, value)
	case f.target != nil:
		g.printf("if %s != nil {\nat := w.open(%d)\nw.%s(%s)\nw.close(at)\n}", value, f.num, f.target.method, value)
	case f.is(internal):
		g.printf("if w.internal {")
		defer g.printf("}")
		fallthrough
	default:
		method, conversion := protobufScalar(f)
		g.printf("w.%s(%d, %s)", method, f.num, fmt.Sprintf(conversion, value))
	}
}

// protobufScalar returns the method of protoWriter for a scalar, and how its
// argument is converted.
func protobufScalar(f *field) (method, conversion string) {
	switch f.kind {
	case protoreflect.BoolKind:
		return "bool", "%s"
	case protoreflect.BytesKind:
		return "raw", "%s"
	case protoreflect.StringKind:
		return "str", "%s"
	case protoreflect.Uint64Kind:
		return "uint", "%s"
	case protoreflect.Int32Kind: // negative numbers have ten bytes
		return "uint", "uint64(int64(%s))"
	case protoreflect.Sint64Kind:
		return "uint", "protowire.EncodeZigZag(%s)"
	}
	return "uint", "uint64(%s)"
}

func (g *generator) protobufAppendList(m *message) {
	open := "w.open(num)"
	if m.sizeHint != "" {
		open = "w.openSized(num, " + m.sizeHint + "(m))"
	}
	g.printf("\nfunc (w *protoWriter) %sList(num protowire.Number, list []*%s) {", m.method, m.name)
	g.printf("for _, m := range list {\nat := %s\nw.%s(m)\nw.close(at)\n}\n}", open, m.method)
}

func (g *generator) protobufAppendMap(m *message) {
	g.printf("\nfunc (w *protoWriter) %sMap(num protowire.Number, entries map[string]*%s) {", m.method, m.name)
	g.printf("for k, m := range entries {\nentry := w.open(num)\nw.str(1, k)\nat := w.open(2)")
	g.printf("w.%s(m)\nw.close(at)\nw.close(entry)\n}\n}", m.method)
}

// protobufDecode writes the methods of protoReader.
func (g *generator) protobufDecode(messages []*message) {
	g.dispatch("r *protoReader", "decodes", func(f *field) string {
		return fmt.Sprintf("e.%s = r.%s()", f.name, f.target.method)
	}, "")
	for _, m := range messages {
		g.protobufDecodeMessage(m)
	}
	g.collections(messages, func(*message) {}, g.protobufDecodeEntry)
}

func (g *generator) protobufDecodeMessage(m *message) {
	g.printf("\nfunc (r *protoReader) %s() *%s {", m.method, g.typeOf(m))
	g.beginDecode(m)
	g.printf("outer := r.Enter()")
	if len(m.fields) == 0 {
		g.printf("r.SkipFields()\nr.Exit(outer)\nreturn m\n}")
		return
	}
	g.printf("for r.Field() {\nswitch r.Num {")
	for _, f := range m.fields {
		if !f.is(notProtobuf) {
			g.printf("case %d:\n%s", f.num, protobufStatement(f))
		}
	}
	if m.positionV1 {
		g.printf("case 4:\nseq = r.uint32V1()\ncase 5:\ngen = r.uint32V1()")
	}
	g.printf("}\n}\nr.Exit(outer)")
	g.endDecode(m)
}

// protobufStatement returns the statements that decode one occurrence of f.
func protobufStatement(f *field) string {
	switch {
	case f.shape == dict && f.target != nil:
		return fmt.Sprintf("r.%sEntry(&m.%s)", f.target.method, f.name)
	case f.shape == dict:
		return fmt.Sprintf("r.StrEntry(&m.%s)", f.name)
	case f.shape == list:
		return fmt.Sprintf("r.Count()\nm.%s = append(m.%s, %s)", f.name, f.name, protobufValue(f))
	}
	return fmt.Sprintf("m.%s = %s", f.name, protobufValue(f))
}

func protobufValue(f *field) string {
	switch f.kind {
	case protoreflect.BoolKind:
		return "r.Bool()"
	case protoreflect.BytesKind:
		return "r.Raw()"
	case protoreflect.StringKind:
		return "r.Str()"
	case protoreflect.Uint32Kind:
		return "r.Uint32()"
	case protoreflect.Uint64Kind:
		return "r.Uint64()"
	case protoreflect.Int32Kind:
		return "r.Int32()"
	case protoreflect.Int64Kind:
		return "int64(r.Uint64())"
	case protoreflect.Sint64Kind:
		return "protowire.DecodeZigZag(r.Uint64())"
	}
	return "r." + f.target.method + "()"
}

func (g *generator) protobufDecodeEntry(m *message) {
	g.printf("\nfunc (r *protoReader) %sEntry(entries *map[string]*%s) {", m.method, g.typeOf(m))
	g.printf("if *entries == nil {\n*entries = make(map[string]*%s)\n}", g.typeOf(m))
	g.printf("k := r.Entry()\n(*entries)[k] = r.%s()\n}", m.method)
}

// collection returns the name of the method for a list or a map of messages.
func (f *field) collection() string {
	if f.shape == list {
		return f.target.method + "List"
	}
	return f.target.method + "Map"
}

// collections calls onList and onMap once for each type of message of which
// messages have a list or a map.
func (g *generator) collections(messages []*message, onList, onMap func(*message)) {
	emit := map[shape]func(*message){list: onList, dict: onMap}
	seen := map[string]bool{}
	for _, m := range messages {
		for _, f := range m.fields {
			if f.shape != single && f.target != nil && !seen[f.collection()] {
				seen[f.collection()] = true
				emit[f.shape](f.target)
			}
		}
	}
}

package main

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// jsonAppend writes the methods of jsonWriter.
func (g *generator) jsonAppend(messages []*message) {
	g.dispatch("w *jsonWriter", "appends", func(f *field) string {
		if len(f.target.fields) == 0 {
			return ""
		}
		return fmt.Sprintf("w.%s(e.%s)", f.target.method, f.name)
	}, "default: // no fields\nw.end(len(w.b))\n")
	for _, m := range messages {
		if len(m.fields) > 0 {
			g.jsonAppendMessage(m)
		}
	}
	g.collections(messages, g.jsonAppendList, g.jsonAppendMap)
}

func (g *generator) jsonAppendMessage(m *message) {
	var fields []*field
	for _, f := range m.fields {
		if !f.is(notJSON | internal) {
			fields = append(fields, f)
		}
	}
	open, end := `,`, "w.end(at)"
	if fields[0].is(always) {
		open, end = `{`, "w.b = append(w.b, '}')"
	}
	g.printf("\nfunc (w *jsonWriter) %s(m *%s) {", m.method, m.name)
	if open == `,` {
		g.printf("at := len(w.b)")
	}
	if m.element && open == `{` {
		g.printf("if m == nil {\nm = new(%s)\n}", m.name)
	} else if m.element {
		g.printf("if m == nil {\nw.end(at)\nreturn\n}")
	}
	for i, f := range fields {
		if i > 0 {
			open = `,`
		}
		g.jsonAppendField(f, fmt.Sprintf("`%s\"%s\":`", open, f.key))
		if f.key == m.endV1 {
			g.printf("if w.v1 {\n%s\nreturn\n}", end)
		}
	}
	g.printf("%s\n}", end)
}

func (g *generator) jsonAppendField(f *field, key string) {
	value := "m." + f.name
	switch {
	case f.is(ranged):
		g.printf("if m.Range != nil {\nw.encodedRange(%s, m.Range)\n} else {", key)
		defer g.printf("}")
		fallthrough
	case f.shape != single && f.target != nil:
		g.printf("w.%s(%s, %s, %t)", f.collection(), key, value, f.is(always))
	case f.shape == list:
		g.printf("w.strs(%s, %s)", key, value)
	case f.shape == dict:
		g.printf("w.strMap(%s, %s)", key, value)
	case f.target != nil:
		condition := value + " != nil"
		if f.is(alwaysV1) {
			condition += " || w.v1"
		}
		g.printf("if %s {\nw.key(%s)\nw.%s(%s)\n}", condition, key, f.target.method, value)
	default:
		method, conversion := jsonScalar(f)
		g.printf("w.%s%s(%s, %s)", method, suffix(f), key, fmt.Sprintf(conversion, value))
	}
}

func suffix(f *field) string {
	switch {
	case f.is(always):
		return "Always"
	case f.is(alwaysV1):
		return "V1"
	}
	return ""
}

// jsonScalar returns the method of jsonWriter for a scalar, and how its argument
// is converted.
func jsonScalar(f *field) (method, conversion string) {
	switch f.kind {
	case protoreflect.BoolKind:
		return "bool", "%s"
	case protoreflect.BytesKind:
		if f.is(text) {
			return "str", "string(%s)"
		}
		return "raw", "%s"
	case protoreflect.StringKind:
		return "str", "%s"
	case protoreflect.Uint32Kind:
		return "uint", "uint64(%s)"
	case protoreflect.Uint64Kind:
		return "uint", "%s"
	case protoreflect.Int32Kind:
		return "int", "int64(%s)"
	}
	return "int", "%s"
}

func (g *generator) jsonAppendList(m *message) {
	g.printf("\nfunc (w *jsonWriter) %sList(key string, list []*%s, always bool) {", m.method, m.name)
	g.printf("if len(list) == 0 && !always {\nreturn\n}\nw.key(key)\nat := len(w.b)")
	g.printf("for _, m := range list {\nw.comma()\nw.%s(m)\n}\nw.endList(at)\n}", m.method)
}

func (g *generator) jsonAppendMap(m *message) {
	g.printf("\nfunc (w *jsonWriter) %sMap(key string, entries map[string]*%s, always bool) {", m.method, m.name)
	g.printf("if len(entries) == 0 && !always {\nreturn\n}\nw.key(key)\nat := len(w.b)")
	g.printf("for k, m := range entries {\nw.mapKey(k)\nw.%s(m)\n}\nw.end(at)\n}", m.method)
}

// jsonDecode writes the methods of jsonReader.
func (g *generator) jsonDecode(messages []*message) {
	g.dispatch("r *jsonReader", "decodes", func(f *field) string {
		return fmt.Sprintf("e.%s = r.%s()", f.name, f.target.method)
	}, "")
	for _, m := range messages {
		g.jsonDecodeMessage(m)
	}
	g.collections(messages, g.jsonDecodeList, g.jsonDecodeMap)
}

func (g *generator) jsonDecodeMessage(m *message) {
	g.printf("\nfunc (r *jsonReader) %s() *%s {\nif !r.Object() {\nreturn nil\n}", m.method, g.typeOf(m))
	g.beginDecode(m)
	if len(m.fields) == 0 {
		g.printf("r.SkipFields()\nreturn m\n}")
		return
	}
	g.printf("for r.Field() {\nswitch string(r.Key) {")
	for _, f := range m.fields {
		if !f.is(notJSON) {
			g.printf("case %q:\nm.%s = %s", f.key, f.name, jsonValue(f))
		}
	}
	if m.positionV1 {
		g.printf("case \"seq\":\nseq = r.uint32V1()\ncase \"gen\":\ngen = r.uint32V1()")
	}
	g.printf("default:\nr.Unknown()\n}\n}")
	g.endDecode(m)
}

func (g *generator) beginDecode(m *message) {
	scratch := m.scratch
	if g.qualifier != "" {
		scratch = m.replyScratch
	}
	g.printf("m := %s", cmp.Or(scratch, "new("+g.typeOf(m)+")"))
	if m.noScratch {
		g.printf("r.scratch = nil // the messages of a map must not share memory")
	}
	if m.positionV1 {
		g.printf("var seq, gen uint32")
	}
}

func (g *generator) endDecode(m *message) {
	if m.positionV1 {
		g.printf("m.Offset = foldPosition(seq, gen, m.Offset)")
	}
	g.printf("return m\n}")
}

// jsonValue returns the expression that decodes the value of f.
func jsonValue(f *field) string {
	switch {
	case f.shape != single && f.target != nil:
		return "r." + f.collection() + "()"
	case f.shape == list:
		return "r.Strs()"
	case f.shape == dict:
		return "r.StrMap()"
	}
	switch f.kind {
	case protoreflect.BoolKind:
		return "r.Bool()"
	case protoreflect.BytesKind:
		if f.is(text) {
			return "[]byte(r.Str())"
		}
		return "r.Raw()"
	case protoreflect.StringKind:
		return "r.Str()"
	case protoreflect.Uint32Kind:
		return "uint32(r.Uint(math.MaxUint32))"
	case protoreflect.Uint64Kind:
		return "r.Uint(math.MaxUint64)"
	case protoreflect.Int32Kind:
		return "int32(r.Int(math.MaxInt32))"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind:
		return "r.Int(math.MaxInt64)"
	}
	return "r." + f.target.method + "()"
}

func (g *generator) jsonDecodeList(m *message) {
	g.printf("\nfunc (r *jsonReader) %sList() []*%s {\nvar list []*%s", m.method, g.typeOf(m), g.typeOf(m))
	g.printf("for ok := r.Array(); ok && r.Element(); {\nlist = append(list, orNew(r.%s()))\n}\nreturn list\n}", m.method)
}

func (g *generator) jsonDecodeMap(m *message) {
	g.printf("\nfunc (r *jsonReader) %sMap() map[string]*%s {\nvar entries map[string]*%s", m.method, g.typeOf(m), g.typeOf(m))
	g.printf("for ok := r.Object(); ok && r.Entry(); {\nif entries == nil {\nentries = make(map[string]*%s)\n}", g.typeOf(m))
	g.printf("k := string(r.Key)\nentries[k] = orNew(r.%s())\n}\nreturn entries\n}", m.method)
}

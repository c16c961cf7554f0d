package main

import "slices"

// An envelope is a message that has one of several contents. Its codecs are
// written by hand, because they differ between the generations of the protocol;
// what depends on the set of contents is generated.
type envelope struct {
	prefix  string   // of the kinds of its contents
	without []string // fields that are no content
	method  string   // appends or decodes one content
	kinds   string   // the table of kinds by field number
	numbers string   // the table of field numbers by kind
}

var envelopes = map[string]envelope{
	"Command": {"Kind", []string{"id"}, "request", "requestKinds", "requestNumbers"},
	"Reply":   {"Kind", []string{"id", "error", "push"}, "result", "resultKinds", "resultNumbers"},
	"Push":    {"KindPush", []string{"id", "channel"}, "pushed", "pushKinds", "pushNumbers"},
}

// envelopeNames are the keys of envelopes in the order of the output.
var envelopeNames = []string{"Command", "Reply", "Push"}

// contents calls emit with each content of an envelope and its kind.
func (g *generator) contents(name string, emit func(f *field, kind string)) {
	e := envelopes[name]
	for _, f := range g.schema[name].fields {
		if slices.Contains(e.without, f.key) {
			continue
		}
		kind := g.qualifier + e.prefix + f.name
		if name == "Push" {
			kind = g.qualifier + e.prefix + f.target.name
		}
		emit(f, kind)
	}
}

// dispatch writes, for each envelope among the roots, a method that handles the
// content of a kind.
func (g *generator) dispatch(receiver, doc string, emit func(f *field) (statement string), otherwise string) {
	for _, name := range envelopeNames {
		if !slices.Contains(g.roots, name) && !(name == "Push" && slices.Contains(g.roots, "Reply")) {
			continue
		}
		method := envelopes[name].method
		g.printf("\n// %s %s the content of e that kind names.", method, doc)
		g.printf("func (%s) %s(e *%s%s, kind %sMessageKind) {\nswitch kind {", receiver, method, g.qualifier, name, g.qualifier)
		g.contents(name, func(f *field, kind string) {
			if statement := emit(f); statement != "" {
				g.printf("case %s:\n%s", kind, statement)
			}
		})
		g.printf("%s}\n}", otherwise)
	}
}

// kinds writes the tables that connect kinds, keys and field numbers.
func (g *generator) kinds([]*message) {
	g.printf("// memberKeys are the keys of requests, results and pushes, as a jsonWriter\n// writes them.")
	g.printf("var memberKeys = [NumMessageKinds]string{")
	for _, name := range []string{"Command", "Push"} {
		g.contents(name, func(f *field, kind string) { g.printf("%s: `,\"%s\":`,", kind, f.key) })
	}
	g.printf("}")
	g.kindOf("kindOfRequest", "a request", "Command")
	g.kindTables(envelopeNames)
	g.printf("\nvar (")
	for _, name := range envelopeNames {
		g.printf("%s = numbersOf(&%s)", envelopes[name].numbers, envelopes[name].kinds)
	}
	g.printf(")")
}

// replyKinds writes the tables that package clientcodec needs.
func (g *generator) replyKinds([]*message) {
	g.kindOf("kindOfResult", "a result", "Reply")
	g.kindOf("kindOfPush", "the content of a push", "Push")
	g.kindTables([]string{"Reply", "Push"})
}

// kindTables writes the tables of kinds by field number.
func (g *generator) kindTables(names []string) {
	last := 0
	for _, name := range names {
		g.contents(name, func(f *field, _ string) { last = max(last, f.num) })
	}
	g.printf("\n// kindsByNumber is a table of kinds by the field number of their content.")
	g.printf("type kindsByNumber [%d]%sMessageKind\n\nvar (", last+1, g.qualifier)
	for _, name := range names {
		g.printf("%s = kindsByNumber{", envelopes[name].kinds)
		g.contents(name, func(f *field, kind string) { g.printf("%d: %s,", f.num, kind) })
		g.printf("}")
	}
	g.printf(")")
}

func (g *generator) kindOf(function, what, envelope string) {
	g.printf("\n// %s returns the kind of %s with this key, or KindUnknown.", function, what)
	g.printf("func %s(key []byte) %sMessageKind {\nswitch string(key) {", function, g.qualifier)
	g.contents(envelope, func(f *field, kind string) { g.printf("case %q:\nreturn %s", f.key, kind) })
	g.printf("}\nreturn %sKindUnknown\n}", g.qualifier)
}

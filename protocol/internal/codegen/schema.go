package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A message is a message of the schema with its rules.
type message struct {
	messageRule
	name    string // of the Go type
	method  string // of the readers and writers: the name in lower case
	fields  []*field
	element bool // the message is an element of a list or a map, where it may be nil
}

// A field is a field of a message with its rules.
type field struct {
	rule   fieldRule
	key    string // in JSON
	name   string // in Go
	num    int
	kind   protoreflect.Kind
	shape  shape
	target *message // nil unless the value or the element is a message
}

type shape uint8

const (
	single shape = iota
	list
	dict // a map from strings
)

func (f *field) is(rule fieldRule) bool { return f.rule&rule != 0 }

// A schema is the messages of a file by name. It knows no more of Protobuf than
// the generator supports.
type schema map[string]*message

// loadSchema compiles a schema and applies the rules. A rule for a message or a
// field that does not exist is an error.
func loadSchema(dir, file string) (schema, error) {
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{ImportPaths: []string{dir}}}
	files, err := compiler.Compile(context.Background(), file)
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", file, err)
	}
	s := schema{}
	descriptors := files[0].Messages()
	for i := range descriptors.Len() {
		name := string(descriptors.Get(i).Name())
		s[name] = &message{messageRule: messageRules[name], name: name, method: lowerFirst(name)}
	}
	used := 0
	for i := range descriptors.Len() {
		n, err := s.addFields(descriptors.Get(i))
		if err != nil {
			return nil, err
		}
		used += n
	}
	if used != len(fieldRules) {
		return nil, fmt.Errorf("%d of %d field rules name a field of %s; want all", used, len(fieldRules), file)
	}
	for name := range messageRules {
		if s[name] == nil {
			return nil, fmt.Errorf("a rule names the message %s, which is not in %s", name, file)
		}
	}
	return s, nil
}

// addFields adds the fields of a message and returns how many have a rule.
func (s schema) addFields(d protoreflect.MessageDescriptor) (rules int, err error) {
	m := s[string(d.Name())]
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		f := &field{key: string(fd.Name()), name: goName(string(fd.Name())), num: int(fd.Number()), kind: fd.Kind()}
		if rule, ok := fieldRules[m.name+"."+f.key]; ok {
			f.rule = rule
			rules++
		}
		value := fd
		switch {
		case fd.IsMap():
			f.shape, value = dict, fd.MapValue()
			f.kind = value.Kind()
		case fd.IsList():
			f.shape = list
		}
		if value.Kind() == protoreflect.MessageKind {
			f.target = s[string(value.Message().Name())]
			f.target.element = f.target.element || f.shape != single
		} else if f.shape != single && value.Kind() != protoreflect.StringKind {
			return 0, fmt.Errorf("%s: lists and maps hold strings or messages, not %s", fd.FullName(), value.Kind())
		}
		m.fields = append(m.fields, f)
	}
	slices.SortFunc(m.fields, func(a, b *field) int { return a.num - b.num })
	return rules, nil
}

// reachable returns the messages that the fields of roots hold, at any depth,
// sorted by name. An envelope among the roots is not part of the result.
func (s schema) reachable(roots []string) []*message {
	seen := map[*message]bool{}
	var add func(m *message)
	add = func(m *message) {
		if seen[m] {
			return
		}
		seen[m] = true
		for _, f := range m.fields {
			if f.target != nil {
				add(f.target)
			}
		}
	}
	for _, root := range roots {
		add(s[root])
	}
	var messages []*message
	for m := range seen {
		if _, ok := envelopes[m.name]; !ok {
			messages = append(messages, m)
		}
	}
	slices.SortFunc(messages, func(a, b *message) int { return strings.Compare(a.name, b.name) })
	return messages
}

// goName returns the Go name of a field: data_b64 becomes DataB64.
func goName(key string) string {
	words := strings.Split(key, "_")
	for i, word := range words {
		if w, ok := goWords[word]; ok {
			words[i] = w
		} else {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}

// lowerFirst puts the first word of a name into lower case: RPCRequest becomes
// rpcRequest.
func lowerFirst(name string) string {
	letters := []rune(name)
	for i := range letters {
		if i > 0 && i+1 < len(letters) && unicode.IsLower(letters[i+1]) || unicode.IsLower(letters[i]) {
			break
		}
		letters[i] = unicode.ToLower(letters[i])
	}
	return string(letters)
}

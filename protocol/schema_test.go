package protocol_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"centrifugo/clientpb"
	. "centrifugo/protocol"
	. "centrifugo/protocol/clientcodec"
)

// schema compiles client.proto.
func schema(t *testing.T) protoreflect.MessageDescriptors {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := compiler.Compile(t.Context(), "client.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Messages()
}

// dynamicOf decodes message by the schema alone and checks that the schema
// knows all of it.
func dynamicOf(t *testing.T, messages protoreflect.MessageDescriptors, name protoreflect.Name, message []byte) protoreflect.Message {
	t.Helper()
	descriptor := messages.ByName(name)
	if descriptor == nil {
		t.Fatalf("the schema has no message %s; want one", name)
	}
	dynamic := dynamicpb.NewMessage(descriptor)
	if err := proto.Unmarshal(message, dynamic); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return dynamic
}

// TestSchemaCommands checks both ways against descriptors built from
// client.proto: our bytes decode there to the same values under the same
// names, and theirs decode here.
func TestSchemaCommands(t *testing.T) {
	messages := schema(t)
	for _, s := range commandSamples() {
		wireForm(FormatProtobuf, s.message)
		message, err := AppendCommand(nil, FormatProtobuf, s.message)
		if err != nil {
			t.Fatal(err)
		}
		dynamic := dynamicOf(t, messages, "Command", message)
		compare(t, s.name, reflect.ValueOf(s.message).Elem(), dynamic)
		got := Command{}
		d := NewDecoder(FormatProtobuf, AppendBatch(nil, FormatProtobuf, []*Encoded{{Bytes: theirs(t, dynamic)}}), Limits{})
		if err := d.Next(&got); err != nil || !reflect.DeepEqual(&got, s.message) {
			t.Errorf("%s: theirs decoded to %s, %v; want %s", s.name, dump(&got), err, dump(s.message))
		}
	}
}

func TestSchemaReplies(t *testing.T) {
	messages := schema(t)
	for _, s := range replySamples() {
		wireForm(FormatProtobuf, s.message)
		message := encoded(t, FormatProtobuf, s.message)
		if s.message.Push != nil && s.message.Push.ID > 0 {
			s.message.Push.Channel = ""
		}
		dynamic := dynamicOf(t, messages, "Reply", message)
		compare(t, s.name, reflect.ValueOf(s.message).Elem(), dynamic)
		got, err := DecodeReply(FormatProtobuf, theirs(t, dynamic))
		if err != nil || !reflect.DeepEqual(got, s.message) {
			t.Errorf("%s: theirs decoded to %s, %v; want %s", s.name, dump(got), err, dump(s.message))
		}
	}
}

// TestSchemaEnvelopeV1 checks the envelope of the first generation; what is in
// it is the same in both.
func TestSchemaEnvelopeV1(t *testing.T) {
	const f = FormatProtobuf | FormatV1
	messages := schema(t)
	command, err := AppendCommand(nil, f, &Command{ID: 3, Publish: &PublishRequest{Channel: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	dynamic := dynamicOf(t, messages, "CommandV1", command)
	if method := field(dynamic, "method").Enum(); method != 3 {
		t.Errorf("method %d; want 3", method)
	}
	if params := field(dynamic, "params").Bytes(); string(params) != "\x0a\x01c" {
		t.Errorf("params %x; want \"\\x0a\\x01c\"", params)
	}
	reply := encoded(t, f, &Reply{Push: &Push{Channel: "c", Leave: &Leave{}}})
	result := field(dynamicOf(t, messages, "ReplyV1", reply), "result").Bytes()
	push := dynamicOf(t, messages, "PushV1", result)
	if typ := field(push, "type").Enum(); typ != 2 || field(push, "channel").String() != "c" {
		t.Errorf("push %v; want typ 2 and \"c\"", push)
	}
	for name, kind := range map[string]MessageKind{"METHOD_V1_": KindConnect, "PUSH_TYPE_V1_": KindPushPublication} {
		values := messages.ByName("CommandV1").Fields().ByName("method").Enum().Values()
		kinds := MethodKinds[:]
		if kind == KindPushPublication {
			values = messages.ByName("PushV1").Fields().ByName("type").Enum().Values()
			kinds = PushTypeKinds[:]
		}
		if values.Len() != len(kinds) {
			t.Errorf("%d values of %s, want %d", values.Len(), name, len(kinds))
		}
		for i, k := range kinds {
			want := name + strings.ToUpper(strings.TrimPrefix(k.String(), "push_"))
			if k == KindPing {
				want = name + "PING"
			}
			if got := string(values.Get(i).Name()); got != want || values.Get(i).Number() != protoreflect.EnumNumber(i) {
				t.Errorf("value %d is %s, want %s", i, got, want)
			}
		}
	}
}

// TestGeneratedCode fails when clientpb was not made from client.proto.
func TestGeneratedCode(t *testing.T) {
	messages := schema(t)
	generated := clientpb.File_client_proto.Messages()
	if messages.Len() != generated.Len() {
		t.Fatalf("generated code has %d messages; want %d, as in the schema: run go generate ./clientpb", generated.Len(), messages.Len())
	}
	for i := range messages.Len() {
		want, got := messages.Get(i).Fields(), generated.Get(i).Fields()
		for j := range max(want.Len(), got.Len()) {
			if j >= want.Len() || j >= got.Len() || want.Get(j).Number() != got.Get(j).Number() || want.Get(j).Name() != got.Get(j).Name() {
				t.Fatalf("generated %s is stale; want it as in the schema: run go generate ./clientpb", messages.Get(i).Name())
			}
		}
	}
}

func field(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(name))
}

func theirs(t *testing.T, m protoreflect.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compare checks that each field of a struct of ours and the field of that
// name in the schema have the same value, and that the schema has no others.
func compare(t *testing.T, path string, ours reflect.Value, dynamic protoreflect.Message) {
	t.Helper()
	if len(dynamic.GetUnknown()) > 0 {
		t.Errorf("%s: bytes that the schema does not know: %x; want 0", path, dynamic.GetUnknown())
	}
	fields := dynamic.Descriptor().Fields()
	seen := 0
	for i := range fields.Len() {
		descriptor := fields.Get(i)
		name := strings.ReplaceAll(string(descriptor.Name()), "_", "")
		value := ours.FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, name) })
		if !value.IsValid() {
			t.Errorf("%s: there is no field for %s; want one, as in the schema", path, descriptor.Name())
			continue
		}
		seen++
		compareValue(t, path+"."+string(descriptor.Name()), value, descriptor, dynamic)
	}
	for i := range ours.NumField() {
		if field := ours.Type().Field(i); field.Name == "UnknownMethod" || field.Type == reflect.TypeFor[*EncodedRange]() {
			seen++
		}
	}
	if seen != ours.NumField() {
		t.Errorf("%s: the schema has %d of the fields; want all %d", path, seen, ours.NumField())
	}
}

func compareValue(t *testing.T, path string, ours reflect.Value, descriptor protoreflect.FieldDescriptor, dynamic protoreflect.Message) {
	t.Helper()
	value := dynamic.Get(descriptor)
	switch {
	case descriptor.IsMap():
		if value.Map().Len() != ours.Len() {
			t.Errorf("%s: %d entries, want %d", path, value.Map().Len(), ours.Len())
		}
		for iter := ours.MapRange(); iter.Next(); {
			entry := value.Map().Get(protoreflect.ValueOfString(iter.Key().String()).MapKey())
			compareScalar(t, path, iter.Value(), entry, descriptor.MapValue())
		}
	case descriptor.IsList():
		if value.List().Len() != ours.Len() {
			t.Fatalf("%s: %d elements, want %d", path, value.List().Len(), ours.Len())
		}
		for i := range ours.Len() {
			compareScalar(t, path, ours.Index(i), value.List().Get(i), descriptor)
		}
	case dynamic.Has(descriptor) == ours.IsZero():
		t.Errorf("%s: set %t, want %t", path, dynamic.Has(descriptor), !ours.IsZero())
	case !ours.IsZero():
		compareScalar(t, path, ours, value, descriptor)
	}
}

func compareScalar(t *testing.T, path string, ours reflect.Value, value protoreflect.Value, descriptor protoreflect.FieldDescriptor) {
	t.Helper()
	same := false
	switch descriptor.Kind() {
	case protoreflect.MessageKind:
		compare(t, path, ours.Elem(), value.Message())
		return
	case protoreflect.BytesKind:
		same = string(ours.Bytes()) == string(value.Bytes())
	case protoreflect.StringKind:
		same = ours.String() == value.String()
	case protoreflect.BoolKind:
		same = ours.Bool() == value.Bool()
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		same = ours.Uint() == value.Uint()
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint64Kind:
		same = ours.Int() == value.Int()
	}
	if !same {
		t.Errorf("%s: %v, want %v", path, value, ours)
	}
}

// TestSchemaKeys checks that a full message has in JSON the names of the
// schema as keys, all of them and in the order of their numbers.
func TestSchemaKeys(t *testing.T) {
	messages := schema(t)
	check := func(name, envelope string, message []byte, kinds []protoreflect.Name) {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(message, &members); err != nil {
			t.Fatal(err)
		}
		for _, kind := range kinds {
			if member, ok := members[string(kind)]; ok {
				descriptor := messages.ByName(protoreflect.Name(envelope)).Fields().ByName(kind)
				if descriptor == nil {
					t.Fatalf("%s: %s has no field %s; want one", name, envelope, kind)
				}
				checkKeys(t, name, member, descriptor.Message())
				return
			}
		}
		t.Errorf("%s: %s has no field of %v; want one", name, message, kinds)
	}
	for _, s := range commandSamples() {
		if strings.HasSuffix(s.name, "full") {
			message, err := AppendCommand(nil, 0, s.message)
			if err != nil {
				t.Fatal(err)
			}
			check(s.name, "Command", message, fieldNames(messages.ByName("Command"), "id"))
		}
	}
	for _, s := range samples[Reply]() {
		if strings.HasSuffix(s.name, "full") {
			check(s.name, "Reply", encoded(t, 0, s.message), fieldNames(messages.ByName("Reply"), "id"))
		}
	}
	for _, s := range samples[Push]() {
		if strings.HasSuffix(s.name, "full") {
			check(s.name, "Push", encoded(t, FormatUni, &Reply{Push: s.message}), fieldNames(messages.ByName("Push"), "id"))
		}
	}
}

func fieldNames(descriptor protoreflect.MessageDescriptor, without ...protoreflect.Name) []protoreflect.Name {
	var names []protoreflect.Name
	for i := range descriptor.Fields().Len() {
		if name := descriptor.Fields().Get(i).Name(); !slices.Contains(without, name) {
			names = append(names, name)
		}
	}
	return names
}

// checkKeys compares the keys of an object with the fields of its message.
func checkKeys(t *testing.T, path string, object json.RawMessage, descriptor protoreflect.MessageDescriptor) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(object)))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	var got []protoreflect.Name
	for decoder.More() {
		key, err := decoder.Token()
		var value json.RawMessage
		if err == nil {
			err = decoder.Decode(&value)
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, protoreflect.Name(key.(string)))
	}
	without := []protoreflect.Name{"prev_data", "exclude_client", "use_delta"} // never sent
	if descriptor.Name() == "Dictionary" {
		without = []protoreflect.Name{"data"} // not in JSON
	}
	want := fieldNames(descriptor, without...)
	if descriptor.Name() == "FilterNode" && len(got) == len(want)-1 {
		want = want[:len(want)-1] // the innermost sample has no nodes
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: keys %v, want %v", path, got, want)
	}
	for _, name := range got {
		if field := descriptor.Fields().ByName(name); field.Kind() == protoreflect.MessageKind && !field.IsMap() && !field.IsList() {
			checkKeys(t, path+"."+string(name), members[string(name)], field.Message())
		}
	}
}

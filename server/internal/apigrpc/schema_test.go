package apigrpc

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"centrifugo/apipb"
	"centrifugo/server/internal/api"
)

// TestSchema compares the schema with the methods of package api: each has a call, a
// number in commands and the same one in replies, and the same fields. Fields of the
// schema that Go lacks are those of features that are not built.
func TestSchema(t *testing.T) {
	calls := service().Methods()
	if got, want := calls.Len(), len(forms())+1; got != want { // Stream beside the methods
		t.Errorf("calls in the schema: got %d; want %d", got, want)
	}
	command, reply := message("Command").Fields(), message("Reply").Fields()
	if command.Len() != len(forms())-1 || reply.Len() != command.Len()+1 { // no batch in a batch; an error in a reply
		t.Errorf("fields: got %d in Command and %d in Reply; want %d and one more", command.Len(), reply.Len(), len(forms())-1)
	}
	for _, f := range forms() {
		call := calls.ByName(protoreflect.Name(f.call))
		compareFields(t, f.request, call.Input())
		if f.bare {
			continue
		}
		if inReply := reply.ByNumber(f.number); inReply == nil || string(inReply.Name()) != f.method.Name {
			t.Errorf("%s: number %d in Command and %v in Reply; want one name", f.method.Name, f.number, inReply)
		}
		envelope := call.Output().Fields()
		if envelope.ByName("error").Number() != responseError || envelope.ByName("result").Number() != responseResult {
			t.Errorf("%s: the envelope has other numbers; want %v and %v", f.call, responseError, responseResult)
		}
	}
}

func compareFields(t *testing.T, s *structure, m protoreflect.MessageDescriptor) {
	t.Helper()
	for i := range m.Fields().Len() {
		if d := m.Fields().Get(i); s.byNumber[d.Number()] == nil {
			t.Errorf("%s is not a field in package api; want one", d.FullName())
		}
	}
}

// FuzzDecode compares the decoder with the Protobuf runtime: what it accepts, the runtime
// accepts, and both read the same.
func FuzzDecode(f *testing.F) {
	for _, m := range []proto.Message{
		&apipb.PublishRequest{Channel: "a", Data: []byte("1"), Tags: map[string]string{"k": "v", "": ""}, Version: 1 << 63, SkipHistory: true},
		&apipb.SubscribeRequest{Channel: "a", ExpireAt: -1, RecoverSince: &apipb.StreamPosition{Offset: 1}, Override: &apipb.SubscribeOptionOverride{Presence: &apipb.BoolValue{}}},
		&apipb.DisconnectRequest{Whitelist: []string{"a", ""}, LabelFilter: &apipb.FilterNode{Nodes: []*apipb.FilterNode{{}, {Op: "or", Vals: []string{"x"}}}}},
		&apipb.HistoryRequest{Limit: -1},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		for i := range forms() {
			f.Add(uint8(i), b)
		}
	}
	f.Fuzz(func(t *testing.T, method uint8, b []byte) {
		form := forms()[int(method)%len(forms())]
		if form.method.Name == api.MethodBatch.Name {
			return // commands are fuzzed apart: Go keeps one of several requests
		}
		request := form.method.NewRequest()
		if new(decoder).message(form.request, b, reflect.ValueOf(request).Elem()) != nil {
			return
		}
		input := service().Methods().ByName(protoreflect.Name(form.call)).Input()
		want, got := dynamicpb.NewMessage(input), dynamicpb.NewMessage(input)
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, want); err != nil {
			t.Fatalf("accepted what the runtime refuses: %v", err)
		}
		if err := proto.Unmarshal(appendMessage(nil, form.request, reflect.ValueOf(request).Elem()), got); err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if !proto.Equal(got, want) {
			t.Errorf("got %v; want %v", got, want)
		}
	})
}

// FuzzCommand decodes commands, which must not panic nor allocate without bound.
func FuzzCommand(f *testing.F) {
	b, err := proto.Marshal(&apipb.Command{Publish: &apipb.PublishRequest{Channel: "a"}, Info: &apipb.InfoRequest{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		command, err := new(decoder).command(b)
		if err == nil && (command.Method == nil) != (command.Request == nil) {
			t.Errorf("got method %v with request %v; want both or none", command.Method, command.Request)
		}
	})
}

// TestDecodeBounds refuses messages that take far more memory than bytes.
func TestDecodeBounds(t *testing.T) {
	deep := []byte{}
	for range maxDepth + 1 {
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 6, protowire.BytesType), deep) // FilterNode.nodes
	}
	wide := protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), make([]byte, 0))
	many := make([]byte, 0, 3*api.MaxCommands)
	for range api.MaxCommands + 1 {
		many = append(many, 6<<3|2, 0)
	}
	commands := make([]byte, 0, 3*api.MaxCommands)
	for range api.MaxCommands + 1 {
		commands = append(commands, 1<<3|2, 0)
	}
	filter := func(nodes []byte) []byte { // Refresh.label_filter
		return protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), nodes)
	}
	for name, test := range map[string]struct {
		method *api.Method
		body   []byte
		ok     bool
	}{
		"a filter":          {&api.MethodRefresh.Method, wide, true},
		"deep filters":      {&api.MethodRefresh.Method, filter(deep), false},
		"too many nodes":    {&api.MethodRefresh.Method, filter(many), false},
		"too many commands": {&api.MethodBatch.Method, commands, false},
		"nearly too many":   {&api.MethodBatch.Method, commands[2:], true},
	} {
		form := replyForms()[test.method.Name]
		err := new(decoder).message(form.request, test.body, reflect.ValueOf(test.method.NewRequest()).Elem())
		if (err == nil) != test.ok {
			t.Errorf("%s: got %v; want accepted: %v", name, err, test.ok)
		}
	}
}

// TestFirstRequestCounts: of several requests in a command, the first in the table of
// methods is executed, in whatever order they are sent.
func TestFirstRequestCounts(t *testing.T) {
	info, _ := proto.Marshal(&apipb.Command{Info: &apipb.InfoRequest{}})
	publish, _ := proto.Marshal(&apipb.Command{Publish: &apipb.PublishRequest{Channel: "a"}})
	for _, b := range [][]byte{append(info[:len(info):len(info)], publish...), append(publish[:len(publish):len(publish)], info...)} {
		command, err := new(decoder).command(b)
		if err != nil || command.Method != &api.MethodPublish.Method {
			t.Errorf("got %v, %v; want publish", command, err)
		}
	}
}

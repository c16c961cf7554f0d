package clientpb_test

import (
	"testing"

	"centrifugo/clientpb"
	"centrifugo/clientpb/v1pb"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestGenerated fails when a schema was changed and go generate was not run.
func TestGenerated(t *testing.T) {
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{ImportPaths: []string{"../protocol", ".", "v1pb"}}}
	for _, generated := range []protoreflect.FileDescriptor{
		clientpb.File_client_proto, clientpb.File_stream_proto, clientpb.File_unistream_proto, v1pb.File_v1_proto,
	} {
		files, err := compiler.Compile(t.Context(), generated.Path())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := protodesc.ToFileDescriptorProto(generated), protodesc.ToFileDescriptorProto(files[0]); !proto.Equal(got, want) {
			t.Errorf("the generated code is stale; want that of %s: run go generate ./clientpb/...", generated.Path())
		}
	}
}

// TestV1Schema: the messages and numbers of V1 are those of protocol/client.proto, which has
// them under other names.
func TestV1Schema(t *testing.T) {
	all := clientpb.File_client_proto
	for name, other := range map[protoreflect.Name]protoreflect.Name{"Command": "CommandV1", "Reply": "ReplyV1", "Push": "PushV1"} {
		got, want := v1pb.File_v1_proto.Messages().ByName(name).Fields(), all.Messages().ByName(other).Fields()
		if got.Len() != want.Len() {
			t.Errorf("%s has %d fields; want %d", name, got.Len(), want.Len())
			continue
		}
		for i := range want.Len() {
			if g, w := got.Get(i), want.Get(i); g.Name() != w.Name() || g.Number() != w.Number() || g.Kind() != w.Kind() {
				t.Errorf("field %d of %s is %s = %d, %s; want %s = %d, %s", i, name, g.Name(), g.Number(), g.Kind(), w.Name(), w.Number(), w.Kind())
			}
		}
	}
	for name, other := range map[protoreflect.Name]protoreflect.Name{"MethodType": "MethodV1", "PushType": "PushTypeV1"} {
		if got, want := v1pb.File_v1_proto.Enums().ByName(name).Values().Len(), all.Enums().ByName(other).Values().Len(); got != want {
			t.Errorf("%s has %d values; want %d", name, got, want)
		}
	}
}

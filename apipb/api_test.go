package apipb

import (
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
)

// TestGenerated fails when api.proto was changed and `go generate ./apipb` was not run.
func TestGenerated(t *testing.T) {
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := compiler.Compile(t.Context(), "api.proto")
	if err != nil {
		t.Fatal(err)
	}
	got, want := protodesc.ToFileDescriptorProto(File_api_proto), protodesc.ToFileDescriptorProto(files[0])
	if !proto.Equal(got, want) {
		t.Error("the generated code is stale; want that of api.proto: run go generate ./apipb")
	}
}

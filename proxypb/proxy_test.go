package proxypb

import (
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
)

// TestGenerated fails when proxy.proto was changed and `go generate ./proxypb` was not run.
func TestGenerated(t *testing.T) {
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := compiler.Compile(t.Context(), "proxy.proto")
	if err != nil {
		t.Fatal(err)
	}
	got, want := protodesc.ToFileDescriptorProto(File_proxy_proto), protodesc.ToFileDescriptorProto(files[0])
	if !proto.Equal(got, want) {
		t.Error("the generated code is stale; want that of proxy.proto: run go generate ./proxypb")
	}
}

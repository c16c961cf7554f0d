// Command protogen writes the Go code of Protobuf schemas into the current directory: it
// compiles them and passes them to the two plugins of the Protobuf and gRPC projects, so that
// the binary protoc is not needed.
//
//	go run centrifugo/internal/protogen -I DIRECTORIES SCHEMA...
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// plugins are pinned: the output of another version differs.
var plugins = []string{
	"google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
	"google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
}

func main() {
	log.SetFlags(0)
	directories := flag.String("I", ".", "directories of the schemas, separated by commas")
	flag.Parse()
	if err := run(strings.Split(*directories, ","), flag.Args()); err != nil {
		log.Fatal("protogen: ", err)
	}
}

func run(directories, schemas []string) error {
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: directories},
		SourceInfoMode: protocompile.SourceInfoStandard, // the plugins copy the comments
	}
	files, err := compiler.Compile(context.Background(), schemas...)
	if err != nil {
		return fmt.Errorf("compiling %v: %w", schemas, err)
	}
	parameter := "paths=source_relative"
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: schemas, Parameter: &parameter}
	known := make(map[string]bool)
	for _, file := range files {
		request.ProtoFile = withImports(request.ProtoFile, known, file)
	}
	encoded, err := proto.Marshal(request)
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	for _, plugin := range plugins {
		if err := generate(plugin, encoded); err != nil {
			return fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return nil
}

// withImports appends a file behind those that it imports.
func withImports(to []*descriptorpb.FileDescriptorProto, known map[string]bool, file protoreflect.FileDescriptor) []*descriptorpb.FileDescriptorProto {
	if known[file.Path()] {
		return to
	}
	known[file.Path()] = true
	for i := range file.Imports().Len() {
		to = withImports(to, known, file.Imports().Get(i).FileDescriptor)
	}
	return append(to, protodesc.ToFileDescriptorProto(file))
}

func generate(plugin string, request []byte) error {
	command := exec.Command("go", "run", plugin) //nolint:gosec // one of two constants
	command.Stdin, command.Stderr = bytes.NewReader(request), os.Stderr
	out, err := command.Output()
	if err != nil {
		return err //nolint:wrapcheck // the caller names the plugin
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return fmt.Errorf("decoding the response: %w", err)
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, file := range response.GetFile() {
		if err := os.WriteFile(file.GetName(), []byte(file.GetContent()), 0o644); err != nil { //nolint:gosec // source code
			return err //nolint:wrapcheck // says everything
		}
	}
	return nil
}

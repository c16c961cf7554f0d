package server

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// asFloor makes this test binary the process that serves empty calls over gRPC.
var asFloor = flag.Bool("grpc-floor", false, "answer gRPC calls without looking at them, for BenchmarkWaysIn")

// floorWorkers are as many as the API over gRPC has.
const floorWorkers = 64

// serveFloor answers every publish call with an empty result, until the process is killed. What it costs
// is the price of the gRPC library for one call.
func serveFloor() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, `{"message":"serving","endpoints":["floor"],"address":%q}`+"\n", listener.Addr())
	server := grpc.NewServer(grpc.ForceServerCodecV2(emptyCodec{}), grpc.NumStreamWorkers(floorWorkers))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "centrifugal.centrifugo.api.CentrifugoApi", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Publish", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return nil, decode(nil)
		}}},
	}, nil)
	return server.Serve(listener)
}

// emptyCodec reads nothing and answers with an empty result.
type emptyCodec struct{}

func (emptyCodec) Name() string { return proto.Name }

func (emptyCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

func (emptyCodec) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer("\x12\x00")}, nil
}

package apigrpc

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"centrifugo/apipb"
	"centrifugo/centrifuge"
	"centrifugo/internal/memtest"
)

// publisher returns a function that makes one publish call without the transport of gRPC:
// the key, the request, the API on a node, the response.
func publisher(t testing.TB, channel string) func() {
	t.Helper()
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	r := start(t, node, nil)
	request := &apipb.PublishRequest{Channel: channel, Data: []byte(`{"text":"hello, world"}`)}
	if _, err := r.api.Publish(r.ctx, request); err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"authorization": {"apikey K3y"}})
	handle, codec, data := r.server.method(&forms()[0]), newCodec(), mem.BufferSlice{mem.SliceBuffer(wire)}
	decode := func(v any) error { return codec.Unmarshal(data, v) }
	return func() {
		response, err := handle(r.server, ctx, decode, nil)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := codec.Marshal(response)
		if err != nil {
			t.Fatal(err)
		}
		if got := encoded[0].ReadOnlyData()[0]; got != 0x12 {
			t.Fatalf("the response begins with %#x; want %#x, the tag of a result", got, 0x12)
		}
	}
}

// A whole call, without the transport of gRPC.
func BenchmarkPublish(b *testing.B) {
	for _, bench := range []struct{ name, channel string }{{"usual", "plain"}, {"history", "hist:1"}} {
		b.Run(bench.name, func(b *testing.B) {
			publish := publisher(b, bench.channel)
			b.ReportAllocs()
			for b.Loop() {
				publish()
			}
		})
	}
}

// Allowed are the key, the call, the request, its channel, its data, the publication of the
// node, the result, and the response with the two wrappers that gRPC takes it in.
func TestPublishAllocations(t *testing.T) {
	if memtest.Race {
		t.Skip("the race detector allocates")
	}
	if n := testing.AllocsPerRun(1000, publisher(t, "plain")); n > 10 {
		t.Errorf("a publish call allocates %v times; want at most 10", n)
	}
}

package grpcstream_test

import (
	"context"
	"fmt"
	"net"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/grpcstream"
	"centrifugo/clientpb"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A server for both kinds of connections, and a client that only receives.
func Example() {
	node, err := centrifuge.New(centrifuge.Config{Handlers: centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{
				Credentials:   &centrifuge.Credentials{UserID: "42"},
				Subscriptions: map[string]centrifuge.SubscribeOptions{"news": {}},
			}, nil
		},
	}})
	if err != nil {
		panic(err)
	}
	if err := node.Run(); err != nil {
		panic(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(grpcstream.Codec()), grpc.MaxRecvMsgSize(64<<10))
	grpcstream.NewService(node, grpcstream.Config{}).Register(server)
	grpcstream.NewService(node, grpcstream.Config{Bidirectional: true}).Register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	stream, err := clientpb.NewCentrifugoUniStreamClient(conn).Consume(context.Background(), &clientpb.ConnectRequest{})
	if err != nil {
		panic(err)
	}
	for {
		push, err := stream.Recv()
		if err != nil {
			break // after the disconnect push
		}
		switch {
		case push.GetConnect() != nil:
			if _, err := node.Publish(context.Background(), "news", []byte(`"hello"`), centrifuge.PublishOptions{}); err != nil {
				panic(err)
			}
		case push.GetPub() != nil:
			fmt.Printf("%s: %s\n", push.GetChannel(), push.GetPub().GetData())
			_ = node.Shutdown(context.Background())
		case push.GetDisconnect() != nil:
			fmt.Println(push.GetDisconnect().GetCode(), push.GetDisconnect().GetReason())
		}
	}
	_ = conn.Close()
	server.GracefulStop()
	fmt.Println(<-served)
	// Output:
	// news: "hello"
	// 3001 shutdown
	// <nil>
}

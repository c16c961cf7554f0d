package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/grpcstream"

	"google.golang.org/grpc"
)

// serve runs a node with a channel that can be recovered, and serves bidirectional gRPC.
func serve(t *testing.T) (n *centrifuge.Node, address string, connected chan *centrifuge.Client) {
	t.Helper()
	connected = make(chan *centrifuge.Client, 10)
	n, err := centrifuge.New(centrifuge.Config{
		PingInterval: time.Second, PongTimeout: time.Second / 2, LogLevel: centrifuge.LogNone,
		Handlers: centrifuge.Handlers{
			Connecting: func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
				return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: e.Token}}, nil
			},
			Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
				return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Recovery: true}}, nil
			},
			Subscribed: func(_ context.Context, e centrifuge.SubscribedEvent) { connected <- e.Client },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Run(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(grpcstream.Codec()))
	grpcstream.NewService(n, grpcstream.Config{Bidirectional: true}).Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = n.Shutdown(context.Background())
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return n, listener.Addr().String(), connected
}

// TestClient: the client prints every publication once and in order, though it is
// disconnected twice and has to answer pings; it ends when it is told to stay away.
func TestClient(t *testing.T) {
	n, address, connected := serve(t)
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(t.Context(), address, "u", "news", write)
		_ = write.Close()
	}()
	lines := make(chan string, 100)
	go func() { // the client must not wait for this test, which waits for the client
		defer close(lines)
		for printed := bufio.NewScanner(read); printed.Scan(); {
			lines <- printed.Text()
		}
	}()
	number := 0
	publish := func() {
		t.Helper()
		number++
		options := centrifuge.PublishOptions{HistorySize: 100, HistoryTTL: time.Hour}
		if _, err := n.Publish(t.Context(), "news", fmt.Appendf(nil, "%d", number), options); err != nil {
			t.Fatal(err)
		}
	}
	want := func(first int) {
		t.Helper()
		for ; first <= number; first++ {
			if line := <-lines; line != fmt.Sprint(first) {
				t.Fatalf("printed %q; want %d", line, first)
			}
		}
	}
	wait := func() *centrifuge.Client {
		t.Helper()
		select {
		case client := <-connected:
			return client
		case <-time.After(time.Minute):
			t.Fatal("the client did not subscribe")
			return nil
		}
	}
	client := wait()
	publish()
	want(1)
	for range 2 {
		first := number + 1
		publish()
		client.Disconnect(centrifuge.DisconnectForceReconnect)
		publish() // perhaps while it is away
		client = wait()
		publish()
		want(first)
	}
	client.Disconnect(centrifuge.DisconnectForceNoReconnect)
	var why *advice
	if err := <-ended; !errors.As(err, &why) || why.Code != centrifuge.DisconnectForceNoReconnect.Code || why.Reconnect {
		t.Errorf("run = %v; want the advice of %v", err, centrifuge.DisconnectForceNoReconnect)
	}
}

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/examples/internal/wsclient"
	"centrifugo/protocol"
)

// join connects by name and subscribes to a room.
func join(t *testing.T, node *centrifuge.Node, name, room string) *centrifugetest.Client {
	t.Helper()
	c := centrifugetest.Dial(t.Context(), t, node, 0)
	if r := c.Do(&protocol.Command{Connect: &protocol.ConnectRequest{Data: []byte(`{"name":"` + name + `"}`)}}); r == nil || r.Error != nil {
		t.Fatalf("%s: connect: %+v; want a result", name, r)
	}
	if r := c.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: room}}); r == nil || r.Error != nil {
		t.Fatalf("%s: subscribe: %+v; want a result", name, r)
	}
	return c
}

func TestChat(t *testing.T) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		t.Fatal(err)
	}
	node.Handle(handlers())
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = node.Shutdown(context.Background()) }()
	alice, bob := join(t, node, "alice", "chat:lobby"), join(t, node, "bob", "chat:lobby")
	if r := alice.Do(&protocol.Command{Publish: &protocol.PublishRequest{Channel: "chat:lobby", Data: []byte(`"hello"`)}}); r == nil || r.Error != nil {
		t.Fatalf("publish: %+v; want a result", r)
	}
	for {
		push := bob.Push()
		if push == nil {
			t.Fatal("bob was disconnected; want a push")
		}
		if push.Pub == nil {
			continue // a join
		}
		if string(push.Pub.Data) != `"hello"` || push.Pub.Info == nil || push.Pub.Info.User != "alice" || push.Pub.Offset != 1 {
			t.Errorf("bob got %+v; want Data %q, Info.User \"alice\" and Offset 1", push.Pub, `"hello"`)
		}
		break
	}
	if r := alice.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "admin"}}); r == nil || r.Error == nil || r.Error.Code != 103 {
		t.Errorf("a channel that is no chat: %+v; want Error.Code 103", r)
	}
}

// The program serves its page and a WebSocket, and tells its clients of the end.
func TestRun(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, listener) }()
	url := "http://" + listener.Addr().String()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if text, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(text), "<title>Chat</title>") {
		t.Errorf("page = %.100q, %v; want the chat", text, err)
	}
	c := wsclient.Dial(t, url+"/connection/websocket", nil)
	c.Do(`{"id":1,"connect":{"data":{"name":"alice"}}}`)
	c.Do(`{"id":2,"subscribe":{"channel":"chat:lobby"}}`)
	c.Do(`{"id":3,"publish":{"channel":"chat:lobby","data":"hello"}}`)
	if got := c.Publications(1); got[0] != `"hello"` {
		t.Errorf("publication %s, want \"hello\"", got[0])
	}
	stop()
	if code := c.Closed(); code != 3001 {
		t.Errorf("shutdown: closed with %d, want 3001", code)
	}
	if err := <-ended; err != nil {
		t.Errorf("run = %v, want nil", err)
	}
}

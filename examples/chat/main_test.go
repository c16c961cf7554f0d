package main

import (
	"context"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// join connects by name and subscribes to a room.
func join(t *testing.T, node *centrifuge.Node, name, room string) *centrifugetest.Client {
	t.Helper()
	c := centrifugetest.Dial(t.Context(), t, node, 0)
	if r := c.Do(&protocol.Command{Connect: &protocol.ConnectRequest{Data: []byte(`{"name":"` + name + `"}`)}}); r == nil || r.Error != nil {
		t.Fatalf("%s: connect: %+v", name, r)
	}
	if r := c.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: room}}); r == nil || r.Error != nil {
		t.Fatalf("%s: subscribe: %+v", name, r)
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
		t.Fatalf("publish: %+v", r)
	}
	for {
		push := bob.Push()
		if push == nil {
			t.Fatal("bob was disconnected")
		}
		if push.Pub == nil {
			continue // a join
		}
		if string(push.Pub.Data) != `"hello"` || push.Pub.Info == nil || push.Pub.Info.User != "alice" || push.Pub.Offset != 1 {
			t.Errorf("bob got %+v", push.Pub)
		}
		break
	}
	if r := alice.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "admin"}}); r == nil || r.Error == nil || r.Error.Code != 103 {
		t.Errorf("a channel that is no chat: %+v", r)
	}
}

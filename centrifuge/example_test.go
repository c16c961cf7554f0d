package centrifuge_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// A node, and an application that allows all clients to subscribe and publish. A real
// program passes the connections of a transport to the node, for example with
// websocket.NewHandler. The connection of this example is in memory.
func Example() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		panic(err)
	}
	node.Handle(centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "42"}}, nil
		},
		Subscribe: func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			if e.Channel == "secret" {
				return centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied
			}
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Recovery: true}}, nil
		},
		Publish: func(context.Context, centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
			return centrifuge.PublishReply{Options: centrifuge.PublishOptions{HistorySize: 100, HistoryTTL: time.Minute}}, nil
		},
		Disconnected: func(_ context.Context, e centrifuge.DisconnectedEvent) {
			fmt.Println(e.Client.UserID(), "has left:", e.Disconnect.Reason)
		},
	})
	if err := node.Run(); err != nil {
		panic(err)
	}

	t := &testing.T{} // stands for the test that centrifugetest is made for
	client := centrifugetest.Connect(context.Background(), t, node, protocol.Format(0), "42")
	fmt.Println(client.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "secret"}}).Error.Message)
	client.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "chat"}})
	result, err := node.Publish(context.Background(), "chat", []byte(`{"text":"hello"}`),
		centrifuge.PublishOptions{HistorySize: 100, HistoryTTL: time.Minute})
	if err != nil {
		panic(err)
	}
	pub := client.Push().Pub
	fmt.Println(string(pub.Data), pub.Offset == result.Offset)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := node.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output:
	// permission denied
	// {"text":"hello"} true
	// 42 has left: shutdown
}

// visits is an application's own state of a connection.
type visits struct{ rpcs atomic.Int64 }

type visitsKey struct{}

// Middleware identifies a connection, and gives it state of the application, before the
// transport accepts it. Handlers find both on the client.
func ExampleSetCredentials() {
	node, stop := exampleNode(centrifuge.Handlers{
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			state, ok := e.Client.Context().Value(visitsKey{}).(*visits)
			if !ok {
				return centrifuge.RPCReply{}, centrifuge.ErrorUnauthorized
			}
			return centrifuge.RPCReply{Data: fmt.Appendf(nil, `{"user":%q,"rpcs":%d}`, e.Client.UserID(), state.rpcs.Add(1))}, nil
		},
	})
	defer stop()

	ctx := centrifuge.SetCredentials(context.Background(), &centrifuge.Credentials{UserID: "42"})
	ctx = context.WithValue(ctx, visitsKey{}, new(visits))
	client := centrifugetest.Dial(ctx, &testing.T{}, node, protocol.Format(0)) // a transport does it
	client.Do(&protocol.Command{Connect: &protocol.ConnectRequest{}})
	for range 2 {
		reply := client.Do(&protocol.Command{RPC: &protocol.RPCRequest{Method: "count"}})
		fmt.Println(string(reply.RPC.Data))
	}
	// Output:
	// {"user":"42","rpcs":1}
	// {"user":"42","rpcs":2}
}

// The embedder gets log entries, and decides what becomes of them.
func ExampleLogHandler() {
	node, err := centrifuge.New(centrifuge.Config{
		LogHandler: func(e centrifuge.LogEntry) {
			fmt.Println(e.Level == centrifuge.LogInfo, e.Message, e.Fields["error"])
		},
	})
	if err != nil {
		panic(err)
	}
	if err := node.Run(); err != nil {
		panic(err)
	}
	client := centrifugetest.Dial(context.Background(), &testing.T{}, node, protocol.Format(0))
	client.SendRaw([]byte(`{"id":`))
	fmt.Println(client.Closed().Reason)
	if err := node.Shutdown(context.Background()); err != nil {
		panic(err)
	}
	// Output:
	// true malformed command malformed message
	// bad request
}

func ExampleSlogHandler() {
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	handler := centrifuge.SlogHandler(slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
	handler(centrifuge.LogEntry{Level: centrifuge.LogWarn, Message: "renewing presence", Fields: map[string]any{"channel": "news"}})
	handler(centrifuge.LogEntry{Level: centrifuge.LogDebug, Message: "below the level of this logger"})
	// Output:
	// level=WARN msg="renewing presence" channel=news
}

// TestSlogLevels: each level of the library has one of slog's.
func TestSlogLevels(t *testing.T) {
	for level, want := range map[centrifuge.LogLevel]string{
		centrifuge.LogTrace: "DEBUG-4", centrifuge.LogDebug: "DEBUG", centrifuge.LogInfo: "INFO",
		centrifuge.LogWarn: "WARN", centrifuge.LogError: "ERROR",
	} {
		var out bytes.Buffer
		handler := centrifuge.SlogHandler(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug - 4})))
		handler(centrifuge.LogEntry{Level: level, Message: "m"})
		if !bytes.Contains(out.Bytes(), []byte("level="+want+" ")) {
			t.Errorf("level %d is logged as %s; want %q in it", level, out.String(), "level="+want+" ")
		}
	}
}

// exampleNode runs a node for an example. Its connections are of the user whom
// exampleConnect names.
func exampleNode(handlers centrifuge.Handlers) (node *centrifuge.Node, stop func()) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		panic(err)
	}
	node.Handle(handlers)
	if err := node.Run(); err != nil {
		panic(err)
	}
	return node, func() { _ = node.Shutdown(context.Background()) }
}

// exampleConnect connects a client in memory, where a program has a transport.
func exampleConnect(node *centrifuge.Node, user string) *centrifugetest.Client {
	return centrifugetest.Connect(context.Background(), &testing.T{}, node, protocol.Format(0), user)
}

// Patterns of channels whose segments begin behind a colon: a subscriber of shop:order.*
// gets what is published to shop:order.17, and is told the channel. The publisher's own
// connection is left out.
func ExampleConfig_patternPrefix() {
	node, err := centrifuge.New(centrifuge.Config{
		PatternPrefix: func(channel string) (length int, ok bool) {
			at := strings.Index(channel, ":")
			return at + 1, at >= 0
		},
		Handlers: centrifuge.Handlers{Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Slow: centrifuge.SlowDropOldest}}, nil
		}},
	})
	if err != nil {
		panic(err)
	}
	if err := node.Run(); err != nil {
		panic(err)
	}
	t := &testing.T{} // stands for the test that centrifugetest is made for
	client := centrifugetest.Connect(context.Background(), t, node, protocol.Format(0), "42")
	client.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "shop:order.*"}})
	for _, opts := range []centrifuge.PublishOptions{{ExcludeClient: client.Client().ID()}, {}} {
		if _, err := node.Publish(context.Background(), "shop:order.17", []byte(`{"paid":true}`), opts); err != nil {
			panic(err)
		}
	}
	push := client.Push()
	fmt.Println(push.Channel, push.Pub.Channel, string(push.Pub.Data))

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := node.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: shop:order.* shop:order.17 {"paid":true}
}

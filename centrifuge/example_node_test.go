package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/centrifuge/transport/websocket"
	"centrifugo/protocol"
)

// quickStart is the quick start of the package's documentation; TestQuickStart compares
// them. It takes what the packages log and net/http do there as parameters.
func quickStart(log fakeLog, http fakeHTTP) *centrifuge.Node {
	// quick start
	node, err := centrifuge.New(centrifuge.Config{Handlers: centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "42"}}, nil
		},
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Recovery: true}}, nil
		},
	}})
	if err != nil {
		log.Fatal(err)
	}
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	handler := websocket.NewHandler(node, websocket.Config{})
	http.Handle("/connection/websocket", handler)
	go func() { log.Print(http.ListenAndServe("127.0.0.1:8000", nil)) }()

	_, err = node.Publish(context.Background(), "news", []byte(`"hello"`), centrifuge.PublishOptions{
		HistorySize: 100, HistoryTTL: 10 * time.Minute,
	})
	if err != nil {
		log.Print(err)
	}
	// end of quick start
	return node
}

// fakeLog fails the test with what would be logged.
type fakeLog struct{ t *testing.T }

func (l fakeLog) Fatal(v ...any) { l.t.Fatal(v...) }

// Print is called from another goroutine too.
func (l fakeLog) Print(v ...any) {
	if len(v) != 1 || v[0] != error(nil) {
		l.t.Error(v...)
	}
}

// fakeHTTP has the functions of net/http that register and serve, without a port.
type fakeHTTP struct{ mux *http.ServeMux }

func (h fakeHTTP) Handle(pattern string, handler http.Handler)         { h.mux.Handle(pattern, handler) }
func (h fakeHTTP) ListenAndServe(address string, _ http.Handler) error { return nil }

// TestQuickStart: the quick start of the package's documentation is code that compiles,
// and does what the text says.
func TestQuickStart(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	must(t, err)
	source, err := os.ReadFile("example_node_test.go")
	must(t, err)
	var inDoc []string
	_, text, _ := strings.Cut(string(doc), "# Quick start")
	text, _, _ = strings.Cut(text, "// An application makes")
	for line := range strings.Lines(text) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok {
			inDoc = append(inDoc, strings.TrimRight(code, "\n"))
		} else if len(inDoc) > 0 {
			inDoc = append(inDoc, "") // an empty line of the code, or the end
		}
	}
	_, code, _ := strings.Cut(string(source), "\t// quick start\n")
	code, _, _ = strings.Cut(code, "\t// end of quick start\n")
	var inSource []string
	for line := range strings.Lines(code) {
		inSource = append(inSource, strings.TrimPrefix(strings.TrimRight(line, "\n"), "\t"))
	}
	if got, want := strings.TrimSpace(strings.Join(inDoc, "\n")), strings.TrimSpace(strings.Join(inSource, "\n")); got != want || got == "" {
		t.Errorf("the quick start of doc.go is\n%s\nwant that of this file:\n%s", got, want)
	}

	h := fakeHTTP{http.NewServeMux()}
	node := quickStart(fakeLog{t}, h)
	client := centrifugetest.Connect(t.Context(), t, node, jsonV2, "")
	reply := client.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "news", Recover: true}})
	if reply == nil || reply.Subscribe == nil || !reply.Subscribe.Recoverable || client.Client().UserID() != "42" {
		t.Errorf("subscribing as %q: got %+v, want a recoverable subscription of 42", client.Client().UserID(), reply)
	}
	answer := httptest.NewRecorder()
	h.mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/connection/websocket", nil))
	if answer.Code != http.StatusUpgradeRequired {
		t.Errorf("the endpoint of WebSockets answers %d, want %d to a request without an upgrade", answer.Code, http.StatusUpgradeRequired)
	}
	must(t, node.Shutdown(t.Context()))
}

func ExampleNew() {
	_, err := centrifuge.New(centrifuge.Config{PingInterval: 10 * time.Second, PongTimeout: 20 * time.Second})
	fmt.Println(err)
	node, err := centrifuge.New(centrifuge.Config{Name: "first", PingInterval: 10 * time.Second, PongTimeout: 3 * time.Second})
	fmt.Println(node.ID() != "", err)
	// Output:
	// pong timeout (20s) must be less than ping interval (10s)
	// true <nil>
}

// Handlers that need the node are set between New and Run.
func ExampleNode_Handle() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		panic(err)
	}
	err = node.Handle(centrifuge.Handlers{
		RPC: func(ctx context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			stats, err := node.PresenceStats(ctx, "room")
			return centrifuge.RPCReply{Data: fmt.Append(nil, stats.NumUsers)}, err
		},
	})
	if err != nil {
		panic(err)
	}
	if err := node.Run(); err != nil {
		panic(err)
	}
	defer func() { _ = node.Shutdown(context.Background()) }()
	fmt.Println(node.Handle(centrifuge.Handlers{}) == centrifuge.ErrStarted)
	reply := exampleConnect(node, "42").Do(&protocol.Command{RPC: &protocol.RPCRequest{}})
	fmt.Println(string(reply.RPC.Data))
	// Output:
	// true
	// 0
}

func ExampleNode_Run() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		panic(err)
	}
	_, err = node.Publish(context.Background(), "news", []byte(`1`), centrifuge.PublishOptions{})
	fmt.Println(err)
	if err := node.Run(); err != nil {
		panic(err)
	}
	_, err = node.Publish(context.Background(), "news", []byte(`1`), centrifuge.PublishOptions{})
	fmt.Println(err)
	_ = node.Shutdown(context.Background())
	// Output:
	// node is not running: call Run first
	// <nil>
}

// outlet is a transport of an application of its own: it keeps what the node writes.
type outlet struct{ written chan string }

// Info implements centrifuge.Transport.
func (outlet) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{Name: "outlet", Generation: centrifuge.GenerationV2}
}

// Write implements centrifuge.Transport.
func (p outlet) Write(_ context.Context, batch []*protocol.Encoded) (pending int, err error) {
	for _, message := range batch {
		p.written <- string(message.Bytes)
	}
	return 0, nil
}

// Ping implements centrifuge.Transport.
func (outlet) Ping() error { return nil }

// Resume implements centrifuge.Transport.
func (outlet) Resume() {}

// Close implements centrifuge.Transport.
func (p outlet) Close(code uint32, reason string) { p.written <- fmt.Sprint(code, " ", reason) }

// A transport passes itself to Accept, and what it receives to the connection.
func ExampleNode_Accept() {
	node, stop := exampleNode(centrifuge.Handlers{
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: e.Data}, nil
		},
	})
	defer stop()
	ctx := centrifuge.SetCredentials(context.Background(), &centrifuge.Credentials{UserID: "42"})
	transport := outlet{make(chan string, 8)}
	conn, err := node.Accept(ctx, transport)
	if err != nil {
		panic(err)
	}
	conn.Receive([]byte(`{"id":1,"connect":{}}`))
	<-transport.written
	conn.Receive([]byte(`{"id":2,"rpc":{"data":"ping"}}`))
	fmt.Println(<-transport.written)
	conn.Client().Disconnect(centrifuge.DisconnectForceNoReconnect)
	fmt.Println(<-transport.written)
	// Output:
	// {"id":2,"rpc":{"data":"ping"}}
	// 3503 force disconnect
}

func ExampleNode_Publish() {
	node, stop := exampleNode(centrifuge.Handlers{})
	defer stop()
	opts := centrifuge.PublishOptions{HistorySize: 10, HistoryTTL: time.Minute, IdempotencyKey: "order 7"}
	for range 2 { // the second is a repeat, and publishes nothing
		result, err := node.Publish(context.Background(), "orders", []byte(`{"id":7}`), opts)
		fmt.Println(result.Offset, result.Suppressed, err)
	}
	history, err := node.History(context.Background(), "orders", centrifuge.HistoryOptions{Limit: -1})
	fmt.Println(len(history.Publications), err)
	// Output:
	// 1  <nil>
	// 1 idempotency <nil>
	// 1 <nil>
}

// A reader goes through a stream page by page.
func ExampleNode_History() {
	node, stop := exampleNode(centrifuge.Handlers{})
	defer stop()
	ctx := context.Background()
	for i := range 5 {
		opts := centrifuge.PublishOptions{HistorySize: 10, HistoryTTL: time.Minute}
		if _, err := node.Publish(ctx, "log", fmt.Append(nil, i), opts); err != nil {
			panic(err)
		}
	}
	page := centrifuge.HistoryOptions{Limit: 3}
	for {
		history, err := node.History(ctx, "log", page)
		if err != nil {
			panic(err)
		}
		if len(history.Publications) == 0 {
			break
		}
		var data []string
		for _, publication := range history.Publications {
			data = append(data, string(publication.Data))
			page.Since = &centrifuge.StreamPosition{Offset: publication.Offset, Epoch: history.Epoch}
		}
		fmt.Println(data)
	}
	// Output:
	// [0 1 2]
	// [3 4]
}

func ExampleNode_Subscribe() {
	node, stop := exampleNode(centrifuge.Handlers{})
	defer stop()
	phone, laptop := exampleConnect(node, "42"), exampleConnect(node, "42")
	err := node.Subscribe(context.Background(), centrifuge.Target{User: "42"}, "alerts", centrifuge.SubscribeOptions{Presence: true})
	if err != nil {
		panic(err)
	}
	fmt.Println(phone.Push().Channel, laptop.Push().Channel)
	stats, err := node.PresenceStats(context.Background(), "alerts")
	fmt.Println(stats.NumClients, stats.NumUsers, err)
	// Output:
	// alerts alerts
	// 2 1 <nil>
}

func ExampleNode_Presence() {
	node, stop := exampleNode(centrifuge.Handlers{
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Presence: true, Info: []byte(`{"seat":3}`)}}, nil
		},
	})
	defer stop()
	exampleConnect(node, "42").Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "room"}})
	clients, err := node.Presence(context.Background(), "room")
	if err != nil {
		panic(err)
	}
	for _, info := range clients {
		fmt.Println(info.User, string(info.ChanInfo))
	}
	// Output:
	// 42 {"seat":3}
}

func ExampleNode_Disconnect() {
	node, stop := exampleNode(centrifuge.Handlers{})
	defer stop()
	client := exampleConnect(node, "42")
	err := node.Disconnect(context.Background(), centrifuge.Target{User: "42"}, centrifuge.DisconnectForceNoReconnect)
	fmt.Println(client.Closed().Code, err)
	// Output:
	// 3503 <nil>
}

func ExampleNode_Channels() {
	node, stop := exampleNode(centrifuge.Handlers{
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{}, nil
		},
	})
	defer stop()
	for _, channel := range []string{"room1", "room2", "news"} {
		exampleConnect(node, "42").Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: channel}})
	}
	channels, err := node.Channels(context.Background(), "room*")
	fmt.Println(len(channels), channels["room1"].Clients, err)
	// Output:
	// 2 1 <nil>
}

// Shutdown tells clients to connect again, to another node, and waits for handlers.
func ExampleNode_Shutdown() {
	node, _ := exampleNode(centrifuge.Handlers{})
	client := exampleConnect(node, "42")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(node.Shutdown(ctx))
	fmt.Println(client.Closed().Code, client.Closed().Reason)
	_, err := node.Publish(ctx, "news", []byte(`1`), centrifuge.PublishOptions{})
	fmt.Println(errors.Is(err, centrifuge.ErrShutdown))
	// Output:
	// <nil>
	// 3001 shutdown
	// true
}

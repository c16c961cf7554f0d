package httpstream_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/httpstream"
)

// HTTP streaming and server-sent events, with the endpoint of their commands, and events for
// clients that need no SDK: a browser's EventSource receives them.
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
	stream := httpstream.NewHandler(node, httpstream.Config{})
	events := httpstream.NewHandler(node, httpstream.Config{Wire: httpstream.Events})
	oneWay := httpstream.NewHandler(node, httpstream.Config{Wire: httpstream.Events, Unidirectional: true})
	mux := http.NewServeMux()
	mux.Handle("/connection/http_stream", stream)
	mux.Handle("/connection/sse", events)
	mux.Handle("/connection/uni_sse", oneWay)
	mux.Handle("/emulation", httpstream.NewEmulation(node, httpstream.Config{}))
	server := httptest.NewServer(mux)

	response, err := server.Client().Get(server.URL + "/connection/uni_sse")
	if err != nil {
		panic(err)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, `data: {"connect":`):
			if _, err := node.Publish(context.Background(), "news", []byte(`"hello"`), centrifuge.PublishOptions{}); err != nil {
				panic(err)
			}
		case strings.Contains(line, `"pub":`):
			fmt.Println(line)
			_ = node.Shutdown(context.Background()) // ends the response
		case strings.Contains(line, `"disconnect":`):
			fmt.Println(line)
		}
	}
	_ = response.Body.Close()
	server.Close()
	for _, handler := range []*httpstream.Handler{stream, events, oneWay} {
		handler.Close()
	}
	// Output:
	// data: {"channel":"news","pub":{"data":"hello"}}
	// data: {"disconnect":{"code":3001,"reason":"shutdown"}}
}

// Command chat is a chat in about a hundred lines: rooms with history, presence
// and recovery, for everyone who gives a name. Open http://127.0.0.1:8080 in two
// tabs.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/websocket"
)

//go:embed index.html
var page []byte

// handlers let everyone chat in channels that begin with "chat:".
func handlers() centrifuge.Handlers {
	return centrifuge.Handlers{
		Connecting: func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			var hello struct {
				Name string `json:"name"`
			}
			if json.Unmarshal(e.Data, &hello) != nil || hello.Name == "" || len(hello.Name) > 30 {
				return centrifuge.ConnectingReply{}, centrifuge.DisconnectPermissionDenied
			}
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: hello.Name}}, nil
		},
		Subscribe: func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			if !strings.HasPrefix(e.Channel, "chat:") {
				return centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied
			}
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{
				Recovery: true, Presence: true, JoinLeave: true, PushJoinLeave: true,
			}}, nil
		},
		Publish: func(_ context.Context, e centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
			if !e.Client.IsSubscribed(e.Channel) {
				return centrifuge.PublishReply{}, centrifuge.ErrorPermissionDenied
			}
			return centrifuge.PublishReply{Options: centrifuge.PublishOptions{HistorySize: 100, HistoryTTL: time.Hour}}, nil
		},
		History: func(context.Context, centrifuge.HistoryEvent) (centrifuge.HistoryReply, error) {
			return centrifuge.HistoryReply{}, nil
		},
	}
}

// run serves until ctx is cancelled. It returns when the clients have been told
// and their connections are closed.
func run(ctx context.Context, listener net.Listener) error {
	node, err := centrifuge.New(centrifuge.Config{HistoryMaxPublications: 100, Handlers: handlers()})
	if err != nil {
		return err
	}
	if err := node.Run(); err != nil {
		return err
	}
	sockets := websocket.NewHandler(node, websocket.Config{})
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", sockets)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = errors.Join(err, node.Shutdown(ctx), sockets.Drain(ctx), server.Shutdown(ctx))
	sockets.Close()
	return err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("open http://%s in two tabs", listener.Addr())
	if err := run(ctx, listener); err != nil {
		log.Fatal(err)
	}
}

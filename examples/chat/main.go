// Command chat is a chat in under a hundred lines: rooms with history, presence
// and recovery, for anybody who gives a name. Open http://127.0.0.1:8080 in two
// tabs.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"log"
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

// handlers let everybody chat in channels that begin with "chat:".
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

func run(ctx context.Context, address string) error {
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
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, _ = node.Shutdown(ctx), server.Shutdown(ctx)
		sockets.Close()
	}()
	log.Printf("open http://%s in two tabs", address)
	return server.ListenAndServe()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log.Print(run(ctx, "127.0.0.1:8080"))
}

// Command routers serves one chat behind net/http, chi or echo: with history and
// recovery, the application's own authentication and log, an HTTP endpoint that
// publishes, and a graceful shutdown.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/websocket"
)

// chat is what every router serves.
type chat struct {
	node    *centrifuge.Node
	sockets *websocket.Handler
}

func newChat(logger *slog.Logger) (*chat, error) {
	node, err := centrifuge.New(centrifuge.Config{LogHandler: centrifuge.SlogHandler(logger), Handlers: handlers(logger)})
	if err != nil {
		return nil, err
	}
	if err := node.Run(); err != nil {
		return nil, err
	}
	return &chat{node, websocket.NewHandler(node, websocket.Config{})}, nil
}

// handlers let every user chat in channels that begin with "chat:".
func handlers(logger *slog.Logger) centrifuge.Handlers {
	return centrifuge.Handlers{
		Connected: func(_ context.Context, e centrifuge.ConnectedEvent) {
			logger.Info("connected", "user", e.Client.UserID(), "client", e.Client.ID())
		},
		Subscribe: func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			if !strings.HasPrefix(e.Channel, "chat:") {
				return centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied
			}
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Recovery: true}}, nil
		},
		History: func(context.Context, centrifuge.HistoryEvent) (centrifuge.HistoryReply, error) {
			return centrifuge.HistoryReply{}, nil // the node reads it
		},
	}
}

// say publishes the body of a request into the channel "chat:" + name. The last
// 100 messages of ten minutes are kept, for newly opened pages and for clients
// that were disconnected.
func (c *chat) say(w http.ResponseWriter, r *http.Request, name string) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	_, err = c.node.Publish(r.Context(), "chat:"+name, data, centrifuge.PublishOptions{HistorySize: 100, HistoryTTL: 10 * time.Minute})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// authenticate refuses requests without a session and tells the node whose the
// others are. A Credentials with Exp, and Handlers.Refresh, would check again
// while the connection lasts: see the example middleware.
func authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("session")
		user, ok := "", false
		if err == nil {
			user, ok = strings.CutPrefix(cookie.Value, "of-") // your session store
		}
		if !ok {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		ctx := centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: user})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// serve runs until ctx is cancelled. It returns when the clients have been told
// and their connections are closed.
func (c *chat) serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// The node closes WebSocket connections, of which the server knows nothing. Drain waits
	// until the clients have answered.
	err = errors.Join(err, c.node.Shutdown(ctx), c.sockets.Drain(ctx), server.Shutdown(ctx))
	c.sockets.Close()
	return err
}

func main() {
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	router := flag.String("router", "net/http", "net/http, chi or echo")
	flag.Parse()
	handler, ok := routers[*router]
	if !ok {
		log.Fatalf("router %q; there are net/http, chi and echo", *router)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	chat, err := newChat(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	if err := chat.serve(ctx, listener, handler(chat)); err != nil {
		log.Fatal(err)
	}
}

// Command middleware shows authentication by middleware: whatever your web
// server knows of a request, the connection knows.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/websocket"
)

func authMiddleware(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("session")
		if err != nil || cookie.Value != "alexander" { // your session store
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		credentials := &centrifuge.Credentials{
			UserID: "42", Exp: time.Now().Unix() + 600, Info: []byte(`{"name":"Alexander"}`),
		}
		ctx := centrifuge.SetCredentials(r.Context(), credentials)
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// newHandler returns what serves connections, and what ends them.
func newHandler() (http.Handler, func(context.Context) error, error) {
	node, err := centrifuge.New(centrifuge.Config{Handlers: centrifuge.Handlers{
		Subscribe: func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			log.Printf("user %s subscribes to %s", e.Client.UserID(), e.Channel)
			return centrifuge.SubscribeReply{}, nil
		},
		Refresh: func(context.Context, centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
			return centrifuge.RefreshReply{ExpireAt: time.Now().Unix() + 600}, nil // still logged in?
		},
	}})
	if err != nil {
		return nil, nil, err
	}
	if err := node.Run(); err != nil {
		return nil, nil, err
	}
	sockets := websocket.NewHandler(node, websocket.Config{})
	shutdown := func(ctx context.Context) error {
		defer sockets.Close()
		return errors.Join(node.Shutdown(ctx), sockets.Drain(ctx))
	}
	return authMiddleware(sockets), shutdown, nil
}

func main() {
	handler, _, err := newHandler()
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

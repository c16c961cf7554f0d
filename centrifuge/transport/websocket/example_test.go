package websocket_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/websocket"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

func authMiddleware(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		credentials := &centrifuge.Credentials{UserID: "42", Exp: time.Now().Unix() + 600, Info: []byte(`{"name":"Alexander"}`)}
		ctx := centrifuge.SetCredentials(r.Context(), credentials)
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Authentication from middleware: whoever serves the HTTP request knows the
// user, and tells the node by the request's context.
func Example_authMiddleware() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		panic(err)
	}
	node.Handle(centrifuge.Handlers{
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: fmt.Appendf(nil, `{"user":%q,"info":%s}`, e.Client.UserID(), e.Client.Info())}, nil
		},
	})
	if err := node.Run(); err != nil {
		panic(err)
	}
	handler := websocket.NewHandler(node, websocket.Config{})
	server := httptest.NewServer(authMiddleware(handler))
	defer server.Close()

	conn, _, _, err := ws.Dial(context.Background(), "ws"+server.URL[len("http"):])
	if err != nil {
		panic(err)
	}
	if err := wsutil.WriteClientText(conn, []byte("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"rpc\":{\"method\":\"whoami\"}}")); err != nil {
		panic(err)
	}
	var received []byte
	for !bytes.Contains(received, []byte(`"id":2`)) {
		message, err := wsutil.ReadServerText(conn)
		if err != nil {
			panic(err)
		}
		received = append(append(received, message...), '\n')
	}
	fmt.Print(string(received[bytes.Index(received, []byte(`{"id":2`)):]))
	if err := conn.Close(); err != nil {
		panic(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := node.Shutdown(ctx); err != nil {
		panic(err)
	}
	if err := handler.Drain(ctx); err != nil {
		panic(err)
	}
	handler.Close()
	// Output:
	// {"id":2,"rpc":{"data":{"user":"42","info":{"name":"Alexander"}}}}
}

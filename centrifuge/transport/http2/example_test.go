package http2_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/http2"
	"centrifugo/centrifuge/transport/httpstream"
	"centrifugo/centrifuge/transport/websocket"
)

// WebSocket over HTTP/1.1 and HTTP streaming over HTTP/2, on one port with TLS.
func Example() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", websocket.NewHandler(node, websocket.Config{}))
	mux.Handle("/connection/http_stream", httpstream.NewHandler(node, httpstream.Config{}))
	mux.Handle("/emulation", httpstream.NewEmulation(node, httpstream.Config{}))

	certificate, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:8443")
	if err != nil {
		log.Fatal(err)
	}
	listener := tls.NewListener(websocket.Listener(tcp), &tls.Config{
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12,
	})
	overHTTP2 := http2.NewServer(http2.Config{Handler: mux, OnError: func(err error) { log.Print(err) }})
	server := &http.Server{Handler: mux}
	err = server.Serve(overHTTP2.Listener(listener))

	_ = node.Shutdown(context.Background())
	_ = overHTTP2.Shutdown(context.Background())
	overHTTP2.Close()
	if !errors.Is(err, http.ErrServerClosed) {
		log.Print(err)
	}
}

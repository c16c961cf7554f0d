package webtransport_test

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/webtransport"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// A server for WebTransport and for other requests over HTTP/3.
func Example() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	handler := webtransport.NewHandler(node, webtransport.Config{})
	handler.Attach(&http3.Server{Handler: mux})
	mux.Handle("/connection/webtransport", handler)

	settings := &quic.Config{}
	webtransport.EnableQUIC(settings)
	packets, err := net.ListenPacket("udp", ":443")
	if err != nil {
		log.Fatal(err)
	}
	listener, err := quic.ListenEarly(packets, http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}), settings)
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		go func() { _ = handler.ServeQUICConn(conn) }()
	}
}

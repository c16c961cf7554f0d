package http2

import (
	"crypto/tls"
	"net"
	"time"

	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/internal/handshake"
)

// Listener takes the connections of l that choose HTTP/2 for the server: "h2" in the TLS
// handshake or, with Config.Cleartext, the preface of HTTP/2. Accept returns all others: for
// net/http, which serves HTTP/2 itself where a connection cannot be polled. A connection whose
// handshake has failed is returned too, so that net/http logs it. Close closes l; it must be
// called, even if Accept was not.
//
// l must be a listener of package crypto/tls on connections of websocket.Listener, or one of
// package net.
func (s *Server) Listener(l net.Listener) net.Listener {
	return handshake.Listener(l, handshake.Config{Do: s.greet})
}

// greet returns a connection that the server does not serve.
func (s *Server) greet(c net.Conn) net.Conn {
	t, secure := c.(*tls.Conn)
	switch {
	case secure:
		// An error of a deadline means that the connection is closed, which the handshake finds.
		_ = t.SetDeadline(time.Now().Add(s.config.HandshakeTimeout))
		err := t.HandshakeContext(s.config.BaseContext)
		_ = t.SetDeadline(time.Time{})
		if err != nil || t.ConnectionState().NegotiatedProtocol != "h2" {
			return c
		}
	case s.config.Cleartext:
		_ = c.SetReadDeadline(time.Now().Add(s.config.HeaderTimeout))
		begins, err := eventloop.HasPrefix(c, preface)
		_ = c.SetReadDeadline(time.Time{})
		if err != nil {
			_ = c.Close()
			return nil
		}
		if !begins {
			return c
		}
	default:
		return c
	}
	if !s.serve(c) {
		return c
	}
	return nil
}

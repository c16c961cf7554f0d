// Package refuse holds what transports share when they refuse a connection: because of its
// origin, or because the node has not accepted it.
package refuse

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// SameHost is the check of the Origin header that transports make by default: it reports
// whether the header is missing or names the host of the request.
func SameHost(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// Disconnect returns the disconnect for a connection that Node.Accept has refused with err.
// An error that names none is also passed to onError, with the name of the transport.
func Disconnect(err error, transport string, onError func(error)) centrifuge.Disconnect {
	disconnect := centrifuge.DisconnectServerError
	switch {
	case errors.As(err, &disconnect):
	case errors.Is(err, centrifuge.ErrShutdown):
		disconnect = centrifuge.DisconnectShutdown
	default:
		onError(fmt.Errorf("accepting a connection of %s: %w", transport, err))
	}
	return disconnect
}

// Push returns the message that tells a client of a disconnect. The format is one of V2.
func Push(format protocol.Format, d centrifuge.Disconnect) (*protocol.Encoded, error) {
	push := &protocol.Push{Disconnect: &protocol.Disconnect{Code: d.Code, Reason: d.Reason}}
	return protocol.Encode(format, &protocol.Reply{Push: push}) //nolint:wrapcheck // it names the message
}

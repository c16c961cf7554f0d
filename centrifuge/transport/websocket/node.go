package websocket

import (
	"context"

	"centrifugo/centrifuge"
)

// NewHandler returns a Handler that gives its connections to n. Close it after
// n.Shutdown.
func NewHandler(n *centrifuge.Node, config Config) *Handler {
	return newHandler(func(ctx context.Context, t centrifuge.Transport) (session, error) {
		client, err := n.Accept(ctx, t)
		if err != nil {
			return nil, err // a nil *Client must not become a session
		}
		return client, nil
	}, config)
}

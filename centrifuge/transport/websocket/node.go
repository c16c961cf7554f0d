package websocket

import (
	"context"

	"centrifugo/centrifuge"
)

// NewHandler returns a Handler that gives its connections to n. Close it after
// n.Shutdown.
func NewHandler(n *centrifuge.Node, config Config) *Handler {
	return newHandler(func(ctx context.Context, t centrifuge.Transport) (session, error) {
		conn, err := n.Accept(ctx, t)
		if err != nil {
			return nil, err // a nil *Conn must not become a session
		}
		return nodeSession{conn}, nil
	}, config)
}

// nodeSession is the session of a connection that a node accepted.
type nodeSession struct{ *centrifuge.Conn }

// Disconnect implements session.
func (s nodeSession) Disconnect(d centrifuge.Disconnect) { s.Client().Disconnect(d) }

// Connected implements session.
func (s nodeSession) Connected() bool { return s.Client().Connected() }

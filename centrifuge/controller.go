package centrifuge

import "context"

// Controller carries the nodes' own messages between them: who is alive, and
// the calls that act on a user's connections anywhere in the cluster. A node
// without one is alone. Its methods are safe for concurrent use.
type Controller interface {
	// Start gives the controller its receiver and this node's id; it is called
	// once, before all else.
	Start(nodeID string, h ControlHandler) error
	// PublishControl sends message to one node, or to all when nodeID is empty.
	// Delivery is at most once; the sender gets its own broadcasts too.
	PublishControl(ctx context.Context, nodeID string, message []byte) error
	// Close stops the controller; the handler is not called after it returned.
	Close(ctx context.Context) error
}

// ControlHandler receives control messages, one call at a time. It must not
// keep message.
type ControlHandler func(message []byte)

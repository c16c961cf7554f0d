package centrifuge

import "context"

// Controller carries messages between the nodes of a cluster: announcements that a node
// is alive, calls that act on connections anywhere, surveys and notifications. A node
// without a controller is alone. Its methods are safe for concurrent use.
//
// Delivery is at most once, and messages from one node to another normally arrive in
// their order. A controller that loses, duplicates or reorders messages at times causes
// missing answers and late or repeated actions, and no other fault. A message may be up
// to 68 MiB long; most have less than 1 KiB. They hold user ids and sessions, so the
// connection between nodes must be trusted.
type Controller interface {
	// Start sets the handler and the id of this node. It is called once, before the
	// other methods.
	Start(nodeID string, h ControlHandler) error
	// PublishControl sends message to one node, or to all nodes if nodeID is empty. The
	// sender also receives what it sends to all. A node that does not exist is no error.
	// PublishControl may be called by the handler. It must not keep message.
	PublishControl(ctx context.Context, nodeID string, message []byte) error
	// Close stops the controller. The handler is not called after Close has returned.
	Close(ctx context.Context) error
}

// ControlHandler receives control messages, one call at a time. It returns quickly and
// does not keep message.
type ControlHandler func(message []byte)

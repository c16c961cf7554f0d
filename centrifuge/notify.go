package centrifuge

import (
	"bytes"
	"context"
	"fmt"

	"centrifugo/centrifuge/internal/clusterwire"
)

// Notify calls Handlers.Notification on the node with id toNode, or on every node of
// the cluster, this one included, if toNode is empty. It does not wait for the
// handlers. A notification is lost if the controller loses it, or if 4,096 of them wait
// for the handler of a node. Op is the application's; the prefix "centrifuge." is
// reserved. The error is ErrUnknownNode if toNode is not in the cluster.
func (n *Node) Notify(ctx context.Context, op string, data []byte, toNode string) error {
	if err := checkControl(op, data); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	if err := n.running(); err != nil {
		return err
	}
	if toNode != "" && toNode != n.id && !n.cluster.knows(toNode) {
		return fmt.Errorf("notify: %w %.100q", ErrUnknownNode, toNode)
	}
	n.stats.actions.add(actionNotify)
	m := &controlMessage{Op: clusterwire.OpNotify, From: n.id, Notify: &clusterwire.Notify{Op: op}, Payload: bytes.Clone(data)}
	if toNode != n.id {
		message, err := n.cluster.encode(m)
		if err != nil {
			return err
		}
		if err := n.cluster.publish(ctx, toNode, message); err != nil {
			return err
		}
	}
	if (toNode == "" || toNode == n.id) && n.handlers.Notification != nil && !n.cluster.queues.add(m) {
		return fmt.Errorf("notify: too many notifications wait on this node: %w", ErrorTooManyRequests)
	}
	return nil
}

func (cl *cluster) knows(id string) bool {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	_, known := cl.peers[id]
	return known
}

// notifyHere calls the handler of this node. A panic is logged.
func (n *Node) notifyHere(from, op string, data []byte) {
	if n.handlers.Notification == nil {
		return
	}
	var err error // caught has logged it
	defer n.logger.caught(&err, "handling a notification")
	n.handlers.Notification(n.ctx, NotificationEvent{Op: op, Data: data, FromNode: from})
}

package centrifuge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"centrifugo/centrifuge/internal/clusterwire"
)

// maxDelivered bounds the commands of one session that wait to be processed, in
// bytes. Commands that are delivered cannot be left unread as those of a socket can.
const maxDelivered = 1 << 20

// ErrUnknownSession is returned for a session that has no connection, or one whose
// transport does not have its commands delivered.
var ErrUnknownSession = errors.New("unknown session")

// Deliver hands commands of a client to its connection. It is for transports whose
// client cannot send on the connection itself (TransportInfo.Emulation): the client
// names in each request the node and the session, which it has from its connect reply,
// and the request may reach any node. The session is a secret of the client, and the
// only authorization that is needed.
//
// Data are commands in the format of the connection. To a JSON connection they may also
// be delivered as a JSON string that holds them, so that the caller need not know the
// format. The bound of data is MaxControlData.
//
// Deliver returns nil when the connection has the commands. They are processed in the
// order in which they were delivered: a client that waits for the response to one
// request before it sends the next keeps its order. The replies are sent on the
// connection. Commands that are malformed close the connection, and so do more than 1
// MiB of commands that wait to be processed, with DisconnectTooManyRequests.
//
// Other errors are ErrUnknownNode, ErrUnknownSession, ErrNotRunning, ErrShutdown, and a *SurveyError if
// the node has not answered when ctx is done, or after 10 seconds.
func (n *Node) Deliver(ctx context.Context, nodeID, session string, data []byte) error {
	if err := n.running(); err != nil {
		return err
	}
	switch {
	case len(data) > MaxControlData:
		return ErrControlDataTooLarge
	case session == "" || len(session) > clusterwire.MaxName:
		return ErrUnknownSession
	case nodeID == n.id && n.deliverHere(session, data):
		return nil
	case nodeID == n.id:
		return ErrUnknownSession
	}
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	m := &controlMessage{Op: clusterwire.OpDeliver, Deliver: &clusterwire.Deliver{Session: session}, Payload: data}
	results, missing, err := n.cluster.call(ctx, nodeID, m)
	switch {
	case err != nil:
		return fmt.Errorf("delivering commands: %w", err)
	case len(missing) > 0:
		return fmt.Errorf("delivering commands: %w", incomplete(ctx, missing))
	}
	result, answered := results[nodeID]
	if !answered { // it is shutting down
		return ErrUnknownNode
	}
	return deliveryError(result.Error)
}

func deliveryError(err *Error) error {
	switch {
	case err == nil:
		return nil
	case err.Code == clusterwire.CodeUnknownSession:
		return ErrUnknownSession
	}
	return fmt.Errorf("delivering commands: %w", err)
}

// answerDelivery handles a delivery by another node. It does not block: deliveries are
// in the order in which the controller calls it.
func (cl *cluster) answerDelivery(m *controlMessage) {
	answer := &clusterwire.Answer{}
	if !cl.node.deliverHere(m.Deliver.Session, m.Payload) {
		answer.Error = &clusterwire.Error{Code: clusterwire.CodeUnknownSession, Message: ErrUnknownSession.Error()}
	}
	cl.answer(m, answer, nil)
}

// deliverHere hands commands to a connection of this node, and reports false if there
// is none. It does not block, and the caller may reuse data.
func (n *Node) deliverHere(session string, data []byte) bool {
	c := n.registry.session(session)
	if c == nil || !c.info.Emulation || c.mailbox.ending() {
		return false
	}
	if c.mailbox.backlog()+len(data) > maxDelivered {
		c.disconnect(DisconnectTooManyRequests, &refusal{message: "commands delivered too fast"})
		return true
	}
	if !c.info.Protobuf && len(data) > 0 && data[0] == '"' {
		var commands string
		if err := json.Unmarshal(data, &commands); err != nil {
			c.disconnect(DisconnectBadRequest, &refusal{message: "malformed command", err: err})
			return true
		}
		data = []byte(commands)
	}
	c.receive(data)
	return true
}

package centrifuge

import "centrifugo/protocol"

func (c *Client) handleRPC(request *protocol.RPCRequest) (*protocol.Reply, error) {
	if c.node.handlers.RPC == nil {
		return nil, ErrorNotAvailable
	}
	reply, err := c.node.handlers.RPC(c.Context(), RPCEvent{Client: c, Method: request.Method, Data: request.Data})
	if err != nil {
		return nil, err
	}
	return &protocol.Reply{RPC: &protocol.RPCResult{Data: reply.Data}}, nil
}

// handleSend has no reply, not even an error: without a handler the client is
// told by being disconnected (protocol.md 5.9). V1 ignores that error.
func (c *Client) handleSend(request *protocol.SendRequest) error {
	if c.node.handlers.Message == nil {
		if c.wireFormat().V1() {
			return nil
		}
		return DisconnectNotAvailable
	}
	return c.node.handlers.Message(c.Context(), MessageEvent{Client: c, Data: request.Data})
}

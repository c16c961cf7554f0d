package api

import (
	"context"
	"encoding/json"
)

// RPCRequest calls a method of the server.
type RPCRequest struct {
	Method string          `json:"method" required:"true"`
	Params json.RawMessage `json:"params"`
}

// RPCResult is what the method returned.
type RPCResult struct {
	Data json.RawMessage `json:"data,omitempty"`
}

// rpc answers every method with not found, as a server without methods does
// (server.md 1.4).
func (c call) rpc(_ context.Context, req *RPCRequest) (RPCResult, *Error) {
	if req.Method == "" {
		return RPCResult{}, ErrorBadRequest
	}
	return RPCResult{}, ErrorNotFound
}

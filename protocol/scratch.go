package protocol

// RequestScratch is scratch memory for the most frequent requests, so that
// decoding them does not allocate. A Decoder that uses it overwrites its content
// with each call of Next.
type RequestScratch struct {
	publishRequest   PublishRequest
	subscribeRequest SubscribeRequest
	rpcRequest       RPCRequest
	sendRequest      SendRequest
}

// Reuse makes d decode requests into scratch. Each stays valid until the next
// call of Next.
func (d *Decoder) Reuse(scratch *RequestScratch) { d.scratch = scratch }

func (r *RequestScratch) publish() *PublishRequest {
	if r == nil {
		return new(PublishRequest)
	}
	r.publishRequest = PublishRequest{}
	return &r.publishRequest
}

func (r *RequestScratch) subscribe() *SubscribeRequest {
	if r == nil {
		return new(SubscribeRequest)
	}
	r.subscribeRequest = SubscribeRequest{}
	return &r.subscribeRequest
}

func (r *RequestScratch) rpc() *RPCRequest {
	if r == nil {
		return new(RPCRequest)
	}
	r.rpcRequest = RPCRequest{}
	return &r.rpcRequest
}

func (r *RequestScratch) send() *SendRequest {
	if r == nil {
		return new(SendRequest)
	}
	r.sendRequest = SendRequest{}
	return &r.sendRequest
}

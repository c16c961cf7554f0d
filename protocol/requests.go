package protocol

// Requests is room for the requests that clients send most, so that decoding
// them allocates nothing. A Decoder that was given it overwrites what its last
// Next has put there.
type Requests struct {
	publishRequest   PublishRequest
	subscribeRequest SubscribeRequest
	rpcRequest       RPCRequest
	sendRequest      SendRequest
}

// Reuse makes d put requests into room, each until the next call of Next.
func (d *Decoder) Reuse(room *Requests) { d.room = room }

func (r *Requests) publish() *PublishRequest {
	if r == nil {
		return new(PublishRequest)
	}
	r.publishRequest = PublishRequest{}
	return &r.publishRequest
}

func (r *Requests) subscribe() *SubscribeRequest {
	if r == nil {
		return new(SubscribeRequest)
	}
	r.subscribeRequest = SubscribeRequest{}
	return &r.subscribeRequest
}

func (r *Requests) rpc() *RPCRequest {
	if r == nil {
		return new(RPCRequest)
	}
	r.rpcRequest = RPCRequest{}
	return &r.rpcRequest
}

func (r *Requests) send() *SendRequest {
	if r == nil {
		return new(SendRequest)
	}
	r.sendRequest = SendRequest{}
	return &r.sendRequest
}

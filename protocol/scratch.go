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

// ReplyScratch is scratch memory for a reply with a push, so that a client can
// decode pushes without allocating. A ReplyDecoder that uses it overwrites its
// content with each call of Decode.
type ReplyScratch struct {
	reply    Reply
	contents struct {
		push        Push
		publication Publication
		info        ClientInfo
	}
	// Only the first message of each type uses the scratch memory.
	pushUsed, publicationUsed, infoUsed bool
}

func (r *ReplyScratch) begin() *Reply {
	if r == nil {
		return new(Reply)
	}
	r.reply = Reply{}
	r.pushUsed, r.publicationUsed, r.infoUsed = false, false, false
	return &r.reply
}

func (r *ReplyScratch) push() *Push {
	if r == nil {
		return new(Push)
	}
	return firstOrNew(&r.contents.push, &r.pushUsed)
}

func (r *ReplyScratch) publication() *Publication {
	if r == nil {
		return new(Publication)
	}
	return firstOrNew(&r.contents.publication, &r.publicationUsed)
}

func (r *ReplyScratch) info() *ClientInfo {
	if r == nil {
		return new(ClientInfo)
	}
	return firstOrNew(&r.contents.info, &r.infoUsed)
}

// firstOrNew returns m, emptied, on the first call, and a new message afterwards.
func firstOrNew[T any](m *T, used *bool) *T {
	if *used {
		return new(T)
	}
	var zero T
	*m, *used = zero, true
	return m
}

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

// ReplyRoom is room for a reply with a push, so that a client that gets many of
// them decodes them without allocating. A ReplyDecoder that was given it
// overwrites what its last Decode has put there.
type ReplyRoom struct {
	reply Reply
	parts struct {
		push        Push
		publication Publication
		info        ClientInfo
	}
	// Of a list only the first element finds the room free.
	pushLent, publicationLent, infoLent bool
}

func (r *ReplyRoom) begin() *Reply {
	if r == nil {
		return new(Reply)
	}
	r.reply = Reply{}
	r.pushLent, r.publicationLent, r.infoLent = false, false, false
	return &r.reply
}

func (r *ReplyRoom) push() *Push {
	if r == nil {
		return new(Push)
	}
	return lend(&r.parts.push, &r.pushLent)
}

func (r *ReplyRoom) publication() *Publication {
	if r == nil {
		return new(Publication)
	}
	return lend(&r.parts.publication, &r.publicationLent)
}

func (r *ReplyRoom) info() *ClientInfo {
	if r == nil {
		return new(ClientInfo)
	}
	return lend(&r.parts.info, &r.infoLent)
}

func lend[T any](m *T, lent *bool) *T {
	if *lent {
		return new(T)
	}
	var zero T
	*m, *lent = zero, true
	return m
}

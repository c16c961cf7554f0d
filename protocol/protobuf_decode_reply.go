package protocol

import "google.golang.org/protobuf/encoding/protowire"

// anyReply reads a reply in the generation and direction of d.
func (r *protoReader) anyReply(to *Reply, d ReplyDecoder) {
	switch {
	case d.Format.Uni():
		if p := r.push(); *p != (Push{}) {
			to.Push = p
		}
	case r.v1:
		r.replyV1(to, d)
	default:
		r.reply(to)
	}
}

func (r *protoReader) reply(to *Reply) {
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			to.ID = r.uint32()
		case 2:
			to.Error = r.error()
		case 4:
			to.Push = r.push()
		default:
			r.result(to, kindOfNumber(&resultKinds, r.num))
		}
	}
	r.exit(outer)
}

func (r *protoReader) result(to *Reply, kind MessageKind) {
	switch kind {
	case KindConnect:
		to.Connect = r.connectResult()
	case KindSubscribe:
		to.Subscribe = r.subscribeResult()
	case KindUnsubscribe:
		to.Unsubscribe = r.unsubscribeResult()
	case KindPublish:
		to.Publish = r.publishResult()
	case KindPresence:
		to.Presence = r.presenceResult()
	case KindPresenceStats:
		to.PresenceStats = r.presenceStatsResult()
	case KindHistory:
		to.History = r.historyResult()
	case KindPing:
		to.Ping = r.pingResult()
	case KindRPC:
		to.RPC = r.rpcResult()
	case KindRefresh:
		to.Refresh = r.refreshResult()
	case KindSubRefresh:
		to.SubRefresh = r.subRefreshResult()
	}
}

func (r *protoReader) replyV1(to *Reply, d ReplyDecoder) {
	var result span
	found := false
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			to.ID = r.uint32()
		case 2:
			to.Error = r.error()
		case 3:
			result, found = r.place(), true
		}
	}
	r.exit(outer)
	if r.err != nil {
		return
	}
	kind := d.kindOfResult(to)
	if !found {
		to.setPing(kind)
		return
	}
	r.revisit(result)
	switch {
	case to.ID == 0:
		to.Push = r.push()
	case kind == KindUnknown:
		r.fail(ErrNoForm)
	default:
		r.result(to, kind)
	}
}

func (r *protoReader) push() *Push {
	p := r.replyScratch.push()
	outer := r.enter()
	if r.v1 {
		r.pushV1(p)
		r.exit(outer)
		return p
	}
	for r.field() {
		switch r.num {
		case 1:
			p.ID = int64(r.uint64())
		case 2:
			p.Channel = r.str()
		default:
			r.pushed(p, kindOfNumber(&pushKinds, r.num))
		}
	}
	r.exit(outer)
	return p
}

// pushV1 reads the fields of a push of V1, which has been entered.
func (r *protoReader) pushV1(p *Push) {
	var typ int64
	var data span
	for r.field() {
		switch r.num {
		case 1:
			typ = int64(r.uint64())
		case 2:
			p.Channel = r.str()
		case 3:
			data = r.place()
		}
	}
	if r.err == nil {
		r.revisit(data)
		r.pushed(p, kindOfPushType(typ))
	}
}

// pushed reads the content of a push.
func (r *protoReader) pushed(p *Push, kind MessageKind) {
	switch kind {
	case KindPushPublication:
		p.Pub = r.publication()
	case KindPushJoin:
		p.Join = r.join()
	case KindPushLeave:
		p.Leave = r.leave()
	case KindPushUnsubscribe:
		p.Unsubscribe = r.unsubscribe()
	case KindPushMessage:
		p.Message = r.message()
	case KindPushSubscribe:
		p.Subscribe = r.subscribe()
	case KindPushConnect:
		p.Connect = r.connect()
	case KindPushDisconnect:
		p.Disconnect = r.disconnect()
	case KindPushRefresh:
		p.Refresh = r.refresh()
	}
}

func (r *protoReader) error() *Error {
	m := new(Error)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Code = r.uint32()
		case 2:
			m.Message = r.str()
		case 3:
			m.Temporary = r.bool()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) clientInfo() *ClientInfo {
	m := r.replyScratch.info()
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.User = r.str()
		case 2:
			m.Client = r.str()
		case 3:
			m.ConnInfo = r.raw()
		case 4:
			m.ChanInfo = r.raw()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) publication() *Publication {
	m := r.replyScratch.publication()
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 4:
			m.Data = r.raw()
		case 5:
			m.Info = r.clientInfo()
		case 6:
			m.Offset = r.uint64()
		case 7:
			r.strEntry(&m.Tags)
		case 8:
			m.Delta = r.bool()
		case 9:
			m.Time = int64(r.uint64())
		case 10:
			m.Channel = r.str()
		case 11:
			m.Key = r.str()
		case 12:
			m.Removed = r.bool()
		case 13:
			m.Score = protowire.DecodeZigZag(r.uint64())
		case 14:
			m.Epoch = r.str()
		case 15:
			m.PrevData = r.raw()
		case 16:
			m.Version = r.uint64()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) join() *Join {
	m := new(Join)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Info = r.clientInfo()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) leave() *Leave {
	m := new(Leave)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Info = r.clientInfo()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) unsubscribe() *Unsubscribe {
	m := new(Unsubscribe)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 2:
			m.Code = r.uint32()
		case 3:
			m.Reason = r.str()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) subscribe() *Subscribe {
	m := new(Subscribe)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Recoverable = r.bool()
		case 4:
			m.Epoch = r.str()
		case 5:
			m.Offset = r.uint64()
		case 6:
			m.Positioned = r.bool()
		case 7:
			m.Data = r.raw()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) message() *Message {
	m := new(Message)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Data = r.raw()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) connect() *Connect {
	m := new(Connect)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Client = r.str()
		case 2:
			m.Version = r.str()
		case 3:
			m.Data = r.raw()
		case 4:
			r.subscribeResultEntry(&m.Subs)
		case 5:
			m.Expires = r.bool()
		case 6:
			m.TTL = r.uint32()
		case 7:
			m.Ping = r.uint32()
		case 8:
			m.Pong = r.bool()
		case 9:
			m.Session = r.str()
		case 10:
			m.Node = r.str()
		case 11:
			m.Time = int64(r.uint64())
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) disconnect() *Disconnect {
	m := new(Disconnect)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Code = r.uint32()
		case 2:
			m.Reason = r.str()
		case 3:
			m.Reconnect = r.bool()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) refresh() *Refresh {
	m := new(Refresh)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Expires = r.bool()
		case 2:
			m.TTL = r.uint32()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) connectResult() *ConnectResult {
	m := new(ConnectResult)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Client = r.str()
		case 2:
			m.Version = r.str()
		case 3:
			m.Expires = r.bool()
		case 4:
			m.TTL = r.uint32()
		case 5:
			m.Data = r.raw()
		case 6:
			r.subscribeResultEntry(&m.Subs)
		case 7:
			m.Ping = r.uint32()
		case 8:
			m.Pong = r.bool()
		case 9:
			m.Session = r.str()
		case 10:
			m.Node = r.str()
		case 11:
			m.Time = int64(r.uint64())
		case 12:
			m.Flag = int64(r.uint64())
		case 13:
			m.Dict = r.dictionary()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) dictionary() *Dictionary {
	m := new(Dictionary)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.ID = r.str()
		case 2:
			m.Data = r.raw()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) subscribeResult() *SubscribeResult {
	m := new(SubscribeResult)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Expires = r.bool()
		case 2:
			m.TTL = r.uint32()
		case 3:
			m.Recoverable = r.bool()
		case 6:
			m.Epoch = r.str()
		case 7:
			r.count()
			m.Publications = append(m.Publications, r.publication())
		case 8:
			m.Recovered = r.bool()
		case 9:
			m.Offset = r.uint64()
		case 10:
			m.Positioned = r.bool()
		case 11:
			m.Data = r.raw()
		case 12:
			m.WasRecovering = r.bool()
		case 13:
			m.Delta = r.bool()
		case 14:
			m.ID = int64(r.uint64())
		case 15:
			m.Type = r.int32()
		case 16:
			m.Phase = r.int32()
		case 17:
			m.Cursor = r.str()
		case 18:
			r.count()
			m.State = append(m.State, r.publication())
		case 19:
			m.PublishDebounce = r.uint32()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) unsubscribeResult() *UnsubscribeResult {
	m := new(UnsubscribeResult)
	outer := r.enter()
	r.skipFields()
	r.exit(outer)
	return m
}

func (r *protoReader) publishResult() *PublishResult {
	m := new(PublishResult)
	outer := r.enter()
	r.skipFields()
	r.exit(outer)
	return m
}

func (r *protoReader) presenceResult() *PresenceResult {
	m := new(PresenceResult)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			if m.Presence == nil {
				m.Presence = make(map[string]*ClientInfo)
			}
			k := r.entry()
			m.Presence[k] = r.clientInfo()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) presenceStatsResult() *PresenceStatsResult {
	m := new(PresenceStatsResult)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.NumClients = r.uint32()
		case 2:
			m.NumUsers = r.uint32()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) historyResult() *HistoryResult {
	m := new(HistoryResult)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			r.count()
			m.Publications = append(m.Publications, r.publication())
		case 2:
			m.Epoch = r.str()
		case 3:
			m.Offset = r.uint64()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) pingResult() *PingResult {
	m := new(PingResult)
	outer := r.enter()
	r.skipFields()
	r.exit(outer)
	return m
}

func (r *protoReader) rpcResult() *RPCResult {
	m := new(RPCResult)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Data = r.raw()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) refreshResult() *RefreshResult {
	m := new(RefreshResult)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Client = r.str()
		case 2:
			m.Version = r.str()
		case 3:
			m.Expires = r.bool()
		case 4:
			m.TTL = r.uint32()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) subRefreshResult() *SubRefreshResult {
	m := new(SubRefreshResult)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Expires = r.bool()
		case 2:
			m.TTL = r.uint32()
		case 3:
			r.count()
			m.Items = append(m.Items, r.publication())
		}
	}
	r.exit(outer)
	return m
}

package protocol

import "math"

// anyReply reads a reply in the generation and direction of d.
func (r *jsonReader) anyReply(to *Reply, d ReplyDecoder) {
	switch {
	case d.Format.Uni():
		if p := r.push(); p != nil && *p != (Push{}) {
			to.Push = p
		}
	case r.v1:
		r.replyV1(to, d)
	default:
		r.reply(to)
	}
}

func (r *jsonReader) reply(to *Reply) {
	for ok := r.object(); ok && r.field(); {
		switch string(r.key) {
		case "id":
			to.ID = uint32(r.uint(math.MaxUint32))
		case "error":
			to.Error = r.error()
		case "push":
			to.Push = r.push()
		default:
			if kind := kindOfRequest(r.key); kind != KindUnknown && kind != KindSend {
				r.result(to, kind)
			} else {
				r.unknown()
			}
		}
	}
}

func (r *jsonReader) result(to *Reply, kind MessageKind) {
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

func (r *jsonReader) replyV1(to *Reply, d ReplyDecoder) {
	result := -1
	for ok := r.object(); ok && r.field(); {
		switch string(r.key) {
		case "id":
			to.ID = uint32(r.uint(math.MaxUint32))
		case "error":
			to.Error = r.error()
		case "result":
			r.peek()
			result = r.i
			r.skip()
		default:
			r.unknown()
		}
	}
	if r.err != nil {
		return
	}
	kind := d.kindOfResult(to)
	if result < 0 {
		to.setPing(kind)
		return
	}
	r.i = result
	switch {
	case to.ID == 0:
		to.Push = r.push()
	case kind == KindUnknown:
		r.fail(ErrNoForm)
	default:
		r.result(to, kind)
	}
}

func (r *jsonReader) push() *Push {
	if !r.object() {
		return nil
	}
	p := r.replyScratch.push()
	if r.v1 {
		r.pushV1(p)
		return p
	}
	for r.field() {
		switch string(r.key) {
		case "id":
			p.ID = r.int(math.MaxInt64)
		case "channel":
			p.Channel = r.str()
		default:
			if kind := kindOfPush(r.key); kind != KindUnknown {
				r.pushed(p, kind)
			} else {
				r.unknown()
			}
		}
	}
	return p
}

// pushV1 reads the fields of a push of V1; its object has been entered.
func (r *jsonReader) pushV1(p *Push) {
	typ, data := int64(0), -1
	for r.field() {
		switch string(r.key) {
		case "type":
			typ = r.int(math.MaxInt64)
		case "channel":
			p.Channel = r.str()
		case "data":
			r.peek()
			data = r.i
			r.skip()
		default:
			r.unknown()
		}
	}
	if end := r.i; r.err == nil && data >= 0 {
		r.i = data
		r.pushed(p, kindOfPushType(typ))
		r.i = end
	}
}

// pushed reads the content of a push.
func (r *jsonReader) pushed(p *Push, kind MessageKind) {
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

func (r *jsonReader) error() *Error {
	if !r.object() {
		return nil
	}
	m := new(Error)
	for r.field() {
		switch string(r.key) {
		case "code":
			m.Code = uint32(r.uint(math.MaxUint32))
		case "message":
			m.Message = r.str()
		case "temporary":
			m.Temporary = r.bool()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) clientInfo() *ClientInfo {
	if !r.object() {
		return nil
	}
	m := r.replyScratch.info()
	for r.field() {
		switch string(r.key) {
		case "user":
			m.User = r.str()
		case "client":
			m.Client = r.str()
		case "conn_info":
			m.ConnInfo = r.raw()
		case "chan_info":
			m.ChanInfo = r.raw()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) publication() *Publication {
	if !r.object() {
		return nil
	}
	m := r.replyScratch.publication()
	for r.field() {
		switch string(r.key) {
		case "data":
			m.Data = r.raw()
		case "info":
			m.Info = r.clientInfo()
		case "offset":
			m.Offset = r.uint(math.MaxUint64)
		case "tags":
			m.Tags = r.strMap()
		case "delta":
			m.Delta = r.bool()
		case "time":
			m.Time = r.int(math.MaxInt64)
		case "channel":
			m.Channel = r.str()
		case "key":
			m.Key = r.str()
		case "removed":
			m.Removed = r.bool()
		case "score":
			m.Score = r.int(math.MaxInt64)
		case "epoch":
			m.Epoch = r.str()
		case "prev_data":
			m.PrevData = r.raw()
		case "version":
			m.Version = r.uint(math.MaxUint64)
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) join() *Join {
	if !r.object() {
		return nil
	}
	m := new(Join)
	for r.field() {
		switch string(r.key) {
		case "info":
			m.Info = r.clientInfo()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) leave() *Leave {
	if !r.object() {
		return nil
	}
	m := new(Leave)
	for r.field() {
		switch string(r.key) {
		case "info":
			m.Info = r.clientInfo()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) unsubscribe() *Unsubscribe {
	if !r.object() {
		return nil
	}
	m := new(Unsubscribe)
	for r.field() {
		switch string(r.key) {
		case "code":
			m.Code = uint32(r.uint(math.MaxUint32))
		case "reason":
			m.Reason = r.str()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) subscribe() *Subscribe {
	if !r.object() {
		return nil
	}
	m := new(Subscribe)
	for r.field() {
		switch string(r.key) {
		case "recoverable":
			m.Recoverable = r.bool()
		case "epoch":
			m.Epoch = r.str()
		case "offset":
			m.Offset = r.uint(math.MaxUint64)
		case "positioned":
			m.Positioned = r.bool()
		case "data":
			m.Data = r.raw()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) message() *Message {
	if !r.object() {
		return nil
	}
	m := new(Message)
	for r.field() {
		switch string(r.key) {
		case "data":
			m.Data = r.raw()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) connect() *Connect {
	if !r.object() {
		return nil
	}
	m := new(Connect)
	for r.field() {
		switch string(r.key) {
		case "client":
			m.Client = r.str()
		case "version":
			m.Version = r.str()
		case "data":
			m.Data = r.raw()
		case "subs":
			m.Subs = r.subscribeResults()
		case "expires":
			m.Expires = r.bool()
		case "ttl":
			m.TTL = uint32(r.uint(math.MaxUint32))
		case "ping":
			m.Ping = uint32(r.uint(math.MaxUint32))
		case "pong":
			m.Pong = r.bool()
		case "session":
			m.Session = r.str()
		case "node":
			m.Node = r.str()
		case "time":
			m.Time = r.int(math.MaxInt64)
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) disconnect() *Disconnect {
	if !r.object() {
		return nil
	}
	m := new(Disconnect)
	for r.field() {
		switch string(r.key) {
		case "code":
			m.Code = uint32(r.uint(math.MaxUint32))
		case "reason":
			m.Reason = r.str()
		case "reconnect":
			m.Reconnect = r.bool()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) refresh() *Refresh {
	if !r.object() {
		return nil
	}
	m := new(Refresh)
	for r.field() {
		switch string(r.key) {
		case "expires":
			m.Expires = r.bool()
		case "ttl":
			m.TTL = uint32(r.uint(math.MaxUint32))
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) connectResult() *ConnectResult {
	if !r.object() {
		return nil
	}
	m := new(ConnectResult)
	for r.field() {
		switch string(r.key) {
		case "client":
			m.Client = r.str()
		case "version":
			m.Version = r.str()
		case "expires":
			m.Expires = r.bool()
		case "ttl":
			m.TTL = uint32(r.uint(math.MaxUint32))
		case "data":
			m.Data = r.raw()
		case "subs":
			m.Subs = r.subscribeResults()
		case "ping":
			m.Ping = uint32(r.uint(math.MaxUint32))
		case "pong":
			m.Pong = r.bool()
		case "session":
			m.Session = r.str()
		case "node":
			m.Node = r.str()
		case "time":
			m.Time = r.int(math.MaxInt64)
		case "flag":
			m.Flag = r.int(math.MaxInt64)
		case "dict":
			m.Dict = r.dictionary()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) dictionary() *Dictionary {
	if !r.object() {
		return nil
	}
	m := new(Dictionary)
	for r.field() {
		switch string(r.key) {
		case "id":
			m.ID = r.str()
		case "data_b64":
			m.DataB64 = r.str()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) subscribeResult() *SubscribeResult {
	if !r.object() {
		return nil
	}
	m := new(SubscribeResult)
	for r.field() {
		switch string(r.key) {
		case "expires":
			m.Expires = r.bool()
		case "ttl":
			m.TTL = uint32(r.uint(math.MaxUint32))
		case "recoverable":
			m.Recoverable = r.bool()
		case "epoch":
			m.Epoch = r.str()
		case "publications":
			m.Publications = r.publications()
		case "recovered":
			m.Recovered = r.bool()
		case "offset":
			m.Offset = r.uint(math.MaxUint64)
		case "positioned":
			m.Positioned = r.bool()
		case "data":
			m.Data = r.raw()
		case "was_recovering":
			m.WasRecovering = r.bool()
		case "delta":
			m.Delta = r.bool()
		case "id":
			m.ID = r.int(math.MaxInt64)
		case "type":
			m.Type = int32(r.int(math.MaxInt32))
		case "phase":
			m.Phase = int32(r.int(math.MaxInt32))
		case "cursor":
			m.Cursor = r.str()
		case "state":
			m.State = r.publications()
		case "publish_debounce":
			m.PublishDebounce = uint32(r.uint(math.MaxUint32))
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) unsubscribeResult() *UnsubscribeResult {
	if !r.object() {
		return nil
	}
	m := new(UnsubscribeResult)
	r.skipFields()
	return m
}

func (r *jsonReader) publishResult() *PublishResult {
	if !r.object() {
		return nil
	}
	m := new(PublishResult)
	r.skipFields()
	return m
}

func (r *jsonReader) presenceResult() *PresenceResult {
	if !r.object() {
		return nil
	}
	m := new(PresenceResult)
	for r.field() {
		switch string(r.key) {
		case "presence":
			m.Presence = nil
			for ok := r.object(); ok && r.entry(); {
				if m.Presence == nil {
					m.Presence = make(map[string]*ClientInfo)
				}
				k := string(r.key)
				m.Presence[k] = orNew(r.clientInfo())
			}
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) presenceStatsResult() *PresenceStatsResult {
	if !r.object() {
		return nil
	}
	m := new(PresenceStatsResult)
	for r.field() {
		switch string(r.key) {
		case "num_clients":
			m.NumClients = uint32(r.uint(math.MaxUint32))
		case "num_users":
			m.NumUsers = uint32(r.uint(math.MaxUint32))
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) historyResult() *HistoryResult {
	if !r.object() {
		return nil
	}
	m := new(HistoryResult)
	for r.field() {
		switch string(r.key) {
		case "publications":
			m.Publications = r.publications()
		case "epoch":
			m.Epoch = r.str()
		case "offset":
			m.Offset = r.uint(math.MaxUint64)
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) pingResult() *PingResult {
	if !r.object() {
		return nil
	}
	m := new(PingResult)
	r.skipFields()
	return m
}

func (r *jsonReader) rpcResult() *RPCResult {
	if !r.object() {
		return nil
	}
	m := new(RPCResult)
	for r.field() {
		switch string(r.key) {
		case "data":
			m.Data = r.raw()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) refreshResult() *RefreshResult {
	if !r.object() {
		return nil
	}
	m := new(RefreshResult)
	for r.field() {
		switch string(r.key) {
		case "client":
			m.Client = r.str()
		case "version":
			m.Version = r.str()
		case "expires":
			m.Expires = r.bool()
		case "ttl":
			m.TTL = uint32(r.uint(math.MaxUint32))
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) subRefreshResult() *SubRefreshResult {
	if !r.object() {
		return nil
	}
	m := new(SubRefreshResult)
	for r.field() {
		switch string(r.key) {
		case "expires":
			m.Expires = r.bool()
		case "ttl":
			m.TTL = uint32(r.uint(math.MaxUint32))
		case "items":
			m.Items = r.publications()
		default:
			r.unknown()
		}
	}
	return m
}

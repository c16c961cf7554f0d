package protocol

func (w *jsonWriter) command(c *Command) {
	at := len(w.b)
	w.uint(`,"id":`, uint64(c.ID))
	kind := c.Kind()
	switch {
	case w.v1:
		method, _ := methodOf(kind)
		w.uint(`,"method":`, method)
		if kind != KindPing {
			w.key(`,"params":`)
			w.request(c, kind)
		}
	case requestNumbers[kind] != 0:
		w.key(memberKeys[kind])
		w.request(c, kind)
	}
	w.end(at)
}

func (w *jsonWriter) request(c *Command, kind MessageKind) {
	switch kind {
	case KindConnect:
		w.connectRequest(c.Connect)
	case KindSubscribe:
		w.subscribeRequest(c.Subscribe)
	case KindUnsubscribe:
		w.unsubscribeRequest(c.Unsubscribe)
	case KindPublish:
		w.publishRequest(c.Publish)
	case KindPresence:
		w.presenceRequest(c.Presence)
	case KindPresenceStats:
		w.presenceStatsRequest(c.PresenceStats)
	case KindHistory:
		w.historyRequest(c.History)
	case KindSend:
		w.sendRequest(c.Send)
	case KindRPC:
		w.rpcRequest(c.RPC)
	case KindRefresh:
		w.refreshRequest(c.Refresh)
	case KindSubRefresh:
		w.subRefreshRequest(c.SubRefresh)
	default: // ping has no fields
		w.end(len(w.b))
	}
}

func (w *jsonWriter) reply(r *Reply) {
	if r.Push != nil && r.ID == 0 && r.Error == nil {
		if w.v1 {
			w.key(`{"result":`)
		} else {
			w.key(`{"push":`)
		}
		w.push(r.Push)
		w.b = append(w.b, '}')
		return
	}
	at := len(w.b)
	w.uint(`,"id":`, uint64(r.ID))
	if r.Error != nil {
		w.key(`,"error":`)
		w.error(r.Error)
	}
	switch kind := r.Kind(); {
	case resultNumbers[kind] == 0 || kind == KindPing && (r.Ping == nil || w.v1):
	case w.v1:
		w.key(`,"result":`)
		w.result(r, kind)
	default:
		w.key(memberKeys[kind])
		w.result(r, kind)
	}
	w.end(at)
}

func (w *jsonWriter) result(r *Reply, kind MessageKind) {
	switch kind {
	case KindConnect:
		w.connectResult(r.Connect)
	case KindSubscribe:
		w.subscribeResult(r.Subscribe)
	case KindPresence:
		w.presenceResult(r.Presence)
	case KindPresenceStats:
		w.presenceStatsResult(r.PresenceStats)
	case KindHistory:
		w.historyResult(r.History)
	case KindRPC:
		w.rpcResult(r.RPC)
	case KindRefresh:
		w.refreshResult(r.Refresh)
	case KindSubRefresh:
		w.subRefreshResult(r.SubRefresh)
	default: // unsubscribe, publish and ping have no fields
		w.end(len(w.b))
	}
}

func (w *jsonWriter) push(p *Push) {
	at := len(w.b)
	kind := p.Kind()
	if w.v1 {
		w.uint(`,"type":`, pushTypeOf(kind))
	}
	if p.ID > 0 {
		w.int(`,"id":`, p.ID)
	} else {
		w.str(`,"channel":`, p.Channel)
	}
	switch {
	case kind == KindUnknown:
	case w.v1:
		w.key(`,"data":`)
		w.pushed(p, kind)
	default:
		w.key(memberKeys[kind])
		w.pushed(p, kind)
	}
	w.end(at)
}

// pushed writes the content of a push.
func (w *jsonWriter) pushed(p *Push, kind MessageKind) {
	switch kind {
	case KindPushPublication:
		w.publication(p.Pub)
	case KindPushJoin:
		w.join(p.Join)
	case KindPushLeave:
		w.leave(p.Leave)
	case KindPushUnsubscribe:
		w.unsubscribe(p.Unsubscribe)
	case KindPushMessage:
		w.message(p.Message)
	case KindPushSubscribe:
		w.subscribe(p.Subscribe)
	case KindPushConnect:
		w.connect(p.Connect)
	case KindPushDisconnect:
		w.disconnect(p.Disconnect)
	case KindPushRefresh:
		w.refresh(p.Refresh)
	}
}

func (w *jsonWriter) error(m *Error) {
	at := len(w.b)
	w.uintV1(`,"code":`, uint64(m.Code))
	w.strV1(`,"message":`, m.Message)
	w.bool(`,"temporary":`, m.Temporary)
	w.end(at)
}

func (w *jsonWriter) clientInfo(m *ClientInfo) {
	if m == nil {
		m = new(ClientInfo)
	}
	w.strAlways(`{"user":`, m.User)
	w.strAlways(`,"client":`, m.Client)
	w.raw(`,"conn_info":`, m.ConnInfo)
	w.raw(`,"chan_info":`, m.ChanInfo)
	w.b = append(w.b, '}')
}

func (w *jsonWriter) publication(m *Publication) {
	at := len(w.b)
	if m == nil {
		w.end(at)
		return
	}
	w.rawV1(`,"data":`, m.Data)
	if m.Info != nil {
		w.key(`,"info":`)
		w.clientInfo(m.Info)
	}
	w.uint(`,"offset":`, m.Offset)
	w.strMap(`,"tags":`, m.Tags)
	if w.v1 {
		w.end(at)
		return
	}
	w.bool(`,"delta":`, m.Delta)
	w.int(`,"time":`, m.Time)
	w.str(`,"channel":`, m.Channel)
	w.str(`,"key":`, m.Key)
	w.bool(`,"removed":`, m.Removed)
	w.int(`,"score":`, m.Score)
	w.str(`,"epoch":`, m.Epoch)
	w.uint(`,"version":`, m.Version)
	w.end(at)
}

func (w *jsonWriter) join(m *Join) {
	at := len(w.b)
	if m.Info != nil || w.v1 {
		w.key(`,"info":`)
		w.clientInfo(m.Info)
	}
	w.end(at)
}

func (w *jsonWriter) leave(m *Leave) {
	at := len(w.b)
	if m.Info != nil || w.v1 {
		w.key(`,"info":`)
		w.clientInfo(m.Info)
	}
	w.end(at)
}

func (w *jsonWriter) unsubscribe(m *Unsubscribe) {
	at := len(w.b)
	w.uint(`,"code":`, uint64(m.Code))
	w.str(`,"reason":`, m.Reason)
	w.end(at)
}

func (w *jsonWriter) subscribe(m *Subscribe) {
	at := len(w.b)
	w.bool(`,"recoverable":`, m.Recoverable)
	w.str(`,"epoch":`, m.Epoch)
	w.uint(`,"offset":`, m.Offset)
	w.bool(`,"positioned":`, m.Positioned)
	w.raw(`,"data":`, m.Data)
	w.end(at)
}

func (w *jsonWriter) message(m *Message) {
	at := len(w.b)
	w.rawV1(`,"data":`, m.Data)
	w.end(at)
}

func (w *jsonWriter) connect(m *Connect) {
	at := len(w.b)
	w.str(`,"client":`, m.Client)
	w.str(`,"version":`, m.Version)
	w.raw(`,"data":`, m.Data)
	w.subscribeResults(`,"subs":`, m.Subs)
	w.bool(`,"expires":`, m.Expires)
	w.uint(`,"ttl":`, uint64(m.TTL))
	w.uint(`,"ping":`, uint64(m.Ping))
	w.bool(`,"pong":`, m.Pong)
	w.str(`,"session":`, m.Session)
	w.str(`,"node":`, m.Node)
	w.int(`,"time":`, m.Time)
	w.end(at)
}

func (w *jsonWriter) disconnect(m *Disconnect) {
	at := len(w.b)
	w.uint(`,"code":`, uint64(m.Code))
	w.str(`,"reason":`, m.Reason)
	w.bool(`,"reconnect":`, m.Reconnect)
	w.end(at)
}

func (w *jsonWriter) refresh(m *Refresh) {
	at := len(w.b)
	w.bool(`,"expires":`, m.Expires)
	w.uint(`,"ttl":`, uint64(m.TTL))
	w.end(at)
}

func (w *jsonWriter) connectRequest(m *ConnectRequest) {
	at := len(w.b)
	w.str(`,"token":`, m.Token)
	w.raw(`,"data":`, m.Data)
	if len(m.Subs) > 0 {
		w.key(`,"subs":`)
		entries := len(w.b)
		for k, e := range m.Subs {
			w.mapKey(k)
			w.subscribeRequest(e)
		}
		w.end(entries)
	}
	w.str(`,"name":`, m.Name)
	w.str(`,"version":`, m.Version)
	w.strMap(`,"headers":`, m.Headers)
	w.int(`,"flag":`, m.Flag)
	w.str(`,"dict":`, m.Dict)
	w.str(`,"profile":`, m.Profile)
	w.end(at)
}

func (w *jsonWriter) connectResult(m *ConnectResult) {
	at := len(w.b)
	w.strV1(`,"client":`, m.Client)
	w.strV1(`,"version":`, m.Version)
	w.bool(`,"expires":`, m.Expires)
	w.uint(`,"ttl":`, uint64(m.TTL))
	w.raw(`,"data":`, m.Data)
	w.subscribeResults(`,"subs":`, m.Subs)
	if w.v1 {
		w.end(at)
		return
	}
	w.uint(`,"ping":`, uint64(m.Ping))
	w.bool(`,"pong":`, m.Pong)
	w.str(`,"session":`, m.Session)
	w.str(`,"node":`, m.Node)
	w.int(`,"time":`, m.Time)
	w.int(`,"flag":`, m.Flag)
	if m.Dict != nil {
		w.key(`,"dict":`)
		w.dictionary(m.Dict)
	}
	w.end(at)
}

func (w *jsonWriter) dictionary(m *Dictionary) {
	at := len(w.b)
	w.str(`,"id":`, m.ID)
	w.str(`,"data_b64":`, m.DataB64)
	w.end(at)
}

func (w *jsonWriter) subscribeRequest(m *SubscribeRequest) {
	at := len(w.b)
	if m == nil {
		w.end(at)
		return
	}
	w.str(`,"channel":`, m.Channel)
	w.str(`,"token":`, m.Token)
	w.bool(`,"recover":`, m.Recover)
	w.str(`,"epoch":`, m.Epoch)
	w.uint(`,"offset":`, m.Offset)
	w.raw(`,"data":`, m.Data)
	w.bool(`,"positioned":`, m.Positioned)
	w.bool(`,"recoverable":`, m.Recoverable)
	w.bool(`,"join_leave":`, m.JoinLeave)
	w.str(`,"delta":`, m.Delta)
	if m.Tf != nil {
		w.key(`,"tf":`)
		w.filterNode(m.Tf)
	}
	w.int(`,"flag":`, m.Flag)
	w.int(`,"type":`, int64(m.Type))
	w.int(`,"phase":`, int64(m.Phase))
	w.str(`,"cursor":`, m.Cursor)
	w.int(`,"limit":`, int64(m.Limit))
	w.bool(`,"asc":`, m.Asc)
	w.end(at)
}

func (w *jsonWriter) subscribeResult(m *SubscribeResult) {
	at := len(w.b)
	if m == nil {
		w.end(at)
		return
	}
	w.bool(`,"expires":`, m.Expires)
	w.uint(`,"ttl":`, uint64(m.TTL))
	w.bool(`,"recoverable":`, m.Recoverable)
	w.str(`,"epoch":`, m.Epoch)
	if m.Range != nil {
		w.encodedRange(`,"publications":`, m.Range)
	} else {
		w.publications(`,"publications":`, m.Publications, false)
	}
	w.bool(`,"recovered":`, m.Recovered)
	w.uint(`,"offset":`, m.Offset)
	w.bool(`,"positioned":`, m.Positioned)
	w.raw(`,"data":`, m.Data)
	if w.v1 {
		w.end(at)
		return
	}
	w.bool(`,"was_recovering":`, m.WasRecovering)
	w.bool(`,"delta":`, m.Delta)
	w.int(`,"id":`, m.ID)
	w.int(`,"type":`, int64(m.Type))
	w.int(`,"phase":`, int64(m.Phase))
	w.str(`,"cursor":`, m.Cursor)
	w.publications(`,"state":`, m.State, false)
	w.uint(`,"publish_debounce":`, uint64(m.PublishDebounce))
	w.end(at)
}

func (w *jsonWriter) filterNode(m *FilterNode) {
	at := len(w.b)
	if m == nil {
		w.end(at)
		return
	}
	w.str(`,"op":`, m.Op)
	w.str(`,"key":`, m.Key)
	w.str(`,"cmp":`, m.Cmp)
	w.str(`,"val":`, m.Val)
	w.strs(`,"vals":`, m.Vals)
	if len(m.Nodes) > 0 {
		w.key(`,"nodes":`)
		list := len(w.b)
		for _, e := range m.Nodes {
			w.comma()
			w.filterNode(e)
		}
		w.endList(list)
	}
	w.end(at)
}

func (w *jsonWriter) unsubscribeRequest(m *UnsubscribeRequest) {
	at := len(w.b)
	w.str(`,"channel":`, m.Channel)
	w.end(at)
}

func (w *jsonWriter) publishRequest(m *PublishRequest) {
	at := len(w.b)
	w.str(`,"channel":`, m.Channel)
	w.raw(`,"data":`, m.Data)
	w.int(`,"type":`, int64(m.Type))
	w.str(`,"key":`, m.Key)
	w.bool(`,"removed":`, m.Removed)
	w.end(at)
}

func (w *jsonWriter) presenceRequest(m *PresenceRequest) {
	at := len(w.b)
	w.str(`,"channel":`, m.Channel)
	w.end(at)
}

func (w *jsonWriter) presenceResult(m *PresenceResult) {
	at := len(w.b)
	w.key(`,"presence":`)
	entries := len(w.b)
	for k, e := range m.Presence {
		w.mapKey(k)
		w.clientInfo(e)
	}
	w.end(entries)
	w.end(at)
}

func (w *jsonWriter) presenceStatsRequest(m *PresenceStatsRequest) {
	at := len(w.b)
	w.str(`,"channel":`, m.Channel)
	w.end(at)
}

func (w *jsonWriter) presenceStatsResult(m *PresenceStatsResult) {
	at := len(w.b)
	w.uintAlways(`,"num_clients":`, uint64(m.NumClients))
	w.uintAlways(`,"num_users":`, uint64(m.NumUsers))
	w.end(at)
}

func (w *jsonWriter) streamPosition(m *StreamPosition) {
	at := len(w.b)
	w.uint(`,"offset":`, m.Offset)
	w.str(`,"epoch":`, m.Epoch)
	w.end(at)
}

func (w *jsonWriter) historyRequest(m *HistoryRequest) {
	at := len(w.b)
	w.str(`,"channel":`, m.Channel)
	w.int(`,"limit":`, int64(m.Limit))
	if m.Since != nil {
		w.key(`,"since":`)
		w.streamPosition(m.Since)
	}
	w.bool(`,"reverse":`, m.Reverse)
	w.end(at)
}

func (w *jsonWriter) historyResult(m *HistoryResult) {
	at := len(w.b)
	w.publications(`,"publications":`, m.Publications, true)
	w.strAlways(`,"epoch":`, m.Epoch)
	w.uintAlways(`,"offset":`, m.Offset)
	w.end(at)
}

func (w *jsonWriter) sendRequest(m *SendRequest) {
	at := len(w.b)
	w.raw(`,"data":`, m.Data)
	w.end(at)
}

func (w *jsonWriter) rpcRequest(m *RPCRequest) {
	at := len(w.b)
	w.raw(`,"data":`, m.Data)
	w.str(`,"method":`, m.Method)
	w.end(at)
}

func (w *jsonWriter) rpcResult(m *RPCResult) {
	at := len(w.b)
	w.raw(`,"data":`, m.Data)
	w.end(at)
}

func (w *jsonWriter) refreshRequest(m *RefreshRequest) {
	at := len(w.b)
	w.str(`,"token":`, m.Token)
	w.end(at)
}

func (w *jsonWriter) refreshResult(m *RefreshResult) {
	at := len(w.b)
	w.strV1(`,"client":`, m.Client)
	w.strV1(`,"version":`, m.Version)
	w.bool(`,"expires":`, m.Expires)
	w.uint(`,"ttl":`, uint64(m.TTL))
	w.end(at)
}

func (w *jsonWriter) subRefreshRequest(m *SubRefreshRequest) {
	at := len(w.b)
	w.str(`,"channel":`, m.Channel)
	w.str(`,"token":`, m.Token)
	w.int(`,"type":`, int64(m.Type))
	if len(m.Track) > 0 {
		w.key(`,"track":`)
		list := len(w.b)
		for _, e := range m.Track {
			w.comma()
			w.trackBatch(e)
		}
		w.endList(list)
	}
	w.strs(`,"untrack":`, m.Untrack)
	w.end(at)
}

func (w *jsonWriter) trackBatch(m *TrackBatch) {
	at := len(w.b)
	if m == nil {
		w.end(at)
		return
	}
	w.str(`,"signature":`, m.Signature)
	if len(m.Items) > 0 {
		w.key(`,"items":`)
		list := len(w.b)
		for _, e := range m.Items {
			w.comma()
			w.keyedItem(e)
		}
		w.endList(list)
	}
	w.end(at)
}

func (w *jsonWriter) keyedItem(m *KeyedItem) {
	at := len(w.b)
	if m == nil {
		w.end(at)
		return
	}
	w.str(`,"key":`, m.Key)
	w.uint(`,"version":`, m.Version)
	w.end(at)
}

func (w *jsonWriter) subRefreshResult(m *SubRefreshResult) {
	at := len(w.b)
	w.bool(`,"expires":`, m.Expires)
	w.uint(`,"ttl":`, uint64(m.TTL))
	w.publications(`,"items":`, m.Items, false)
	w.end(at)
}

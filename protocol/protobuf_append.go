package protocol

import "google.golang.org/protobuf/encoding/protowire"

func (w *protoWriter) command(c *Command) {
	w.uint(1, uint64(c.ID))
	kind := c.Kind()
	num := requestNumbers[kind]
	if w.v1 {
		method, _ := methodOf(kind)
		w.uint(2, method)
		num = 3
		if kind == KindPing {
			return
		}
	}
	if num == 0 {
		return
	}
	at := w.open(num)
	w.request(c, kind)
	w.close(at)
}

func (w *protoWriter) request(c *Command, kind MessageKind) {
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
	}
}

func (w *protoWriter) reply(r *Reply) {
	w.uint(1, uint64(r.ID))
	if r.Error != nil {
		at := w.open(2)
		w.error(r.Error)
		w.close(at)
	}
	if r.Push != nil {
		num := protowire.Number(4)
		if w.v1 {
			num = 3
		}
		at := w.openSized(num, pushSize(r.Push))
		w.push(r.Push)
		w.close(at)
		return
	}
	kind := r.Kind()
	num := resultNumbers[kind]
	if num == 0 || kind == KindPing && (r.Ping == nil || w.v1) {
		return
	}
	if w.v1 {
		num = 3
	}
	at := w.open(num)
	w.result(r, kind)
	w.close(at)
}

func (w *protoWriter) result(r *Reply, kind MessageKind) {
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
	}
}

// pushSize guesses the encoded size of a push.
func pushSize(p *Push) int {
	if p.Pub == nil {
		return 0
	}
	return publicationSize(p.Pub) + len(p.Channel) + 4
}

func (w *protoWriter) push(p *Push) {
	kind := p.Kind()
	num := pushNumbers[kind]
	if w.v1 {
		w.uint(1, pushTypeOf(kind))
		num = 3
	}
	if p.ID > 0 {
		w.uint(1, uint64(p.ID))
	} else {
		w.str(2, p.Channel)
	}
	if num == 0 {
		return
	}
	guess := 0
	if p.Pub != nil {
		guess = publicationSize(p.Pub)
	}
	at := w.openSized(num, guess)
	w.pushed(p, kind)
	w.close(at)
}

// pushed writes the content of a push.
func (w *protoWriter) pushed(p *Push, kind MessageKind) {
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

func (w *protoWriter) error(m *Error) {
	w.uint(1, uint64(m.Code))
	w.str(2, m.Message)
	w.bool(3, m.Temporary)
}

func (w *protoWriter) clientInfo(m *ClientInfo) {
	if m == nil {
		return
	}
	w.str(1, m.User)
	w.str(2, m.Client)
	w.raw(3, m.ConnInfo)
	w.raw(4, m.ChanInfo)
}

func (w *protoWriter) publication(m *Publication) {
	if m == nil {
		return
	}
	w.raw(4, m.Data)
	if m.Info != nil {
		at := w.open(5)
		w.clientInfo(m.Info)
		w.close(at)
	}
	w.uint(6, m.Offset)
	w.strMap(7, m.Tags)
	if w.v1 {
		return
	}
	w.bool(8, m.Delta)
	w.uint(9, uint64(m.Time))
	w.str(10, m.Channel)
	w.str(11, m.Key)
	w.bool(12, m.Removed)
	w.uint(13, protowire.EncodeZigZag(m.Score))
	w.str(14, m.Epoch)
	if w.internal {
		w.raw(15, m.PrevData)
	}
	w.uint(16, m.Version)
}

func (w *protoWriter) join(m *Join) {
	if m.Info != nil {
		at := w.open(1)
		w.clientInfo(m.Info)
		w.close(at)
	}
}

func (w *protoWriter) leave(m *Leave) {
	if m.Info != nil {
		at := w.open(1)
		w.clientInfo(m.Info)
		w.close(at)
	}
}

func (w *protoWriter) unsubscribe(m *Unsubscribe) {
	w.uint(2, uint64(m.Code))
	w.str(3, m.Reason)
}

func (w *protoWriter) subscribe(m *Subscribe) {
	w.bool(1, m.Recoverable)
	w.str(4, m.Epoch)
	w.uint(5, m.Offset)
	w.bool(6, m.Positioned)
	w.raw(7, m.Data)
}

func (w *protoWriter) message(m *Message) {
	w.raw(1, m.Data)
}

func (w *protoWriter) connect(m *Connect) {
	w.str(1, m.Client)
	w.str(2, m.Version)
	w.raw(3, m.Data)
	w.subscribeResults(4, m.Subs)
	w.bool(5, m.Expires)
	w.uint(6, uint64(m.TTL))
	w.uint(7, uint64(m.Ping))
	w.bool(8, m.Pong)
	w.str(9, m.Session)
	w.str(10, m.Node)
	w.uint(11, uint64(m.Time))
}

func (w *protoWriter) disconnect(m *Disconnect) {
	w.uint(1, uint64(m.Code))
	w.str(2, m.Reason)
	w.bool(3, m.Reconnect)
}

func (w *protoWriter) refresh(m *Refresh) {
	w.bool(1, m.Expires)
	w.uint(2, uint64(m.TTL))
}

func (w *protoWriter) connectRequest(m *ConnectRequest) {
	w.str(1, m.Token)
	w.raw(2, m.Data)
	for k, e := range m.Subs {
		entry := w.open(3)
		w.str(1, k)
		at := w.open(2)
		w.subscribeRequest(e)
		w.close(at)
		w.close(entry)
	}
	w.str(4, m.Name)
	w.str(5, m.Version)
	w.strMap(6, m.Headers)
	w.uint(7, uint64(m.Flag))
	w.str(8, m.Dict)
	w.str(9, m.Profile)
}

func (w *protoWriter) connectResult(m *ConnectResult) {
	w.str(1, m.Client)
	w.str(2, m.Version)
	w.bool(3, m.Expires)
	w.uint(4, uint64(m.TTL))
	w.raw(5, m.Data)
	w.subscribeResults(6, m.Subs)
	if w.v1 {
		return
	}
	w.uint(7, uint64(m.Ping))
	w.bool(8, m.Pong)
	w.str(9, m.Session)
	w.str(10, m.Node)
	w.uint(11, uint64(m.Time))
	w.uint(12, uint64(m.Flag))
	if m.Dict != nil {
		at := w.open(13)
		w.dictionary(m.Dict)
		w.close(at)
	}
}

func (w *protoWriter) dictionary(m *Dictionary) {
	w.str(1, m.ID)
	w.raw(2, m.Data)
}

func (w *protoWriter) subscribeRequest(m *SubscribeRequest) {
	if m == nil {
		return
	}
	w.str(1, m.Channel)
	w.str(2, m.Token)
	w.bool(3, m.Recover)
	w.str(6, m.Epoch)
	w.uint(7, m.Offset)
	w.raw(8, m.Data)
	w.bool(9, m.Positioned)
	w.bool(10, m.Recoverable)
	w.bool(11, m.JoinLeave)
	w.str(12, m.Delta)
	if m.Tf != nil {
		at := w.open(13)
		w.filterNode(m.Tf)
		w.close(at)
	}
	w.uint(14, uint64(m.Flag))
	w.uint(15, uint64(int64(m.Type)))
	w.uint(16, uint64(int64(m.Phase)))
	w.str(17, m.Cursor)
	w.uint(18, uint64(int64(m.Limit)))
	w.bool(19, m.Asc)
}

// subscribeResultPublications is the number of a field that is also encoded by itself.
const subscribeResultPublications = 7

func (w *protoWriter) subscribeResult(m *SubscribeResult) {
	if m == nil {
		return
	}
	w.bool(1, m.Expires)
	w.uint(2, uint64(m.TTL))
	w.bool(3, m.Recoverable)
	w.str(6, m.Epoch)
	if m.Range != nil {
		w.encodedRange(m.Range)
	} else {
		w.publications(subscribeResultPublications, m.Publications)
	}
	w.bool(8, m.Recovered)
	w.uint(9, m.Offset)
	w.bool(10, m.Positioned)
	w.raw(11, m.Data)
	if w.v1 {
		return
	}
	w.bool(12, m.WasRecovering)
	w.bool(13, m.Delta)
	w.uint(14, uint64(m.ID))
	w.uint(15, uint64(int64(m.Type)))
	w.uint(16, uint64(int64(m.Phase)))
	w.str(17, m.Cursor)
	w.publications(18, m.State)
	w.uint(19, uint64(m.PublishDebounce))
}

func (w *protoWriter) filterNode(m *FilterNode) {
	if m == nil {
		return
	}
	w.str(1, m.Op)
	w.str(2, m.Key)
	w.str(3, m.Cmp)
	w.str(4, m.Val)
	w.strs(5, m.Vals)
	for _, e := range m.Nodes {
		at := w.open(6)
		w.filterNode(e)
		w.close(at)
	}
}

func (w *protoWriter) unsubscribeRequest(m *UnsubscribeRequest) {
	w.str(1, m.Channel)
}

func (w *protoWriter) publishRequest(m *PublishRequest) {
	w.str(1, m.Channel)
	w.raw(2, m.Data)
	w.uint(3, uint64(int64(m.Type)))
	w.str(4, m.Key)
	w.bool(5, m.Removed)
}

func (w *protoWriter) presenceRequest(m *PresenceRequest) {
	w.str(1, m.Channel)
}

func (w *protoWriter) presenceResult(m *PresenceResult) {
	for k, e := range m.Presence {
		entry := w.open(1)
		w.str(1, k)
		at := w.open(2)
		w.clientInfo(e)
		w.close(at)
		w.close(entry)
	}
}

func (w *protoWriter) presenceStatsRequest(m *PresenceStatsRequest) {
	w.str(1, m.Channel)
}

func (w *protoWriter) presenceStatsResult(m *PresenceStatsResult) {
	w.uint(1, uint64(m.NumClients))
	w.uint(2, uint64(m.NumUsers))
}

func (w *protoWriter) streamPosition(m *StreamPosition) {
	w.uint(1, m.Offset)
	w.str(2, m.Epoch)
}

func (w *protoWriter) historyRequest(m *HistoryRequest) {
	w.str(1, m.Channel)
	w.uint(7, uint64(int64(m.Limit)))
	if m.Since != nil {
		at := w.open(8)
		w.streamPosition(m.Since)
		w.close(at)
	}
	w.bool(9, m.Reverse)
}

func (w *protoWriter) historyResult(m *HistoryResult) {
	w.publications(1, m.Publications)
	w.str(2, m.Epoch)
	w.uint(3, m.Offset)
}

func (w *protoWriter) sendRequest(m *SendRequest) {
	w.raw(1, m.Data)
}

func (w *protoWriter) rpcRequest(m *RPCRequest) {
	w.raw(1, m.Data)
	w.str(2, m.Method)
}

func (w *protoWriter) rpcResult(m *RPCResult) {
	w.raw(1, m.Data)
}

func (w *protoWriter) refreshRequest(m *RefreshRequest) {
	w.str(1, m.Token)
}

func (w *protoWriter) refreshResult(m *RefreshResult) {
	w.str(1, m.Client)
	w.str(2, m.Version)
	w.bool(3, m.Expires)
	w.uint(4, uint64(m.TTL))
}

func (w *protoWriter) subRefreshRequest(m *SubRefreshRequest) {
	w.str(1, m.Channel)
	w.str(2, m.Token)
	w.uint(3, uint64(int64(m.Type)))
	for _, e := range m.Track {
		at := w.open(4)
		w.trackBatch(e)
		w.close(at)
	}
	w.strs(5, m.Untrack)
}

func (w *protoWriter) trackBatch(m *TrackBatch) {
	if m == nil {
		return
	}
	w.str(1, m.Signature)
	for _, e := range m.Items {
		at := w.open(2)
		w.keyedItem(e)
		w.close(at)
	}
}

func (w *protoWriter) keyedItem(m *KeyedItem) {
	if m == nil {
		return
	}
	w.str(1, m.Key)
	w.uint(2, m.Version)
}

func (w *protoWriter) subRefreshResult(m *SubRefreshResult) {
	w.bool(1, m.Expires)
	w.uint(2, uint64(m.TTL))
	w.publications(3, m.Items)
}

func (w *protoWriter) emulationRequest(m *EmulationRequest) {
	w.str(1, m.Node)
	w.str(2, m.Session)
	w.raw(3, m.Data)
}

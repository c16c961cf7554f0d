package protocol

import "math"

func (r *jsonReader) command(c *Command) {
	for ok := r.object(); ok && r.field(); {
		if string(r.key) == "id" {
			c.ID = uint32(r.uint(math.MaxUint32))
		} else if kind := kindOfRequest(r.key); kind != KindUnknown {
			r.request(c, kind)
		} else {
			r.unknown()
		}
	}
}

func (r *jsonReader) request(to *Command, kind MessageKind) {
	switch kind {
	case KindConnect:
		to.Connect = r.connectRequest()
	case KindSubscribe:
		to.Subscribe = r.subscribeRequest()
	case KindUnsubscribe:
		to.Unsubscribe = r.unsubscribeRequest()
	case KindPublish:
		to.Publish = r.publishRequest()
	case KindPresence:
		to.Presence = r.presenceRequest()
	case KindPresenceStats:
		to.PresenceStats = r.presenceStatsRequest()
	case KindHistory:
		to.History = r.historyRequest()
	case KindPing:
		to.Ping = r.pingRequest()
	case KindSend:
		to.Send = r.sendRequest()
	case KindRPC:
		to.RPC = r.rpcRequest()
	case KindRefresh:
		to.Refresh = r.refreshRequest()
	case KindSubRefresh:
		to.SubRefresh = r.subRefreshRequest()
	}
}

// commandV1 checks the envelope first: only its method says what params are,
// and it may stand behind them.
func (r *jsonReader) commandV1(to *Command, draft bool) {
	c := v1Command{kind: KindConnect}
	params := 0
	for ok := r.object(); ok && r.field(); {
		switch string(r.key) {
		case "id":
			c.id = uint32(r.uint(math.MaxUint32))
		case "method":
			c.kind, c.badName = r.method(draft)
		case "params":
			if c.params = !r.null(); c.params {
				params = r.i
				r.skip()
			}
		default:
			r.unknown()
		}
	}
	if r.err != nil {
		return
	}
	if err := c.check(); err != nil {
		r.fail(err)
		return
	}
	if c.params {
		r.i = params
		r.request(to, c.kind)
	}
	c.fill(to)
}

// method reads a method as number or as name. An unknown name is bad, an
// unknown number only unknown (client-protocol 2.2).
func (r *jsonReader) method(draft bool) (kind MessageKind, badName bool) {
	if r.peek() != '"' {
		return kindOfMethod(r.int(math.MaxInt64), draft), false
	}
	kind = kindOfMethodName(r.str(), draft)
	return kind, kind == KindUnknown
}

// envelope notes which members a command has.
func (r *jsonReader) envelope(seen *envelope) {
	for ok := r.object(); ok && r.field(); {
		r.lowerKey()
		switch {
		case string(r.key) == "id":
			seen.id = true
		case string(r.key) == "params", string(r.key) == "method":
			seen.v1 = true
		case kindOfRequest(r.key) != KindUnknown:
			seen.v2 = true
		default:
			seen.other = true
		}
		r.skip()
	}
}

// finish checks that nothing but white space is left, and returns the error.
func (r *jsonReader) finish() error {
	if r.err == nil && skipSpace(r.b, r.i) != len(r.b) {
		r.fail(ErrMalformed)
	}
	return r.err
}

func (r *jsonReader) connectRequest() *ConnectRequest {
	if !r.object() {
		return nil
	}
	m := new(ConnectRequest)
	r.scratch = nil // subscriptions in a map must not share
	for r.field() {
		switch string(r.key) {
		case "token":
			m.Token = r.str()
		case "data":
			m.Data = r.raw()
		case "subs":
			m.Subs = nil
			for ok := r.object(); ok && r.entry(); {
				if m.Subs == nil {
					m.Subs = make(map[string]*SubscribeRequest)
				}
				k := string(r.key)
				m.Subs[k] = orNew(r.subscribeRequest())
			}
		case "name":
			m.Name = r.str()
		case "version":
			m.Version = r.str()
		case "headers":
			m.Headers = r.strMap()
		case "flag":
			m.Flag = r.int(math.MaxInt64)
		case "dict":
			m.Dict = r.str()
		case "profile":
			m.Profile = r.str()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) subscribeRequest() *SubscribeRequest {
	if !r.object() {
		return nil
	}
	m := r.scratch.subscribe()
	var seq, gen uint32 // V1
	for r.field() {
		switch string(r.key) {
		case "channel":
			m.Channel = r.str()
		case "token":
			m.Token = r.str()
		case "recover":
			m.Recover = r.bool()
		case "epoch":
			m.Epoch = r.str()
		case "offset":
			m.Offset = r.uint(math.MaxUint64)
		case "data":
			m.Data = r.raw()
		case "positioned":
			m.Positioned = r.bool()
		case "recoverable":
			m.Recoverable = r.bool()
		case "join_leave":
			m.JoinLeave = r.bool()
		case "delta":
			m.Delta = r.str()
		case "tf":
			m.Tf = r.filterNode()
		case "flag":
			m.Flag = r.int(math.MaxInt64)
		case "type":
			m.Type = int32(r.int(math.MaxInt32))
		case "phase":
			m.Phase = int32(r.int(math.MaxInt32))
		case "cursor":
			m.Cursor = r.str()
		case "limit":
			m.Limit = int32(r.int(math.MaxInt32))
		case "asc":
			m.Asc = r.bool()
		case "seq":
			seq = r.uint32V1()
		case "gen":
			gen = r.uint32V1()
		default:
			r.unknown()
		}
	}
	m.Offset = foldPosition(seq, gen, m.Offset)
	return m
}

// uint32V1 reads a field that only V1 has; in V2 it is an unknown one.
func (r *jsonReader) uint32V1() uint32 {
	if !r.v1 {
		r.skip()
		return 0
	}
	return uint32(r.uint(math.MaxUint32))
}

func (r *jsonReader) filterNode() *FilterNode {
	if !r.object() {
		return nil
	}
	m := new(FilterNode)
	for r.field() {
		switch string(r.key) {
		case "op":
			m.Op = r.str()
		case "key":
			m.Key = r.str()
		case "cmp":
			m.Cmp = r.str()
		case "val":
			m.Val = r.str()
		case "vals":
			m.Vals = r.strs()
		case "nodes":
			m.Nodes = nil
			for ok := r.array(); ok && r.element(); {
				m.Nodes = append(m.Nodes, orNew(r.filterNode()))
			}
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) unsubscribeRequest() *UnsubscribeRequest {
	if !r.object() {
		return nil
	}
	m := new(UnsubscribeRequest)
	for r.field() {
		switch string(r.key) {
		case "channel":
			m.Channel = r.str()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) publishRequest() *PublishRequest {
	if !r.object() {
		return nil
	}
	m := r.scratch.publish()
	for r.field() {
		switch string(r.key) {
		case "channel":
			m.Channel = r.str()
		case "data":
			m.Data = r.raw()
		case "type":
			m.Type = int32(r.int(math.MaxInt32))
		case "key":
			m.Key = r.str()
		case "removed":
			m.Removed = r.bool()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) presenceRequest() *PresenceRequest {
	if !r.object() {
		return nil
	}
	m := new(PresenceRequest)
	for r.field() {
		switch string(r.key) {
		case "channel":
			m.Channel = r.str()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) presenceStatsRequest() *PresenceStatsRequest {
	if !r.object() {
		return nil
	}
	m := new(PresenceStatsRequest)
	for r.field() {
		switch string(r.key) {
		case "channel":
			m.Channel = r.str()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) streamPosition() *StreamPosition {
	if !r.object() {
		return nil
	}
	m := new(StreamPosition)
	for r.field() {
		switch string(r.key) {
		case "offset":
			m.Offset = r.uint(math.MaxUint64)
		case "epoch":
			m.Epoch = r.str()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) historyRequest() *HistoryRequest {
	if !r.object() {
		return nil
	}
	m := new(HistoryRequest)
	for r.field() {
		switch string(r.key) {
		case "channel":
			m.Channel = r.str()
		case "limit":
			m.Limit = int32(r.int(math.MaxInt32))
		case "since":
			m.Since = r.streamPosition()
		case "reverse":
			m.Reverse = r.bool()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) pingRequest() *PingRequest {
	if !r.object() {
		return nil
	}
	m := new(PingRequest)
	r.skipFields()
	return m
}

func (r *jsonReader) sendRequest() *SendRequest {
	if !r.object() {
		return nil
	}
	m := r.scratch.send()
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

func (r *jsonReader) rpcRequest() *RPCRequest {
	if !r.object() {
		return nil
	}
	m := r.scratch.rpc()
	for r.field() {
		switch string(r.key) {
		case "data":
			m.Data = r.raw()
		case "method":
			m.Method = r.str()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) refreshRequest() *RefreshRequest {
	if !r.object() {
		return nil
	}
	m := new(RefreshRequest)
	for r.field() {
		switch string(r.key) {
		case "token":
			m.Token = r.str()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) subRefreshRequest() *SubRefreshRequest {
	if !r.object() {
		return nil
	}
	m := new(SubRefreshRequest)
	for r.field() {
		switch string(r.key) {
		case "channel":
			m.Channel = r.str()
		case "token":
			m.Token = r.str()
		case "type":
			m.Type = int32(r.int(math.MaxInt32))
		case "track":
			m.Track = nil
			for ok := r.array(); ok && r.element(); {
				m.Track = append(m.Track, orNew(r.trackBatch()))
			}
		case "untrack":
			m.Untrack = r.strs()
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) trackBatch() *TrackBatch {
	if !r.object() {
		return nil
	}
	m := new(TrackBatch)
	for r.field() {
		switch string(r.key) {
		case "signature":
			m.Signature = r.str()
		case "items":
			m.Items = nil
			for ok := r.array(); ok && r.element(); {
				m.Items = append(m.Items, orNew(r.keyedItem()))
			}
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) keyedItem() *KeyedItem {
	if !r.object() {
		return nil
	}
	m := new(KeyedItem)
	for r.field() {
		switch string(r.key) {
		case "key":
			m.Key = r.str()
		case "version":
			m.Version = r.uint(math.MaxUint64)
		default:
			r.unknown()
		}
	}
	return m
}

func (r *jsonReader) emulationRequest() *EmulationRequest {
	if !r.object() {
		return nil
	}
	m := new(EmulationRequest)
	for r.field() {
		switch string(r.key) {
		case "node":
			m.Node = r.str()
		case "session":
			m.Session = r.str()
		case "data":
			m.Data = Raw(r.str())
		default:
			r.unknown()
		}
	}
	return m
}

package protocol

func (r *protoReader) command(c *Command) {
	outer := r.enter()
	for r.field() {
		if r.num == 1 {
			c.ID = r.uint32()
		} else if kind := kindOfNumber(&requestKinds, r.num); kind != KindUnknown {
			r.request(c, kind)
		}
	}
	r.exit(outer)
}

func (r *protoReader) request(to *Command, kind MessageKind) {
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

func (r *protoReader) commandV1(to *Command, draft bool) {
	c := v1Command{kind: KindConnect}
	var params span
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			c.id = r.uint32()
		case 2:
			c.kind = kindOfMethod(int64(r.uint64()), draft)
		case 3:
			params, c.params = r.place(), true
		}
	}
	r.exit(outer)
	if r.err != nil {
		return
	}
	if err := c.check(); err != nil {
		r.fail(err)
		return
	}
	if c.params {
		r.revisit(params)
		r.request(to, c.kind)
	}
	c.fill(to)
}

// envelope notes which fields a command has.
func (r *protoReader) envelope(seen *envelope) {
	outer := r.enter()
	for r.field() {
		switch {
		case r.num == 1:
			seen.id = true
		case r.num == 2 || r.num == 3:
			seen.v1 = true
		case kindOfNumber(&requestKinds, r.num) != KindUnknown:
			seen.v2 = true
		default:
			seen.other = true
		}
	}
	r.exit(outer)
}

func (r *protoReader) connectRequest() *ConnectRequest {
	m := new(ConnectRequest)
	r.scratch = nil // subscriptions in a map must not share
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Token = r.str()
		case 2:
			m.Data = r.raw()
		case 3:
			if m.Subs == nil {
				m.Subs = make(map[string]*SubscribeRequest)
			}
			k := r.entry()
			m.Subs[k] = r.subscribeRequest()
		case 4:
			m.Name = r.str()
		case 5:
			m.Version = r.str()
		case 6:
			r.strEntry(&m.Headers)
		case 7:
			m.Flag = int64(r.uint64())
		case 8:
			m.Dict = r.str()
		case 9:
			m.Profile = r.str()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) subscribeRequest() *SubscribeRequest {
	m := r.scratch.subscribe()
	var seq, gen uint32
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Channel = r.str()
		case 2:
			m.Token = r.str()
		case 3:
			m.Recover = r.bool()
		case 4:
			seq = r.uint32V1()
		case 5:
			gen = r.uint32V1()
		case 6:
			m.Epoch = r.str()
		case 7:
			m.Offset = r.uint64()
		case 8:
			m.Data = r.raw()
		case 9:
			m.Positioned = r.bool()
		case 10:
			m.Recoverable = r.bool()
		case 11:
			m.JoinLeave = r.bool()
		case 12:
			m.Delta = r.str()
		case 13:
			m.Tf = r.filterNode()
		case 14:
			m.Flag = int64(r.uint64())
		case 15:
			m.Type = r.int32()
		case 16:
			m.Phase = r.int32()
		case 17:
			m.Cursor = r.str()
		case 18:
			m.Limit = r.int32()
		case 19:
			m.Asc = r.bool()
		}
	}
	r.exit(outer)
	m.Offset = foldPosition(seq, gen, m.Offset)
	return m
}

// uint32V1 reads a field that only V1 has; in V2 it is an unknown one.
func (r *protoReader) uint32V1() uint32 {
	if !r.v1 {
		return 0
	}
	return r.uint32()
}

func (r *protoReader) filterNode() *FilterNode {
	m := new(FilterNode)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Op = r.str()
		case 2:
			m.Key = r.str()
		case 3:
			m.Cmp = r.str()
		case 4:
			m.Val = r.str()
		case 5:
			r.count()
			m.Vals = append(m.Vals, r.str())
		case 6:
			r.count()
			m.Nodes = append(m.Nodes, r.filterNode())
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) unsubscribeRequest() *UnsubscribeRequest {
	m := new(UnsubscribeRequest)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Channel = r.str()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) publishRequest() *PublishRequest {
	m := r.scratch.publish()
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Channel = r.str()
		case 2:
			m.Data = r.raw()
		case 3:
			m.Type = r.int32()
		case 4:
			m.Key = r.str()
		case 5:
			m.Removed = r.bool()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) presenceRequest() *PresenceRequest {
	m := new(PresenceRequest)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Channel = r.str()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) presenceStatsRequest() *PresenceStatsRequest {
	m := new(PresenceStatsRequest)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Channel = r.str()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) streamPosition() *StreamPosition {
	m := new(StreamPosition)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Offset = r.uint64()
		case 2:
			m.Epoch = r.str()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) historyRequest() *HistoryRequest {
	m := new(HistoryRequest)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Channel = r.str()
		case 7:
			m.Limit = r.int32()
		case 8:
			m.Since = r.streamPosition()
		case 9:
			m.Reverse = r.bool()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) pingRequest() *PingRequest {
	m := new(PingRequest)
	outer := r.enter()
	r.skipFields()
	r.exit(outer)
	return m
}

func (r *protoReader) sendRequest() *SendRequest {
	m := r.scratch.send()
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

func (r *protoReader) rpcRequest() *RPCRequest {
	m := r.scratch.rpc()
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Data = r.raw()
		case 2:
			m.Method = r.str()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) refreshRequest() *RefreshRequest {
	m := new(RefreshRequest)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Token = r.str()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) subRefreshRequest() *SubRefreshRequest {
	m := new(SubRefreshRequest)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Channel = r.str()
		case 2:
			m.Token = r.str()
		case 3:
			m.Type = r.int32()
		case 4:
			r.count()
			m.Track = append(m.Track, r.trackBatch())
		case 5:
			r.count()
			m.Untrack = append(m.Untrack, r.str())
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) trackBatch() *TrackBatch {
	m := new(TrackBatch)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Signature = r.str()
		case 2:
			r.count()
			m.Items = append(m.Items, r.keyedItem())
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) keyedItem() *KeyedItem {
	m := new(KeyedItem)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Key = r.str()
		case 2:
			m.Version = r.uint64()
		}
	}
	r.exit(outer)
	return m
}

func (r *protoReader) emulationRequest() *EmulationRequest {
	m := new(EmulationRequest)
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			m.Node = r.str()
		case 2:
			m.Session = r.str()
		case 3:
			m.Data = r.raw()
		}
	}
	r.exit(outer)
	return m
}

package protocol

// Omitted counts the parts of a message that a JSON connection does not get, because
// they are not valid JSON.
type Omitted struct {
	Publications int // removed from a list
	Payloads     int // fields removed from a message
}

// Any reports whether anything was removed.
func (o Omitted) Any() bool { return o != Omitted{} }

// OmitNonJSON returns a copy of r without the payloads that are not valid JSON, and
// how many they are. It removes publications from lists, information about clients,
// and the data of connect and subscribe results and pushes. So a JSON connection
// gets an answer whatever other clients have published. It does not change r.
//
// It keeps the main payload of a message: the data of an RPC result, of a message
// and of a publication push. If that is not JSON, [Encode] returns [ErrNotJSON].
func (r *Reply) OmitNonJSON() (*Reply, Omitted) {
	var o Omitted
	out := *r
	switch {
	case r.Push != nil:
		out.Push = o.push(r.Push)
	case r.Connect != nil:
		m := *r.Connect
		o.raw(&m.Data)
		m.Subs = o.subscribeResults(m.Subs)
		out.Connect = &m
	case r.Subscribe != nil:
		out.Subscribe = o.subscribeResult(r.Subscribe)
	case r.Presence != nil:
		m := PresenceResult{Presence: make(map[string]*ClientInfo, len(r.Presence.Presence))}
		for id, info := range r.Presence.Presence {
			m.Presence[id] = o.clientInfo(info)
		}
		out.Presence = &m
	case r.History != nil:
		m := *r.History
		m.Publications = o.publications(m.Publications)
		out.History = &m
	case r.SubRefresh != nil:
		m := *r.SubRefresh
		m.Items = o.publications(m.Items)
		out.SubRefresh = &m
	}
	return &out, o
}

func (o *Omitted) push(p *Push) *Push {
	out := *p
	switch {
	case p.Pub != nil:
		m := *p.Pub
		m.Info = o.clientInfo(m.Info)
		out.Pub = &m
	case p.Join != nil:
		out.Join = &Join{Info: o.clientInfo(p.Join.Info)}
	case p.Leave != nil:
		out.Leave = &Leave{Info: o.clientInfo(p.Leave.Info)}
	case p.Subscribe != nil:
		m := *p.Subscribe
		o.raw(&m.Data)
		out.Subscribe = &m
	case p.Connect != nil:
		m := *p.Connect
		o.raw(&m.Data)
		m.Subs = o.subscribeResults(m.Subs)
		out.Connect = &m
	}
	return &out
}

func (o *Omitted) raw(data *Raw) {
	if len(*data) > 0 && !ValidJSON(*data) {
		*data = nil
		o.Payloads++
	}
}

func (o *Omitted) clientInfo(info *ClientInfo) *ClientInfo {
	if info == nil {
		return nil
	}
	out := *info
	o.raw(&out.ConnInfo)
	o.raw(&out.ChanInfo)
	return &out
}

func (o *Omitted) subscribeResults(subs map[string]*SubscribeResult) map[string]*SubscribeResult {
	if len(subs) == 0 {
		return subs
	}
	out := make(map[string]*SubscribeResult, len(subs))
	for channel, result := range subs {
		out[channel] = o.subscribeResult(result)
	}
	return out
}

// subscribeResult does not change Range, which omits on its own.
func (o *Omitted) subscribeResult(r *SubscribeResult) *SubscribeResult {
	if r == nil {
		return nil
	}
	out := *r
	o.raw(&out.Data)
	if r.Range == nil {
		out.Publications = o.publications(out.Publications)
	}
	out.State = o.publications(out.State)
	return &out
}

func (o *Omitted) publications(list []*Publication) []*Publication {
	if len(list) == 0 {
		return list
	}
	out := make([]*Publication, 0, len(list))
	for _, p := range list {
		if p != nil && len(p.Data) > 0 && !ValidJSON(p.Data) {
			o.Publications++
			continue
		}
		if p != nil && p.Info != nil {
			m := *p
			m.Info = o.clientInfo(p.Info)
			p = &m
		}
		out = append(out, p)
	}
	return out
}

package protocol

// Kind returns the kind of the request of c. If several requests are set, the first
// in the order of dispatch counts (protocol.md 4.1). A command with neither a
// request nor an id is a pong; one with only an id is unknown.
func (c *Command) Kind() MessageKind {
	switch {
	case c.Connect != nil:
		return KindConnect
	case c.Ping != nil:
		return KindPing
	case c.Subscribe != nil:
		return KindSubscribe
	case c.Unsubscribe != nil:
		return KindUnsubscribe
	case c.Publish != nil:
		return KindPublish
	case c.Presence != nil:
		return KindPresence
	case c.PresenceStats != nil:
		return KindPresenceStats
	case c.History != nil:
		return KindHistory
	case c.RPC != nil:
		return KindRPC
	case c.Send != nil:
		return KindSend
	case c.Refresh != nil:
		return KindRefresh
	case c.SubRefresh != nil:
		return KindSubRefresh
	case c.ID == 0 && !c.UnknownMethod:
		return KindPong
	}
	return KindUnknown
}

// Kind returns the kind of the content of r. An error does not name its command, so
// the kind of a reply with only an error is unknown.
func (r *Reply) Kind() MessageKind {
	switch {
	case r.Push != nil:
		return r.Push.Kind()
	case r.Connect != nil:
		return KindConnect
	case r.Subscribe != nil:
		return KindSubscribe
	case r.Unsubscribe != nil:
		return KindUnsubscribe
	case r.Publish != nil:
		return KindPublish
	case r.Presence != nil:
		return KindPresence
	case r.PresenceStats != nil:
		return KindPresenceStats
	case r.History != nil:
		return KindHistory
	case r.Ping != nil:
		return KindPing
	case r.RPC != nil:
		return KindRPC
	case r.Refresh != nil:
		return KindRefresh
	case r.SubRefresh != nil:
		return KindSubRefresh
	case r.ID == 0 && r.Error == nil:
		return KindPing
	}
	return KindUnknown
}

// Kind returns the kind of the content of p. The kind of an empty push, which is the
// ping of a unidirectional transport, is unknown.
func (p *Push) Kind() MessageKind {
	switch {
	case p.Pub != nil:
		return KindPushPublication
	case p.Join != nil:
		return KindPushJoin
	case p.Leave != nil:
		return KindPushLeave
	case p.Unsubscribe != nil:
		return KindPushUnsubscribe
	case p.Message != nil:
		return KindPushMessage
	case p.Subscribe != nil:
		return KindPushSubscribe
	case p.Connect != nil:
		return KindPushConnect
	case p.Disconnect != nil:
		return KindPushDisconnect
	case p.Refresh != nil:
		return KindPushRefresh
	}
	return KindUnknown
}

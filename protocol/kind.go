package protocol

// Kind returns what a command asks for. When several requests are set the
// first in the order of dispatch counts (client-protocol 1.2). A command with
// neither a request nor an id is a pong; one with an id only is unknown.
func (c *Command) Kind() FrameKind {
	switch {
	case c.Connect != nil:
		return FrameConnect
	case c.Ping != nil:
		return FramePing
	case c.Subscribe != nil:
		return FrameSubscribe
	case c.Unsubscribe != nil:
		return FrameUnsubscribe
	case c.Publish != nil:
		return FramePublish
	case c.Presence != nil:
		return FramePresence
	case c.PresenceStats != nil:
		return FramePresenceStats
	case c.History != nil:
		return FrameHistory
	case c.RPC != nil:
		return FrameRPC
	case c.Send != nil:
		return FrameSend
	case c.Refresh != nil:
		return FrameRefresh
	case c.SubRefresh != nil:
		return FrameSubRefresh
	case c.ID == 0 && !c.UnknownMethod:
		return FramePong
	}
	return FrameUnknown
}

// Kind returns what a reply carries. An error alone does not say what it
// answers: its kind is unknown.
func (r *Reply) Kind() FrameKind {
	switch {
	case r.Push != nil:
		return r.Push.Kind()
	case r.Connect != nil:
		return FrameConnect
	case r.Subscribe != nil:
		return FrameSubscribe
	case r.Unsubscribe != nil:
		return FrameUnsubscribe
	case r.Publish != nil:
		return FramePublish
	case r.Presence != nil:
		return FramePresence
	case r.PresenceStats != nil:
		return FramePresenceStats
	case r.History != nil:
		return FrameHistory
	case r.Ping != nil:
		return FramePing
	case r.RPC != nil:
		return FrameRPC
	case r.Refresh != nil:
		return FrameRefresh
	case r.SubRefresh != nil:
		return FrameSubRefresh
	case r.ID == 0 && r.Error == nil:
		return FramePing
	}
	return FrameUnknown
}

// Kind returns what a push carries. An empty one is a ping over a
// unidirectional transport and meaningless elsewhere: its kind is unknown.
func (p *Push) Kind() FrameKind {
	switch {
	case p.Pub != nil:
		return FramePushPublication
	case p.Join != nil:
		return FramePushJoin
	case p.Leave != nil:
		return FramePushLeave
	case p.Unsubscribe != nil:
		return FramePushUnsubscribe
	case p.Message != nil:
		return FramePushMessage
	case p.Subscribe != nil:
		return FramePushSubscribe
	case p.Connect != nil:
		return FramePushConnect
	case p.Disconnect != nil:
		return FramePushDisconnect
	case p.Refresh != nil:
		return FramePushRefresh
	}
	return FrameUnknown
}

package protocol

// The method numbers of V1 (client-protocol 2.1). They have been on the wire
// since April 2018.
var methodKinds = [...]MessageKind{
	KindConnect, KindSubscribe, KindUnsubscribe, KindPublish, KindPresence, KindPresenceStats,
	KindHistory, KindPing, KindSend, KindRPC, KindRefresh, KindSubRefresh,
}

// The numbers of the draft of February 2018, served on explicit request only.
// Its MESSAGE is SEND, and it has no SUB_REFRESH.
var draftMethodKinds = [...]MessageKind{
	KindConnect, KindRefresh, KindSubscribe, KindUnsubscribe, KindPublish, KindPresence,
	KindPresenceStats, KindHistory, KindPing, KindRPC, KindSend,
}

// The push types of V1 (client-protocol 2.1).
var pushTypeKinds = [...]MessageKind{
	KindPushPublication, KindPushJoin, KindPushLeave, KindPushUnsubscribe, KindPushMessage,
	KindPushSubscribe, KindPushConnect, KindPushDisconnect, KindPushRefresh,
}

// kindOfMethod returns KindUnknown for a number that names nothing.
func kindOfMethod(method int64, draft bool) MessageKind {
	kinds := methodKinds[:]
	if draft {
		kinds = draftMethodKinds[:]
	}
	if method < 0 || method >= int64(len(kinds)) {
		return KindUnknown
	}
	return kinds[method]
}

// kindOfMethodName accepts any letter case. It returns KindUnknown for a name
// that is not one.
func kindOfMethodName(name string, draft bool) MessageKind {
	const longest = len("presence_stats")
	if len(name) > longest {
		return KindUnknown
	}
	var lower [longest]byte
	for i := range len(name) {
		c := name[i]
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	kind := kindOfRequest(lower[:len(name)])
	if draft && kind == KindSubRefresh {
		return KindUnknown
	}
	if draft && string(lower[:len(name)]) == "message" {
		return KindSend
	}
	return kind
}

// methodOf returns the method number of a kind of command.
func methodOf(kind MessageKind) (method uint64, ok bool) {
	for i, k := range methodKinds {
		if k == kind {
			return uint64(i), true
		}
	}
	return 0, false
}

// pushTypeOf returns the V1 type of a kind of push; hasForm has checked that
// there is one.
func pushTypeOf(kind MessageKind) uint64 {
	for i, k := range pushTypeKinds {
		if k == kind {
			return uint64(i)
		}
	}
	return 0
}

// kindOfPushType returns KindUnknown for a number that names nothing.
func kindOfPushType(typ int64) MessageKind {
	if typ < 0 || typ >= int64(len(pushTypeKinds)) {
		return KindUnknown
	}
	return pushTypeKinds[typ]
}

// A v1Command is the envelope of a command, before its params are read.
type v1Command struct {
	id      uint32
	kind    MessageKind // KindUnknown when the method names nothing
	params  bool        // there are any
	badName bool        // the method was a name that is none
}

// check applies the rules of client-protocol 2.2 that hold for all methods.
func (c *v1Command) check() error {
	if c.badName || c.id == 0 && c.kind != KindSend {
		return ErrMalformed
	}
	switch c.kind {
	case KindConnect, KindPing, KindRPC, KindSend, KindUnknown:
		return nil
	}
	if !c.params {
		return ErrMalformed
	}
	return nil
}

// fill sets what check has allowed to be missing.
func (c *v1Command) fill(to *Command) {
	to.ID = c.id
	switch c.kind {
	case KindConnect:
		to.Connect = orNew(to.Connect)
	case KindPing:
		to.Ping = new(PingRequest)
	case KindRPC:
		to.RPC = orNew(to.RPC)
	case KindSend:
		to.Send = orNew(to.Send)
	case KindUnknown:
		to.UnknownMethod = true
	}
	if to.History != nil {
		to.History.limitAll()
	}
}

// limitAll gives a history request of clients that know no limit their
// meaning: everything. They had channel as the only field (client-protocol 2.3).
func (m *HistoryRequest) limitAll() {
	if m.Limit == 0 && m.Since == nil {
		m.Limit = -1
	}
}

// foldPosition makes one offset of the two numbers that positions were before
// there were offsets. Either of them takes precedence over an offset
// (client-protocol 2.4).
func foldPosition(seq, gen uint32, offset uint64) uint64 {
	if seq == 0 && gen == 0 {
		return offset
	}
	return uint64(gen)<<32 | uint64(seq)
}

package protocol

// The method numbers of V1 (protocol.md 8.1). They have been on the wire
// since April 2018.
var methodKinds = [...]MessageKind{
	KindConnect, KindSubscribe, KindUnsubscribe, KindPublish, KindPresence, KindPresenceStats,
	KindHistory, KindPing, KindSend, KindRPC, KindRefresh, KindSubRefresh,
}

// The method numbers of the draft of February 2018, which a client must ask for.
// The draft calls SEND MESSAGE, and has no SUB_REFRESH.
var draftMethodKinds = [...]MessageKind{
	KindConnect, KindRefresh, KindSubscribe, KindUnsubscribe, KindPublish, KindPresence,
	KindPresenceStats, KindHistory, KindPing, KindRPC, KindSend,
}

// The push types of V1 (protocol.md 8.1).
var pushTypeKinds = [...]MessageKind{
	KindPushPublication, KindPushJoin, KindPushLeave, KindPushUnsubscribe, KindPushMessage,
	KindPushSubscribe, KindPushConnect, KindPushDisconnect, KindPushRefresh,
}

// kindOfMethod returns KindUnknown for a number without a method.
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

// kindOfMethodName accepts names in any letter case. It returns KindUnknown for a
// name without a method.
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

// pushTypeOf returns the V1 type of a kind of push, which hasForm has checked to
// exist.
func pushTypeOf(kind MessageKind) uint64 {
	for i, k := range pushTypeKinds {
		if k == kind {
			return uint64(i)
		}
	}
	return 0
}

// KindOfPushType returns the kind of a push by its type in V1, and KindUnknown for a
// number without a type.
func KindOfPushType(typ int64) MessageKind {
	if typ < 0 || typ >= int64(len(pushTypeKinds)) {
		return KindUnknown
	}
	return pushTypeKinds[typ]
}

// A v1Command is the envelope of a command, before its params are read.
type v1Command struct {
	id      uint32
	kind    MessageKind // KindUnknown if the method does not exist
	params  bool        // the command has params
	badName bool        // the method is a name that does not exist
}

// check applies the rules of protocol.md 8.2 that hold for all methods.
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

// fill sets the parts that a command may omit.
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

// limitAll makes a history request without a limit ask for everything. Requests of
// the first clients have channel as their only field (protocol.md 8.3).
func (m *HistoryRequest) limitAll() {
	if m.Limit == 0 && m.Since == nil {
		m.Limit = -1
	}
}

// foldPosition combines the two numbers of a position in early V1 to an offset. If
// one of them is set, it takes precedence over offset (protocol.md 8.4).
func foldPosition(seq, gen uint32, offset uint64) uint64 {
	if seq == 0 && gen == 0 {
		return offset
	}
	return uint64(gen)<<32 | uint64(seq)
}

package protocol

import "google.golang.org/protobuf/encoding/protowire"

// memberKeys are the keys under which requests, results and pushes are found
// in V2, as a jsonWriter writes them.
var memberKeys = [NumMessageKinds]string{
	KindConnect:         `,"connect":`,
	KindSubscribe:       `,"subscribe":`,
	KindUnsubscribe:     `,"unsubscribe":`,
	KindPublish:         `,"publish":`,
	KindPresence:        `,"presence":`,
	KindPresenceStats:   `,"presence_stats":`,
	KindHistory:         `,"history":`,
	KindPing:            `,"ping":`,
	KindSend:            `,"send":`,
	KindRPC:             `,"rpc":`,
	KindRefresh:         `,"refresh":`,
	KindSubRefresh:      `,"sub_refresh":`,
	KindPushPublication: `,"pub":`,
	KindPushJoin:        `,"join":`,
	KindPushLeave:       `,"leave":`,
	KindPushUnsubscribe: `,"unsubscribe":`,
	KindPushMessage:     `,"message":`,
	KindPushSubscribe:   `,"subscribe":`,
	KindPushConnect:     `,"connect":`,
	KindPushDisconnect:  `,"disconnect":`,
	KindPushRefresh:     `,"refresh":`,
}

// kindOfRequest returns the kind of command whose request has this key, or
// KindUnknown. Results have the same keys.
func kindOfRequest(key []byte) MessageKind {
	switch string(key) {
	case "connect":
		return KindConnect
	case "subscribe":
		return KindSubscribe
	case "unsubscribe":
		return KindUnsubscribe
	case "publish":
		return KindPublish
	case "presence":
		return KindPresence
	case "presence_stats":
		return KindPresenceStats
	case "history":
		return KindHistory
	case "ping":
		return KindPing
	case "send":
		return KindSend
	case "rpc":
		return KindRPC
	case "refresh":
		return KindRefresh
	case "sub_refresh":
		return KindSubRefresh
	}
	return KindUnknown
}

// kindOfPush returns the kind of push whose content has this key, or
// KindUnknown.
func kindOfPush(key []byte) MessageKind {
	switch string(key) {
	case "pub":
		return KindPushPublication
	case "join":
		return KindPushJoin
	case "leave":
		return KindPushLeave
	case "unsubscribe":
		return KindPushUnsubscribe
	case "message":
		return KindPushMessage
	case "subscribe":
		return KindPushSubscribe
	case "connect":
		return KindPushConnect
	case "disconnect":
		return KindPushDisconnect
	case "refresh":
		return KindPushRefresh
	}
	return KindUnknown
}

// The field numbers of requests in a Command, of results in a Reply and of
// contents in a Push (client-protocol 1.2). Results are numbered one higher
// than requests up to ping, because send has none.
var (
	requestKinds = [16]MessageKind{
		4:  KindConnect,
		5:  KindSubscribe,
		6:  KindUnsubscribe,
		7:  KindPublish,
		8:  KindPresence,
		9:  KindPresenceStats,
		10: KindHistory,
		11: KindPing,
		12: KindSend,
		13: KindRPC,
		14: KindRefresh,
		15: KindSubRefresh,
	}
	resultKinds = [16]MessageKind{
		5:  KindConnect,
		6:  KindSubscribe,
		7:  KindUnsubscribe,
		8:  KindPublish,
		9:  KindPresence,
		10: KindPresenceStats,
		11: KindHistory,
		12: KindPing,
		13: KindRPC,
		14: KindRefresh,
		15: KindSubRefresh,
	}
	pushKinds = [16]MessageKind{
		4:  KindPushPublication,
		5:  KindPushJoin,
		6:  KindPushLeave,
		7:  KindPushUnsubscribe,
		8:  KindPushMessage,
		9:  KindPushSubscribe,
		10: KindPushConnect,
		11: KindPushDisconnect,
		12: KindPushRefresh,
	}

	requestNumbers = numbersOf(requestKinds)
	resultNumbers  = numbersOf(resultKinds)
	pushNumbers    = numbersOf(pushKinds)
)

func numbersOf(kinds [16]MessageKind) (numbers [NumMessageKinds]protowire.Number) {
	for number, kind := range kinds {
		if kind != KindUnknown {
			numbers[kind] = protowire.Number(number)
		}
	}
	return numbers
}

// kindOfNumber returns KindUnknown for a number that names nothing.
func kindOfNumber(kinds *[16]MessageKind, num protowire.Number) MessageKind {
	if num >= protowire.Number(len(kinds)) {
		return KindUnknown
	}
	return kinds[num]
}

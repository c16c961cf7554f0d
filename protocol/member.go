package protocol

import "google.golang.org/protobuf/encoding/protowire"

// memberKeys are the keys under which requests, results and pushes are found
// in V2, as a jsonWriter writes them.
var memberKeys = [NumFrameKinds]string{
	FrameConnect:         `,"connect":`,
	FrameSubscribe:       `,"subscribe":`,
	FrameUnsubscribe:     `,"unsubscribe":`,
	FramePublish:         `,"publish":`,
	FramePresence:        `,"presence":`,
	FramePresenceStats:   `,"presence_stats":`,
	FrameHistory:         `,"history":`,
	FramePing:            `,"ping":`,
	FrameSend:            `,"send":`,
	FrameRPC:             `,"rpc":`,
	FrameRefresh:         `,"refresh":`,
	FrameSubRefresh:      `,"sub_refresh":`,
	FramePushPublication: `,"pub":`,
	FramePushJoin:        `,"join":`,
	FramePushLeave:       `,"leave":`,
	FramePushUnsubscribe: `,"unsubscribe":`,
	FramePushMessage:     `,"message":`,
	FramePushSubscribe:   `,"subscribe":`,
	FramePushConnect:     `,"connect":`,
	FramePushDisconnect:  `,"disconnect":`,
	FramePushRefresh:     `,"refresh":`,
}

// kindOfRequest returns the kind of command whose request has this key, or
// FrameUnknown. Results have the same keys.
func kindOfRequest(key []byte) FrameKind {
	switch string(key) {
	case "connect":
		return FrameConnect
	case "subscribe":
		return FrameSubscribe
	case "unsubscribe":
		return FrameUnsubscribe
	case "publish":
		return FramePublish
	case "presence":
		return FramePresence
	case "presence_stats":
		return FramePresenceStats
	case "history":
		return FrameHistory
	case "ping":
		return FramePing
	case "send":
		return FrameSend
	case "rpc":
		return FrameRPC
	case "refresh":
		return FrameRefresh
	case "sub_refresh":
		return FrameSubRefresh
	}
	return FrameUnknown
}

// kindOfPush returns the kind of push whose content has this key, or
// FrameUnknown.
func kindOfPush(key []byte) FrameKind {
	switch string(key) {
	case "pub":
		return FramePushPublication
	case "join":
		return FramePushJoin
	case "leave":
		return FramePushLeave
	case "unsubscribe":
		return FramePushUnsubscribe
	case "message":
		return FramePushMessage
	case "subscribe":
		return FramePushSubscribe
	case "connect":
		return FramePushConnect
	case "disconnect":
		return FramePushDisconnect
	case "refresh":
		return FramePushRefresh
	}
	return FrameUnknown
}

// The field numbers of requests in a Command, of results in a Reply and of
// contents in a Push (client-protocol 1.2). Results are numbered one higher
// than requests up to ping, because send has none.
var (
	requestKinds = [16]FrameKind{
		4:  FrameConnect,
		5:  FrameSubscribe,
		6:  FrameUnsubscribe,
		7:  FramePublish,
		8:  FramePresence,
		9:  FramePresenceStats,
		10: FrameHistory,
		11: FramePing,
		12: FrameSend,
		13: FrameRPC,
		14: FrameRefresh,
		15: FrameSubRefresh,
	}
	resultKinds = [16]FrameKind{
		5:  FrameConnect,
		6:  FrameSubscribe,
		7:  FrameUnsubscribe,
		8:  FramePublish,
		9:  FramePresence,
		10: FramePresenceStats,
		11: FrameHistory,
		12: FramePing,
		13: FrameRPC,
		14: FrameRefresh,
		15: FrameSubRefresh,
	}
	pushKinds = [16]FrameKind{
		4:  FramePushPublication,
		5:  FramePushJoin,
		6:  FramePushLeave,
		7:  FramePushUnsubscribe,
		8:  FramePushMessage,
		9:  FramePushSubscribe,
		10: FramePushConnect,
		11: FramePushDisconnect,
		12: FramePushRefresh,
	}

	requestNumbers = numbersOf(requestKinds)
	resultNumbers  = numbersOf(resultKinds)
	pushNumbers    = numbersOf(pushKinds)
)

func numbersOf(kinds [16]FrameKind) (numbers [NumFrameKinds]protowire.Number) {
	for number, kind := range kinds {
		if kind != FrameUnknown {
			numbers[kind] = protowire.Number(number)
		}
	}
	return numbers
}

// kindOfNumber returns FrameUnknown for a number that names nothing.
func kindOfNumber(kinds *[16]FrameKind, num protowire.Number) FrameKind {
	if num >= protowire.Number(len(kinds)) {
		return FrameUnknown
	}
	return kinds[num]
}

package api

// Method is a call of the server API.
type Method uint8

// The calls that this server answers. The PRO ones are not found
// (server-interface 1.4 and 1.7).
const (
	MethodPublish Method = iota
	MethodBroadcast
	MethodSubscribe
	MethodUnsubscribe
	MethodDisconnect
	MethodRefresh
	MethodPresence
	MethodPresenceStats
	MethodHistory
	MethodHistoryRemove
	MethodInfo
	MethodChannels
	MethodRPC
	MethodBatch
	MethodMapPublish
	MethodMapRemove
	MethodMapReadState
	MethodMapReadStream
	MethodMapStats
	MethodMapClear
	MethodSharedPollPublish

	numMethods
)

// methodNames are the names in routes, batches and metrics.
var methodNames = [numMethods]string{
	MethodPublish:           "publish",
	MethodBroadcast:         "broadcast",
	MethodSubscribe:         "subscribe",
	MethodUnsubscribe:       "unsubscribe",
	MethodDisconnect:        "disconnect",
	MethodRefresh:           "refresh",
	MethodPresence:          "presence",
	MethodPresenceStats:     "presence_stats",
	MethodHistory:           "history",
	MethodHistoryRemove:     "history_remove",
	MethodInfo:              "info",
	MethodChannels:          "channels",
	MethodRPC:               "rpc",
	MethodBatch:             "batch",
	MethodMapPublish:        "map_publish",
	MethodMapRemove:         "map_remove",
	MethodMapReadState:      "map_read_state",
	MethodMapReadStream:     "map_read_stream",
	MethodMapStats:          "map_stats",
	MethodMapClear:          "map_clear",
	MethodSharedPollPublish: "shared_poll_publish",
}

// String returns the name of the method.
func (m Method) String() string {
	if m < numMethods {
		return methodNames[m]
	}
	return "unknown"
}

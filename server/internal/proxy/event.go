package proxy

// Event is something that a backend is asked about (server.md 5.1).
type Event uint8

// The events.
const (
	Connect Event = iota
	Refresh
	Subscribe
	Publish
	RPC
	SubRefresh
	SubscribeStream
	numEvents
)

// events is the table of events. The names are those of the configuration, and labels of
// metrics.
var events = [numEvents]struct {
	name string
	// plainFirst is set for the event whose plain data precedes its base64 form.
	plainFirst bool
}{
	Connect:         {name: "connect"},
	Refresh:         {name: "refresh"},
	Subscribe:       {name: "subscribe"},
	Publish:         {name: "publish", plainFirst: true},
	RPC:             {name: "rpc"},
	SubRefresh:      {name: "sub_refresh"},
	SubscribeStream: {name: "subscribe_stream"},
}

// String returns the name of the event.
func (e Event) String() string {
	if e < numEvents {
		return events[e].name
	}
	return "unknown"
}

package loadtest

import (
	"slices"
	"strings"
)

// carrier is what the messages of a transport travel over.
type carrier uint8

const (
	overWebSocket carrier = iota
	overHTTP              // the body of a response; commands are requests of their own
	overGRPC
	overWebTransport
)

// Transport is how the clients of a run are connected.
type Transport struct {
	Name string

	carrier        carrier
	path           string // of the endpoint, unless the address has one
	port           string // of gRPC, unless an address is given
	unidirectional bool
	events         bool // messages are server-sent events
	text           bool // messages are always JSON
}

// Transports returns all transports in the order of the documentation.
func Transports() []Transport {
	return []Transport{
		{Name: "websocket", path: "/connection/websocket"},
		{Name: "http_stream", carrier: overHTTP, path: "/connection/http_stream"},
		{Name: "sse", carrier: overHTTP, path: "/connection/sse", events: true, text: true},
		{Name: "webtransport", carrier: overWebTransport, path: "/connection/webtransport"},
		{Name: "grpc", carrier: overGRPC, port: "8001", path: "/centrifugal.centrifuge.protocol.Centrifuge/Communicate"},
		{Name: "uni_websocket", path: "/connection/uni_websocket", unidirectional: true, text: true},
		{Name: "uni_http_stream", carrier: overHTTP, path: "/connection/uni_http_stream", unidirectional: true, text: true},
		{Name: "uni_sse", carrier: overHTTP, path: "/connection/uni_sse", events: true, unidirectional: true, text: true},
		{Name: "uni_grpc", carrier: overGRPC, port: "11000", path: "/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume", unidirectional: true},
	}
}

// DefaultTransport is that of Options without one.
const DefaultTransport = "websocket"

func transport(name string) (Transport, bool) {
	if name == "" {
		name = DefaultTransport
	}
	all := Transports()
	i := slices.IndexFunc(all, func(t Transport) bool { return t.Name == name })
	if i < 0 {
		return Transport{}, false
	}
	return all[i], true
}

// binary reports whether messages of the transport are Protobuf.
func (o *Options) binary(t Transport) bool { return o.Protobuf || t.carrier == overGRPC }

// checkTransport says what does not fit the transport.
func (o *Options) checkTransport(s Scenario, check func(ok bool, format string, args ...any)) {
	t, known := transport(o.Transport)
	if !known {
		check(false, "unknown transport %q", o.Transport)
		return
	}
	check(!o.Protobuf || !t.text, "protobuf: transport %s has only JSON", t.Name)
	check(t.carrier != overWebTransport || strings.HasPrefix(o.Address, "https://"), "transport %s: it needs an address that begins with https://", t.Name)
	check(o.HTTP2Streams == 0 || t.carrier == overHTTP, "http2-streams: transport %s is not an HTTP stream or SSE", t.Name)
	check(o.HTTP2Streams >= 0 && o.HTTP2Streams <= MaxStreams, "http2-streams: %d is not from 0 to %d", o.HTTP2Streams, MaxStreams)
	check(!o.Deflate || t.carrier == overWebSocket, "deflate: transport %s has no permessage-deflate", t.Name)
	check(!t.unidirectional || !s.echo, "transport %s: clients of scenario %s publish, which those of a unidirectional transport cannot", t.Name, o.Scenario)
}

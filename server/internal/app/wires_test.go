package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
	"centrifugo/server/internal/app/apptest"
)

// wire is a transport of the server in one encoding, as its clients use it. Tests of what
// all of them must do run for each: a transport is a row of wires.
type wire struct {
	name   string // of the transport, which is that of its section in the configuration
	format protocol.Format
	// requests is set for HTTP requests, which may go over HTTP/2.
	requests bool
	// emulated is set if commands are requests of their own.
	emulated bool
	// quic is set for a transport that exists over HTTP/3 only.
	quic bool
	// grpc is set for a transport with a listener of its own.
	grpc bool
	// link returns a connection that the first message opens.
	link func(s *wireServer) apptest.Link
	// malformed and oversize are the ends of a connection whose first message is so.
	malformed, oversize apptest.Ended
}

const (
	uniJSON     = protocol.FormatUni
	uniProtobuf = protocol.FormatUni | protocol.FormatProtobuf
)

var (
	badRequest = apptest.Ended{Code: centrifuge.DisconnectBadRequest.Code, Reason: centrifuge.DisconnectBadRequest.Reason}
	tooBig     = apptest.Ended{Code: 1009}
)

func httpStatus(status string) apptest.Ended { return apptest.Ended{Status: status} }

// streamOf returns the link of a transport over HTTP.
func streamOf(c apptest.Stream) func(s *wireServer) apptest.Link {
	return func(s *wireServer) apptest.Link { return s.clients.Stream(c) }
}

func socketOf(path string, protobuf bool) func(s *wireServer) apptest.Link {
	return func(s *wireServer) apptest.Link { return s.clients.WebSocket(path, protobuf) }
}

var wires = []wire{
	{name: "websocket", link: socketOf(apptest.Path, false), malformed: badRequest, oversize: tooBig},
	{name: "websocket", format: protocol.FormatProtobuf, link: socketOf(apptest.Path, true), malformed: badRequest, oversize: tooBig},
	{name: "http_stream", requests: true, emulated: true, link: streamOf(apptest.Stream{Path: "/connection/http_stream"}),
		malformed: badRequest, oversize: httpStatus("413")},
	{name: "http_stream", format: protocol.FormatProtobuf, requests: true, emulated: true, link: streamOf(apptest.Stream{Path: "/connection/http_stream", Protobuf: true}),
		malformed: badRequest, oversize: httpStatus("413")},
	{name: "sse", requests: true, emulated: true, link: streamOf(apptest.Stream{Path: "/connection/sse", Events: true, Get: true}),
		malformed: badRequest, oversize: httpStatus("414")},
	{name: "uni_websocket", format: uniJSON, link: socketOf("/connection/uni_websocket", false), malformed: badRequest, oversize: tooBig},
	{name: "uni_http_stream", format: uniJSON, requests: true, link: streamOf(apptest.Stream{Path: "/connection/uni_http_stream", Unidirectional: true}),
		malformed: httpStatus("400"), oversize: httpStatus("413")},
	{name: "uni_sse", format: uniJSON, requests: true, link: streamOf(apptest.Stream{Path: "/connection/uni_sse", Events: true, Get: true, Unidirectional: true}),
		malformed: httpStatus("400"), oversize: httpStatus("414")},
	{name: "webtransport", quic: true, link: func(s *wireServer) apptest.Link { return s.webTransportLink() },
		malformed: badRequest, oversize: badRequest},
	{name: "webtransport", format: protocol.FormatProtobuf, quic: true, link: func(s *wireServer) apptest.Link { return s.webTransportLink() },
		malformed: badRequest, oversize: badRequest},
	{name: "grpc", format: protocol.FormatProtobuf, grpc: true,
		link: func(s *wireServer) apptest.Link {
			return s.grpcLink("/centrifugal.centrifuge.protocol.Centrifuge/Communicate")
		},
		malformed: badRequest, oversize: httpStatus("ResourceExhausted")},
	{name: "uni_grpc", format: uniProtobuf, grpc: true,
		link: func(s *wireServer) apptest.Link {
			return s.grpcLink("/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume")
		},
		malformed: httpStatus("InvalidArgument"), oversize: httpStatus("ResourceExhausted")},
}

// secure is what the bytes of a connection travel over.
type secure struct {
	name              string
	tls, http2, http3 bool
}

var secures = []secure{{name: "plain"}, {name: "tls", tls: true}, {name: "http2", tls: true, http2: true}, {name: "http3", tls: true, http3: true}}

// over reports whether connections of w may travel over sec.
func (w wire) over(sec secure) bool {
	switch {
	case w.quic:
		return sec.http3
	case sec.http2, sec.http3:
		return w.requests
	}
	return true
}

func (w wire) String() string {
	if w.format.Protobuf() {
		return w.name + " protobuf"
	}
	return w.name + " json"
}

// wireServer is a server with one transport, and its clients.
type wireServer struct {
	*instance
	wire
	secure  secure
	clients *apptest.Server
	streams grpcClient
}

// wireSections are sections of a configuration: their members replace those of the default.
type wireSections map[string]map[string]any

// serveWire starts a server with the transport of w, all of whose channels keep history.
func serveWire(t *testing.T, w wire, sec secure, more wireSections) *wireServer {
	t.Helper()
	all := wireSections{
		"client": {"insecure": true},
		"channel": {"without_namespace": map[string]any{
			"history_size": 1000, "history_ttl": "300s", "force_recovery": true,
		}},
		"http_api":    {"key": "k"},
		"http_server": {"internal_address": "127.0.0.2"},
		w.name:        {},
	}
	if w.name != "websocket" {
		all[w.name]["enabled"] = true
	}
	s := &wireServer{wire: w, secure: sec, clients: &apptest.Server{HTTP2: sec.http2}}
	if w.grpc {
		all[w.name]["address"] = "127.0.0.1"
	}
	for name, members := range more {
		if all[name] == nil {
			all[name] = make(map[string]any)
		}
		maps.Copy(all[name], members)
	}
	if sec.tls {
		a := newAuthority(t)
		var section map[string]any
		if err := json.Unmarshal([]byte("{"+a.section("tls", "")+"}"), &section); err != nil {
			t.Fatal(err)
		}
		all["http_server"]["tls"], all["http_server"]["tls_external"] = section["tls"], true
		s.clients.TLS = a.client()
		if sec.http3 {
			all["http_server"]["http3"] = map[string]any{"enabled": true}
			s.clients.HTTP3 = http3Client(t, a.client())
		}
		if w.grpc {
			all[w.name]["tls"] = section["tls"]
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	s.instance = start(t, strings.TrimSuffix(strings.TrimPrefix(string(text), "{"), "}"))
	s.clients.Address = s.external()
	t.Cleanup(s.clients.Close)
	t.Cleanup(s.streams.close)
	return s
}

// call calls the API.
func (s *wireServer) call(method, body string) {
	s.t.Helper()
	status, answer := s.request(http.MethodPost, s.address[1], "/api/"+method, body, "X-API-Key", "k")
	if status != http.StatusOK || strings.Contains(answer, `"error"`) {
		s.t.Fatalf("%s %s: %d %s; want 200 and no error", method, body, status, answer)
	}
}

func (s *wireServer) publish(channel, data string) {
	s.t.Helper()
	s.call("publish", fmt.Sprintf(`{"channel":%q,"data":%s}`, channel, data))
}

// peer is a client of a test.
type peer struct {
	*apptest.Peer
	t      *testing.T
	server *wireServer
	id     string // of the connection
}

// dial returns a client that has sent nothing.
func (s *wireServer) dial(t *testing.T) *peer {
	p := &peer{Peer: &apptest.Peer{Link: s.link(s), Format: s.format}, t: t, server: s}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// next returns the next reply or push that is no ping.
func (p *peer) next() *protocol.Reply {
	p.t.Helper()
	reply, err := p.Next()
	if err != nil {
		p.t.Fatalf("receiving: %v", err)
	}
	return reply
}

// join connects and subscribes to channel, from a position if since is not nil, and returns
// the result of the subscription.
func (p *peer) join(channel string, since *protocol.SubscribeRequest) *protocol.SubscribeResult {
	p.t.Helper()
	if since == nil {
		since = new(protocol.SubscribeRequest)
	}
	if p.Format.Uni() {
		c := p.connect(&protocol.ConnectRequest{Subs: map[string]*protocol.SubscribeRequest{channel: since}})
		if c.Subs[channel] == nil {
			p.t.Fatalf("the connect push is %+v; want a subscription to %s", c, channel)
		}
		return c.Subs[channel]
	}
	p.connect(new(protocol.ConnectRequest))
	return p.subscribe(channel, since)
}

// subscribe subscribes a bidirectional connection, and returns the result.
func (p *peer) subscribe(channel string, since *protocol.SubscribeRequest) *protocol.SubscribeResult {
	p.t.Helper()
	request := *since
	request.Channel = channel
	p.command(protocol.Command{ID: 2, Subscribe: &request})
	reply := p.next()
	if reply.ID != 2 || reply.Subscribe == nil {
		p.t.Fatalf("received %+v; want a subscribe result", reply)
	}
	return reply.Subscribe
}

func (p *peer) command(commands ...protocol.Command) {
	p.t.Helper()
	if err := p.Command(commands...); err != nil {
		p.t.Fatalf("sending a command: %v", err)
	}
}

// connect sends a connect request and returns the answer in the form of a push.
func (p *peer) connect(request *protocol.ConnectRequest) *protocol.Connect {
	p.t.Helper()
	if err := p.Connect(request); err != nil {
		p.t.Fatalf("connecting: %v", err)
	}
	reply := p.next()
	var c *protocol.Connect
	switch r := reply.Connect; {
	case r != nil && reply.ID == 1:
		c = &protocol.Connect{Client: r.Client, Version: r.Version, Subs: r.Subs, Ping: r.Ping, Pong: r.Pong, Session: r.Session, Node: r.Node}
	case reply.Push != nil && reply.Push.Connect != nil:
		c = reply.Push.Connect
	default:
		p.t.Fatalf("received %+v; want the answer to connect", reply)
	}
	if c.Client == "" {
		p.t.Fatalf("the answer to connect is %+v; want the id of the connection", c)
	}
	p.id = c.Client
	return c
}

// wantPub reads a publication.
func (p *peer) wantPub(channel, data string) *protocol.Publication {
	p.t.Helper()
	reply := p.next()
	if reply.Push == nil || reply.Push.Pub == nil || reply.Push.Channel != channel || string(reply.Push.Pub.Data) != data {
		p.t.Fatalf("received %+v; want the publication %s in %s", reply, data, channel)
	}
	return reply.Push.Pub
}

// wantEnd reads up to the end of the connection. Of the status and the reason an empty one in
// want is any.
func (p *peer) wantEnd(want apptest.Ended) {
	p.t.Helper()
	p.checkEnd(p.End(), want)
}

func (p *peer) checkEnd(err error, want apptest.Ended) {
	p.t.Helper()
	var got *apptest.Ended
	if !errors.As(err, &got) || got.Code != want.Code || want.Reason != "" && got.Reason != want.Reason || want.Status != "" && got.Status != want.Status {
		p.t.Errorf("the connection ended with %v; want %v", err, &want)
	}
}

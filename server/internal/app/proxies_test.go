package app

import (
	"errors"
	"sync"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/proxytest"
	"centrifugo/protocol"
	"centrifugo/server/internal/app/apptest"
)

// deployment is where the configurations of the proxies are.
const deployment = "../../../docs/deployment.md"

// TestProxies runs each transport behind real reverse proxies, with the configurations of
// docs/deployment.md and the defaults of the proxies: messages and pings pass at once, ends are
// noticed on both sides, and codes arrive.
func TestProxies(t *testing.T) {
	for _, name := range []string{"nginx", "haproxy", "caddy"} {
		for _, sec := range secures {
			if sec.http3 { // no proxy of these passes it on to a server
				continue
			}
			t.Run(name+"/"+sec.name, func(t *testing.T) {
				t.Parallel()
				s := serveAll(t)
				s.throughProxy(t, name, sec, proxytest.Config{})
				var running sync.WaitGroup // most of the time is spent waiting for pings
				for _, w := range wires {
					if !w.grpc && w.over(sec) {
						running.Go(func() {
							t.Run(w.String(), func(t *testing.T) {
								scenarioProxy(t, &wireServer{instance: s.instance, wire: w, secure: sec, clients: s.clients})
							})
						})
					}
				}
				running.Wait()
				scenarioProxyShutdown(t, s)
			})
		}
	}
}

// serveAll starts a server with all transports over HTTP.
func serveAll(t *testing.T) *wireServer {
	t.Helper()
	enabled := map[string]any{"enabled": true}
	return serveWire(t, wires[0], secure{}, wireSections{
		"client":      pinging["client"],
		"http_stream": enabled, "sse": enabled, "uni_websocket": enabled, "uni_http_stream": enabled, "uni_sse": enabled,
	})
}

// throughProxy puts a proxy in front of s, to which the clients connect from now on.
func (s *wireServer) throughProxy(t *testing.T, name string, sec secure, c proxytest.Config) {
	t.Helper()
	c.Document, c.Upstream = deployment, s.external()
	clients := &apptest.Server{HTTP2: sec.http2}
	if sec.tls {
		a := newAuthority(t)
		c.Certificate, c.Key = a.leaf()
		clients.TLS = a.client()
	}
	clients.Address = proxytest.Start(t, name, c)
	t.Cleanup(clients.Close)
	s.clients = clients
}

// scenarioProxy is what a proxy must not break. A step that waits longer than the proxy buffers
// fails by its timeout.
func scenarioProxy(t *testing.T, s *wireServer) {
	channel := s.String()
	p := s.dial(t)
	begin := p.join(channel, nil) // the first message arrives although none follows
	for range 2 {
		reply, err := p.Reply()
		if err != nil || reply.Kind() != protocol.KindPing {
			t.Fatalf("received %+v, %v; want a ping", reply, err)
		}
		if !p.Format.Uni() {
			p.command()
		}
	}
	s.publish(channel, `"small"`)
	last := p.wantPub(channel, `"small"`)
	s.call("disconnect", `{"user":"","client":"`+p.id+`","disconnect":{"code":4321,"reason":"come back"}}`)
	p.wantEnd(apptest.Ended{Code: 4321, Reason: "come back"})

	s.publish(channel, `"missed"`)
	p = s.dial(t)
	got := p.join(channel, &protocol.SubscribeRequest{Recover: true, Offset: last.Offset, Epoch: begin.Epoch})
	if !got.Recovered || len(got.Publications) != 1 || string(got.Publications[0].Data) != `"missed"` {
		t.Errorf("the subscription is %+v; want what was missed", got)
	}
	node := s.app.node
	await.Until(t, "the channel has one subscriber", func() bool { return node.NumSubscribers(channel) == 1 })
	_ = p.Close()
	await.Until(t, "the node has noticed that the client has gone", func() bool { return node.NumSubscribers(channel) == 0 })
}

// scenarioProxyShutdown: a client behind a proxy learns why the server ends.
func scenarioProxyShutdown(t *testing.T, s *wireServer) {
	p := s.dial(t)
	if s.clients.HTTP2 {
		p.Link = s.clients.Stream(apptest.Stream{Path: "/connection/http_stream"})
	}
	p.join("news", nil)
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	p.wantEnd(apptest.Ended{Code: 3001, Reason: "shutdown"})
	_ = p.Close()
	if err := await.Receive(t, stopped, "the server's end"); err != nil {
		t.Errorf("stopping = %v; want no error", err)
	}
}

// TestProxyWithoutUpgrade: behind a proxy that does not pass on WebSocket the handshake fails
// with a status, by which SDKs fall back, and the next transport works.
func TestProxyWithoutUpgrade(t *testing.T) {
	s := serveAll(t)
	s.throughProxy(t, "nginx", secure{}, proxytest.Config{WithoutUpgrade: true})
	p := s.dial(t)
	err := p.Connect(new(protocol.ConnectRequest))
	var ended *apptest.Ended
	if !errors.As(err, &ended) || ended.Status == "" {
		t.Fatalf("WebSocket through the proxy = %v; want an HTTP status", err)
	}
	for _, w := range wires {
		if w.emulated {
			fallback := (&wireServer{instance: s.instance, wire: w, clients: s.clients}).dial(t)
			fallback.join("news", nil)
		}
	}
}

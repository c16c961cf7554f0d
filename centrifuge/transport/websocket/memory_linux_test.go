//go:build linux

package websocket

import (
	"context"
	"net"
	"runtime"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
	"centrifugo/internal/memtest"
)

// held is a session that keeps what the core would at least keep.
type held struct {
	refused
	ctx       context.Context
	transport centrifuge.Transport
}

// What an idle connection costs the process. The clients are bare descriptors,
// which cost it nothing; what a session of the core adds is not in it.
func TestIdleConnectionMemory(t *testing.T) {
	const budget = 1536 // bytes of heap and stacks, the context of the request included
	connections := memtest.Connections(t)
	accepted := make(chan *held, connections)
	s := &server{}
	s.serve(t, func(ctx context.Context, transport centrifuge.Transport) (session, error) {
		h := &held{ctx: ctx, transport: transport}
		accepted <- h
		return h, nil
	}, Config{}, false)
	sessions := make([]*held, 0, connections)
	heapBefore, rssBefore := memtest.Used(t)
	for range connections {
		memtest.BareClient(t, s.http.Listener.Addr().(*net.TCPAddr), handshake("/"), "HTTP/1.1 101 ")
		sessions = append(sessions, await.Receive(t, accepted, "session"))
	}
	heapAfter, rssAfter := memtest.Used(t)
	heap := (heapAfter - heapBefore) / connections
	t.Logf("%d idle connections: %d bytes of heap and stacks each, %d bytes of RSS each",
		connections, heap, (rssAfter-rssBefore)/connections)
	if heap > budget && !memtest.Race {
		t.Errorf("%d bytes each; want at most %d", heap, budget)
	}
	runtime.KeepAlive(sessions)
}

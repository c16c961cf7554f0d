//go:build linux

package httpstream

import (
	"net"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"
	"centrifugo/internal/memtest"
)

// What an idle connection over HTTP/1.1 without TLS costs the process, the node's part
// included. The clients are bare descriptors, which cost it nothing.
func TestIdleConnectionMemory(t *testing.T) {
	const budget = 12 << 10 // bytes of heap and stacks
	for name, wire := range wires {
		t.Run(name, func(t *testing.T) {
			connections := memtest.Connections(t)
			n := transporttest.RunNode(t, centrifuge.Config{PingInterval: -1})
			s := serve(t, n, Config{Wire: wire}, routeTCP)
			heapBefore, rssBefore := memtest.Used(t)
			for range connections {
				memtest.BareClient(t, s.http.Listener.Addr().(*net.TCPAddr), post(`{"id":1,"connect":{}}`), "HTTP/1.1 200 ")
			}
			await.Until(t, "all connections are there", func() bool { return n.NumClients() == connections })
			heapAfter, rssAfter := memtest.Used(t)
			heap := (heapAfter - heapBefore) / connections
			t.Logf("%d idle connections: %d bytes of heap and stacks each, %d bytes of RSS each",
				connections, heap, (rssAfter-rssBefore)/connections)
			if heap > budget && !memtest.Race {
				t.Errorf("%d bytes each; want at most %d", heap, budget)
			}
			if got := n.NumClients(); got != connections {
				t.Errorf("NumClients() = %d; want %d", got, connections)
			}
		})
	}
}

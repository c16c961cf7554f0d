package centrifugetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
	"centrifugo/protocol"
)

// clusterNode is a node of a cluster and what its handlers got.
type clusterNode struct {
	*centrifuge.Node
	notified chan string
}

// known returns the number of nodes that the node knows, itself included.
func (n *clusterNode) known() int {
	infos, _ := n.Info(context.Background()) // none before Run
	return len(infos)
}

// startNode runs a node over a controller. Its survey handler answers with the data
// and the id of the node.
func startNode(t *testing.T, c centrifuge.Controller) *clusterNode {
	t.Helper()
	node, err := centrifuge.New(centrifuge.Config{Controller: c, PingInterval: -1, LogLevel: centrifuge.LogNone})
	if err != nil {
		t.Fatal(err)
	}
	n := &clusterNode{node, make(chan string, 100)}
	err = node.Handle(centrifuge.Handlers{
		Survey: func(_ context.Context, e centrifuge.SurveyEvent) (centrifuge.SurveyReply, error) {
			return centrifuge.SurveyReply{Data: append(e.Data, node.ID()...)}, nil
		},
		Notification: func(_ context.Context, e centrifuge.NotificationEvent) { n.notified <- e.Op + " " + string(e.Data) },
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: e.Data}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(); err != nil {
		t.Fatalf("running a node: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		if err := node.Shutdown(ctx); err != nil {
			t.Errorf("shutting down: %v", err)
		}
	})
	return n
}

// startNodes runs three nodes, whose controllers adapt changes, and waits until they
// know each other.
func startNodes(t *testing.T, join func() centrifuge.Controller, adapt func(centrifuge.Controller) centrifuge.Controller) []*clusterNode {
	t.Helper()
	var nodes []*clusterNode
	for range 3 {
		nodes = append(nodes, startNode(t, adapt(join())))
	}
	for _, n := range nodes {
		await.Until(t, "every node knows the others", func() bool { return n.known() == len(nodes) })
	}
	return nodes
}

func unchanged(c centrifuge.Controller) centrifuge.Controller { return c }

// next waits for an item.
func next[T any](t *testing.T, items <-chan T, what string) (item T) {
	t.Helper()
	timeout := time.NewTimer(waitLimit)
	defer timeout.Stop()
	select {
	case item = <-items:
	case <-timeout.C:
		t.Fatalf("there was no %s within %v", what, waitLimit)
	}
	return item
}

// testNodes checks that everything that nodes do together works over the controller.
func testNodes(t *testing.T, join func() centrifuge.Controller) {
	nodes := startNodes(t, join, unchanged)
	a, b := nodes[0], nodes[1]
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()

	client := Connect(ctx, t, b.Node, 0, "u")
	if err := a.Subscribe(ctx, centrifuge.Target{User: "u"}, "c", centrifuge.SubscribeOptions{}); err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	if push := client.Push(); push.Subscribe == nil || push.Channel != "c" {
		t.Errorf("the client got %+v; want a subscribe push of c", push)
	}
	channels, err := a.Channels(ctx, "")
	if err != nil || channels["c"].Clients != 1 {
		t.Errorf("Channels() = %v, %v; want one client of c", channels, err)
	}
	results, err := a.Survey(ctx, "x", []byte("\x00\n\xff"), "")
	for _, n := range nodes {
		if r := results[n.ID()]; err != nil || r.Error != nil || string(r.Data) != "\x00\n\xff"+n.ID() {
			t.Errorf("Survey() = %v, %v; want an answer of %s", results, err, n.ID())
		}
	}
	if err := a.Notify(ctx, "op", []byte("data"), ""); err != nil {
		t.Errorf("Notify: %v", err)
	}
	for _, n := range nodes {
		if got := next(t, n.notified, "notification"); got != "op data" {
			t.Errorf("a node was notified of %q; want op data", got)
		}
	}
	testSessionDelivery(ctx, t, a, b)
	if err := a.Disconnect(ctx, centrifuge.Target{User: "u"}, centrifuge.DisconnectForceNoReconnect); err != nil {
		t.Errorf("Disconnect: %v", err)
	}
	if why := client.Closed(); why.Code != centrifuge.DisconnectForceNoReconnect.Code {
		t.Errorf("the client was closed with %v; want %v", why, centrifuge.DisconnectForceNoReconnect)
	}
	if err := b.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	await.Until(t, "a node that shuts down is removed", func() bool { return a.known() == len(nodes)-1 })
}

// testSessionDelivery checks that commands of a client arrive from another node, in order.
func testSessionDelivery(ctx context.Context, t *testing.T, from, home *clusterNode) {
	t.Helper()
	ctx = centrifuge.SetCredentials(ctx, &centrifuge.Credentials{UserID: "emulated"})
	info := centrifuge.TransportInfo{Emulation: true, Generation: centrifuge.GenerationV2}
	client := DialTransport(ctx, t, home.Node, info, 0)
	result := client.Do(&protocol.Command{Connect: &protocol.ConnectRequest{}}).Connect
	if result == nil {
		t.Fatal("there is no reply to connect; want one")
	}
	for i := range 10 {
		command := fmt.Appendf(nil, `{"id":%d,"rpc":{"data":%d}}`, 100+i, i)
		if err := from.Deliver(ctx, result.Node, result.Session, command); err != nil {
			t.Fatalf("Deliver: %v", err)
		}
	}
	for i := range uint32(10) {
		if reply := client.Read(); reply.ID != 100+i {
			t.Fatalf("the client got the reply %d; want %d", reply.ID, 100+i)
		}
	}
	if err := from.Deliver(ctx, result.Node, "unknown", nil); !errors.Is(err, centrifuge.ErrUnknownSession) {
		t.Errorf("Deliver(unknown session) = %v; want ErrUnknownSession", err)
	}
	client.Client().Disconnect(centrifuge.DisconnectForceNoReconnect)
	_ = client.Closed() // waits for the end
}

// testReleases checks that messages of other releases have no effect beyond what this
// one knows of them.
func testReleases(t *testing.T, join func() centrifuge.Controller) {
	nodes := startNodes(t, join, unchanged)
	other := startController(t, join(), 9)
	client := Connect(t.Context(), t, nodes[0].Node, 0, "u")
	for _, message := range []string{
		`{"v":9,"op":"disconnect","from":%q,"who":["u"]}`,
		`{"v":1,"op":"dance","from":%q,"disconnect":{"target":{"user":"u"},"code":3503}}`,
		`{"v":1,"op":"disconnect","from":%q}`,
		`not JSON %q`,
		`{"v":1,"op":"disconnect","from":%q,"added":1,"disconnect":{"target":{"user":"u","added":[]},"code":4001,"reason":"known"}}`,
	} {
		other.send(t, "", fmt.Sprintf(message, other.id))
	}
	if why := client.Closed(); why.Code != 4001 {
		t.Errorf("the client was closed with %v; want 4001, of the message that is known", why)
	}
	for _, n := range nodes {
		await.Until(t, "the messages are counted", func() bool {
			stats := n.Stats()
			return stats.ControlIgnored == 2 && stats.ControlMalformed == 2
		})
	}
}

// testUnreliable checks what nodes promise over a controller that duplicates, reorders
// and loses messages: an answer is counted once, and a node whose answer is lost is
// named.
func testUnreliable(t *testing.T, join func() centrifuge.Controller) {
	for _, loss := range []float64{0, 0.2} {
		faults := func(c centrifuge.Controller) centrifuge.Controller { return &unreliable{Controller: c, loss: loss} }
		nodes := startNodes(t, join, faults)
		timeout := waitLimit
		if loss > 0 {
			timeout = 200 * time.Millisecond
		}
		for range 20 {
			known := nodes[0].known()
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			results, err := nodes[0].Survey(ctx, "x", nil, "")
			cancel()
			if loss > 0 && (known < len(nodes) || nodes[0].known() < len(nodes)) {
				continue // announcements were lost for so long that a node counts as gone
			}
			var incomplete *centrifuge.SurveyError
			missing := 0
			if errors.As(err, &incomplete) {
				missing = len(incomplete.Missing)
			} else if loss > 0 && errors.Is(err, context.DeadlineExceeded) {
				continue // the question was not sent in time
			} else if err != nil {
				t.Errorf("Survey() = %v; want no error, or a SurveyError", err)
			}
			if loss == 0 && missing > 0 || len(results)+missing != len(nodes) {
				t.Errorf("with loss %v Survey() has %d results, %v; want one for each of %d nodes", loss, len(results), err, len(nodes))
			}
			for id, r := range results {
				if string(r.Data) != id {
					t.Errorf("the result of %s is %q; want its name", id, r.Data)
				}
			}
		}
		for _, n := range nodes {
			if err := n.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		}
	}
}

// unreliable is a controller that duplicates and reorders what its node receives, and
// loses a share of it.
type unreliable struct {
	centrifuge.Controller
	loss float64

	// Guarded by mu.
	mu     sync.Mutex
	closed bool
}

// Start implements centrifuge.Controller.
func (u *unreliable) Start(nodeID string, h centrifuge.ControlHandler) error {
	deliver := func(message []byte) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if !u.closed {
			h(message)
		}
	}
	return u.Controller.Start(nodeID, func(message []byte) {
		if rand.Float64() < u.loss { //nolint:gosec // no secret
			return
		}
		for range 1 + rand.IntN(2) { //nolint:gosec // no secret
			later := append([]byte(nil), message...)
			time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, func() { deliver(later) }) //nolint:gosec // no secret
		}
	})
}

// Close implements centrifuge.Controller.
func (u *unreliable) Close(ctx context.Context) error {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	return u.Controller.Close(ctx)
}

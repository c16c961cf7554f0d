package centrifugetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/centrifuge"
)

// TestController is the conformance suite of centrifuge.Controller. NewCluster
// makes a cluster and returns a function that makes one more controller of it,
// not started; the suite starts and closes it.
func TestController(t *testing.T, newCluster func(t *testing.T) func() centrifuge.Controller, options ...Option) {
	s := newSuite(options)
	for _, c := range []struct {
		name string
		test func(t *testing.T, nodes []*controlNode)
	}{
		{"tells all, the sender too", testBroadcast},
		{"tells one", testDirected},
		{"ignores an unknown node", testUnknownNode},
		{"carries any bytes", testControlBytes},
		{"calls the handler one by one", testControlOneByOne},
		{"does not wait for a handler", testControlFromHandler},
		{"is silent after close", testControllerClosed},
	} {
		s.run(t, c.name, func(t *testing.T) {
			join := newCluster(t)
			var nodes []*controlNode
			for i := range 3 {
				nodes = append(nodes, startController(t, join(), i))
			}
			c.test(t, nodes)
		})
	}
	for name, test := range map[string]func(*testing.T, func() centrifuge.Controller){
		"carries what nodes do together":                        testNodes,
		"connects nodes of different releases":                  testReleases,
		"loses, duplicates and reorders without a wrong result": testUnreliable,
	} {
		s.run(t, name, func(t *testing.T) { test(t, newCluster(t)) })
	}
}

// controlNode is a started controller and what its handler got.
type controlNode struct {
	centrifuge.Controller
	id       string
	messages chan []byte
	inside   atomic.Int32
	overlap  atomic.Bool
	answer   atomic.Pointer[func(message []byte)] // called by the handler
}

func startController(t *testing.T, c centrifuge.Controller, i int) *controlNode {
	t.Helper()
	id := fmt.Sprintf("node%d-%016x", i, rand.Uint64()) //nolint:gosec // no secret
	n := &controlNode{Controller: c, id: id, messages: make(chan []byte, 10_000)}
	if err := c.Start(n.id, n.handle); err != nil {
		t.Fatalf("starting: %v", err)
	}
	closeAtEnd(t, c)
	return n
}

func (n *controlNode) handle(message []byte) {
	if n.inside.Add(1) != 1 {
		n.overlap.Store(true)
	}
	defer n.inside.Add(-1)
	if answer := n.answer.Load(); answer != nil {
		(*answer)(message)
	}
	n.messages <- bytes.Clone(message)
}

func (n *controlNode) send(t *testing.T, to, message string) {
	t.Helper()
	if err := n.PublishControl(t.Context(), to, []byte(message)); err != nil {
		t.Fatalf("publishing control message: %v", err)
	}
}

func (n *controlNode) want(t *testing.T, message string) {
	t.Helper()
	timeout := time.NewTimer(waitLimit)
	defer timeout.Stop()
	select {
	case got := <-n.messages:
		if string(got) != message {
			t.Fatalf("%s got %.100q, want %.100q", n.id, got, message)
		}
	case <-timeout.C:
		t.Fatalf("%s got nothing, want %.100q", n.id, message)
	}
}

func testBroadcast(t *testing.T, nodes []*controlNode) {
	for i, sender := range nodes {
		sender.send(t, "", fmt.Sprint(i))
		for _, n := range nodes {
			n.want(t, fmt.Sprint(i))
		}
	}
}

func testDirected(t *testing.T, nodes []*controlNode) {
	for i, to := range nodes {
		nodes[0].send(t, to.id, fmt.Sprint(i))
		to.want(t, fmt.Sprint(i))
	}
	nodes[1].send(t, "", "all") // nothing else came before it
	for _, n := range nodes {
		n.want(t, "all")
	}
}

func testUnknownNode(t *testing.T, nodes []*controlNode) {
	nodes[0].send(t, "unknown", "1")
	nodes[0].send(t, "", "2")
	for _, n := range nodes {
		n.want(t, "2")
	}
}

func testControlBytes(t *testing.T, nodes []*controlNode) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	for _, message := range []string{"\x00", "\xff\xfe\n\r", string(large)} {
		buffer := []byte(message)
		if err := nodes[0].PublishControl(t.Context(), nodes[1].id, buffer); err != nil {
			t.Fatal(err)
		}
		clear(buffer) // it is the caller's again
		nodes[1].want(t, message)
	}
}

func testControlOneByOne(t *testing.T, nodes []*controlNode) {
	const each = 200
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			for range each {
				if err := n.PublishControl(t.Context(), "", []byte("x")); err != nil {
					t.Errorf("publishing control message: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, n := range nodes {
		for range each * len(nodes) {
			n.want(t, "x")
		}
		if n.overlap.Load() {
			t.Errorf("%s: two calls of the handler at once; want one", n.id)
		}
	}
}

func testControlFromHandler(t *testing.T, nodes []*controlNode) {
	answer := func(message []byte) {
		if string(message) == "question" {
			if err := nodes[1].PublishControl(context.Background(), "", []byte("answer")); err != nil {
				t.Errorf("answering: %v", err)
			}
		}
	}
	nodes[1].answer.Store(&answer)
	nodes[0].send(t, nodes[1].id, "question")
	nodes[1].want(t, "question")
	for _, n := range nodes {
		n.want(t, "answer")
	}
}

func testControllerClosed(t *testing.T, nodes []*controlNode) {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := nodes[0].Close(ctx); err != nil {
		t.Fatal(err)
	}
	nodes[1].send(t, "", "1")
	nodes[1].send(t, nodes[0].id, "2")
	nodes[1].want(t, "1")
	nodes[2].want(t, "1")
	if err := nodes[0].PublishControl(context.Background(), "", []byte("3")); err == nil {
		t.Error("publishing after close succeeded; want an error")
	}
	if len(nodes[0].messages) > 0 {
		t.Errorf("the handler was called %d times after close; want no call", len(nodes[0].messages))
	}
}

package consumertest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/api/apitest"
)

// Node is a node of the API that counts the publications in work. It is safe for concurrent
// use.
type Node struct {
	apitest.Node
	// Before is called with the data of a publication. It may wait, and its error is that of
	// Publish. If it is nil, publications succeed at once.
	Before func(data []byte) error

	mu           sync.Mutex
	inWork, most int
}

// Publish implements api.Node.
func (n *Node) Publish(ctx context.Context, channel string, data []byte, o centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	n.begin()
	defer n.end()
	if n.Before != nil {
		if err := n.Before(data); err != nil {
			return centrifuge.PublishResult{}, err
		}
	}
	return n.Node.Publish(ctx, channel, data, o) //nolint:wrapcheck // of the test
}

func (n *Node) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inWork++
	n.most = max(n.most, n.inWork)
}

func (n *Node) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inWork--
}

// InWork returns the number of publications in work.
func (n *Node) InWork() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.inWork
}

// Most returns how many publications were in work at the same time.
func (n *Node) Most() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.most
}

// ErrBroken is the error of publications that fail in a test.
var ErrBroken = errors.New("broken")

// Failing returns a function for Node.Before whose first calls fail.
func Failing(calls int) func([]byte) error {
	var mu sync.Mutex
	return func([]byte) error {
		mu.Lock()
		defer mu.Unlock()
		if calls--; calls >= 0 {
			return ErrBroken
		}
		return nil
	}
}

// Barrier makes publications wait.
type Barrier struct {
	// Reached is closed when the first publication waits.
	Reached chan struct{}

	data    string
	reached sync.Once
	release chan struct{}
	open    sync.Once
}

// NewBarrier returns a barrier for the publications with the given data, or for all if data is
// empty.
func NewBarrier(data string) *Barrier {
	return &Barrier{Reached: make(chan struct{}), data: data, release: make(chan struct{})}
}

// Wait is a function for Node.Before. It waits until Open is called.
func (b *Barrier) Wait(data []byte) error {
	if b.data == "" || string(data) == b.data {
		b.reached.Do(func() { close(b.Reached) })
		<-b.release
	}
	return nil
}

// Open lets all publications pass. It may be called several times.
func (b *Barrier) Open() { b.open.Do(func() { close(b.release) }) }

// Published returns the calls of a node for the commands with some numbers of a partition.
func Published(partition, from, to int) (calls []string) {
	for n := from; n < to; n++ {
		calls = append(calls, fmt.Sprintf("publish %s %d", Channel(partition), n))
	}
	return calls
}

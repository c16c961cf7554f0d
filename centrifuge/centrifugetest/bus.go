package centrifugetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"centrifugo/centrifuge"
)

// maxInbox is how many messages may wait for a handler. At more, publishing fails.
const maxInbox = 1 << 16

// Bus carries control messages between the nodes of one process.
type Bus struct {
	// Guarded by mu.
	mu      sync.Mutex
	members map[*BusController]bool // started and not closed
}

// NewBus returns a bus without nodes.
func NewBus() *Bus { return &Bus{members: make(map[*BusController]bool)} }

// Controller returns a controller for one more node.
func (b *Bus) Controller() *BusController {
	return &BusController{bus: b, wake: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{})}
}

// BusController connects one node to a Bus. It implements centrifuge.Controller.
type BusController struct {
	// Static after construction.
	bus    *Bus
	wake   chan struct{} // something is in the inbox; one is enough
	closed chan struct{} // closed by Close
	done   chan struct{} // closed by run

	// Static after Start.
	nodeID  string
	handler centrifuge.ControlHandler

	// Guarded by mu.
	mu    sync.Mutex
	inbox [][]byte

	closing sync.Once
}

var _ centrifuge.Controller = (*BusController)(nil)

// Start implements centrifuge.Controller.
func (c *BusController) Start(nodeID string, h centrifuge.ControlHandler) error {
	if nodeID == "" || h == nil {
		return errors.New("starting bus controller: no node id or no handler")
	}
	c.nodeID, c.handler = nodeID, h
	c.bus.mu.Lock()
	c.bus.members[c] = true
	c.bus.mu.Unlock()
	go c.run()
	return nil
}

// PublishControl implements centrifuge.Controller.
func (c *BusController) PublishControl(ctx context.Context, nodeID string, message []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.bus.mu.Lock()
	defer c.bus.mu.Unlock()
	if !c.bus.members[c] {
		return errors.New("bus controller is not started or closed")
	}
	var errs []error
	for member := range c.bus.members {
		if nodeID == "" || nodeID == member.nodeID {
			errs = append(errs, member.put(bytes.Clone(message)))
		}
	}
	return errors.Join(errs...)
}

// Close implements centrifuge.Controller.
func (c *BusController) Close(ctx context.Context) error {
	c.bus.mu.Lock()
	started := c.handler != nil
	delete(c.bus.members, c)
	c.bus.mu.Unlock()
	if !started {
		return nil
	}
	c.closing.Do(func() { close(c.closed) })
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing bus controller: %w", ctx.Err())
	}
}

func (c *BusController) put(message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inbox) >= maxInbox {
		return fmt.Errorf("node %s does not take its control messages", c.nodeID)
	}
	c.inbox = append(c.inbox, message)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// run calls the handler, one message at a time.
func (c *BusController) run() {
	defer close(c.done)
	for {
		select {
		case <-c.wake:
		case <-c.closed:
			return
		}
		c.mu.Lock()
		messages := c.inbox
		c.inbox = nil
		c.mu.Unlock()
		for _, message := range messages {
			select {
			case <-c.closed:
				return
			default:
				c.handler(message)
			}
		}
	}
}

package loadtest

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"centrifugo/protocol"
)

// uplinks is how many connections carry the commands of all emulated clients. Those of one
// client use one of them, one after the other, which keeps their order.
const uplinks = 16

// uplink sends commands to the emulation endpoint (protocol.md 3.4).
type uplink struct {
	caller
	head    []byte
	request []byte
	wake    chan struct{} // send sends, run receives

	// Guarded by mu, which is a leaf.
	mu    sync.Mutex
	queue []emulated
}

// emulated is a message of a client.
type emulated struct {
	client        *client
	began         int64 // tells the connection from later ones of the client
	node, session string
	data          []byte
}

// newUplinks makes the uplinks of a fleet.
func newUplinks(f *fleet) []*uplink {
	path := "/emulation"
	if prefix, _, ok := strings.Cut(f.server.path, "/connection/"); ok {
		path = prefix + path
	}
	all := make([]*uplink, uplinks)
	for i := range all {
		all[i] = &uplink{caller: caller{fleet: f, server: f.server}, head: requestHead(f.server, f.contentType(), path), wake: make(chan struct{}, 1)}
		f.wg.Go(func() { all[i].run(f.stop) })
	}
	return all
}

// send queues a message. The caller holds the lock of the fleet.
func (u *uplink) send(c *client, message []byte) {
	u.mu.Lock()
	u.queue = append(u.queue, emulated{c, c.began, c.node, c.session, append([]byte(nil), message...)})
	u.mu.Unlock()
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

func (u *uplink) take() []emulated {
	u.mu.Lock()
	defer u.mu.Unlock()
	queue := u.queue
	u.queue = nil
	return queue
}

// run sends until ctx ends.
func (u *uplink) run(ctx context.Context) {
	defer u.hangUp()
	for {
		for _, e := range u.take() {
			if ctx.Err() != nil {
				return
			}
			u.post(e)
		}
		select {
		case <-u.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (u *uplink) post(e emulated) {
	body := protocol.AppendEmulationRequest(nil, u.fleet.format.Protobuf(), &protocol.EmulationRequest{Node: e.node, Session: e.session, Data: e.data})
	u.request = appendRequest(u.request[:0], u.head, body)
	status, _, err := u.exchange(u.request)
	reason := ""
	switch {
	case err != nil:
		u.hangUp()
		reason = err.Error()
	case status != http.StatusNoContent:
		reason = "HTTP " + strconv.Itoa(status)
	default:
		return
	}
	u.fleet.mu.Lock()
	defer u.fleet.mu.Unlock()
	if e.client.began == e.began {
		u.fleet.fail(e.client, Cause{Kind: causeTransport, Reason: "emulation: " + reason})
	}
}

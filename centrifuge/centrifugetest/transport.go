package centrifugetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// Transport is a connection without a network: what the node writes can be
// read from it, frame by frame. It is safe for concurrent use.
type Transport struct {
	// Static after Connect.
	info centrifuge.TransportInfo
	conn *centrifuge.Conn

	// Guarded by mu.
	mu      sync.Mutex
	arrived sync.Cond
	frames  [][]byte
	stuck   bool // the socket is full
	pending [][]byte
	size    int // bytes in pending
	closed  bool
	why     centrifuge.Disconnect
	writes  int // calls of Write with frames
	pings   int
	resumed int
	refuse  error // what writes get
}

var _ centrifuge.Transport = (*Transport)(nil)

// ErrClosed is what a write gets after Close.
var ErrClosed = errors.New("transport is closed")

// NewTransport connects a transport to n.
func NewTransport(ctx context.Context, t testing.TB, n *centrifuge.Node, info centrifuge.TransportInfo) *Transport {
	t.Helper()
	if info.Name == "" {
		info.Name = "memory"
	}
	tr := &Transport{info: info}
	tr.arrived.L = &tr.mu
	conn, err := n.Accept(ctx, tr)
	if err != nil {
		t.Fatalf("accepting a connection: %v", err)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.conn = conn
	return tr
}

// Conn is the node's side of the connection.
func (tr *Transport) Conn() *centrifuge.Conn {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.conn
}

// Client is the connection as the application sees it.
func (tr *Transport) Client() *centrifuge.Client { return tr.Conn().Client() }

// Info implements centrifuge.Transport.
func (tr *Transport) Info() centrifuge.TransportInfo { return tr.info }

// Write implements centrifuge.Transport.
func (tr *Transport) Write(_ context.Context, batch []*protocol.Encoded) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.closed {
		return 0, ErrClosed
	}
	if tr.refuse != nil {
		return 0, tr.refuse
	}
	if len(batch) > 0 {
		tr.writes++
	}
	for _, f := range batch {
		tr.pending = append(tr.pending, f.Bytes)
		tr.size += len(f.Bytes)
	}
	if tr.stuck {
		return tr.size, nil
	}
	tr.deliverLocked()
	return 0, nil
}

func (tr *Transport) deliverLocked() {
	tr.frames = append(tr.frames, tr.pending...)
	tr.pending, tr.size = nil, 0
	tr.arrived.Broadcast()
}

// Writes counts the calls of Write that had frames: what a transport sends
// as one message.
func (tr *Transport) Writes() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.writes
}

// Ping implements centrifuge.Transport.
func (tr *Transport) Ping() error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.pings++
	tr.arrived.Broadcast()
	return nil
}

// Pings counts the pings of the transport's own.
func (tr *Transport) Pings() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.pings
}

// Resume implements centrifuge.Transport.
func (tr *Transport) Resume() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.resumed++
}

// Resumed counts the calls of Resume.
func (tr *Transport) Resumed() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.resumed
}

// Close implements centrifuge.Transport.
func (tr *Transport) Close(code uint32, reason string) {
	tr.mu.Lock()
	first := !tr.closed
	if first {
		tr.deliverLocked()
		tr.closed, tr.why = true, centrifuge.Disconnect{Code: code, Reason: reason}
	}
	tr.arrived.Broadcast()
	conn := tr.conn
	tr.mu.Unlock()
	if first && conn != nil {
		conn.Closed(nil)
	}
}

// Stick makes the socket full, or writable again.
func (tr *Transport) Stick(stuck bool) {
	tr.mu.Lock()
	tr.stuck = stuck
	if !stuck {
		tr.deliverLocked()
	}
	tr.mu.Unlock()
	if !stuck {
		tr.Conn().Writable()
	}
}

// Refuse makes writes fail with err.
func (tr *Transport) Refuse(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.refuse = err
}

// Cut ends the connection as a network does.
func (tr *Transport) Cut() { tr.Close(0, "") }

// Next waits for a frame; ok is false when the connection has ended and
// everything was read.
func (tr *Transport) Next() (frame []byte, ok bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for len(tr.frames) == 0 && !tr.closed {
		tr.arrived.Wait()
	}
	if len(tr.frames) == 0 {
		return nil, false
	}
	frame, tr.frames = tr.frames[0], tr.frames[1:]
	return frame, true
}

// Pending is what has arrived and was not read.
func (tr *Transport) Pending() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.frames)
}

// Ended tells without waiting whether the connection has ended, and why.
func (tr *Transport) Ended() (why centrifuge.Disconnect, ended bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.why, tr.closed
}

// Closed waits for the end of the connection and tells its code and reason;
// the code is zero when none was given.
func (tr *Transport) Closed() centrifuge.Disconnect {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for !tr.closed {
		tr.arrived.Wait()
	}
	return tr.why
}

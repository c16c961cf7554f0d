// Package nettest has what tests of networks that fail need.
package nettest

import (
	"net"
	"sync"
	"testing"
)

// Proxy forwards connections to a server. It can stop forwarding without closing them, as
// a network that drops packets does.
type Proxy struct {
	// Static after construction.
	t        testing.TB
	target   string
	listener net.Listener
	tasks    sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	pass   *sync.Cond
	closed bool
	silent func(sent []byte) bool // whether a connection is, by what its client has sent
	open   map[net.Conn]bool
	number int // of connections accepted
	dead   int // the first ones, which forward nothing
}

// StartProxy starts a proxy, which ends with the test.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, target: target, listener: listener, open: make(map[net.Conn]bool)}
	p.pass = sync.NewCond(&p.mu)
	p.tasks.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.pass.Broadcast()
		_ = listener.Close()
		p.Cut()
		p.tasks.Wait()
	})
	return p
}

// Address is where the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// SetSilent stops or resumes forwarding, also on connections that are open. What was sent
// meanwhile is forwarded afterwards.
func (p *Proxy) SetSilent(silent bool) {
	if !silent {
		p.SetSilentFor(nil)
		return
	}
	p.SetSilentFor(func([]byte) bool { return true })
}

// SetSilentFor stops forwarding what servers send on the connections for which silent
// returns true, by the first bytes that their clients have sent. With nil, all connections
// forward.
func (p *Proxy) SetSilentFor(silent func(sent []byte) bool) {
	p.mu.Lock()
	p.silent = silent
	p.mu.Unlock()
	p.pass.Broadcast()
}

// SilenceOpen stops forwarding for good on the connections that are open. Later ones forward.
func (p *Proxy) SilenceOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = p.number
}

// Cut closes all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.open[in], p.open[out] = true, true
		if p.closed {
			_, _ = in.Close(), out.Close()
		}
		sent := &recorded{number: p.number}
		p.number++
		p.mu.Unlock()
		p.tasks.Go(func() { p.forward(in, out, sent, true) })
		p.tasks.Go(func() { p.forward(out, in, sent, false) })
	}
}

// recorded has the first bytes that a client has sent. The bytes are guarded by Proxy.mu.
type recorded struct {
	number int // of the connection
	b      []byte
}

const maxRecorded = 16 << 10

func (p *Proxy) forward(from, to net.Conn, sent *recorded, record bool) {
	defer func() {
		_, _ = from.Close(), to.Close()
		p.mu.Lock()
		delete(p.open, from)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		if record && len(sent.b) < maxRecorded {
			sent.b = append(sent.b, buffer[:n]...)
		}
		for !p.closed && (sent.number < p.dead || p.silent != nil && p.silent(sent.b)) {
			p.pass.Wait()
		}
		p.mu.Unlock()
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

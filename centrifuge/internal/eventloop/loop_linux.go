//go:build linux

package eventloop

import (
	"crypto/tls"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller waits for its sockets with an epoll instance of its own. The instance
// is itself watched by the runtime's poller, so that a waiting poller is a
// parked goroutine and occupies no thread. A thread that waits in epoll_wait
// was measured too: 50-60 µs from a client's write to the handler, against 22,
// because it has to get a processor back first.
type poller struct {
	// Static after construction.
	loop *Loop
	file *os.File
	raw  syscall.RawConn
}

// table finds the socket of an epoll event by its descriptor.
type table struct {
	// Guarded by mu.
	mu          sync.RWMutex
	slots       []*polledSocket
	generations uint32
	closed      bool
}

func (l *Loop) startPollers() error {
	for range l.config.Pollers {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return err
		}
		if err := unix.SetNonblock(fd, true); err != nil { // makes os.NewFile use the runtime's poller
			_ = unix.Close(fd)
			return err
		}
		p := &poller{loop: l, file: os.NewFile(uintptr(fd), "epoll")}
		l.pollers = append(l.pollers, p)
		if p.raw, err = p.file.SyscallConn(); err != nil {
			return err
		}
		l.wg.Go(p.run)
	}
	return nil
}

func (l *Loop) stopPollers() {
	l.table.mu.Lock()
	l.table.closed = true
	var open []*polledSocket
	for _, s := range l.table.slots {
		if s != nil {
			open = append(open, s)
		}
	}
	l.table.mu.Unlock()
	for _, s := range open {
		s.end(ErrClosed)
	}
	for _, p := range l.pollers {
		_ = p.file.Close() // ends its wait
	}
}

// addPolled reports false for a connection that cannot be polled.
func (l *Loop) addPolled(c net.Conn, h Handler) (_ Socket, polled bool, _ error) {
	switch c := c.(type) {
	case *tls.Conn:
		switch raw := c.NetConn().(type) {
		case *Conn:
			return l.addSecure(c, raw, h)
		case *attributedConn:
			return l.addSecure(c, &raw.Conn, h)
		}
	case *net.TCPConn:
		return l.addPlain(c, h)
	case *Conn:
		if tcp := c.tcp.Load(); tcp != nil {
			return l.addPlain(tcp, h)
		}
	case Attributed:
		return l.addPlain(c.Raw(), h)
	}
	return nil, false, nil
}

func (l *Loop) addPlain(tcp *net.TCPConn, h Handler) (_ Socket, polled bool, _ error) {
	s := &polledSocket{handler: h}
	if polled, err := l.take(tcp, s); !polled {
		return nil, false, err
	}
	return s, true, nil
}

// take gives s a duplicate of the descriptor of tcp and closes tcp: that frees
// what the net package and the runtime's poller keep for it (measured: 950
// bytes of RSS, half of an idle connection) and saves a second wake-up for
// every event.
func (l *Loop) take(tcp *net.TCPConn, s *polledSocket) (taken bool, _ error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false, err
	}
	var fd int
	if cerr := raw.Control(func(f uintptr) { fd, err = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return false, cerr
	}
	if err != nil { // out of descriptors: keep the one there is
		return false, nil
	}
	s.poller, s.fd, s.in = l.pollers[l.next.Add(1)%uint32(len(l.pollers))], int32(fd), true
	if !l.table.add(s) {
		_ = unix.Close(fd)
		return false, ErrClosed
	}
	_ = tcp.Close() // the duplicate stays open
	return true, nil
}

func (t *table) add(s *polledSocket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	for int(s.fd) >= len(t.slots) {
		t.slots = append(t.slots, nil)
	}
	t.generations++
	s.generation = t.generations
	t.slots[s.fd] = s
	return true
}

func (t *table) remove(s *polledSocket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slots[s.fd] = nil
}

// ready is an event and its socket.
type ready struct {
	socket *polledSocket
	events uint32
}

// find appends the sockets of events to found. An event whose socket is gone,
// or whose descriptor belongs to another one by now, is dropped.
func (t *table) find(found []ready, events []unix.EpollEvent) []ready {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, e := range events {
		if s := t.slots[e.Fd]; s != nil && s.generation == uint32(e.Pad) {
			found = append(found, ready{s, e.Events})
		}
	}
	return found
}

func (p *poller) run() {
	events := make([]unix.EpollEvent, 256)
	found := make([]ready, 0, len(events))
	buf := make([]byte, p.loop.config.BufferSize)
	var n int
	var err error
	wait := func(fd uintptr) bool {
		n, err = unix.EpollWait(int(fd), events, 0)
		return n > 0 || err != nil
	}
	for {
		if p.raw.Read(wait) != nil {
			return // closed
		}
		if err != nil {
			continue // EINTR is the only one that a valid instance has
		}
		found = p.loop.table.find(found[:0], events[:n])
		for _, r := range found {
			r.socket.dispatch(r.events, buf)
		}
		clear(found)
	}
}

// control changes what epoll watches for s.
func (p *poller) control(op int, s *polledSocket, events uint32) (err error) {
	event := unix.EpollEvent{Events: events, Fd: s.fd, Pad: int32(s.generation)}
	cerr := p.raw.Control(func(fd uintptr) { err = unix.EpollCtl(int(fd), op, int(s.fd), &event) })
	if cerr != nil {
		return cerr
	}
	return err
}

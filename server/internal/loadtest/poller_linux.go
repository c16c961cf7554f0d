package loadtest

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readBuffer  = 256 << 10 // bytes of the buffer that all clients of a poller share
	slowReceive = 16 << 10  // receive buffer of a slow reader, so that the kernel does not read for it
	// slowSegment is the segment size that a slow reader announces, that of
	// Ethernet: for the 64 KB of loopback the server's kernel keeps megabytes for
	// each socket, and the server itself never has anything waiting.
	slowSegment = 1460
)

// poller reads the sockets of a fleet with one goroutine.
type poller struct {
	fleet *fleet
	ep    int
	wake  int // eventfd that ends run
	buf   []byte
	slow  []*client // Guarded by the fleet's mu.
}

func newPoller(f *fleet) (*poller, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(ep)
		return nil, fmt.Errorf("creating eventfd: %w", err)
	}
	p := &poller{fleet: f, ep: ep, wake: wake, buf: make([]byte, readBuffer)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}); err != nil {
		_ = unix.Close(ep)
		_ = unix.Close(wake)
		return nil, fmt.Errorf("watching eventfd: %w", err)
	}
	for _, c := range f.clients {
		if c.slow {
			p.slow = append(p.slow, c)
		}
	}
	f.wg.Go(p.run)
	return p, nil
}

// socket is the link of a client that a poller reads.
type socket struct {
	poller *poller
	fd     int
	local  int32 // index of the client in this fleet
	slow   bool
}

func (s *socket) write(b []byte) (int, error) {
	n, err := unix.Write(s.fd, b)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, nil
	}
	return 0, fmt.Errorf("writing: %w", err)
}

func (s *socket) watch(writable bool) {
	events := uint32(unix.EPOLLIN)
	if s.slow {
		events = 0 // it is read by the clock
	}
	if writable {
		events |= unix.EPOLLOUT
	}
	_ = unix.EpollCtl(s.poller.ep, unix.EPOLL_CTL_MOD, s.fd, &unix.EpollEvent{Events: events, Fd: s.local}) // the descriptor is open and in there
}

func (s *socket) close() { _ = unix.Close(s.fd) } // leaves epoll with it

// dial begins to connect. The socket is reset when it is closed, so that no
// port stays occupied by a connection that is gone.
func (p *poller) dial(c *client) error {
	f := p.fleet
	remote := f.remotes[c.index%len(f.remotes)]
	family := unix.AF_INET
	if remote.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("creating socket: %w", err)
	}
	if err := p.prepare(c, fd, remote); err != nil {
		_ = unix.Close(fd)
		return err
	}
	local := int32(c.index - f.clients[0].index)                                             //nolint:gosec // bounded by MaxClients
	c.link = &socket{poller: p, fd: fd, local: local, slow: c.slow && c.state == stateReady} // reads at once until it is ready
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT, Fd: local}
	if err := unix.EpollCtl(p.ep, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("watching socket: %w", err)
	}
	return nil
}

func (p *poller) prepare(c *client, fd int, remote netip.AddrPort) error {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // a courtesy
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)                      // likewise
	if c.slow {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, slowReceive); err != nil {
			return fmt.Errorf("setting receive buffer: %w", err)
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, slowSegment) // likewise
	}
	if source, ok := p.fleet.source(c); ok {
		// The port is chosen at connect, when the other end is known: it must be unique only with that.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0))); err != nil {
			return fmt.Errorf("binding to %v: %w", source, err)
		}
	}
	err := unix.Connect(fd, sockaddr(remote))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connecting: %w", err)
	}
	return nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// run reads until the fleet is shut.
func (p *poller) run() {
	f := p.fleet
	events := make([]unix.EpollEvent, 512)
	last := time.Now()
	for f.stop.Err() == nil {
		timeout := -1
		if len(p.slow) > 0 {
			timeout = int(slowPause.Milliseconds())
		}
		n, err := unix.EpollWait(p.ep, events, timeout)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		f.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			if e.Fd >= 0 {
				p.event(f.clients[e.Fd], e.Events)
			}
		}
		if len(p.slow) > 0 && time.Since(last) >= slowPause {
			last = time.Now()
			for _, c := range p.slow {
				if s, ok := c.link.(*socket); ok && s.slow {
					p.read(c, s, slowPart)
				}
			}
		}
		f.mu.Unlock()
	}
}

func (p *poller) event(c *client, events uint32) {
	s, ok := c.link.(*socket)
	if !ok {
		return // closed by an event before
	}
	if events&unix.EPOLLOUT != 0 {
		if c.state == stateDialing {
			if code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
				p.fleet.fail(c, Cause{Kind: causeConnect, Reason: "connecting: " + unix.Errno(code).Error()}) //nolint:gosec // an errno
				return
			}
			s.watch(false)
			p.fleet.opened(c)
			return
		}
		if len(c.out) > 0 {
			p.fleet.flush(c)
		}
	}
	if events&^unix.EPOLLOUT != 0 && c.state != stateClosed {
		p.read(c, s, 0)
	}
	if c.slow && !s.slow && c.state == stateReady {
		s.slow = true
		s.watch(len(c.out) > 0)
	}
}

// read takes what is there, or at most limit bytes unless that is 0.
func (p *poller) read(c *client, s *socket, limit int) {
	f := p.fleet
	kept := copy(p.buf, c.rest)
	if kept > len(p.buf)-4096 { // a message larger than the buffer
		p.buf = append(make([]byte, 0, 2*len(p.buf)), p.buf...)[:2*len(p.buf)]
		kept = copy(p.buf, c.rest)
	}
	into := p.buf[kept:]
	if limit > 0 {
		into = into[:limit]
	}
	n, err := unix.Read(s.fd, into)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil:
		f.fail(c, ended(c, err))
		return
	case n == 0:
		f.fail(c, ended(c, io.EOF))
		return
	}
	f.count(c, n)
	if rest := f.feed(c, p.buf[:kept+n]); len(rest) > 0 {
		c.rest = append(c.rest[:0], rest...)
	} else {
		c.rest = nil
	}
}

// close ends run and frees what it uses, after the fleet was stopped.
func (p *poller) close() {
	_, _ = unix.Write(p.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an eventfd takes eight bytes
	p.fleet.wg.Wait()
	_ = unix.Close(p.ep)
	_ = unix.Close(p.wake)
}

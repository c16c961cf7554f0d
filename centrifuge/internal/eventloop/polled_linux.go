//go:build linux

package eventloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// polledSocket is a descriptor that a poller watches.
type polledSocket struct {
	// Static after construction.
	poller     *poller
	handler    Handler
	fd         int32
	generation uint32 // tells this socket from others that had the same descriptor

	// users counts the calls that use fd at the moment; closedBit refuses further
	// ones. The last call closes fd, so the number cannot belong to another socket
	// while it is in use here.
	users atomic.Int32
	flow  flow

	// Owned by whoever reads; handed over with flow.
	rest *[]byte // what the handler has not used before it paused

	// Guarded by mu.
	mu      sync.Mutex
	added   bool // epoll knows it
	hung    bool // it was taken out of epoll while it was not to be read
	in, out bool // what it is watched for
}

const closedBit = 1 << 30

func (s *polledSocket) acquire() bool {
	for {
		users := s.users.Load()
		if users&closedBit != 0 {
			return false
		}
		if s.users.CompareAndSwap(users, users+1) {
			return true
		}
	}
}

func (s *polledSocket) release() {
	if s.users.Add(-1) == closedBit {
		s.destroy()
	}
}

// shut reports whether this call was the one that closed the socket.
func (s *polledSocket) shut() bool {
	for {
		users := s.users.Load()
		if users&closedBit != 0 {
			return false
		}
		if s.users.CompareAndSwap(users, users|closedBit) {
			if users == 0 {
				s.destroy()
			}
			return true
		}
	}
}

// layered reports whether the handler is TLS: that may have something for its
// own handler though no byte comes here.
func (s *polledSocket) layered() bool {
	_, ok := s.handler.(*secureSocket)
	return ok
}

func (s *polledSocket) isShut() bool { return s.users.Load()&closedBit != 0 }

// destroy runs once, when no call can use fd any more.
func (s *polledSocket) destroy() {
	s.poller.loop.table.remove(s)
	if s.added {
		// Explicitly, for a duplicate of fd elsewhere would keep it watched.
		_ = s.poller.control(unix.EPOLL_CTL_DEL, s, 0)
	}
	_ = unix.Close(int(s.fd)) // after this the number may be anybody's
}

func (s *polledSocket) Blocking() bool { return false }

func (s *polledSocket) Close() { s.shut() }

// unacknowledgedLimit is in milliseconds. It is as long as the transports wait, by default, for
// the end of the peer.
const unacknowledgedLimit = 5000

// limitUnacknowledged makes the kernel give up a connection whose peer acknowledges nothing for
// unacknowledgedLimit.
func (s *polledSocket) limitUnacknowledged() {
	s.set(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, unacknowledgedLimit)
	})
}

// resetAtClose makes Close discard what the kernel has not sent yet and send RST.
func (s *polledSocket) resetAtClose() {
	s.set(func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
}

// set changes an option of the socket. An error means that its protocol does not have it.
func (s *polledSocket) set(option func(fd int) error) {
	if s.acquire() {
		_ = option(int(s.fd))
		s.release()
	}
}

// end closes the socket and tells the handler why, unless it is closed already.
func (s *polledSocket) end(err error) {
	if s.shut() {
		s.poller.loop.guard(func() { s.handler.Closed(err) })
	}
}

func (s *polledSocket) Start(first []byte) error {
	if !s.acquire() {
		return net.ErrClosed
	}
	defer s.release()
	if len(first) > 0 || s.layered() {
		s.deliver(first, false)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isShut() {
		return nil // the first bytes ended it
	}
	s.added = true
	return s.poller.control(unix.EPOLL_CTL_ADD, s, s.eventsLocked())
}

func (s *polledSocket) Write(b []byte) (int, error) {
	if !s.acquire() {
		return 0, net.ErrClosed
	}
	defer s.release()
	for {
		n, err := s.write(b)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		}
		return 0, err
	}
}

// rawWrite is write(2) without entering the scheduler's system-call path. The
// descriptor does not block, so there is nothing to schedule around: a write takes
// microseconds. Otherwise the runtime takes the processor away from a thread whose write
// lasts longer than most, and the thread waits for another one afterwards: with 8,000
// subscribers 13 % of the CPU of a delivery.
//
// The price: the garbage collector, which stops all goroutines twice in a cycle, waits
// for the end of a raw write, and for the kernel to run its thread again if it took the
// CPU away meanwhile. With four writers on two cores the median time until all had
// stopped was 25 to 655 µs, depending on the load, against 1 µs with scheduled writes.
// While other programs used the same cores, the 99th percentile was 7 to 117 ms against
// 0.2 to 5 ms; otherwise these overlap. BenchmarkGCPauses measures it.
// Config.ScheduledWrites is for programs to which that matters more than the CPU.
func rawWrite(fd int32, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (s *polledSocket) write(b []byte) (int, error) {
	if s.poller.loop.config.ScheduledWrites {
		return scheduledWrite(s.fd, b)
	}
	return rawWrite(s.fd, b)
}

func scheduledWrite(fd int32, b []byte) (int, error) {
	n, err := unix.Write(int(fd), b)
	return max(n, 0), err // -1 with an error
}

func (s *polledSocket) CloseWrite() error {
	if !s.acquire() {
		return nil
	}
	defer s.release()
	return unix.Shutdown(int(s.fd), unix.SHUT_WR)
}

func (s *polledSocket) WantWrite(on bool) { s.watch(func() { s.out = on }) }

// watch applies change to what the socket is watched for.
func (s *polledSocket) watch(change func()) {
	if !s.acquire() {
		return
	}
	defer s.release()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.eventsLocked()
	change()
	switch after := s.eventsLocked(); { // control fails only when the loop is closed
	case s.hung && s.in:
		s.added, s.hung = true, false
		_ = s.poller.control(unix.EPOLL_CTL_ADD, s, after)
	case s.added && after != before:
		_ = s.poller.control(unix.EPOLL_CTL_MOD, s, after)
	}
}

// eventsLocked does not include EPOLLRDHUP: the end of the stream is read in order
// behind the data, and must not wake a paused socket repeatedly. The kernel reports
// EPOLLHUP and EPOLLERR in any case.
func (s *polledSocket) eventsLocked() (events uint32) {
	if s.in {
		events |= unix.EPOLLIN
	}
	if s.out {
		events |= unix.EPOLLOUT
	}
	return events
}

// dispatch handles one event. buf is the poller's.
func (s *polledSocket) dispatch(events uint32, buf []byte) {
	if !s.acquire() {
		return
	}
	defer s.release()
	if events&unix.EPOLLOUT != 0 && !s.poller.loop.guard(s.handler.Writable) {
		s.end(ErrPanic)
		return
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 || s.isShut() {
		return
	}
	if s.readable(events) {
		s.read(buf)
	}
}

// readable reports whether the handler wants what events say. While it does not,
// an end of the connection would be reported again and again, though what came
// before is to be read first: epoll then forgets the socket until Resume.
func (s *polledSocket) readable(events uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.in && s.added && events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.added, s.hung = false, true
		_ = s.poller.control(unix.EPOLL_CTL_DEL, s, 0) // fails only when the loop is closed
	}
	return s.in
}

// read reads once: the others want their turn, and epoll reports what is left.
func (s *polledSocket) read(buf []byte) {
	n, err := unix.Read(int(s.fd), buf)
	switch {
	case n > 0:
		s.deliver(buf[:n], false)
	case err == nil:
		s.end(io.EOF)
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	default:
		s.end(err)
	}
}

// deliver hands b to the handler. While a pause lasts, and what was left of b
// comes again, the socket is not watched: the poller must not read what is
// behind it. paused says that it begins so.
func (s *polledSocket) deliver(b []byte, paused bool) {
	for {
		var n int
		more := false
		s.flow.begin()
		if !s.poller.loop.guard(func() { n, more = s.handler.Data(b) }) {
			s.end(ErrPanic)
			return
		}
		if more {
			if paused {
				s.watch(func() { s.in = true })
			}
			return
		}
		if b = b[n:]; len(b) > 0 || s.layered() {
			rest := bytes.Clone(b)
			s.rest = &rest
		}
		if !paused {
			s.watch(func() { s.in = false })
			paused = true
		}
		if s.flow.pause() {
			return
		}
		s.rest = nil
		if len(b) == 0 && !s.layered() {
			s.watch(func() { s.in = true })
			return
		}
	}
}

func (s *polledSocket) Resume() {
	if !s.flow.resume() {
		return
	}
	if s.rest == nil {
		s.watch(func() { s.in = true })
		return
	}
	s.poller.loop.spawn(s.redeliver)
}

// redeliver goes on with what was put away when the handler paused, in a
// goroutine of its own: the caller of Resume may hold what the handler needs.
func (s *polledSocket) redeliver() {
	if !s.acquire() {
		return
	}
	defer s.release()
	rest := *s.rest
	s.rest = nil
	s.deliver(rest, true)
}

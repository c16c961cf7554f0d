// Package eventloop watches many sockets with a few goroutines. On Linux an
// idle TCP socket costs no goroutine, no buffer and no timer: a poller waits
// for all of its sockets with epoll and reads into a buffer of its own. So it
// is for TLS over a connection that Beneath has prepared. Any other connection
// (other TLS, other systems) is read by one shallow goroutine behind the same
// interface.
//
//	eventloop.go      the interface, and what all kinds of socket share
//	writer.go         what a connection has to write
//	group.go          the connections of a transport
//	loop_linux.go     the pollers
//	polled_linux.go   a socket that belongs to a poller
//	secure_linux.go   TLS on top of it
//	conn_linux.go     what TLS runs over, before and after a poller has it
//	leftover_linux.go memory that TLS would keep
//	prefix_linux.go   how a connection begins
//	threaded.go       a socket that has a goroutine
//	loop_other.go     systems without epoll: every socket is threaded
package eventloop

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	// ErrClosed is passed to a handler when the loop is closed, and what Add
	// returns from then on.
	ErrClosed = errors.New("event loop is closed")
	// ErrPanic is passed to a handler after one of its own methods panicked.
	ErrPanic = errors.New("handler panicked")
)

// isEnded reports whether err, of a Write, says that the connection has ended:
// the peer has reset it, or the loop has closed the socket. What the peer had sent
// before is still read: Data gets it, and then Closed the reason.
func isEnded(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}

// Attributed is a TCP connection that comes from somewhere else than its socket says, as
// behind a load balancer that names the client. RemoteAddr returns that address; every other
// method does what those of Raw do.
type Attributed interface {
	net.Conn
	// Raw returns the connection whose socket is polled.
	Raw() *net.TCPConn
}

// Handler owns one socket. Calls of Data never overlap; Writable and Closed may
// overlap with Data where it goes on after Resume. No method may block, except
// on a socket that is Blocking.
type Handler interface {
	// Data receives bytes that were read; b is valid only during the call. n is the
	// number of bytes that Data used. If more is false, the socket is not read before
	// Resume, and the unused bytes are passed again then. If more is true, all of b
	// counts as used.
	Data(b []byte) (n int, more bool)
	// Writable reports that a socket for which WantWrite is set accepts data again.
	Writable()
	// Progress reports that a Write to a Blocking socket has written a part of its bytes
	// and continues. It runs within that Write.
	Progress()
	// Closed reports why the connection ended: io.EOF when the peer ended it. It is
	// called at most once, and not after Socket.Close.
	Closed(err error)
}

// Socket is one connection in the loop. Its methods may be called by any
// goroutine and are safe after Close, whatever became of the descriptor.
type Socket interface {
	// Start begins reading, once. first are bytes that were read before the
	// socket came here, and are the handler's first Data, maybe during the call.
	Start(first []byte) error
	// Write writes b. A socket that is not Blocking takes what the kernel accepts:
	// n may be less than len(b) without an error. The next Write must begin with the
	// rest, a part of which may be encrypted already. A Blocking socket writes all of
	// b, every 64 KiB within the loop's write timeout, and calls Handler.Progress between
	// them.
	Write(b []byte) (n int, err error)
	// WantWrite switches calls of Handler.Writable on or off.
	WantWrite(on bool)
	// Resume continues reading after Data has returned more = false. A Resume during
	// that call of Data has the same effect.
	Resume()
	// CloseWrite tells the peer that no more data follows. Reading continues.
	CloseWrite() error
	// Close ends the connection. Only the first call has an effect.
	Close()
	// Blocking reports whether Write may wait.
	Blocking() bool
}

// Taker is implemented by responses whose connection stays with its server, as that of an
// HTTP/2 stream does.
type Taker interface {
	// Take makes the rest of the body of a response the socket of h. Its header was sent and
	// flushed; the handler of the request then returns without using request and response
	// again. What the client sends is discarded. It returns http.ErrNotSupported for a
	// response that cannot be taken over, and net.ErrClosed when the client has ended it.
	Take(h Handler) (Socket, error)
}

// Config of a Loop. The zero value is ready to use.
type Config struct {
	// Pollers is how many goroutines wait for sockets; zero for one per
	// processor, four at most: reading is the small part of the work.
	Pollers int
	// BufferSize of a poller in bytes, zero for 64 KiB. No socket is read for
	// more than that before the others have had their turn.
	BufferSize int
	// WriteTimeout bounds a write of 64 KiB to a Blocking socket, zero for one second.
	WriteTimeout time.Duration
	// ScheduledWrites makes writes to polled sockets ordinary system calls, which the
	// scheduler knows of: the garbage collector stops the program sooner, and a write
	// costs more CPU. See rawWrite for figures.
	ScheduledWrites bool
	// Panicked is called after a panic in a handler. The connection is closed, the
	// poller continues. Nil ignores panics.
	Panicked func(value any, stack []byte)
}

func (c Config) withDefaults() Config {
	if c.Pollers <= 0 {
		c.Pollers = min(runtime.GOMAXPROCS(0), 4)
	}
	if c.BufferSize <= 0 {
		c.BufferSize = 64 << 10
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = time.Second
	}
	return c
}

// Loop is a set of sockets and the goroutines that watch them.
type Loop struct {
	// Static after construction.
	config  Config
	pollers []*poller
	wg      sync.WaitGroup // pollers and the goroutines of threaded sockets
	next    atomic.Uint32  // the poller of the next socket

	table table

	// Guarded by mu.
	mu       sync.Mutex
	threaded map[*threadedSocket]struct{}
	closed   bool
}

// New starts the pollers.
func New(config Config) (*Loop, error) {
	l := &Loop{config: config.withDefaults(), threaded: map[*threadedSocket]struct{}{}}
	if err := l.startPollers(); err != nil {
		l.Close()
		return nil, fmt.Errorf("starting pollers: %w", err)
	}
	return l, nil
}

// Add takes c over. Nothing is read before Start, so that the handler can be
// told its Socket first. On an error c is still the caller's.
func (l *Loop) Add(c net.Conn, h Handler) (Socket, error) {
	if s, polled, err := l.addPolled(c, h); polled || err != nil {
		return s, err
	}
	return l.AddThreaded(c, h)
}

// AddPolled takes c over as Add does if it can be polled, and otherwise reports false.
func (l *Loop) AddPolled(c net.Conn, h Handler) (_ Socket, polled bool, _ error) {
	return l.addPolled(c, h)
}

// AddThreaded takes c over as Add does, but gives it a goroutine whatever it is.
func (l *Loop) AddThreaded(c net.Conn, h Handler) (Socket, error) {
	s := &threadedSocket{loop: l, conn: c, handler: h, resume: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	l.threaded[s] = struct{}{}
	return s, nil
}

// spawn runs f in a goroutine that Close waits for, unless it is too late.
func (l *Loop) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.wg.Go(f)
	return true
}

// Close closes every socket, tells its handler ErrClosed, and waits until the
// goroutines have ended. It must not be called by a handler.
func (l *Loop) Close() {
	l.mu.Lock()
	l.closed = true
	threaded := l.threaded
	l.threaded = map[*threadedSocket]struct{}{}
	l.mu.Unlock()
	for s := range threaded {
		s.end(ErrClosed)
	}
	l.stopPollers()
	l.wg.Wait()
}

// guard calls f and catches its panic; ok tells whether there was none.
func (l *Loop) guard(f func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		value := recover()
		if l.config.Panicked != nil {
			l.config.Panicked(value, debug.Stack())
		}
	}()
	f()
	return true
}

// flow is the state of a socket's reading. Resume may come before the reader
// has taken note of the handler's no, so both agree by compare-and-swap.
type flow struct{ state atomic.Uint32 }

const (
	flowing  = iota // Data runs, or may run
	resuming        // Resume came while Data ran
	paused          // the handler wants no more
)

// begin is called before Data.
func (f *flow) begin() { f.state.Store(flowing) }

// pause is called after Data said no, when the rest of its bytes is put away.
// It reports false if Resume came meanwhile.
func (f *flow) pause() bool { return f.state.CompareAndSwap(flowing, paused) }

// resume reports whether the reader is paused and must be woken by the caller.
func (f *flow) resume() bool {
	return f.state.CompareAndSwap(paused, flowing) || !f.state.CompareAndSwap(flowing, resuming) && f.state.CompareAndSwap(paused, flowing)
}

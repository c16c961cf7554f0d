//go:build linux

package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Fleet is a number of clients and what they have received.
type Fleet struct {
	// Static after Connect.
	ep    int
	conns []*conn
	byFD  map[int32]*conn
	done  chan struct{} // closed by read when it has ended

	// Guarded by mu.
	mu        sync.Mutex
	result    Result
	latencies []time.Duration
	closing   bool
}

// Result is what a fleet has received. Gaps, Duplicates and Closed must be zero
// for a run to count.
type Result struct {
	Deliveries uint64
	Gaps       uint64
	Duplicates uint64
	Closed     uint64
	P50, P99   time.Duration
}

// Connect makes n clients, each subscribed to the channel that its number gives.
func Connect(addr string, n int, channel func(i int) string) (*Fleet, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := &Fleet{ep: ep, byFD: make(map[int32]*conn, n), done: make(chan struct{})}
	if err := f.dialAll(addr, n, channel); err != nil {
		return nil, err
	}
	go f.read()
	return f, nil
}

func (f *Fleet) dialAll(addr string, n int, channel func(int) string) error {
	numbers := make(chan int)
	failures := make(chan error, 64)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range numbers {
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				c, err := dial(ctx, addr, channel(i))
				cancel()
				if err == nil {
					err = f.add(c)
				}
				if err != nil {
					select {
					case failures <- fmt.Errorf("client %d: %w", i, err):
					default:
					}
				}
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	wg.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

func (f *Fleet) add(c *conn) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
	f.byFD[int32(c.fd)] = c                                         //nolint:gosec // a descriptor
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)} //nolint:gosec // a descriptor
	return unix.EpollCtl(f.ep, unix.EPOLL_CTL_ADD, c.fd, &event)
}

// read takes what arrives, until Close.
func (f *Fleet) read() {
	defer close(f.done)
	events := make([]unix.EpollEvent, 512)
	buf := make([]byte, 256<<10)
	for {
		n, err := unix.EpollWait(f.ep, events, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		f.mu.Lock()
		if f.closing {
			f.mu.Unlock()
			return
		}
		for _, e := range events[:max(n, 0)] {
			f.readOne(f.byFD[e.Fd], buf)
		}
		f.mu.Unlock()
	}
}

func (f *Fleet) readOne(c *conn, buf []byte) {
	room := copy(buf, c.rest)
	n, err := unix.Read(c.fd, buf[room:])
	if errors.Is(err, unix.EAGAIN) {
		return
	}
	if n <= 0 {
		f.result.Closed++
		_ = unix.EpollCtl(f.ep, unix.EPOLL_CTL_DEL, c.fd, nil)
		return
	}
	b := buf[:room+n]
	for {
		h, ok := parseHeader(b)
		if !ok || len(b) < h.size+h.payload {
			break
		}
		f.message(c, b[h.size:h.size+h.payload])
		b = b[h.size+h.payload:]
	}
	c.rest = append(c.rest[:0], b...)
	if len(c.rest) == 0 {
		c.rest = nil
	}
}

var pong = masked("{}")

func (f *Fleet) message(c *conn, message []byte) {
	now := time.Now().UnixNano()
	for line := range bytes.SplitSeq(message, []byte{'\n'}) {
		if len(line) == 2 {
			_, _ = unix.Write(c.fd, pong)
			continue
		}
		number, ok := field(line, `"n":`)
		if !ok {
			continue
		}
		f.result.Deliveries++
		switch {
		case c.last != 0 && number <= c.last:
			f.result.Duplicates++
		case c.last != 0 && number != c.last+1:
			f.result.Gaps++
		}
		c.last = number
		if sent, ok := field(line, `"t":`); ok && f.result.Deliveries%16 == 0 {
			f.latencies = append(f.latencies, time.Duration(now-int64(sent))) //nolint:gosec // nanoseconds
		}
	}
}

// field reads the number behind a key.
func field(line []byte, key string) (uint64, bool) {
	i := bytes.Index(line, []byte(key))
	if i < 0 {
		return 0, false
	}
	digits := line[i+len(key):]
	end := 0
	for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(string(digits[:end]), 10, 64)
	return n, err == nil
}

func contains(text, part string) bool { return strings.Contains(text, part) }

// Take returns what was received since the last call.
func (f *Fleet) Take() Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.result
	if n := len(f.latencies); n > 0 {
		slices.Sort(f.latencies)
		r.P50, r.P99 = f.latencies[n/2], f.latencies[n*99/100]
	}
	f.result, f.latencies = Result{}, nil
	return r
}

// Deliveries received since the last Take.
func (f *Fleet) Deliveries() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.result.Deliveries
}

// Close ends the clients.
func (f *Fleet) Close() {
	f.mu.Lock()
	f.closing = true
	f.mu.Unlock()
	<-f.done
	for _, c := range f.conns {
		_ = unix.Close(c.fd)
	}
	_ = unix.Close(f.ep)
}

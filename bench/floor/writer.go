//go:build linux

package main

import (
	"errors"
	"net"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// writer owns a part of the sockets.
type writer struct {
	mu    sync.Mutex
	fds   []int
	conns []*net.TCPConn // of fds

	work chan []byte // frames, in order; never closed
}

func (w *writer) run() {
	for frame := range w.work {
		w.mu.Lock()
		for _, fd := range w.fds {
			_, _ = unix.Write(fd, frame) // a full socket loses it
		}
		w.mu.Unlock()
	}
}

// add takes a connection over. Its descriptor is the runtime's, which does not
// block and stays open as long as the connection does.
func (w *writer) add(conn *net.TCPConn, r *reaper) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	fd := -1
	if err := raw.Control(func(n uintptr) { fd = int(n) }); err != nil {
		return err
	}
	w.mu.Lock()
	w.fds, w.conns = append(w.fds, fd), append(w.conns, conn)
	w.mu.Unlock()
	return r.watch(fd, w)
}

// remove closes a connection that the other end has left.
func (w *writer) remove(fd int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.fds, fd)
	if i < 0 {
		return
	}
	_ = w.conns[i].Close()
	last := len(w.fds) - 1
	w.fds[i], w.conns[i] = w.fds[last], w.conns[last]
	w.conns[last] = nil
	w.fds, w.conns = w.fds[:last], w.conns[:last]
}

// reaper closes what the other end has left: a storm would run out of
// descriptors. It reads nothing, for nothing is sent after the greeting.
type reaper struct {
	ep int

	mu      sync.Mutex
	writers map[int32]*writer // of each descriptor
}

func newReaper() (*reaper, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &reaper{ep: ep, writers: make(map[int32]*writer)}, err
}

func (r *reaper) watch(fd int, w *writer) error {
	r.mu.Lock()
	r.writers[int32(fd)] = w
	r.mu.Unlock()
	return unix.EpollCtl(r.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)})
}

func (r *reaper) run() {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(r.ep, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, e := range events[:max(n, 0)] {
			r.mu.Lock()
			w := r.writers[e.Fd]
			delete(r.writers, e.Fd)
			r.mu.Unlock()
			if w != nil {
				w.remove(int(e.Fd))
			}
		}
	}
}

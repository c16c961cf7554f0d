package eventloop

import (
	"bytes"
	"context"
)

// Writer writes the messages of a connection to its Socket and keeps the bytes that the
// socket has not accepted. It may begin in the middle of a message and ends with a whole
// one. Once the peer has ended the connection, it discards messages without an error: what
// the peer had sent is still read, and the end is reported by Handler.Closed.
//
// Socket is set once. The methods are not safe for concurrent use, except InterruptAfter and
// GiveUp: the owner orders them.
type Writer struct {
	Socket  Socket
	waiting *waiting // nil while the socket has accepted everything
	broken  bool     // the peer has ended the connection
}

type waiting struct {
	rest  []byte
	owned bool   // rest may be appended to; otherwise it is part of a shared message
	last  []byte // written behind rest
	end   bool   // CloseWrite follows
	asked bool   // the owner wants to know when the socket has accepted something
}

// Len returns the number of bytes that wait.
func (w *Writer) Len() int {
	if w.waiting == nil {
		return 0
	}
	return len(w.waiting.rest) + len(w.waiting.last)
}

// Pending returns the number of bytes that wait. If there are any, Flush reports progress
// until they are written or dropped.
func (w *Writer) Pending() int {
	if w.waiting != nil {
		w.waiting.asked = true
	}
	return w.Len()
}

// Broken reports whether the peer has ended the connection.
func (w *Writer) Broken() bool { return w.broken }

// InterruptAfter makes a Write that waits, and all later ones, return an error when ctx is
// done before stop is called. It has no effect on a socket that is not Blocking.
func (w *Writer) InterruptAfter(ctx context.Context) (stop func() bool) {
	if s, ok := w.Socket.(interface{ Interrupt() }); ok {
		return context.AfterFunc(ctx, s.Interrupt)
	}
	return func() bool { return false }
}

// Write writes p behind everything that waits. It keeps what the socket does not accept,
// a part of p itself if p is immutable, and then asks for calls of Handler.Writable.
func (w *Writer) Write(p []byte, immutable bool) error {
	if len(p) == 0 || w.broken {
		return nil
	}
	if q := w.waiting; q != nil {
		if !q.owned {
			q.rest, q.owned = append(make([]byte, 0, len(q.rest)+len(p)), q.rest...), true
		}
		q.rest = append(q.rest, p...)
		return nil
	}
	n, err := w.Socket.Write(p)
	if err != nil || n == len(p) {
		return w.check(err)
	}
	rest := p[n:]
	if !immutable {
		rest = bytes.Clone(rest)
	}
	w.waiting = &waiting{rest: rest, owned: !immutable}
	w.Socket.WantWrite(true)
	return nil
}

// SetLast makes p the message behind everything that waits, in place of one that was set
// before. If nothing waits, it changes nothing and reports false. The Writer keeps p.
func (w *Writer) SetLast(p []byte) bool {
	if w.waiting == nil {
		return false
	}
	w.waiting.last = p
	return true
}

// CloseWrite tells the peer, behind everything that waits, that no more data follows.
func (w *Writer) CloseWrite() error {
	if w.waiting != nil {
		w.waiting.end = true
		return nil
	}
	return w.Socket.CloseWrite()
}

// Flush writes what waits, as far as the socket accepts it: Handler.Writable calls it.
// drained reports that nothing waits any more, and is false if nothing did before.
// progress reports that the socket has accepted something of what Pending returned, or
// that it was dropped.
func (w *Writer) Flush() (drained, progress bool, err error) {
	q := w.waiting
	if q == nil {
		w.Socket.WantWrite(false)
		return false, false, nil
	}
	moved, err := w.flush(q)
	if err = w.check(err); err != nil {
		return false, false, err
	}
	drained = w.waiting == nil
	if drained && q.end {
		err = w.Socket.CloseWrite()
	}
	return drained, q.asked && (moved || w.broken), err
}

func (w *Writer) flush(q *waiting) (moved bool, err error) {
	for len(q.rest) > 0 {
		n, err := w.Socket.Write(q.rest)
		if err != nil {
			return moved, err
		}
		moved = moved || n > 0
		if q.rest = q.rest[n:]; len(q.rest) > 0 {
			return moved, nil
		}
		q.rest, q.last, q.owned = q.last, nil, true
	}
	w.drop()
	return moved, nil
}

// check handles the error of a write.
func (w *Writer) check(err error) error {
	if err == nil || !isEnded(err) {
		return err
	}
	w.broken = true
	w.drop()
	return nil
}

func (w *Writer) drop() {
	w.waiting = nil
	w.Socket.WantWrite(false)
}

// GiveUp, before Close, bounds how long the kernel keeps what it has accepted for a peer that
// acknowledges nothing: by default minutes. The end of the stream is behind it, so such a peer
// does not learn of the end while the kernel keeps trying. A peer that reads slowly still
// receives everything.
func (w *Writer) GiveUp() {
	if s, ok := w.Socket.(interface{ limitUnacknowledged() }); ok {
		s.limitUnacknowledged()
	}
}

// Close drops what waits and closes the socket. If something waits, the stream ends in the
// middle, and a polled socket is reset: otherwise the kernel would keep what it has accepted
// for a peer that does not read, up to minutes, and the peer might not learn of the end.
func (w *Writer) Close() {
	if s, ok := w.Socket.(interface{ resetAtClose() }); ok && w.waiting != nil {
		s.resetAtClose()
	}
	w.waiting = nil
	w.Socket.Close()
}

package eventloop

import "bytes"

// Backlog writes messages to a Socket and keeps the bytes that the socket has not
// accepted. It may begin in the middle of a message and ends with a whole one. The zero
// value is empty. A Backlog is not safe for concurrent use: its owner orders the writes.
type Backlog struct {
	waiting *waiting // nil while the socket has accepted everything
}

type waiting struct {
	rest  []byte
	owned bool   // rest may be appended to; otherwise it is part of a shared message
	last  []byte // written behind rest
	tell  bool   // the owner wants to know when the socket has accepted something
}

// Len returns the number of bytes that wait.
func (b *Backlog) Len() int {
	if b.waiting == nil {
		return 0
	}
	return len(b.waiting.rest) + len(b.waiting.last)
}

// Pending returns the number of bytes that wait. If there are any, Told reports true until
// they are written or dropped.
func (b *Backlog) Pending() int {
	if b.waiting != nil {
		b.waiting.tell = true
	}
	return b.Len()
}

// Told reports whether Pending has returned a number of bytes that have not been written
// or dropped since.
func (b *Backlog) Told() bool { return b.waiting != nil && b.waiting.tell }

// SetLast makes p the message behind everything that waits, in place of one that was set
// before. If nothing waits, it changes nothing and reports false. The Backlog keeps p.
func (b *Backlog) SetLast(p []byte) bool {
	if b.waiting == nil {
		return false
	}
	b.waiting.last = p
	return true
}

// Write writes p behind everything that waits. It keeps what the socket does not accept,
// a part of p itself if p is immutable, and then asks for calls of Handler.Writable.
func (b *Backlog) Write(s Socket, p []byte, immutable bool) error {
	if len(p) == 0 {
		return nil
	}
	if w := b.waiting; w != nil {
		if !w.owned {
			w.rest, w.owned = append(make([]byte, 0, len(w.rest)+len(p)), w.rest...), true
		}
		w.rest = append(w.rest, p...)
		return nil
	}
	n, err := s.Write(p)
	if err != nil || n == len(p) {
		return err
	}
	rest := p[n:]
	if !immutable {
		rest = bytes.Clone(rest)
	}
	b.waiting = &waiting{rest: rest, owned: !immutable}
	s.WantWrite(true)
	return nil
}

// Flush writes what waits, as far as the socket accepts it. It reports whether the socket
// has accepted anything. When nothing waits any more, it ends the calls of
// Handler.Writable.
func (b *Backlog) Flush(s Socket) (moved bool, err error) {
	for b.Len() > 0 {
		w := b.waiting
		n, err := s.Write(w.rest)
		if err != nil {
			return moved, err
		}
		moved = moved || n > 0
		if w.rest = w.rest[n:]; len(w.rest) > 0 {
			return moved, nil
		}
		w.rest, w.last, w.owned = w.last, nil, true
	}
	b.Drop(s)
	return moved, nil
}

// Drop forgets what waits.
func (b *Backlog) Drop(s Socket) {
	b.waiting = nil
	s.WantWrite(false)
}

package centrifuge

import (
	"bytes"
	"sync"
)

// maxMail bounds what a mailbox holds; a connection whose commands come faster
// than they are handled is not read from for a while.
const maxMail = 128 << 10

// maxCounted is what a message counts at most, so that the size of mail fits 32 bits: a
// message above maxMail is the last one that is taken.
const maxCounted = 1 << 30

// mailbox queues a connection's incoming messages. Handlers may block, so messages are handled on a
// goroutine that starts with the first one and stops when the queue is empty; the socket reader
// never waits. The client is a parameter of the methods, because every byte of a connection counts.
type mailbox struct {
	// Owned by work: nil unless several commands may be under way.
	concurrency *concurrency

	// Guarded by mu.
	mu      sync.Mutex
	mail    [][]byte
	size    uint32 // bytes of mail, at most maxCounted for each message
	working bool
	paused  bool // Receive has said no; the transport waits for Resume
	closed  bool
	flush   bool        // with leaving: the end comes behind the replies to these commands
	leaving *Disconnect // set by leave: why the connection ends when all commands are handled
}

// post copies message and reports whether the mailbox takes more.
func (m *mailbox) post(c *Client, message []byte) (more bool) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.mail = append(m.mail, bytes.Clone(message))
	m.size += uint32(min(len(message)+64, maxCounted)) //nolint:gosec // bounded
	m.paused = m.size > maxMail
	more = !m.paused
	start := !m.working
	m.working = true
	m.mu.Unlock()
	if start {
		go m.work(c)
	}
	return more
}

func (m *mailbox) work(c *Client) {
	defer c.node.recovered("handling commands", c)
	for {
		m.mu.Lock()
		mail := m.mail
		m.mail, m.size = nil, 0
		resume := m.paused && !m.closed
		m.paused = false
		leaving, flush := m.leaving, m.flush
		if len(mail) == 0 && leaving == nil {
			m.working = false
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		if len(mail) == 0 {
			if m.concurrency != nil {
				m.concurrency.wait()
			}
			c.close(*leaving, flush)
			return
		}
		if resume {
			c.transport.Resume()
		}
		for i, message := range mail {
			if !c.handleMessage(message) {
				m.close()
				c.abandoned(len(mail) - i - 1)
				break
			}
		}
	}
}

// leave closes the connection with d after the commands that are being handled, with flush
// after their replies too. It reports false where there is nothing, and the caller must close
// it. The first call decides about d; a call without flush overrides one with.
func (m *mailbox) leave(c *Client, d Disconnect, flush bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return false
	case m.leaving != nil:
		m.flush = m.flush && flush
		return true
	case !m.working && m.concurrency == nil:
		return false
	}
	m.leaving, m.flush = &d, flush
	if !m.working { // commands may be under way on goroutines of their own
		m.working = true
		go m.work(c)
	}
	return true
}

// close drops what has not been begun and takes no more.
func (m *mailbox) close() { _, _ = m.take() }

// take is close and returns what it drops: the number of messages, and why the
// connection ends where leave has said so.
func (m *mailbox) take() (dropped int, leaving *Disconnect) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dropped = len(m.mail)
	m.closed, m.mail, m.size = true, nil, 0
	return dropped, m.leaving
}

// backlog returns the size of the messages that wait.
func (m *mailbox) backlog() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int(m.size)
}

// ending reports whether no more messages are processed.
func (m *mailbox) ending() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed || m.leaving != nil
}

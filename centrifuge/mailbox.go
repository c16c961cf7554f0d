package centrifuge

import (
	"bytes"
	"sync"
)

// maxMail bounds what a mailbox holds; a connection whose commands come faster
// than they are carried out is not read from for a while.
const maxMail = 128 << 10

// mailbox keeps a connection's messages until its commands are carried out, by
// a goroutine that exists only while there is work: a handler may wait for a
// backend, and whoever reads the socket must not.
type mailbox struct {
	client *Client

	// Owned by work: nil unless several commands may be under way.
	concurrency *concurrency

	// Guarded by mu.
	mu      sync.Mutex
	mail    [][]byte
	size    int
	working bool
	paused  bool // Receive has said no; the transport waits for Resume
	closed  bool
}

// post copies message and reports whether there is room for more.
func (m *mailbox) post(message []byte) (more bool) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.mail = append(m.mail, bytes.Clone(message))
	m.size += len(message) + 64
	m.paused = m.size > maxMail
	more = !m.paused
	start := !m.working
	m.working = true
	m.mu.Unlock()
	if start {
		go m.work()
	}
	return more
}

func (m *mailbox) work() {
	defer m.client.node.recovered("carrying out commands", m.client)
	for {
		m.mu.Lock()
		mail := m.mail
		m.mail, m.size = nil, 0
		resume := m.paused && !m.closed
		m.paused = false
		if len(mail) == 0 {
			m.working = false
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		if resume {
			m.client.transport.Resume()
		}
		for _, message := range mail {
			if !m.client.carryOut(message) {
				m.close()
				break
			}
		}
	}
}

// close drops what has not been begun and takes no more.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.mail, m.size = true, nil, 0
}

package loadtest

// ledger records which publications one client has received from its sources. These
// have the numbers first, first+stride and so on.
type ledger struct {
	first, stride uint32
	marks         []mark
}

// mark records the publications received from one source.
type mark struct {
	last    uint64
	seen    uint64 // bit i: number last-1-i was received
	unknown bool   // nothing was received since a new subscription: any number may be the first
}

// verdict classifies one received publication.
type verdict uint8

const (
	inOrder   verdict = iota
	gap               // numbers before it are missing
	duplicate         // it was received before
	disorder          // it was missing, and arrived late
	foreign           // the client is not subscribed to this source
)

func newLedger(first, stride uint32, size int) ledger {
	return ledger{first: first, stride: stride, marks: make([]mark, max(size, 0))}
}

// owns returns the mark of a source, and false if the source is not one of this ledger.
func (l *ledger) owns(source uint32) (*mark, bool) {
	d := source - l.first // wraps for a smaller number, which is then too large
	if l.stride != 1 {
		if d%l.stride != 0 {
			return nil, false
		}
		d /= l.stride
	}
	if uint64(d) >= uint64(len(l.marks)) {
		return nil, false
	}
	return &l.marks[d], true
}

// forget lets the ledger accept any number as the first one, as after a subscription
// without recovery.
func (l *ledger) forget() {
	for i := range l.marks {
		l.marks[i] = mark{unknown: true}
	}
}

// note records a number and classifies it; missing is the number of publications
// between the last one and this one.
func (m *mark) note(number uint64) (v verdict, missing uint64) {
	if m.unknown {
		*m = mark{last: number, seen: ^uint64(0)} // earlier numbers are not expected
		return inOrder, 0
	}
	if number > m.last {
		step := number - m.last
		m.last = number
		if step == 1 {
			m.seen = m.seen<<1 | 1
			return inOrder, 0
		}
		if step > 64 { // a shift by 64 or more gives 0, and the bit of the last one is out of the window
			m.seen = 0
		} else {
			m.seen = m.seen<<step | 1<<(step-1)
		}
		return gap, step - 1
	}
	back := m.last - number
	if back == 0 {
		return duplicate, 0
	}
	// A number older than the window counts as a duplicate: only a server that sends
	// old publications again goes back that far.
	bit := uint64(1) << (back - 1)
	if back > 64 || m.seen&bit != 0 {
		return duplicate, 0
	}
	m.seen |= bit
	return disorder, 0
}

package loadtest

// ledger is what one client has heard from the sources it listens to:
// numbers first, first+stride and so on.
type ledger struct {
	first, stride uint32
	marks         []mark
}

// mark is what was heard from one source.
type mark struct {
	last    uint64
	seen    uint64 // bit i: number last-1-i has come
	unknown bool   // nothing is expected yet, whatever comes first is the first
}

// verdict on one publication.
type verdict uint8

const (
	inOrder   verdict = iota
	gap               // numbers before it are missing
	duplicate         // it has come before
	disorder          // it had been missing: it came late
	foreign           // the client does not listen to this source
)

func newLedger(first, stride uint32, size int) ledger {
	return ledger{first: first, stride: stride, marks: make([]mark, max(size, 0))}
}

// owns says whether the client listens to a source here.
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

// forget makes the ledger accept any number first: a new subscription without recovery.
func (l *ledger) forget() {
	for i := range l.marks {
		l.marks[i] = mark{unknown: true}
	}
}

// note records a number and returns what it means; missing is how many numbers
// before it have not come.
func (m *mark) note(number uint64) (v verdict, missing uint64) {
	if m.unknown {
		*m = mark{last: number, seen: ^uint64(0)} // what was before did not concern us
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
	// What is older than the window counts as a duplicate: only a server that sends
	// the past again goes back as far as that.
	bit := uint64(1) << (back - 1)
	if back > 64 || m.seen&bit != 0 {
		return duplicate, 0
	}
	m.seen |= bit
	return disorder, 0
}

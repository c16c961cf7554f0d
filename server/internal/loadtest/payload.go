package loadtest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// A payload begins with
//
//	{"bench":"RRRRRRRRPPPPPPPPNNNNNNNNNNNNTTTTTTTTTTTTTTTT"
//
// in hexadecimal: the run, the source, the number of the publication there,
// and when it was published in nanoseconds. The widths are fixed, so that it is
// read without looking for an end, and found in any encoding of the message.
const (
	runDigits    = 8
	sourceDigits = 8
	numberDigits = 12
	timeDigits   = 16
	stampDigits  = sourceDigits + numberDigits + timeDigits
	stampHead    = `{"bench":"`
	padHead      = `","pad":"`

	// MinPayload is the size of a payload without any padding, in bytes.
	MinPayload = len(stampHead) + runDigits + stampDigits + len(padHead) + len(`"}`)
)

// run names one run, so that what another run publishes is told apart.
type run [runDigits]byte

func newRun(id uint32) (r run) {
	hex.Encode(r[:], binary.BigEndian.AppendUint32(nil, id))
	return r
}

// marker is what the stamps of a run begin with.
func (r run) marker() []byte { return append([]byte(`bench":"`), r[:]...) }

// stamp is the numbers of a publication.
type stamp struct {
	source uint32
	number uint64
	at     int64
}

const digits = "0123456789abcdef"

func appendHex(dst []byte, v uint64, width int) []byte {
	for i := width - 1; i >= 0; i-- {
		dst = append(dst, digits[v>>(4*i)&15])
	}
	return dst
}

// parseHex reads lower-case digits; others give ok false.
func parseHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// parseStamp reads what follows the marker. The time is read only when wanted.
func parseStamp(b []byte, timed bool) (s stamp, ok bool) {
	if len(b) < stampDigits {
		return s, false
	}
	source, ok1 := parseHex(b[:sourceDigits])
	number, ok2 := parseHex(b[sourceDigits : sourceDigits+numberDigits])
	s.source, s.number = uint32(source), number //nolint:gosec // eight digits
	if timed {
		at, ok := parseHex(b[sourceDigits+numberDigits : stampDigits])
		s.at = int64(at) //nolint:gosec // a time that we wrote
		return s, ok && ok1 && ok2
	}
	return s, ok1 && ok2
}

// payloads makes the payloads of publications.
type payloads struct {
	run   run
	tails [][]byte // what follows the stamp
}

// newPayloads makes payloads of size bytes, or, when lines are given, carries
// each of these JSON values in turn.
func newPayloads(r run, size int, lines [][]byte) payloads {
	p := payloads{run: r}
	for _, line := range lines {
		p.tails = append(p.tails, bytes.Join([][]byte{[]byte(`","payload":`), line, []byte("}")}, nil))
	}
	if len(lines) == 0 {
		p.tails = [][]byte{append(append([]byte(padHead), padding(size-MinPayload)...), `"}`...)}
	}
	return p
}

// append appends the payload of a publication.
func (p *payloads) append(dst []byte, s stamp) []byte {
	dst = append(dst, stampHead...)
	dst = append(dst, p.run[:]...)
	dst = appendHex(dst, uint64(s.source), sourceDigits)
	dst = appendHex(dst, s.number, numberDigits)
	dst = appendHex(dst, uint64(s.at), timeDigits) //nolint:gosec // after 1970
	return append(dst, p.tails[s.number%uint64(len(p.tails))]...)
}

// padding is text that compresses about as well as messages do: words, in an
// order that is the same in every run.
func padding(size int) []byte {
	words := []string{"order", "price", "user", "status", "message", "update", "created", "active", "42", "true", "channel", "score", "2026-01-01", "name", "items", "total"}
	source := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not a secret
	var b []byte
	for len(b) < size {
		b = append(append(b, words[source.IntN(len(words))]...), ' ')
	}
	return b[:max(size, 0)]
}

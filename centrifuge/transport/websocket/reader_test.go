package websocket

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// events reads b in pieces and describes what came of it. The reader sees a
// copy, for it unmasks in place.
func events(t testing.TB, b []byte, rules rules, piece func(i int) int) (said []string) {
	var r reader
	sent := len(b)
	b = bytes.Clone(b)
	for i := 0; len(b) > 0; i++ {
		n := min(max(piece(i), 1), len(b))
		chunk := b[:n]
		b = b[n:]
		for len(chunk) > 0 {
			e, rest, bad := r.next(chunk, rules)
			checkKept(t, &r, rules, sent)
			if bad != nil {
				return append(said, bad.Error())
			}
			if e.kind != eventNone {
				said = append(said, fmt.Sprintf("%d %v %v %x", e.kind, e.text, e.compressed, e.payload))
			}
			r.recycle()
			chunk = rest
		}
	}
	if r.partial != nil && !r.partial.inFrame && !r.partial.inMessage && r.partial.headerSize == 0 {
		said = append(said, "a partial is kept for nothing")
	}
	return said
}

// checkKept checks that a reader keeps no more than its rules allow and no more
// than was sent, apart from a buffer of the pool.
func checkKept(t testing.TB, r *reader, rules rules, sent int) {
	t.Helper()
	p := r.partial
	if p == nil {
		return
	}
	if n := len(p.message); int64(n) > rules.limit || n > sent {
		t.Fatalf("%d bytes of a message are kept; want at most the limit of %d and the %d that were sent", n, rules.limit, sent)
	}
	if n := cap(p.message); n > max(maxKeptMessage, 2*int(rules.limit)) {
		t.Fatalf("a buffer of %d bytes is kept for a limit of %d; want at most %v",
			n, rules.limit, max(maxKeptMessage, 2*int(rules.limit)))
	}
	if rules.frames > 0 && p.inMessage && p.frames > rules.frames {
		t.Fatalf("%d fragments; want at most %d", p.frames, rules.frames)
	}
	if cap(p.control) > maxControlSize {
		t.Fatalf("%d bytes are kept for a control frame; want at most %v", cap(p.control), maxControlSize)
	}
}

// However the input is split, the same comes of it.
func FuzzReader(f *testing.F) {
	for _, c := range rfcCases {
		if len(c.in) < 3000 {
			f.Add(c.in, []byte{1, 2, 3}, c.deflate)
		}
	}
	f.Fuzz(func(t *testing.T, in, pieces []byte, deflate bool) {
		rules := rules{limit: 300, frames: 5, deflate: deflate}
		whole := events(t, in, rules, func(int) int { return len(in) })
		if slices.Contains(whole, "a partial is kept for nothing") {
			t.Fatalf("events %q; want no partial for nothing", whole)
		}
		single := events(t, in, rules, func(int) int { return 1 })
		if !slices.Equal(whole, single) {
			t.Fatalf("bytes one by one give %q; want %q", single, whole)
		}
		if len(pieces) == 0 {
			return
		}
		split := events(t, in, rules, func(i int) int { return int(pieces[i%len(pieces)]) })
		if !slices.Equal(whole, split) {
			t.Fatalf("bytes in parts give %q; want %q", split, whole)
		}
	})
}

// What a frame announces takes no memory before it comes.
func TestAnnouncedLengthTakesNoMemory(t *testing.T) {
	var r reader
	in := frame(finText, string(make([]byte, 60000)))[:10]
	if _, _, bad := r.next(in, rules{limit: 1 << 20}); bad != nil {
		t.Fatalf("next: %v; want no error", bad)
	}
	if size := cap(r.partial.message); size > 4096 {
		t.Fatalf("%d bytes are kept for 2; want at most 4096", size)
	}
}

func TestReaderKeepsNothingWhenIdle(t *testing.T) {
	for _, c := range rfcCases {
		if c.code != 0 {
			continue
		}
		for _, size := range []int{1, 3, 1 << 20} {
			var r reader
			rest := bytes.Clone(c.in)
			for len(rest) > 0 {
				n := min(size, len(rest))
				for chunk := rest[:n]; len(chunk) > 0; {
					var bad *CloseError
					if _, chunk, bad = r.next(chunk, rules{limit: 65536, deflate: true}); bad != nil {
						t.Fatalf("next: %v; want no error", bad)
					}
					r.recycle()
				}
				rest = rest[n:]
			}
			if r.partial != nil {
				t.Errorf("%s by %d: a partial is kept; want none", c.name, size)
			}
		}
	}
}

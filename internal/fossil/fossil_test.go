package fossil

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"centrifugo/internal/memtest"
)

const limit = 64 << 20

// The vector of protocol.md 6.7.
var (
	vectorBase   = []byte(`{"i":2,"pad":"` + strings.Repeat("a", 69) + `"}`)
	vectorTarget = []byte(`{"i":3,"pad":"` + strings.Repeat("a", 69) + `"}`)
	vectorDelta  = []byte("1L\nE:{\"i\":3,\"pad\":\"13@G,4:aa\"}1KKD7u;")
)

func TestApplyVector(t *testing.T) {
	got, err := Apply(vectorBase, vectorDelta, limit)
	if err != nil || !bytes.Equal(got, vectorTarget) {
		t.Errorf("got %q, %v; want %q, nil", got, err, vectorTarget)
	}
}

func TestAppendVector(t *testing.T) {
	delta, ok := Append(nil, vectorBase, vectorTarget)
	if !ok || len(delta) > len(vectorDelta) {
		t.Errorf("%d bytes, want at most the %d of the vector: %q", len(delta), len(vectorDelta), delta)
	}
	check(t, vectorBase, vectorTarget)
}

func TestApplyRejects(t *testing.T) {
	base := []byte("0123456789")
	for name, delta := range map[string]string{
		"empty":                  "",
		"no size":                "\n0;",
		"no newline":             "3",
		"other separator":        "3 3:abc0;",
		"size too large":         "100000000\n0;",
		"size over the limit":    "~~~~\n0;",
		"size of 36 bits":        "~~~~~~\n0;",
		"no operation":           "0\n",
		"no checksum":            "3\n3:abc",
		"literal cut short":      "3\n3:ab",
		"literal exceeds size":   "2\n3:abc0;",
		"copy exceeds base":      "A\nA@1,0;",
		"copy beyond base":       "1\n1@~~,0;",
		"copy exceeds size":      "2\n3@0,0;",
		"copy without offset":    "2\n2@,0;",
		"copy without comma":     "2\n2@0;0;",
		"copy offset overflows":  "2\n2@3~~~~~,0;",
		"unknown operator":       "3\n3!abc0;",
		"wrong checksum":         "3\n3:abc0;",
		"bytes missing":          "4\n3:abc1XXMM0;",
		"something after it":     string(must(Append(nil, []byte(strings.Repeat("abcdefgh", 8)), []byte(strings.Repeat("abcdefgh", 8))))) + "x",
		"bomb of copies":         "A\n" + strings.Repeat("A@0,", 1000),
		"digit out of alphabet":  "-\n0;",
		"number without an end":  "3\nzzz",
		"checksum of seven wide": "0\n0000000;",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Apply(base, []byte(delta), 1000); !errors.Is(err, ErrInvalid) {
				t.Errorf("got %q, %v; want %v", got, err, ErrInvalid)
			}
		})
	}
}

func must(delta []byte, ok bool) []byte {
	if !ok {
		panic("no delta")
	}
	return delta
}

// check makes a delta, if there is one, and proves it. It returns its length.
func check(t *testing.T, base, target []byte) int {
	t.Helper()
	prefix := []byte("before")
	out, ok := Append(prefix, base, target)
	delta, intact := bytes.CutPrefix(out, prefix)
	if !intact {
		t.Fatalf("dst was changed: %q; want it untouched", out)
	}
	if !ok {
		if len(delta) != 0 {
			t.Fatalf("no delta, but %d bytes appended; want none", len(delta))
		}
		return len(target)
	}
	if len(delta) >= len(target) {
		t.Fatalf("delta of %d bytes; want fewer than the %d of the target", len(delta), len(target))
	}
	got, err := Apply(base, delta, len(target))
	if err != nil {
		t.Fatalf("applying %q: %v", delta, err)
	}
	if !bytes.Equal(got, target) {
		t.Fatalf("delta %q makes %q, want %q", delta, got, target)
	}
	if utf8.Valid(target) && !utf8.Valid(delta) {
		t.Fatalf("delta %q of the text %q; want a text", delta, target)
	}
	return len(delta)
}

func TestAppend(t *testing.T) {
	long := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 40)
	parts := make([]string, 50)
	for i := range parts {
		parts[i] = fmt.Sprintf(`{"id":%d,"price":%d.%02d}`, i, i*7919%100_000, i*31%100)
	}
	list := strings.Join(parts, ",")
	parts[3], parts[20], parts[44] = `{"id":3,"price":0.1}`, `{"id":20,"price":0.2,"x":true}`, `{}`
	changed := strings.Join(parts, ",")
	for _, tc := range []struct {
		name, base, target string
		atMost             int
	}{
		{"both empty", "", "", 0},
		{"empty base", "", long, len(long)},
		{"empty target", long, "", 0},
		{"equal", long, long, 20},
		{"one byte", "a", "b", 1},
		{"short", `{"i":1}`, `{"i":2}`, 7},
		{"append", long, long + "more", 30},
		{"prepend", long, "more" + long, 30},
		{"remove in the middle", long, long[:500] + long[700:], 40},
		{"swap halves", list, list[len(list)/2:] + list[:len(list)/2], 40},
		{"several edits", list, changed, 120},
		{"base repeated", "0123456789abcdefghijklmnopqrstuvwxyz", strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 9), 80},
		{"nothing in common", long, strings.Repeat("\x01\x02\x03\x04\x05", 300), 1500},
		{"cyrillic", strings.Repeat("Съешь ещё этих мягких французских булок ", 3), strings.Repeat("Съешь же ещё этих мягких французских булок ", 3), 120},
		{"same lead byte", strings.Repeat("é", 50) + strings.Repeat("à", 50), strings.Repeat("é", 49) + "è" + strings.Repeat("à", 50), 40},
		{"emoji", strings.Repeat("😀", 30) + "😁" + strings.Repeat("😂", 30), strings.Repeat("😀", 30) + "😃" + strings.Repeat("😂", 30), 40},
		{"continuation bytes only", strings.Repeat("\x80", 500), strings.Repeat("\x80", 400), 30},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if n := check(t, []byte(tc.base), []byte(tc.target)); n > tc.atMost {
				t.Errorf("%d bytes, want at most %d", n, tc.atMost)
			}
		})
	}
}

// TestProperty edits random texts at random and proves every delta.
func TestProperty(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a reproducible test
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	smaller := 0
	for range 5000 {
		alphabet := []rune("abcdefghijklmnop{}:,\"äжи漢字😀")[:2+rnd.IntN(24)]
		text := func(n int) []byte {
			var b []byte
			for range n {
				b = utf8.AppendRune(b, alphabet[rnd.IntN(len(alphabet))])
			}
			return b
		}
		base := text(rnd.IntN(2000))
		target := bytes.Clone(base)
		for range rnd.IntN(6) {
			i := rnd.IntN(len(target) + 1)
			j := i + rnd.IntN(len(target)-i+1)/(1+rnd.IntN(50))
			switch rnd.IntN(3) {
			case 0: // insert
				target = bytes.Join([][]byte{target[:i], text(rnd.IntN(40)), target[i:]}, nil)
			case 1: // remove, perhaps through a UTF-8 sequence
				target = append(target[:i:i], target[j:]...)
			case 2: // move
				target = bytes.Join([][]byte{target[j:], target[i:j], target[:i]}, nil)
			}
		}
		if check(t, base, target) < len(target) {
			smaller++
		}
	}
	if smaller < 3000 {
		t.Errorf("only %d of 5000 deltas were of use; want at least 3000", smaller)
	}
}

// TestNoQuadraticTime feeds what makes a careless encoder slow. Each case takes
// milliseconds of CPU; with work that grows by the square it would take minutes.
func TestNoQuadraticTime(t *testing.T) {
	const n = 1 << 20
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a reproducible test
	noise := make([]byte, n)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	repeat := func(s string) []byte { return []byte(strings.Repeat(s, n/len(s))) }
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	start := memtest.CPU(t)
	for _, tc := range [][2][]byte{
		{cat([]byte("x"), repeat("a")), cat([]byte("y"), repeat("a"), []byte("z"))},
		{cat([]byte("x"), repeat("\x80"), []byte("x")), cat([]byte("y"), repeat("\x80"), []byte("z"))},
		{cat([]byte("x"), repeat("0123456789abcdef"), []byte("x")), cat([]byte("y"), repeat("0123456789abcdeF"))},
		{cat(noise, repeat("0123456789abcdef")), cat([]byte("y"), repeat("0123456789abcdef!"), []byte("z"))},
		{noise, cat(noise[n/2:], noise[:n/2])},
	} {
		check(t, tc[0], tc[1])
	}
	if took := memtest.CPU(t) - start; took > 20*time.Second {
		t.Errorf("the deltas took %v of CPU; want at most 20s", took)
	}
}

func FuzzDelta(f *testing.F) {
	f.Add(vectorBase, vectorTarget)
	f.Add([]byte(strings.Repeat("é", 50)), []byte(strings.Repeat("é", 40)+strings.Repeat("è", 40)))
	f.Add([]byte("0123456789abcdef0123456789abcdef"), []byte("x0123456789abcdefx0123456789abcdefx"))
	f.Fuzz(func(t *testing.T, base, target []byte) {
		check(t, base, target)
		both := append(append([]byte("!"), base...), target...)
		check(t, both, append(append([]byte("?"), target...), base...))
	})
}

func FuzzApply(f *testing.F) {
	f.Add(vectorBase, vectorDelta)
	f.Add([]byte("base"), []byte("4\n4@0,1YSMrb;"))
	f.Fuzz(func(t *testing.T, base, delta []byte) {
		const limit = 1 << 16
		target, err := Apply(base, delta, limit)
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("error %v; want one that wraps ErrInvalid", err)
		}
		if len(target) > limit {
			t.Errorf("%d bytes; want at most %v", len(target), limit)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	item := func(i int) string { return fmt.Sprintf(`{"id":%d,"price":%d}`, i, i*7919%100_000) }
	var base, target strings.Builder
	for i := range 200 {
		base.WriteString(item(i))
		if i%50 == 25 {
			i += 1000
		}
		target.WriteString(item(i))
	}
	for _, tc := range []struct {
		name         string
		base, target []byte
	}{
		{"85B one edit", vectorBase, vectorTarget},
		{"5KB four edits", []byte(base.String()), []byte(target.String())},
	} {
		b.Run(tc.name, func(b *testing.B) {
			b.SetBytes(int64(len(tc.target)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = Append(dst[:0], tc.base, tc.target)
			}
			b.ReportMetric(float64(len(dst)), "delta-bytes")
		})
	}
}

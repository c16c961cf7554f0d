package wildcard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a", true}, {"*", "a.b", false}, {"*", "", true},
		{">", "a", true}, {">", "a.b.c", true},
		{"a.*", "a.b", true}, {"a.*", "a", false}, {"a.*", "a.b.c", false}, {"a.*", "b.b", false},
		{"a.>", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "a", false},
		{"*.b", "a.b", true}, {"*.b", "a.c", false}, {"a.*.c", "a.b.c", true}, {"a.*.c", "a.c", false},
		{"*.*", "a.b", true}, {"*.>", "a", false}, {"*.>", "a.b.c", true},
		{"a*.b", "a*.b", true}, {"a*.b", "ac.b", false}, {"a..*", "a..b", true}, {"a..*", "a.b", false},
		{"a.b", "a.b", true}, {"a.b", "a.c", false},
	} {
		var trie Trie
		trie.Add("s:", test.pattern)
		if got := len(trie.Match(nil, "s:", test.name)) == 1; got != test.want {
			t.Errorf("%q matches %q: %v; want %v", test.pattern, test.name, got, test.want)
		}
		if got := trie.Match(nil, "", test.name); len(got) != 0 {
			t.Errorf("%q in another space matches %q; want none", test.pattern, test.name)
		}
		if got := matches(test.pattern, test.name); got != test.want {
			t.Errorf("the reference says that %q matches %q: %v; want %v", test.pattern, test.name, got, test.want)
		}
	}
}

func TestIsPattern(t *testing.T) {
	for name, want := range map[string]bool{
		"a": false, "": false, "a.b": false, "a*": false, "a.b*.c": false, ">>": false, "a.>b": false,
		"*": true, ">": true, "a.*": true, "a.*.b": true, "a.>": true, "a.>.b": true,
	} {
		if got := IsPattern(name); got != want {
			t.Errorf("IsPattern(%q) = %v; want %v", name, got, want)
		}
	}
	for pattern, want := range map[string]error{"*": nil, ">": nil, "a.>": nil, "a.>.b": ErrNotLast, ">.": ErrNotLast, ">.>": ErrNotLast} {
		if got := Check(pattern); got != want { //nolint:errorlint // it is returned as it is
			t.Errorf("Check(%q) = %v; want %v", pattern, got, want)
		}
	}
}

// matches is the definition, segment by segment.
func matches(pattern, name string) bool {
	p, n := strings.Split(pattern, Separator), strings.Split(name, Separator)
	for i, segment := range p {
		if segment == rest && i == len(p)-1 {
			return len(n) > i
		}
		if i >= len(n) || segment != one && segment != n[i] {
			return false
		}
	}
	return len(p) == len(n)
}

// TestTrieAgainstDefinition adds and removes random patterns.
func TestTrieAgainstDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	text := func(letters ...string) string {
		segments := make([]string, 1+r.IntN(4))
		for i := range segments {
			segments[i] = letters[r.IntN(len(letters))]
		}
		return strings.Join(segments, Separator)
	}
	var trie Trie
	set := make(map[string]bool)
	for range 20_000 {
		pattern := text("a", "b", "", "*", "*", ">")
		if Check(pattern) != nil {
			continue
		}
		if r.IntN(2) == 0 {
			if got := trie.Add("s:", pattern); got == set[pattern] {
				t.Fatalf("adding %q: %v; want %v", pattern, got, !set[pattern])
			}
			set[pattern] = true
		} else {
			if got := trie.Remove("s:", pattern); got != set[pattern] {
				t.Fatalf("removing %q: %v; want %v", pattern, got, set[pattern])
			}
			delete(set, pattern)
		}
		name := text("a", "b", "", "c", "*")
		var want []string
		for pattern := range set {
			if matches(pattern, name) {
				want = append(want, "s:"+pattern)
			}
		}
		got := trie.Match(nil, "s:", name)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%q matches %q; want %q", name, got, want)
		}
		if _, found, ok := trie.Find("s:" + pattern); ok != set[pattern] || ok && found != pattern {
			t.Fatalf("finding %q: %q, %v; want itself, %v", pattern, found, ok, set[pattern])
		}
		if trie.Len() != len(set) {
			t.Fatalf("%d patterns; want %d", trie.Len(), len(set))
		}
	}
	for pattern := range set {
		trie.Remove("s:", pattern)
	}
	if got := len(trie.spaces); got != 0 {
		t.Errorf("the empty trie keeps nodes: len(trie.spaces) = %v; want 0", got)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	var trie Trie
	trie.Add("s:", "a.*.c")
	trie.Add("s:", "a.>")
	dst := make([]string, 0, 4)
	if n := testing.AllocsPerRun(100, func() { trie.Match(dst, "s:", "a.b.c") }); n != 0 {
		t.Errorf("%v allocations; want none", n)
	}
}

// BenchmarkMatch finds the patterns of one channel beside more and more others.
func BenchmarkMatch(b *testing.B) {
	for _, others := range []int{0, 1_000, 100_000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			var trie Trie
			trie.Add("s:", "desk.1.*")
			trie.Add("s:", "*.1.>")
			for i := range others {
				trie.Add("s:", fmt.Sprintf("desk.%d.*", i+2))
			}
			dst := make([]string, 0, 4)
			b.ReportAllocs()
			for b.Loop() {
				if dst = trie.Match(dst[:0], "s:", "desk.1.message"); len(dst) != 2 {
					b.Fatal(dst)
				}
			}
		})
	}
}

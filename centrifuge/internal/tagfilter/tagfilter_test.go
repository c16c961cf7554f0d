package tagfilter

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"centrifugo/protocol"
)

type filter = protocol.FilterNode

func leaf(key, cmp, val string, vals ...string) *filter {
	return &filter{Key: key, Cmp: cmp, Val: val, Vals: vals}
}

func branch(op string, nodes ...*filter) *filter { return &filter{Op: op, Nodes: nodes} }

func TestMatch(t *testing.T) {
	tags := map[string]string{"a": "abc", "n": "10.50", "empty": "", "word": "ten", "exp": "1e1"}
	many := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "abc"}
	yes, no := leaf("a", "eq", "abc"), leaf("a", "eq", "x")
	for _, tc := range []struct {
		name string
		f    *filter
		want bool
	}{
		{"eq", yes, true},
		{"eq other", no, false},
		{"eq missing", leaf("z", "eq", "abc"), false},
		{"neq", leaf("a", "neq", "x"), true},
		{"neq same", leaf("a", "neq", "abc"), false},
		{"neq missing", leaf("z", "neq", "abc"), true},
		{"in", leaf("a", "in", "", "x", "abc"), true},
		{"in many", leaf("a", "in", "", many...), true},
		{"in not", leaf("a", "in", "", "x", "y"), false},
		{"in many not", leaf("n", "in", "", many...), false},
		{"in missing is empty", leaf("z", "in", "", "x", ""), true},
		{"in missing", leaf("z", "in", "", "x"), false},
		{"nin", leaf("a", "nin", "", "x"), true},
		{"nin not", leaf("a", "nin", "", "abc"), false},
		{"nin missing is empty", leaf("z", "nin", "", ""), false},
		{"nin missing", leaf("z", "nin", "", "x"), true},
		{"ex", leaf("a", "ex", ""), true},
		{"ex empty", leaf("empty", "ex", ""), true},
		{"ex missing", leaf("z", "ex", ""), false},
		{"nex", leaf("a", "nex", ""), false},
		{"nex missing", leaf("z", "nex", ""), true},
		{"sw", leaf("a", "sw", "ab"), true},
		{"sw not", leaf("a", "sw", "bc"), false},
		{"sw missing", leaf("z", "sw", "a"), false},
		{"ew", leaf("a", "ew", "bc"), true},
		{"ew not", leaf("a", "ew", "ab"), false},
		{"ew missing", leaf("z", "ew", "a"), false},
		{"ct", leaf("a", "ct", "b"), true},
		{"ct not", leaf("a", "ct", "z"), false},
		{"ct missing", leaf("z", "ct", "a"), false},
		{"gt", leaf("n", "gt", "10.4"), true},
		{"gt equal", leaf("n", "gt", "10.5"), false},
		{"gte equal", leaf("n", "gte", "10.5"), true},
		{"gte less", leaf("n", "gte", "10.51"), false},
		{"lt", leaf("n", "lt", "11"), true},
		{"lt equal", leaf("n", "lt", "10.5"), false},
		{"lte equal", leaf("n", "lte", "10.5"), true},
		{"lte greater", leaf("n", "lte", "9"), false},
		{"gt missing", leaf("z", "gt", "1"), false},
		{"lte missing", leaf("z", "lte", "1"), false},
		{"gte an exponent", leaf("n", "gte", "1e1"), false},
		{"lt an exponent", leaf("n", "lt", "2e1"), false},
		{"gt of an exponent", leaf("exp", "gt", "1"), false},
		{"gte of a word", leaf("word", "gte", "1"), false},
		{"gte a word", leaf("n", "gte", "one"), false},
		{"lte a word", leaf("n", "lte", "one"), false},
		{"and", branch("and", yes, yes), true},
		{"and not", branch("and", yes, no), false},
		{"or", branch("or", no, yes), true},
		{"or not", branch("or", no, no), false},
		{"not", branch("not", no), true},
		{"not not", branch("not", yes), false},
		{"nested", branch("and", branch("not", branch("or", no, no)), branch("or", no, branch("and", yes))), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := Compile(tc.f)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Match(tags); got != tc.want {
				t.Errorf("got %v; want %v", got, tc.want)
			}
		})
	}
}

func TestNoTags(t *testing.T) {
	f, err := Compile(leaf("a", "neq", "x"))
	if err != nil || !f.Match(nil) {
		t.Errorf("neq without tags does not match, %v; want a match", err)
	}
	if !(*Filter)(nil).Match(nil) {
		t.Error("no filter: Match = false; want true")
	}
}

func TestCompileRejects(t *testing.T) {
	deep := leaf("a", "ex", "")
	for range MaxDepth {
		deep = branch("not", deep)
	}
	wide := branch("and", slices.Repeat([]*filter{leaf("a", "ex", "")}, MaxNodes)...)
	half := branch("or", slices.Repeat([]*filter{leaf("a", "ex", "")}, MaxNodes/2)...)
	loop := branch("and")
	loop.Nodes = []*filter{loop, loop}
	for name, f := range map[string]*filter{
		"nothing":                nil,
		"zero":                   {},
		"unknown op":             branch("xor", leaf("a", "ex", "")),
		"unknown cmp":            leaf("a", "like", "b"),
		"upper case":             leaf("a", "EQ", "b"),
		"and of nothing":         branch("and"),
		"or of nothing":          branch("or"),
		"not of nothing":         branch("not"),
		"not of two":             branch("not", leaf("a", "ex", ""), leaf("a", "ex", "")),
		"missing node":           branch("and", nil),
		"no key":                 leaf("", "eq", "b"),
		"ex without key":         leaf("", "ex", ""),
		"eq without val":         leaf("a", "eq", ""),
		"gt without val":         leaf("a", "gt", ""),
		"eq with vals":           leaf("a", "eq", "b", "c"),
		"in without vals":        leaf("a", "in", ""),
		"in with val":            leaf("a", "in", "b", "c"),
		"ex with val":            leaf("a", "ex", "b"),
		"nex with vals":          leaf("a", "nex", "", "b"),
		"too deep":               deep,
		"too wide":               wide,
		"endless":                loop,
		"too many nodes":         branch("and", half, half),
		"too many values":        leaf("a", "in", "", make([]string, MaxValues+1)...),
		"too many values in all": branch("and", leaf("a", "in", "", make([]string, MaxValues)...), leaf("a", "in", "", "")),
		"too large in all":       branch("and", leaf("a", "eq", strings.Repeat("x", MaxBytes-1)), leaf("a", "eq", "x")),
		"too large":              leaf("a", "eq", strings.Repeat("x", MaxBytes)),
		"error inside":           branch("and", leaf("a", "ex", ""), leaf("a", "?", "")),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(f); !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v; want %v", err, ErrInvalid)
			}
		})
	}
	for name, f := range map[string]*filter{
		"deepest": deep.Nodes[0], "widest": branch("and", wide.Nodes[1:]...), "1000 nodes": branch("or", wide.Nodes[:999]...),
		"1025 values": leaf("a", "in", "", numbers(1025)...), "most values": leaf("a", "nin", "", numbers(MaxValues)...),
	} {
		if _, err := Compile(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func numbers(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return list
}

// TestLargeFilters: filters near the limits decide as small ones do.
func TestLargeFilters(t *testing.T) {
	deep := leaf("a", "eq", "1")
	for range 39 { // an odd number of negations
		deep = branch("not", deep)
	}
	var each []*filter
	for _, n := range numbers(1000) {
		each = append(each, leaf("a", "eq", n))
	}
	var pairs []*filter
	for _, n := range numbers(340) {
		pairs = append(pairs, branch("and", leaf("a", "eq", n), leaf("b", "eq", n)))
	}
	for name, test := range map[string]struct {
		f    *filter
		want func(a, b int) bool
	}{
		"depth 40":     {deep, func(a, _ int) bool { return a != 1 }},
		"1000 nodes":   {branch("or", each...), func(a, _ int) bool { return a < 1000 }},
		"1000 pairs":   {branch("or", pairs...), func(a, b int) bool { return a == b && a < 340 }},
		"not of pairs": {branch("not", branch("or", pairs...)), func(a, b int) bool { return a != b || a >= 340 }},
		"1025 values":  {leaf("a", "in", "", numbers(1025)...), func(a, _ int) bool { return a < 1025 }},
		"1025 not":     {leaf("a", "nin", "", numbers(1025)...), func(a, _ int) bool { return a >= 1025 }},
	} {
		f, err := Compile(test.f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for a := range 1100 {
			for _, b := range []int{a, a + 1} {
				if got := f.Match(map[string]string{"a": fmt.Sprint(a), "b": fmt.Sprint(b)}); got != test.want(a, b) {
					t.Errorf("%s: %v for %d, %d; want %v", name, got, a, b, test.want(a, b))
				}
			}
		}
	}
}

func TestDecimals(t *testing.T) {
	ascending := []string{
		"-123456789012345678901234567890", "-10.01", "-10", "-1.5", "-0.1", "-0.00000000000000000001",
		"0", "0.00000000000000000001", "0.00001", "0.1", "0.10000000000000000001", "0.2", "1", "1.00000000000000000001",
		"9", "9.99", "10", "10.5", "99", "100", "9007199254740992", "9007199254740993", "123456789012345678901234567890",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			x, y := parseDecimal(a), parseDecimal(b)
			if !x.valid || !y.valid {
				t.Fatalf("%s or %s is not valid; want both valid", a, b)
			}
			if got := x.compare(y); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s compared with %s is %d; want %v and %v", a, b, got, i < j, i > j)
			}
		}
	}
	for _, equal := range [][]string{
		{"0", "-0", "+0", "0.0", "000", ".0", "0.", "-0.00"},
		{"10", "+10", "10.", "10.00", "0010"},
		{"-0.05", "-.05", "-0.0500"},
	} {
		for _, s := range equal[1:] {
			x, y := parseDecimal(equal[0]), parseDecimal(s)
			if !y.valid || x.compare(y) != 0 || y.compare(x) != 0 {
				t.Errorf("%s and %s differ; want them equal", equal[0], s)
			}
		}
	}
	for _, s := range []string{
		"", "-", "+", ".", "e1", "-.", "1e", "1e+", "1e1.5", "1.2.3", "1,5", " 1", "1 ", "0x10", "1_000", "--1", "+-1",
		"NaN", "Inf", "1e1", "1E1", "1e+1", "1e-1", "0e0", "1.5e3", "1e99999999999999999999", "١", strings.Repeat("1", maxDecimal+1),
	} {
		if parseDecimal(s).valid {
			t.Errorf("%q is taken for a number; want it refused", s)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	tags := map[string]string{"a": "abc", "n": "10.5"}
	for _, node := range []*filter{
		leaf("a", "eq", "abc"), leaf("a", "in", "", "x", "abc"), leaf("a", "sw", "ab"), leaf("n", "gte", "10"),
		branch("and", leaf("a", "ex", ""), branch("not", leaf("a", "ct", "z"))),
	} {
		f, err := Compile(node)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { f.Match(tags) }); n != 0 {
			t.Errorf("%v allocations for %+v; want 0", n, node)
		}
	}
}

// FuzzDecimal compares with math/big, where that is affordable.
func FuzzDecimal(f *testing.F) {
	f.Add("1.5", "-2e3")
	f.Add("00.10", "+.1")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := parseDecimal(a), parseDecimal(b)
		p, okP := rational(a)
		q, okQ := rational(b)
		if !okP || !okQ || !x.valid || !y.valid {
			return
		}
		want := p.Cmp(q)
		if got := x.compare(y); (got < 0) != (want < 0) || (got > 0) != (want > 0) {
			t.Errorf("%s compared with %s is %d, want %d", a, b, got, want)
		}
	})
}

// rational refuses what would take big.Rat long.
func rational(s string) (*big.Rat, bool) {
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 4 || strings.ContainsAny(s, "/_xXoObBpP") {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// FuzzFilter builds a filter from bytes, and checks that what compiles matches
// without a panic and that "not" negates it.
func FuzzFilter(f *testing.F) {
	f.Add([]byte("\x00\x03abc\x01x"), "abc")
	f.Add([]byte("\x05\x02\x00\x01a\x01b\x04\x01a"), "1.5")
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		node := fromBytes(&data, 0)
		compiled, err := Compile(node)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("unnamed error %v; want %v", err, ErrInvalid)
			}
			return
		}
		inverse, err := Compile(branch("not", node))
		if err != nil {
			return // a node too many
		}
		tags := map[string]string{"a": value, "b": "1"}
		if compiled.Match(tags) == inverse.Match(tags) {
			t.Errorf("both %+v and its negation give %v for %q; want the opposite", node, compiled.Match(tags), value)
		}
	})
}

func fromBytes(data *[]byte, depth int) *filter {
	next := func() int {
		if len(*data) == 0 {
			return 0
		}
		c := (*data)[0]
		*data = (*data)[1:]
		return int(c)
	}
	pick := func(from ...string) string { return from[next()%len(from)] }
	n := &filter{Op: pick("", "", "", "and", "or", "not", "?")}
	if n.Op != "" {
		for range next() % 5 {
			if depth < MaxDepth+2 {
				n.Nodes = append(n.Nodes, fromBytes(data, depth+1))
			}
		}
		return n
	}
	n.Cmp = pick("eq", "neq", "in", "nin", "ex", "nex", "sw", "ew", "ct", "gt", "gte", "lt", "lte", "?")
	n.Key = pick("a", "b", "c", "")
	n.Val = pick("", "1", "abc", "-2.5e3")
	for range next() % 12 {
		n.Vals = append(n.Vals, pick("", "1", "abc"))
	}
	return n
}

func BenchmarkMatch(b *testing.B) {
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprint("value", i)
	}
	tags := map[string]string{"ticker": "value77", "price": "101.25"}
	for _, node := range []*filter{
		leaf("ticker", "eq", "value77"), leaf("ticker", "in", "", many...), leaf("price", "gt", "100.5"),
		branch("and", leaf("ticker", "sw", "value"), leaf("price", "lte", "200")),
		branch("or", leaf("ticker", "eq", "other"), leaf("ticker", "in", "", "one", "two", "three"), leaf("price", "gt", "200"),
			leaf("ticker", "sw", "other"), leaf("ticker", "ct", "77")), // five comparisons, none of them spared
	} {
		f, err := Compile(node)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(node.Op+node.Cmp, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Match(tags)
			}
		})
	}
}

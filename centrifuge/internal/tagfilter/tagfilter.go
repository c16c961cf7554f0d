// Package tagfilter decides by a publication's tags whether to deliver it to a subscriber
// (protocol.md 6.6). Clients send the filters: a filter is checked and bounded when it is
// compiled, so that matching is cheap and cannot fail.
package tagfilter

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"centrifugo/protocol"
)

// Limits of one filter. They bound the time of a match to 20 µs on a slow core and the
// memory of a subscription to 300 KB. A command of the default size of 64 KiB rarely
// reaches them.
const (
	MaxDepth  = 64
	MaxNodes  = 1024
	MaxValues = 4096     // in all lists together
	MaxBytes  = 64 << 10 // of all keys and values together
)

// ErrInvalid is wrapped by every error of Compile.
var ErrInvalid = errors.New("invalid tags filter")

// Filter is a compiled filter. It is immutable and safe for concurrent use.
type Filter struct {
	nodes []node // each before those below it
}

// node is one node of a filter. Subscriptions keep many nodes, so fields that only few
// kinds of tests need are in operand.
type node struct {
	test    test
	negate  bool
	size    int32 // nodes of this one and of those below it
	key     string
	value   string
	operand *operand // of testIn, testGreater and testLess
}

type operand struct {
	number decimal
	list   []string // sorted by length, then by text
}

type test uint8

const (
	testAll test = iota
	testAny
	testEqual
	testIn
	testExists
	testPrefix
	testSuffix
	testContains
	testGreater
	testLess
)

// operators are the comparisons of protocol.md 6.6. A negated one is true
// where the plain one is false.
var operators = map[string]struct {
	test   test
	negate bool
	takes  takes
}{
	"eq": {testEqual, false, takesValue}, "neq": {testEqual, true, takesValue},
	"in": {testIn, false, takesList}, "nin": {testIn, true, takesList},
	"ex": {testExists, false, takesNothing}, "nex": {testExists, true, takesNothing},
	"sw": {testPrefix, false, takesValue}, "ew": {testSuffix, false, takesValue}, "ct": {testContains, false, takesValue},
	"gt": {testGreater, false, takesValue}, "gte": {testLess, true, takesValue},
	"lt": {testLess, false, takesValue}, "lte": {testGreater, true, takesValue},
}

type takes uint8

const (
	takesNothing takes = iota
	takesValue
	takesList
)

// Compile checks f and compiles it into a filter that keeps no reference to f. Its errors
// wrap ErrInvalid, and their texts are meant for the developer of the client.
func Compile(f *protocol.FilterNode) (*Filter, error) {
	c := compiler{}
	if err := c.node(f, 1); err != nil {
		return nil, err
	}
	return &Filter{nodes: slices.Clone(c.compiled)}, nil // of the exact size
}

// Match reports whether a publication with these tags passes. A nil filter passes all.
func (f *Filter) Match(tags map[string]string) bool {
	return f == nil || f.match(0, tags)
}

// compiler builds the nodes of a filter and counts them against the limits.
type compiler struct {
	compiled      []node
	values, bytes int
}

func (c *compiler) node(f *protocol.FilterNode, depth int) error {
	if f == nil {
		return fmt.Errorf("%w: a node is missing", ErrInvalid)
	}
	if depth > MaxDepth {
		return fmt.Errorf("%w: deeper than %d", ErrInvalid, MaxDepth)
	}
	if len(c.compiled) == MaxNodes {
		return fmt.Errorf("%w: more than %d nodes", ErrInvalid, MaxNodes)
	}
	switch f.Op {
	case "":
		return c.leaf(f)
	case "and", "or":
		if len(f.Nodes) == 0 {
			return fmt.Errorf("%w: %q needs nodes", ErrInvalid, f.Op)
		}
		n := node{test: testAll}
		if f.Op == "or" {
			n.test = testAny
		}
		return c.branch(n, f, depth)
	case "not":
		if len(f.Nodes) != 1 {
			return fmt.Errorf("%w: \"not\" needs one node", ErrInvalid)
		}
		return c.branch(node{test: testAll, negate: true}, f, depth)
	}
	return fmt.Errorf("%w: unknown op", ErrInvalid)
}

func (c *compiler) branch(n node, f *protocol.FilterNode, depth int) error {
	at := len(c.compiled)
	c.compiled = append(c.compiled, n)
	for _, child := range f.Nodes {
		if err := c.node(child, depth+1); err != nil {
			return err
		}
	}
	c.compiled[at].size = int32(len(c.compiled) - at) //nolint:gosec // at most MaxNodes
	return nil
}

func (c *compiler) leaf(f *protocol.FilterNode) error {
	op, ok := operators[f.Cmp]
	switch {
	case !ok:
		return fmt.Errorf("%w: unknown cmp", ErrInvalid)
	case f.Key == "":
		return fmt.Errorf("%w: %q needs key", ErrInvalid, f.Cmp)
	case (f.Val != "") != (op.takes == takesValue):
		return fmt.Errorf("%w: %q with wrong val", ErrInvalid, f.Cmp)
	case (len(f.Vals) > 0) != (op.takes == takesList):
		return fmt.Errorf("%w: %q with wrong vals", ErrInvalid, f.Cmp)
	}
	if len(f.Vals) > MaxValues-c.values {
		return fmt.Errorf("%w: more than %d values", ErrInvalid, MaxValues)
	}
	c.values += len(f.Vals)
	for _, text := range append([]string{f.Key, f.Val}, f.Vals...) {
		if len(text) > MaxBytes-c.bytes {
			return fmt.Errorf("%w: larger than %d bytes", ErrInvalid, MaxBytes)
		}
		c.bytes += len(text)
	}
	n := node{test: op.test, negate: op.negate, size: 1, key: strings.Clone(f.Key), value: strings.Clone(f.Val)}
	switch op.test {
	case testGreater, testLess:
		n.operand = &operand{number: parseDecimal(n.value)}
	case testIn:
		n.operand = &operand{list: sortedValues(f.Vals)}
	}
	c.compiled = append(c.compiled, n)
	return nil
}

// sortedValues returns a copy of values, which shares one piece of memory.
func sortedValues(values []string) []string {
	text := strings.Join(values, "")
	list := make([]string, len(values))
	for i, v := range values {
		list[i], text = text[:len(v)], text[len(v):]
	}
	slices.SortFunc(list, byLength)
	return slices.Compact(list)
}

// has reports whether the list contains a value. Values of different lengths are ordered
// by length, without comparing their bytes: comparing in text order takes twice the time.
func (o *operand) has(value string) bool {
	low, high := 0, len(o.list)
	for low < high {
		middle := int(uint(low+high) >> 1) //nolint:gosec // not negative
		switch v := o.list[middle]; {
		case len(v) < len(value) || len(v) == len(value) && v < value:
			low = middle + 1
		default:
			high = middle
		}
	}
	return low < len(o.list) && o.list[low] == value
}

// byLength is the order of list, which has depends on.
func byLength(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// match decides the node with an index.
func (f *Filter) match(i int, tags map[string]string) bool {
	n := &f.nodes[i]
	end := i + int(n.size)
	switch n.test {
	case testAll:
		for i++; i < end; i += int(f.nodes[i].size) {
			if !f.match(i, tags) {
				return n.negate
			}
		}
		return !n.negate
	case testAny:
		for i++; i < end; i += int(f.nodes[i].size) {
			if f.match(i, tags) {
				return true
			}
		}
		return false
	case testGreater, testLess:
		return n.matchNumber(tags)
	default:
		return n.matchText(tags) != n.negate
	}
}

// matchNumber is false when either side is missing or no number, also for the
// comparisons that are the negation of another.
func (n *node) matchNumber(tags map[string]string) bool {
	number := parseDecimal(tags[n.key])
	if !number.valid || !n.operand.number.valid {
		return false
	}
	sign := number.compare(n.operand.number)
	return ((n.test == testGreater && sign > 0) || (n.test == testLess && sign < 0)) != n.negate
}

func (n *node) matchText(tags map[string]string) bool {
	value, exists := tags[n.key]
	switch n.test {
	case testEqual:
		return exists && value == n.value
	case testIn: // a missing tag compares as the empty string
		return n.operand.has(value)
	case testExists:
		return exists
	case testPrefix:
		return exists && strings.HasPrefix(value, n.value)
	case testSuffix:
		return exists && strings.HasSuffix(value, n.value)
	default: // testContains
		return exists && strings.Contains(value, n.value)
	}
}

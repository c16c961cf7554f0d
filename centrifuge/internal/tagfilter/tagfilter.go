// Package tagfilter decides by a publication's tags whether a subscriber wants it
// (client-protocol 1.9). A filter comes from a client: it is checked and bounded
// when it is compiled, so that matching is cheap and cannot fail.
package tagfilter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"centrifugo/protocol"
)

// Limits of one filter. They bound what a match costs.
const (
	MaxDepth  = 32
	MaxNodes  = 256
	MaxValues = 1024     // in all lists together
	MaxBytes  = 16 << 10 // of all keys and values together
)

// linearValues is the length up to which a list of values is searched one by one.
const linearValues = 8

// ErrInvalid is what every error of Compile is.
var ErrInvalid = errors.New("invalid tags filter")

// Filter is a compiled filter. It is immutable and safe for concurrent use.
type Filter struct{ root node }

// node is one node of a filter. Which fields it uses depends on its test.
type node struct {
	test   test
	negate bool
	key    string
	value  string
	number decimal
	list   []string
	set    map[string]struct{} // instead of list when that is long
	nodes  []node
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

// operators are the comparisons of client-protocol 1.9. A negated one is true
// where the plain one is false.
var operators = map[string]struct {
	test   test
	negate bool
	takes  operand
}{
	"eq": {testEqual, false, takesValue}, "neq": {testEqual, true, takesValue},
	"in": {testIn, false, takesList}, "nin": {testIn, true, takesList},
	"ex": {testExists, false, takesNothing}, "nex": {testExists, true, takesNothing},
	"sw": {testPrefix, false, takesValue}, "ew": {testSuffix, false, takesValue}, "ct": {testContains, false, takesValue},
	"gt": {testGreater, false, takesValue}, "gte": {testLess, true, takesValue},
	"lt": {testLess, false, takesValue}, "lte": {testGreater, true, takesValue},
}

type operand uint8

const (
	takesNothing operand = iota
	takesValue
	takesList
)

// Compile checks f and makes a filter of it that keeps no reference to f. Its
// errors wrap ErrInvalid and are worded for the client's developer.
func Compile(f *protocol.FilterNode) (*Filter, error) {
	c := compiler{}
	root, err := c.node(f, 1)
	if err != nil {
		return nil, err
	}
	return &Filter{root: root}, nil
}

// Match says whether a publication with these tags passes. A nil filter passes all.
func (f *Filter) Match(tags map[string]string) bool {
	return f == nil || f.root.match(tags)
}

// compiler counts what a filter uses of its limits.
type compiler struct{ nodes, values, bytes int }

func (c *compiler) node(f *protocol.FilterNode, depth int) (node, error) {
	if f == nil {
		return node{}, fmt.Errorf("%w: a node is missing", ErrInvalid)
	}
	if depth > MaxDepth {
		return node{}, fmt.Errorf("%w: deeper than %d", ErrInvalid, MaxDepth)
	}
	if c.nodes++; c.nodes > MaxNodes {
		return node{}, fmt.Errorf("%w: more than %d nodes", ErrInvalid, MaxNodes)
	}
	switch f.Op {
	case "":
		return c.leaf(f)
	case "and", "or":
		if len(f.Nodes) == 0 {
			return node{}, fmt.Errorf("%w: %q needs nodes", ErrInvalid, f.Op)
		}
		n := node{test: testAll}
		if f.Op == "or" {
			n.test = testAny
		}
		return c.children(n, f, depth)
	case "not":
		if len(f.Nodes) != 1 {
			return node{}, fmt.Errorf("%w: \"not\" needs one node", ErrInvalid)
		}
		return c.children(node{test: testAll, negate: true}, f, depth)
	}
	return node{}, fmt.Errorf("%w: unknown op", ErrInvalid)
}

func (c *compiler) children(n node, f *protocol.FilterNode, depth int) (node, error) {
	if len(f.Nodes) > MaxNodes { // before anything is allocated for them
		return node{}, fmt.Errorf("%w: more than %d nodes", ErrInvalid, MaxNodes)
	}
	n.nodes = make([]node, len(f.Nodes))
	for i, child := range f.Nodes {
		var err error
		if n.nodes[i], err = c.node(child, depth+1); err != nil {
			return node{}, err
		}
	}
	return n, nil
}

func (c *compiler) leaf(f *protocol.FilterNode) (node, error) {
	op, ok := operators[f.Cmp]
	switch {
	case !ok:
		return node{}, fmt.Errorf("%w: unknown cmp", ErrInvalid)
	case f.Key == "":
		return node{}, fmt.Errorf("%w: %q needs key", ErrInvalid, f.Cmp)
	case (f.Val != "") != (op.takes == takesValue):
		return node{}, fmt.Errorf("%w: %q with wrong val", ErrInvalid, f.Cmp)
	case (len(f.Vals) > 0) != (op.takes == takesList):
		return node{}, fmt.Errorf("%w: %q with wrong vals", ErrInvalid, f.Cmp)
	}
	c.values += len(f.Vals)
	if c.values > MaxValues {
		return node{}, fmt.Errorf("%w: more than %d values", ErrInvalid, MaxValues)
	}
	c.bytes += len(f.Key) + len(f.Val)
	for _, v := range f.Vals {
		c.bytes += len(v)
	}
	if c.bytes > MaxBytes {
		return node{}, fmt.Errorf("%w: larger than %d bytes", ErrInvalid, MaxBytes)
	}
	n := node{test: op.test, negate: op.negate, key: strings.Clone(f.Key), value: strings.Clone(f.Val)}
	switch {
	case op.test == testGreater || op.test == testLess:
		n.number = parseDecimal(n.value)
	case len(f.Vals) <= linearValues:
		for _, v := range f.Vals {
			n.list = append(n.list, strings.Clone(v))
		}
	default:
		n.set = make(map[string]struct{}, len(f.Vals))
		for _, v := range f.Vals {
			n.set[strings.Clone(v)] = struct{}{}
		}
	}
	return n, nil
}

func (n *node) match(tags map[string]string) bool {
	switch n.test {
	case testAll:
		for i := range n.nodes {
			if !n.nodes[i].match(tags) {
				return n.negate
			}
		}
		return !n.negate
	case testAny:
		for i := range n.nodes {
			if n.nodes[i].match(tags) {
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
	if !number.valid || !n.number.valid {
		return false
	}
	sign := number.compare(n.number)
	return ((n.test == testGreater && sign > 0) || (n.test == testLess && sign < 0)) != n.negate
}

func (n *node) matchText(tags map[string]string) bool {
	value, exists := tags[n.key]
	switch n.test {
	case testEqual:
		return exists && value == n.value
	case testIn: // a missing tag compares as the empty string
		if n.set != nil {
			_, found := n.set[value]
			return found
		}
		return slices.Contains(n.list, value)
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

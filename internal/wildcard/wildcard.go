// Package wildcard finds the patterns that match the name of a channel.
//
// A pattern is a list of segments separated by dots, as a name is. A segment that is
// an asterisk matches any one segment. A last segment that is a greater-than sign
// matches one or more segments. All others match themselves.
package wildcard

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
)

// Separator is between the segments of a name.
const Separator = "."

const (
	one  = "*" // matches any one segment
	rest = ">" // at the end, matches one or more segments
)

// ErrNotLast reports a pattern with a greater-than sign before its end.
var ErrNotLast = errors.New(`">" is not the last segment of the pattern`)

// IsPattern reports whether name has a segment that is a wildcard.
func IsPattern(name string) bool {
	for more := true; more; {
		var segment string
		if segment, name, more = strings.Cut(name, Separator); segment == one || segment == rest {
			return true
		}
	}
	return false
}

// Check returns ErrNotLast for a pattern that is not valid.
func Check(pattern string) error {
	for more := true; more; {
		var segment string
		if segment, pattern, more = strings.Cut(pattern, Separator); segment == rest && more {
			return ErrNotLast
		}
	}
	return nil
}

// Trie is a set of patterns. A lookup takes a time that depends on the segments of the
// name and on the patterns that begin like it, and not on how many others there are. It
// is safe for concurrent use. The zero value is empty.
type Trie struct {
	count atomic.Int64

	// Guarded by mu.
	mu     sync.RWMutex
	spaces map[string]*node
}

// node is a place in the patterns of one space.
type node struct {
	segments map[string]*node // the next segment; an asterisk is the wildcard
	end      string           // the whole pattern that ends here, with its space
	rest     string           // the same for the pattern that ends here with a greater-than sign
}

// Len returns the number of patterns.
func (t *Trie) Len() int { return int(t.count.Load()) }

// Add adds the pattern space+pattern. It matches the names of the space only. Add
// reports false if it is there already. The strings are kept.
func (t *Trie) Add(space, pattern string) bool {
	whole := space + pattern
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spaces == nil {
		t.spaces = make(map[string]*node)
	}
	n := t.spaces[space]
	if n == nil {
		n = &node{}
		t.spaces[space] = n
	}
	end := &n.end
	for more := true; more; end = &n.end {
		var segment string
		if segment, pattern, more = strings.Cut(pattern, Separator); segment == rest && !more {
			end = &n.rest
			break
		}
		next := n.segments[segment]
		if next == nil {
			if n.segments == nil {
				n.segments = make(map[string]*node)
			}
			next = &node{}
			n.segments[segment] = next
		}
		n = next
	}
	if *end != "" {
		return false
	}
	*end = whole
	t.count.Add(1)
	return true
}

// Find returns the space and the rest of a pattern in the set by its whole name. The
// caller may not know the space any more.
func (t *Trie) Find(whole string) (space, pattern string, found bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for space, n := range t.spaces {
		if pattern, ok := strings.CutPrefix(whole, space); ok && n.has(pattern, true) {
			return space, pattern, true
		}
	}
	return "", "", false
}

func (n *node) has(pattern string, more bool) bool {
	if !more {
		return n.end != ""
	}
	segment, pattern, more := strings.Cut(pattern, Separator)
	if segment == rest && !more {
		return n.rest != ""
	}
	next := n.segments[segment]
	return next != nil && next.has(pattern, more)
}

// Remove removes the pattern space+pattern, and reports whether it was there.
func (t *Trie) Remove(space, pattern string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.spaces[space]
	if n == nil || !n.remove(pattern, true) {
		return false
	}
	if n.empty() {
		delete(t.spaces, space)
	}
	t.count.Add(-1)
	return true
}

// remove removes what is left of a pattern below n, and the nodes that nothing needs any
// more. More reports whether there are segments left.
func (n *node) remove(pattern string, more bool) bool {
	if !more {
		return clearText(&n.end)
	}
	segment, pattern, more := strings.Cut(pattern, Separator)
	if segment == rest && !more {
		return clearText(&n.rest)
	}
	next := n.segments[segment]
	if next == nil || !next.remove(pattern, more) {
		return false
	}
	if next.empty() {
		delete(n.segments, segment)
	}
	return true
}

func clearText(s *string) bool {
	was := *s != ""
	*s = ""
	return was
}

func (n *node) empty() bool { return n.end == "" && n.rest == "" && len(n.segments) == 0 }

// Match appends to dst the patterns that match space+name, with their space.
func (t *Trie) Match(dst []string, space, name string) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n := t.spaces[space]; n != nil {
		dst = n.match(dst, name, true)
	}
	return dst
}

func (n *node) match(dst []string, name string, more bool) []string {
	if !more {
		if n.end != "" {
			dst = append(dst, n.end)
		}
		return dst
	}
	if n.rest != "" {
		dst = append(dst, n.rest)
	}
	if len(n.segments) == 0 {
		return dst
	}
	segment, name, more := strings.Cut(name, Separator)
	if next := n.segments[segment]; next != nil && segment != one {
		dst = next.match(dst, name, more)
	}
	if next := n.segments[one]; next != nil {
		dst = next.match(dst, name, more)
	}
	return dst
}

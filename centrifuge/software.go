package centrifuge

import (
	"slices"
	"sync"
	"unique"
)

// knownSDKs are the names that SDKs give themselves unless the application gives another.
var knownSDKs = []string{"js", "dart", "swift", "java", "go", "python", "csharp"}

// Labels of clients that are not told apart.
const (
	unregistered = "unregistered"
	unnamed      = "unnamed"
	unversioned  = "unversioned"
)

// maxVersions bounds the versions of one name that are told apart.
const maxVersions = 30

// softwareTable bounds what Stats tells apart. What it has once admitted, it keeps, so that a
// connection has the same label when it ends. It is safe for concurrent use.
type softwareTable struct {
	names []string // static

	// Guarded by mu, which is a leaf.
	mu       sync.Mutex
	versions map[Software]bool
	count    map[string]int // of versions, by name
}

func newSoftwareTable(more []string) *softwareTable {
	return &softwareTable{
		names: append(slices.Clone(knownSDKs), more...), versions: make(map[Software]bool), count: make(map[string]int),
	}
}

// label returns what a client is counted as.
func (t *softwareTable) label(name, version string) Software {
	l := Software{name, version}
	if name == "" {
		l.Name = unnamed
	}
	switch {
	case name != "" && !slices.Contains(t.names, name):
		return Software{unregistered, unregistered}
	case version == "":
		l.Version = unversioned
	case !isVersion(version) || !t.admits(l):
		l.Version = unregistered
	}
	return l
}

// admits reports whether a version is told apart.
func (t *softwareTable) admits(l Software) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.versions[l] {
		return true
	}
	if t.count[l.Name] >= maxVersions {
		return false
	}
	t.versions[l] = true
	t.count[l.Name]++
	return true
}

// isVersion reports whether s looks like a version: short, and of digits, letters, dots, dashes
// and pluses.
func isVersion(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-' || c == '+') {
			return false
		}
	}
	return len(s) <= 32 && s[0] >= '0' && s[0] <= '9'
}

// softwareCounters count connections by Software. They are used when a connection begins and
// ends only.
type softwareCounters struct {
	mu sync.Mutex // a leaf
	of map[Software]SoftwareStats
}

func (s *softwareCounters) connected(l Software) { s.add(l, SoftwareStats{1, 1}) }
func (s *softwareCounters) left(l Software)      { s.add(l, SoftwareStats{-1, 0}) }

func (s *softwareCounters) add(l Software, n SoftwareStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = make(map[Software]SoftwareStats)
	}
	s.of[l] = SoftwareStats{s.of[l].Current + n.Current, s.of[l].Accepted + n.Accepted}
}

func (s *softwareCounters) addTo(sum map[Software]SoftwareStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l, n := range s.of {
		sum[l] = SoftwareStats{sum[l].Current + n.Current, sum[l].Accepted + n.Accepted}
	}
}

// softwareLabel returns what a client is counted as.
func (n *Node) softwareLabel(s unique.Handle[software]) Software {
	if s == noSoftware {
		return Software{unnamed, unversioned}
	}
	return n.software.label(s.Value().name, s.Value().version)
}

// softwareLeft counts a connection that ends, if it was counted.
func (c *Client) softwareLeft() {
	c.mu.Lock()
	connected, s := c.since != 0, c.software
	c.mu.Unlock()
	if connected {
		c.counted.software.left(c.node.softwareLabel(s))
	}
}

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
	names []string // unregistered, unnamed, then those that clients may have; static

	// Guarded by mu, which is a leaf.
	mu       sync.Mutex
	versions map[Software]bool
	count    map[string]int // of versions, by name
}

func newSoftwareTable(more []string) *softwareTable {
	return &softwareTable{
		names: slices.Concat([]string{unregistered, unnamed}, knownSDKs, more), versions: make(map[Software]bool), count: make(map[string]int),
	}
}

// number returns the index in names of the name that a client gives.
func (t *softwareTable) number(name string) int {
	if name == "" {
		return 1
	}
	if i := slices.Index(t.names[2:], name); i >= 0 {
		return i + 2
	}
	return 0
}

// label returns what a client is counted as.
func (t *softwareTable) label(name, version string) Software {
	l := Software{name, version}
	if name == "" {
		l.Name = unnamed
	}
	switch {
	case name != "" && t.number(name) == 0:
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

// subscriptionsLocked returns the counters of c's subscriptions to channels with a label.
func (c *Client) subscriptionsLocked(label uint16) *subscriptionCounters {
	name := 1 // unnamed
	if c.software != noSoftware {
		name = c.node.software.number(c.software.Value().name)
	}
	return &c.node.stats.numbered(label).subscriptions[name]
}

// countSubscription adds to the number of c's subscriptions to channels with a label.
func (c *Client) countSubscription(label uint16, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscriptionsLocked(label).current.Add(n)
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

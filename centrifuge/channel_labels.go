package centrifuge

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// channelLabels finds the counters of channels by Config.ChannelLabel. A label that was
// once told apart stays, so a number stands for the same label as long as the node runs.
// It is safe for concurrent use.
type channelLabels struct {
	// Static.
	label func(channel string) string
	most  int // labels that are told apart
	new   func(number uint16) *channelCounters
	logger

	mu    sync.Mutex // for writing set; a leaf
	set   atomic.Pointer[labelSet]
	noted sync.Once // that there are more
}

// labelSet is immutable.
type labelSet struct {
	byName   map[string]*channelCounters // without the empty label
	byNumber []*channelCounters          // the first is that of the empty label
}

// of returns the counters of a channel.
func (l *channelLabels) of(channel string) *channelCounters {
	label, set := l.ask(channel), l.set.Load()
	if label == "" {
		return set.byNumber[0]
	}
	if c := set.byName[label]; c != nil {
		return c
	}
	if other := set.byName[otherName]; other != nil && len(set.byName) >= l.most {
		l.note(label)
		return other
	}
	return l.add(label)
}

func (l *channelLabels) ask(channel string) (label string) {
	var err error
	defer l.caught(&err, "asking for the label of a channel")
	return l.label(channel)
}

// add returns the counters of a label that had none, or those of the others.
func (l *channelLabels) add(label string) *channelCounters {
	c, isOther := l.addBounded(label)
	if isOther && label != otherName {
		l.note(label)
	}
	return c
}

// note logs once that a label is counted as one of the others.
func (l *channelLabels) note(label string) {
	l.noted.Do(func() {
		l.log(LogWarn, "too many labels of channels, or an invalid one: counted as others", "label", label, "limit", l.most)
	})
}

func (l *channelLabels) addBounded(label string) (c *channelCounters, isOther bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := l.set.Load()
	if c := set.byName[label]; c != nil {
		return c, label == otherName
	}
	if len(set.byName) >= l.most || !utf8.ValidString(label) {
		label = otherName
	}
	if c = set.byName[label]; c == nil {
		c = l.new(uint16(len(set.byNumber))) //nolint:gosec // bounded by maxLabels
		byName := maps.Clone(set.byName)
		byName[strings.Clone(label)] = c // the rest of the channel's name must not be kept
		l.set.Store(&labelSet{byName, append(slices.Clone(set.byNumber), c)})
	}
	return c, label == otherName
}

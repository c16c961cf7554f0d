package fanout

import "maps"

// coalescing is the list of pushes that a channelCoalescer collects. It has no
// timer and no lock.
type coalescing struct {
	options CoalesceOptions
	pushes  []*Push
	count   int // pushes added, superseded ones included
	bytes   int // size of pushes
}

// add appends p. It reports whether the list must be sent now, and whether p has
// superseded an earlier publication.
func (c *coalescing) add(p *Push) (full, superseded bool) {
	c.count++
	c.bytes += p.size()
	if c.options.FlushLatest && p.Pub != nil {
		superseded = c.supersede(p)
	}
	c.pushes = append(c.pushes, p)
	full = c.options.MaxSize > 0 && c.count >= c.options.MaxSize || c.bytes >= maxRound
	return full, superseded
}

// take returns the list and empties it. The empty slice spare becomes the new list.
func (c *coalescing) take(spare []*Push) []*Push {
	pushes := c.pushes
	c.pushes, c.count, c.bytes = spare, 0, 0
	return pushes
}

// supersede removes the publication that p replaces, and reports whether there was
// one. p itself is appended afterwards. To keep the offsets of the list contiguous,
// the next publication with an offset takes over the removed offset (see
// Push.replaced). If offsets or epochs are not contiguous, because a publication
// was lost, duplicated or belongs to another epoch, supersede removes nothing: the
// gates detect the gap.
func (c *coalescing) supersede(p *Push) bool {
	i := c.older(p)
	if i < 0 {
		return false
	}
	old := c.pushes[i]
	if old.Offset != 0 {
		successor := p
		for _, next := range c.pushes[i+1:] {
			if next.Offset != 0 {
				successor = next
				break
			}
		}
		if successor.Epoch != old.Epoch || successor.First() != old.Offset+1 {
			return false
		}
		successor.replaced += old.replaced + 1
	}
	c.bytes -= old.size()
	copy(c.pushes[i:], c.pushes[i+1:])
	c.pushes[len(c.pushes)-1] = nil
	c.pushes = c.pushes[:len(c.pushes)-1]
	return true
}

// older returns the index of the newest publication that p may replace, or -1. It
// has the same channel and key and, if p has an offset, an offset too.
func (c *coalescing) older(p *Push) int {
	for i := len(c.pushes) - 1; i >= 0; i-- {
		q := c.pushes[i]
		if q.Pub != nil && (q.Offset != 0) == (p.Offset != 0) && q.Pub.Key == p.Pub.Key && q.Pub.Channel == p.Pub.Channel &&
			(!c.options.ByTags || maps.Equal(q.Pub.Tags, p.Pub.Tags)) {
			return i
		}
	}
	return -1
}

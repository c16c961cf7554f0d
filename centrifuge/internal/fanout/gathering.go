package fanout

import "maps"

// gathering is a batch that is being made. It knows nothing of time and locks.
type gathering struct {
	options BatchOptions
	pushes  []*Push
	count   int // of pushes that came, those left out included
	bytes   int // in pushes
}

// add appends p, and reports whether the batch is full and whether p has made
// an earlier publication superfluous.
func (b *gathering) add(p *Push) (full, superseded bool) {
	b.count++
	b.bytes += p.size()
	if b.options.Latest && p.Pub != nil {
		superseded = b.supersede(p)
	}
	b.pushes = append(b.pushes, p)
	full = b.options.MaxSize > 0 && b.count >= b.options.MaxSize || b.bytes >= maxRound
	return full, superseded
}

// take empties the batch, which goes on in room.
func (b *gathering) take(room []*Push) []*Push {
	pushes := b.pushes
	b.pushes, b.count, b.bytes = room, 0, 0
	return pushes
}

// supersede leaves out the publication that p, which is about to be appended,
// is the newer version of. The next one with an offset takes over what it stood
// for, so that the offsets of the batch remain a run without holes. Where they
// are none, because a publication was lost, came twice or is of another epoch,
// it stays: the gates must see that.
func (b *gathering) supersede(p *Push) bool {
	i := b.older(p)
	if i < 0 {
		return false
	}
	old := b.pushes[i]
	if old.Offset != 0 {
		heir := p
		for _, next := range b.pushes[i+1:] {
			if next.Offset != 0 {
				heir = next
				break
			}
		}
		if heir.Epoch != old.Epoch || heir.first() != old.Offset+1 {
			return false
		}
		heir.replaced += old.replaced + 1
	}
	b.bytes -= old.size()
	copy(b.pushes[i:], b.pushes[i+1:])
	b.pushes[len(b.pushes)-1] = nil
	b.pushes = b.pushes[:len(b.pushes)-1]
	return true
}

// older finds the newest publication that p may replace, or -1: one with a
// position if p has one, and of the same key.
func (b *gathering) older(p *Push) int {
	for i := len(b.pushes) - 1; i >= 0; i-- {
		q := b.pushes[i]
		if q.Pub != nil && (q.Offset != 0) == (p.Offset != 0) && q.Pub.Key == p.Pub.Key &&
			(!b.options.ByTags || maps.Equal(q.Pub.Tags, p.Pub.Tags)) {
			return i
		}
	}
	return -1
}

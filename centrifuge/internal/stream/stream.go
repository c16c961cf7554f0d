// Package stream keeps the newest publications of one channel in memory, with
// their offsets and the stream's epoch. It starts no goroutine and reads no clock:
// whoever owns the stream says when its content has expired.
package stream

import (
	"math"
	"math/rand/v2"

	"centrifugo/protocol"
)

// epochLetters is the length of an epoch (server.md 10.1).
const epochLetters = 8

// minRing is the smallest storage; a stream of one (a channel that keeps only
// its latest state) is common enough to cost no more than that.
const minRing = 1

// Stream is the history of one channel. It is not safe for concurrent use, but
// the publications it returns are shared and immutable.
type Stream struct {
	// Static after construction.
	epoch string

	// Owned by the caller, under its lock.
	ring         []*protocol.Publication // a power of two, or nil
	head         int                     // index of the oldest
	count        int
	size         int    // bytes of what is retained, about
	top          uint64 // offset of the newest ever appended
	version      uint64
	versionEpoch string
}

// New returns an empty stream with an epoch of its own.
func New() *Stream { return &Stream{epoch: newEpoch()} }

// newEpoch makes an epoch. It only has to differ from the one before, which a
// client could have seen anyway: it is no secret.
func newEpoch() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var b [epochLetters]byte
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))] //nolint:gosec // see above
	}
	return string(b[:])
}

// Position is the offset of the newest publication, retained or not, and the epoch.
func (s *Stream) Position() protocol.StreamPosition {
	return protocol.StreamPosition{Offset: s.top, Epoch: s.epoch}
}

// Len counts the retained publications.
func (s *Stream) Len() int { return s.count }

// Last returns the newest publication if it is retained, otherwise nil.
func (s *Stream) Last() *protocol.Publication {
	if s.count == 0 {
		return nil
	}
	return s.at(s.count - 1)
}

// Append sets pub.Offset to the next offset and keeps the newest size publications.
// A size below 1 keeps none. The cost does not depend on size, except for the growth
// of the storage.
func (s *Stream) Append(pub *protocol.Publication, size int) {
	s.top++
	pub.Offset = s.top
	s.trim(max(size, 0) - 1)
	if size < 1 {
		return
	}
	if s.count == len(s.ring) {
		s.resize(max(minRing, 2*len(s.ring)))
	}
	s.ring[(s.head+s.count)&(len(s.ring)-1)] = pub
	s.count++
	s.size += Size(pub)
}

// Size is about the bytes that pub takes in memory.
func Size(pub *protocol.Publication) int {
	const overhead, infoOverhead, tagOverhead = 176, 96, 48
	size := overhead + len(pub.Data)
	if i := pub.Info; i != nil {
		size += infoOverhead + len(i.ConnInfo) + len(i.ChanInfo)
	}
	for key, value := range pub.Tags {
		size += tagOverhead + len(key) + len(value)
	}
	return size
}

// Size is about the bytes that the retained publications take.
func (s *Stream) Size() int { return s.size }

// DropOldest drops the oldest publication; it reports false when there is none.
func (s *Stream) DropOldest() bool {
	if s.count == 0 {
		return false
	}
	s.trim(s.count - 1)
	return true
}

// Clear drops the publications and keeps the position.
func (s *Stream) Clear() {
	s.ring, s.head, s.count, s.size = nil, 0, 0, 0
}

// After returns at most limit publications with an offset greater than offset,
// oldest first. A negative limit means all.
func (s *Stream) After(offset uint64, limit int) []*protocol.Publication {
	skip := 0
	if oldest := s.oldest(); offset >= oldest {
		if offset >= s.top {
			return nil
		}
		skip = int(offset - oldest + 1) //nolint:gosec // at most count
	}
	n := bounded(s.count-skip, limit)
	if n == 0 {
		return nil
	}
	pubs := make([]*protocol.Publication, n)
	for i := range pubs {
		pubs[i] = s.at(skip + i)
	}
	return pubs
}

// Before returns at most limit publications with an offset less than offset,
// newest first. A negative limit means all.
func (s *Stream) Before(offset uint64, limit int) []*protocol.Publication {
	end := s.count
	if offset <= s.top {
		oldest := s.oldest()
		if offset <= oldest {
			return nil
		}
		end = int(offset - oldest) //nolint:gosec // at most count
	}
	n := bounded(end, limit)
	if n == 0 {
		return nil
	}
	pubs := make([]*protocol.Publication, n)
	for i := range pubs {
		pubs[i] = s.at(end - 1 - i)
	}
	return pubs
}

// Latest is Before without an offset.
func (s *Stream) Latest(limit int) []*protocol.Publication {
	return s.Before(math.MaxUint64, limit)
}

// Stale says whether a publication with this version must be suppressed: it is
// not greater than the stored one of the same epoch, and an empty epoch is any
// (server.md 1.6). Version zero is none, and never stale.
func (s *Stream) Stale(version uint64, epoch string) bool {
	return version > 0 && version <= s.version && (epoch == "" || epoch == s.versionEpoch)
}

// SetVersion stores the version of the newest publication.
func (s *Stream) SetVersion(version uint64, epoch string) {
	s.version, s.versionEpoch = version, epoch
}

// oldest is the offset of the oldest retained publication; the next one's when
// there is none.
func (s *Stream) oldest() uint64 { return s.top - uint64(s.count) + 1 } //nolint:gosec // count is not negative

// at returns the i-th retained publication, oldest first.
func (s *Stream) at(i int) *protocol.Publication {
	return s.ring[(s.head+i)&(len(s.ring)-1)]
}

// trim drops the oldest publications until at most size are left. A negative
// size gives the storage back too.
func (s *Stream) trim(size int) {
	if size < 0 {
		s.Clear()
		return
	}
	for s.count > size {
		s.size -= Size(s.at(0))
		s.ring[s.head] = nil
		s.head = (s.head + 1) & (len(s.ring) - 1)
		s.count--
	}
	// The size of a channel's history may be lowered. Storage of which three
	// quarters would stay unused is given back.
	if half := len(s.ring) / 2; half/4 > size {
		for half/4 > size {
			half /= 2
		}
		s.resize(half)
	}
}

func (s *Stream) resize(size int) {
	ring := make([]*protocol.Publication, size)
	for i := range s.count {
		ring[i] = s.at(i)
	}
	s.ring, s.head = ring, 0
}

func bounded(n, limit int) int {
	if limit < 0 {
		return n
	}
	return min(n, limit)
}

package fossil

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync"
)

const (
	// blockSize is the length of the pieces of the base that are looked up. A
	// copy shorter than that is hardly cheaper than the bytes themselves.
	blockSize = 16
	// maxProbes bounds the work on a base that repeats itself.
	maxProbes = 32
	// minCopy is the shortest copy that is searched for.
	minCopy = 8
	// maxContinuation is the number of bytes of a UTF-8 sequence after the first. A
	// target with more of them in a row is not text, so the delta need not be either.
	maxContinuation = 3
	// maxInput keeps every number within the 31 bits that clients compute with.
	maxInput = math.MaxInt32
)

// Append appends to dst a delta that turns base into target. If the delta would not be
// smaller than target, Append returns dst unchanged and false; the caller then sends
// target itself.
//
// No copy begins or ends within a UTF-8 sequence of the target, so a delta of two
// texts is a text, and can travel in a JSON string.
//
// Its time is proportional to the length of both, whatever they contain.
func Append(dst, base, target []byte) (delta []byte, ok bool) {
	if len(base) == 0 || len(target) == 0 || len(base) > maxInput || len(target) > maxInput {
		return dst, false
	}
	e := encoder{dst: dst, start: len(dst), base: base, target: target}
	e.dst = append(appendNumber(e.dst, number32(len(target))), '\n')
	// Most publications of a channel differ from the one before in the middle.
	head := commonPrefix(base, target)
	tail := commonSuffix(base, target[head:])
	e.copy(0, 0, head)
	if len(target)-tail-e.done >= blockSize && len(base) >= blockSize && !e.tooLong() {
		e.copyBlocks(len(target) - tail)
	}
	e.copy(len(base)-tail, len(target)-tail, tail)
	e.literal(len(target))
	e.dst = append(appendNumber(e.dst, checksum(target)), ';')
	if e.tooLong() {
		return dst, false
	}
	return e.dst, true
}

// encoder writes the operations of one delta.
type encoder struct {
	// Static.
	base, target []byte
	start        int // where the delta begins in dst

	dst  []byte
	done int // how much of target is described
}

func (e *encoder) tooLong() bool { return len(e.dst)-e.start >= len(e.target) }

// literal writes the target's bytes from what is done up to end.
func (e *encoder) literal(end int) {
	if end <= e.done {
		return
	}
	e.dst = append(appendNumber(e.dst, number32(end-e.done)), ':')
	e.dst = append(e.dst, e.target[e.done:end]...)
	e.done = end
}

// copy writes an operation that copies n bytes of base at from to target at at, preceded
// by a literal for the bytes before. It skips a copy that would not make the delta smaller.
func (e *encoder) copy(from, at, n int) bool {
	if skip := e.done - at; skip > 0 {
		from, at, n = from+skip, at+skip, n-skip
	}
	for i := 0; i < maxContinuation && n > 0 && continues(e.target, at); i++ {
		from, at, n = from+1, at+1, n-1
	}
	for i := 0; i < maxContinuation && n > 0 && continues(e.target, at+n); i++ {
		n--
	}
	if n < minCopy || n <= numberLen(number32(n))+numberLen(number32(from))+2 {
		return false
	}
	e.literal(at)
	e.dst = append(appendNumber(e.dst, number32(n)), '@')
	e.dst = append(appendNumber(e.dst, number32(from)), ',')
	e.done = at + n
	return true
}

// copyBlocks searches copies for the target up to end: it looks up every window of
// blockSize bytes among the blocks of the base.
func (e *encoder) copyBlocks(end int) {
	ix := indexes.Get().(*index) //nolint:forcetypeassert // nothing else is put there
	defer ix.release()
	ix.build(e.base)
	at := e.done
	hash := hashOf(e.target[at:])
	for {
		from, pos, n := ix.longest(e.base, e.target[:end], e.done, at, hash)
		next := at + 1
		if n > 0 && e.copy(from, pos, n) {
			next = max(next, e.done)
			if e.tooLong() {
				return
			}
		}
		if next+blockSize > end {
			return
		}
		if next == at+1 {
			hash = roll(hash, e.target[at], e.target[at+blockSize])
		} else {
			hash = hashOf(e.target[next:])
		}
		at = next
	}
}

// index finds blocks of a base by their hash.
type index struct {
	heads []uint32 // by hash: 1 + number of the first block, or 0
	nexts []uint32 // by block: the same of the next with that hash
	shift uint     // from the 32 bits of a mixed hash to a place in heads
}

// maxPooled is the size of an index, in blocks, above which it is not kept.
const maxPooled = 1 << 16

var indexes = sync.Pool{New: func() any { return new(index) }}

func (ix *index) release() {
	if len(ix.nexts) <= maxPooled {
		indexes.Put(ix)
	}
}

func (ix *index) build(base []byte) {
	blocks := len(base) / blockSize
	width := bits.Len(uint(blocks)) //nolint:gosec // not negative
	ix.shift = 32 - uint(width)     //nolint:gosec // at most 32
	if size := 1 << width; cap(ix.heads) < size {
		ix.heads = make([]uint32, size)
	} else {
		ix.heads = ix.heads[:size]
		clear(ix.heads)
	}
	if cap(ix.nexts) < blocks {
		ix.nexts = make([]uint32, blocks)
	}
	ix.nexts = ix.nexts[:blocks]
	for block := blocks - 1; block >= 0; block-- { // so that the first comes first
		place := ix.place(hashOf(base[block*blockSize:]))
		ix.nexts[block] = ix.heads[place]
		ix.heads[place] = number32(block + 1)
	}
}

// longest finds the longest copy around target[at:], which may reach back to done.
func (ix *index) longest(base, target []byte, done, at int, hash uint32) (from, pos, n int) {
	probes := 0
	for b := ix.heads[ix.place(hash)]; b != 0 && probes < maxProbes; b = ix.nexts[b-1] {
		probes++
		start := int(b-1) * blockSize
		forth := commonPrefix(base[start:], target[at:])
		if forth < blockSize {
			continue // equal hashes of different bytes
		}
		back := commonSuffix(base[:start], target[done:at])
		if back+forth > n {
			from, pos, n = start-back, at-back, back+forth
		}
	}
	return from, pos, n
}

func (ix *index) place(hash uint32) uint32 { return hash * 0x9E3779B1 >> ix.shift }

// The hash of a window is a polynomial over its bytes, so that it can roll on.
const hashFactor = 0x01000193

// leaveFactor is hashFactor to the power of blockSize-1.
var leaveFactor = func() uint32 {
	f := uint32(1)
	for range blockSize - 1 {
		f *= hashFactor
	}
	return f
}()

func hashOf(b []byte) uint32 {
	var h uint32
	for _, c := range b[:blockSize] {
		h = h*hashFactor + uint32(c)
	}
	return h
}

func roll(h uint32, leave, enter byte) uint32 {
	return (h-uint32(leave)*leaveFactor)*hashFactor + uint32(enter)
}

func commonPrefix(a, b []byte) int {
	limit := min(len(a), len(b))
	n := 0
	for ; n+8 <= limit; n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for n < limit && a[n] == b[n] {
		n++
	}
	return n
}

func commonSuffix(a, b []byte) int {
	limit := min(len(a), len(b))
	a, b = a[len(a)-limit:], b[len(b)-limit:]
	n := 0
	for n < limit && a[limit-1-n] == b[limit-1-n] {
		n++
	}
	return n
}

// continues says whether b[i] is inside of a UTF-8 sequence.
func continues(b []byte, i int) bool { return i < len(b) && b[i]&0xC0 == 0x80 }

// number32 narrows a length or an offset, which Append has bounded by maxInput.
func number32(n int) uint32 { return uint32(n) } //nolint:gosec // see above

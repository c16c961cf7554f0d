// Package nametable provides a hash table of elements that know their own name,
// at 12 to 28 bytes of table memory per element.
package nametable

import "hash/maphash"

// minSize is the smallest number of slots of a table that is not empty.
const minSize = 8

// Table is a set of elements, found by their names. A connection may have a
// hundred thousand subscriptions and a node a million channels, so an element
// costs one slot for itself and four bytes of its name's hash. At least 58 % and
// on average 72 % of the slots are in use. BenchmarkMemory compares it with a
// map[string]T.
//
// The table uses open addressing with linear probing. Except for collisions,
// elements are sorted by hash, which allows the table to grow by half. A Table is
// not safe for concurrent use.
//
// The zero Table is empty and usable with the methods that take a hash. The other
// methods require New.
type Table[T Named] struct {
	seed   maphash.Seed // random: clients choose names and must not choose slots
	hashes []uint32     // zero marks an empty slot
	items  []T
	count  int
}

// Named is an element of a Table.
type Named interface {
	// Name must return the same string as long as the element is in a table.
	Name() string
}

// New returns an empty table.
func New[T Named]() *Table[T] { return &Table[T]{seed: maphash.MakeSeed()} }

// Hash returns the hash of a name for the methods that take one.
func Hash(seed maphash.Seed, name string) uint32 {
	return uint32(maphash.String(seed, name)) //nolint:gosec // half of the bits are enough
}

// Len returns the number of elements.
func (t *Table[T]) Len() int { return t.count }

// Get returns the element with this name; ok is false if there is none.
func (t *Table[T]) Get(name string) (item T, ok bool) { return t.GetHashed(name, Hash(t.seed, name)) }

// Put adds an element, or replaces the element with the same name.
func (t *Table[T]) Put(item T) { t.PutHashed(item, Hash(t.seed, item.Name())) }

// Delete removes the element with this name, if there is one.
func (t *Table[T]) Delete(name string) { t.DeleteHashed(name, Hash(t.seed, name)) }

// GetHashed is Get for a caller that has computed the name's hash. All hashes
// given to one table must come from Hash with the same seed.
func (t *Table[T]) GetHashed(name string, hash uint32) (item T, ok bool) {
	if at, found := t.find(name, hash); found {
		return t.items[at], true
	}
	return item, false
}

// PutHashed is Put with the hash of the item's name; see GetHashed.
func (t *Table[T]) PutHashed(item T, hash uint32) {
	at, found := t.find(item.Name(), hash)
	if found {
		t.items[at] = item
		return
	}
	if t.count >= len(t.items)-len(t.items)/8 {
		t.resize(max(minSize, len(t.items)+len(t.items)/2))
	}
	t.insert(item, stored(hash))
	t.count++
}

// DeleteHashed is Delete with the hash of the name; see GetHashed.
func (t *Table[T]) DeleteHashed(name string, hash uint32) {
	at, found := t.find(name, hash)
	if !found {
		return
	}
	t.count--
	t.clearSlot(at)
	if len(t.items) > minSize && t.count < len(t.items)/4 {
		t.resize(max(minSize, len(t.items)/2))
	}
}

// Each calls f with every element, in no particular order. f must not change the
// table.
func (t *Table[T]) Each(f func(T)) {
	for at, hash := range t.hashes {
		if hash != 0 {
			f(t.items[at])
		}
	}
}

// stored returns the form in which a hash is kept: never zero, which marks an
// empty slot.
func stored(hash uint32) uint32 { return hash | 1 }

// preferred returns the slot of an element without collisions. An element whose
// preferred slot is taken is stored in the next free one.
func (t *Table[T]) preferred(stored uint32) int {
	return int(uint64(stored) * uint64(len(t.hashes)) >> 32) //nolint:gosec // less than the length
}

func (t *Table[T]) next(at int) int {
	if at++; at < len(t.hashes) {
		return at
	}
	return 0
}

// find returns the slot of the element with this name.
func (t *Table[T]) find(name string, hash uint32) (at int, found bool) {
	if t.count == 0 {
		return 0, false
	}
	hash = stored(hash)
	for at = t.preferred(hash); t.hashes[at] != 0; at = t.next(at) {
		if t.hashes[at] == hash && t.items[at].Name() == name {
			return at, true
		}
	}
	return at, false
}

func (t *Table[T]) insert(item T, stored uint32) {
	at := t.preferred(stored)
	for t.hashes[at] != 0 {
		at = t.next(at)
	}
	t.hashes[at], t.items[at] = stored, item
}

// clearSlot empties a slot. A search ends at the first empty slot, so clearSlot
// moves the elements that the removed one had displaced.
func (t *Table[T]) clearSlot(hole int) {
	size := len(t.hashes)
	for at := t.next(hole); t.hashes[at] != 0; at = t.next(at) {
		displaced := (at - t.preferred(t.hashes[at]) + size) % size
		if behind := (at - hole + size) % size; displaced >= behind {
			t.hashes[hole], t.items[hole] = t.hashes[at], t.items[at]
			hole = at
		}
	}
	var none T
	t.hashes[hole], t.items[hole] = 0, none
}

func (t *Table[T]) resize(size int) {
	hashes, items := t.hashes, t.items
	t.hashes, t.items = make([]uint32, size), make([]T, size)
	for at, hash := range hashes {
		if hash != 0 {
			t.insert(items[at], hash)
		}
	}
}

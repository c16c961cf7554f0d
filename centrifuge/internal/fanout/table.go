package fanout

import "hash/maphash"

// minTable is the smallest number of places that a table has.
const minTable = 8

// Table is a set of things that know their channel's name, by that name. A
// connection may have a hundred thousand subscriptions and a node a million
// channels, so an element costs as little as can be: its place and four bytes
// of its name's hash, of which at least 58 % and on average 72 % are in use.
// (A Go map with the name as its key takes two to three times as much.)
//
// It is an open-addressing table with linear probing. Places are in the order
// of hashes but for collisions, so it can grow by half. It is not safe for
// concurrent use.
type Table[T Named] struct {
	seed   maphash.Seed // clients choose names, and must not choose places
	hashes []uint32     // zero where there is nothing
	items  []T
	count  int
}

// Named is what a Table holds.
type Named interface {
	// ChannelName never changes while the element is in a table.
	ChannelName() string
}

// NewTable returns an empty table.
func NewTable[T Named]() *Table[T] { return &Table[T]{seed: maphash.MakeSeed()} }

// Len counts the elements.
func (t *Table[T]) Len() int { return t.count }

// Get returns the element with this name; ok is false if there is none.
func (t *Table[T]) Get(name string) (item T, ok bool) { return t.get(name, hashOf(t.seed, name)) }

// Put adds an element, or replaces the one with the same name.
func (t *Table[T]) Put(item T) { t.put(item, hashOf(t.seed, item.ChannelName())) }

// Delete removes the element with this name, if there is one.
func (t *Table[T]) Delete(name string) { t.remove(name, hashOf(t.seed, name)) }

func hashOf(seed maphash.Seed, name string) uint32 {
	return uint32(maphash.String(seed, name)) //nolint:gosec // a part of it is enough
}

// get, put and remove are for those who know the hash, always of one seed.
func (t *Table[T]) get(name string, hash uint32) (item T, ok bool) {
	if at, found := t.find(name, hash); found {
		return t.items[at], true
	}
	return item, false
}

func (t *Table[T]) put(item T, hash uint32) {
	at, found := t.find(item.ChannelName(), hash)
	if found {
		t.items[at] = item
		return
	}
	if t.count >= len(t.items)-len(t.items)/8 {
		t.resize(max(minTable, len(t.items)+len(t.items)/2))
	}
	t.insert(item, stored(hash))
	t.count++
}

func (t *Table[T]) remove(name string, hash uint32) {
	at, found := t.find(name, hash)
	if !found {
		return
	}
	t.count--
	t.close(at)
	if len(t.items) > minTable && t.count < len(t.items)/4 {
		t.resize(max(minTable, len(t.items)/2))
	}
}

// Each calls f with every element; f must not change the table.
func (t *Table[T]) Each(f func(T)) {
	for at, hash := range t.hashes {
		if hash != 0 {
			f(t.items[at])
		}
	}
}

// stored is how a hash is kept: zero means an empty place.
func stored(hash uint32) uint32 { return hash | 1 }

// home is the place where an element belongs; it is put behind when that is taken.
func (t *Table[T]) home(stored uint32) int {
	return int(uint64(stored) * uint64(len(t.hashes)) >> 32) //nolint:gosec // less than the length
}

func (t *Table[T]) next(at int) int {
	if at++; at < len(t.hashes) {
		return at
	}
	return 0
}

// find returns where the name is.
func (t *Table[T]) find(name string, hash uint32) (at int, found bool) {
	if t.count == 0 {
		return 0, false
	}
	hash = stored(hash)
	for at = t.home(hash); t.hashes[at] != 0; at = t.next(at) {
		if t.hashes[at] == hash && t.items[at].ChannelName() == name {
			return at, true
		}
	}
	return at, false
}

func (t *Table[T]) insert(item T, stored uint32) {
	at := t.home(stored)
	for t.hashes[at] != 0 {
		at = t.next(at)
	}
	t.hashes[at], t.items[at] = stored, item
}

// close empties a place, and moves up those behind it that it had displaced:
// a search ends at the first empty place.
func (t *Table[T]) close(hole int) {
	size := len(t.hashes)
	for at := t.next(hole); t.hashes[at] != 0; at = t.next(at) {
		displaced := (at - t.home(t.hashes[at]) + size) % size
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

package stream

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"centrifugo/protocol"
)

func fill(s *Stream, n, size int) {
	for range n {
		s.Append(&protocol.Publication{}, size)
	}
}

func offsets(pubs []*protocol.Publication) []uint64 {
	var got []uint64
	for _, pub := range pubs {
		got = append(got, pub.Offset)
	}
	return got
}

func TestRanges(t *testing.T) {
	s := New()
	fill(s, 10, 5) // 6..10 retained
	for _, tc := range []struct {
		name string
		got  []*protocol.Publication
		want []uint64
	}{
		{"all", s.After(0, -1), []uint64{6, 7, 8, 9, 10}},
		{"none wanted", s.After(0, 0), nil},
		{"first two", s.After(0, 2), []uint64{6, 7}},
		{"older than retained", s.After(3, 1), []uint64{6}},
		{"just before the oldest", s.After(5, 2), []uint64{6, 7}},
		{"after the oldest", s.After(6, 10), []uint64{7, 8, 9, 10}},
		{"after the last but one", s.After(9, -1), []uint64{10}},
		{"after the top", s.After(10, -1), nil},
		{"beyond the top", s.After(11, -1), nil},
		{"far beyond the top", s.After(math.MaxUint64, -1), nil},
		{"latest", s.Latest(-1), []uint64{10, 9, 8, 7, 6}},
		{"latest two", s.Latest(2), []uint64{10, 9}},
		{"latest, none wanted", s.Latest(0), nil},
		{"before the top", s.Before(10, 2), []uint64{9, 8}},
		{"before one beyond the top", s.Before(11, 1), []uint64{10}},
		{"before the oldest", s.Before(6, -1), nil},
		{"before one older", s.Before(3, -1), nil},
		{"before nothing", s.Before(0, -1), nil},
		{"before the second", s.Before(7, -1), []uint64{6}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := offsets(tc.got); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestEmpty(t *testing.T) {
	s := New()
	if s.After(0, -1) != nil || s.Latest(-1) != nil || s.Before(1, -1) != nil || s.Last() != nil {
		t.Error("an empty stream returned something; want nothing")
	}
	if p := s.Position(); p.Offset != 0 || len(p.Epoch) != epochLetters {
		t.Errorf("position %v; want Offset 0 and len(Epoch) %v", p, epochLetters)
	}
	if New().Position().Epoch == s.Position().Epoch {
		t.Error("two streams share an epoch; want one each")
	}
}

func TestAppend(t *testing.T) {
	s := New()
	first, second := &protocol.Publication{}, &protocol.Publication{}
	s.Append(first, 2)
	s.Append(second, 2)
	if first.Offset != 1 || second.Offset != 2 {
		t.Errorf("offsets = %d, %d; want 1, 2", first.Offset, second.Offset)
	}
	if got := s.Last(); got != second {
		t.Errorf("the last is not the newest: s.Last() = %v; want %v", got, second)
	}
	s.Append(&protocol.Publication{}, 0)
	if s.Len() != 0 || s.Last() != nil || s.Position().Offset != 3 {
		t.Errorf("size zero keeps %d at %v; want none at offset 3", s.Len(), s.Position())
	}
}

func TestClearKeepsPosition(t *testing.T) {
	s := New()
	fill(s, 3, 10)
	want := s.Position()
	s.Clear()
	if s.Len() != 0 || s.Position() != want || s.After(0, -1) != nil {
		t.Errorf("%d left at %v; want none at %v", s.Len(), s.Position(), want)
	}
	fill(s, 1, 10)
	if got := offsets(s.After(0, -1)); !slices.Equal(got, []uint64{4}) {
		t.Errorf("got %v; want [4]", got)
	}
}

func TestStorageFollowsSize(t *testing.T) {
	s := New()
	fill(s, 1, 1)
	if len(s.ring) != 1 {
		t.Errorf("one publication takes %d places; want 1", len(s.ring))
	}
	fill(s, 10_000, 1000)
	if len(s.ring) != 1024 {
		t.Errorf("1000 publications take %d places; want 1024", len(s.ring))
	}
	fill(s, 1, 10)
	if len(s.ring) > 64 {
		t.Errorf("10 publications take %d places; want at most 64", len(s.ring))
	}
	retained := 0
	for _, pub := range s.ring {
		if pub != nil {
			retained++
		}
	}
	if retained != 10 {
		t.Errorf("%d publications referenced, want 10", retained)
	}
}

func TestVersions(t *testing.T) {
	for _, tc := range []struct {
		name          string
		stored        uint64
		storedEpoch   string
		version       uint64
		epoch         string
		wantSuppresed bool
	}{
		{"nothing stored", 0, "", 1, "", false},
		{"no version", 5, "", 0, "", false},
		{"greater", 5, "", 6, "", false},
		{"equal", 5, "", 5, "", true},
		{"less", 5, "", 4, "", true},
		{"less, same epoch", 5, "a", 4, "a", true},
		{"less, other epoch", 5, "a", 4, "b", false},
		{"less, any epoch", 5, "a", 4, "", true},
		{"less, first epoch", 5, "", 4, "a", false},
		{"greater, same epoch", 5, "a", 6, "a", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := New()
			s.SetVersion(tc.stored, tc.storedEpoch)
			if got := s.Stale(tc.version, tc.epoch); got != tc.wantSuppresed {
				t.Errorf("got %v; want %v", got, tc.wantSuppresed)
			}
		})
	}
}

// TestModel compares a stream with a plain slice.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a reproducible test
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	s := New()
	var model []uint64
	var top uint64
	for range 20_000 {
		if rnd.IntN(200) == 0 {
			s.Clear()
			model = nil
		}
		size := rnd.IntN(1 << rnd.IntN(8))
		s.Append(&protocol.Publication{}, size)
		top++
		model = append(model, top)
		model = model[max(0, len(model)-size):]
		limit, since := rnd.IntN(20)-1, top-min(top, uint64(rnd.IntN(40)))+uint64(rnd.IntN(3)) //nolint:gosec // small
		var after, before []uint64
		for _, o := range model {
			if o > since && (limit < 0 || len(after) < limit) {
				after = append(after, o)
			}
		}
		for _, o := range slices.Backward(model) {
			if o < since && (limit < 0 || len(before) < limit) {
				before = append(before, o)
			}
		}
		if got := offsets(s.After(since, limit)); !slices.Equal(got, after) {
			t.Fatalf("after %d limit %d: got %v, want %v", since, limit, got, after)
		}
		if got := offsets(s.Before(since, limit)); !slices.Equal(got, before) {
			t.Fatalf("before %d limit %d: got %v, want %v", since, limit, got, before)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	s := New()
	pub := &protocol.Publication{}
	b.ReportAllocs()
	for b.Loop() {
		s.Append(pub, 100)
	}
}

func BenchmarkRead100(b *testing.B) {
	s := New()
	fill(s, 1000, 1000)
	b.ReportAllocs()
	for b.Loop() {
		s.After(500, 100)
	}
}

func TestAppendDoesNotAllocateWhenFull(t *testing.T) {
	for _, size := range []int{1, 2, 3, 100} {
		s := New()
		fill(s, 200, size)
		pub := &protocol.Publication{}
		if n := testing.AllocsPerRun(100, func() { s.Append(pub, size) }); n != 0 {
			t.Errorf("size %d: %v allocations; want 0", size, n)
		}
	}
}

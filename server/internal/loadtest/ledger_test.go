package loadtest

import (
	"math/rand/v2"
	"testing"
)

func TestMark(t *testing.T) {
	for name, tt := range map[string]struct {
		numbers                             []uint64
		gaps, missing, duplicates, disorder uint64
	}{
		"in order":                    {numbers: []uint64{1, 2, 3}},
		"first is missing":            {numbers: []uint64{2, 3}, gaps: 1, missing: 1},
		"gap of three":                {numbers: []uint64{1, 5, 6}, gaps: 1, missing: 3},
		"duplicate":                   {numbers: []uint64{1, 1, 2, 2}, duplicates: 2},
		"old duplicate":               {numbers: []uint64{1, 2, 3, 1}, duplicates: 1},
		"swapped":                     {numbers: []uint64{1, 3, 2, 4}, gaps: 1, disorder: 1},
		"late, then again":            {numbers: []uint64{1, 3, 2, 2}, gaps: 1, disorder: 1, duplicates: 1},
		"late by 64":                  {numbers: append(upTo(2, 65), 1), gaps: 1, disorder: 1},
		"older than is remembered":    {numbers: append(upTo(2, 66), 1), gaps: 1, missing: 1, duplicates: 1},
		"step of 64":                  {numbers: []uint64{1, 65, 1, 2}, gaps: 1, missing: 62, duplicates: 1, disorder: 1},
		"step of 65":                  {numbers: []uint64{1, 66, 2}, gaps: 1, missing: 63, disorder: 1},
		"step beyond all recognition": {numbers: []uint64{1, 1000, 999}, gaps: 1, missing: 997, disorder: 1},
	} {
		var f fleet
		var m mark
		for _, n := range tt.numbers {
			f.deliver(&client{steady: true}, &m, n)
		}
		c := f.tally
		if c.Gaps != tt.gaps || c.Missing != tt.missing || c.Duplicates != tt.duplicates || c.Disorder != tt.disorder {
			t.Errorf("%s: %d gaps, %d missing, %d duplicates, %d disorder; want %+v", name, c.Gaps, c.Missing, c.Duplicates, c.Disorder, tt)
		}
		if c.Deliveries != uint64(len(tt.numbers)) || c.Received != c.Deliveries-tt.duplicates {
			t.Errorf("%s: %d deliveries, %d received; want %d, %d", name, c.Deliveries, c.Received, len(tt.numbers), uint64(len(tt.numbers))-tt.duplicates)
		}
	}
}

func upTo(first, last uint64) (numbers []uint64) {
	for n := first; n <= last; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// TestMarkModel compares with a set of what has come, while nothing is later than what is remembered.
func TestMarkModel(t *testing.T) {
	for seed := range uint64(200) {
		source := rand.New(rand.NewPCG(seed, 0))
		var m mark
		seen, last := map[uint64]bool{}, uint64(0)
		for range 2000 {
			n := last + 1
			switch source.IntN(10) {
			case 0:
				n += source.Uint64N(80)
			case 1, 2:
				n -= min(source.Uint64N(65), last)
			}
			want, wantMissing := inOrder, uint64(0)
			switch {
			case seen[n]:
				want = duplicate
			case n <= last:
				want = disorder
			case n > last+1:
				want, wantMissing = gap, n-last-1
			}
			if n == 0 {
				continue
			}
			if v, missing := m.note(n); v != want || missing != wantMissing {
				t.Fatalf("seed %d: number %d after %d: verdict %d, %d missing; want %d, %d", seed, n, last, v, missing, want, wantMissing)
			}
			seen[n], last = true, max(last, n)
		}
	}
}

func TestLedgerOwns(t *testing.T) {
	l := newLedger(3, 7, 3)
	for publisher := range uint32(40) {
		m, ok := l.owns(publisher)
		want := publisher == 3 || publisher == 10 || publisher == 17
		if ok != want || ok && m != &l.marks[(publisher-3)/7] {
			t.Errorf("publisher %d: %v; want %v with a mark of its own", publisher, ok, want)
		}
	}
	l.forget()
	m, _ := l.owns(10)
	if v, _ := m.note(500); v != inOrder {
		t.Errorf("first after forgetting: verdict %d; want %d", v, inOrder)
	}
	if v, missing := m.note(502); v != gap || missing != 1 {
		t.Errorf("gap after forgetting: verdict %d, %d missing; want %v and 1", v, missing, gap)
	}
	if v, _ := m.note(499); v != duplicate {
		t.Errorf("from before forgetting: verdict %d; want %v", v, duplicate)
	}
}

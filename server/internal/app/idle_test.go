package app

import "testing"

// Memory is returned once after each burst that allocated enough, and never while the
// server is busy.
func TestIdleMemory(t *testing.T) {
	const mb = 1 << 20
	for _, test := range []struct {
		name      string
		allocated []uint64 // in each interval
		want      []bool
	}{
		{"a start", []uint64{10 * mb, 0, 0}, []bool{false, false, false}},
		{"a burst", []uint64{500 * mb, 1 * mb, 0, 0}, []bool{false, true, false, false}},
		{"two bursts", []uint64{500 * mb, 0, 500 * mb, 0, 0}, []bool{false, true, false, true, false}},
		{"steady work", []uint64{100 * mb, 100 * mb, 100 * mb, 100 * mb}, []bool{false, false, false, false}},
		{"a burst that is not worth it", []uint64{100 * mb, 0, 60 * mb, 0, 0}, []bool{false, true, false, false, false}},
		{"what adds up", []uint64{100 * mb, 0, 60 * mb, 2 * mb, 2 * mb}, []bool{false, true, false, false, true}},
		{"work that begins again", []uint64{100 * mb, 5 * mb, 5 * mb, 4 * mb}, []bool{false, false, false, true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var m idleMemory
			var total uint64
			for i, allocated := range test.allocated {
				total += allocated
				if got := m.due(total); got != test.want[i] {
					t.Errorf("interval %d: %v, want %v", i, got, test.want[i])
				}
			}
		})
	}
}

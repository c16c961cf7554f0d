package centrifuge

import (
	"math"
	"testing"
	"time"
)

// The lag is one of publications that carry their time, whatever time that is.
func TestPubSubLag(t *testing.T) {
	for name, test := range map[string]struct {
		unix  int64
		count uint64
		most  float64
	}{
		"no time":             {0, 0, 0},
		"negative":            {math.MinInt64, 0, 0},
		"long ago":            {1, 1, maxDuration.Seconds()},
		"just now":            {time.Now().UnixMilli(), 1, maxDuration.Seconds()},
		"a clock that is off": {time.Now().Add(24 * time.Hour).UnixMilli(), 1, 0},
		"far away":            {math.MaxInt64, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := New(Config{})
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Run(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = n.Shutdown(t.Context()) }()
			(*brokerEvents)(n).HandlePublication("x", &Publication{Data: []byte("1"), Time: test.unix}, "", nil)
			if lag := n.Stats().PubSubLag; lag.Count != test.count || lag.Sum < 0 || lag.Sum > test.most {
				t.Errorf("%+v, want %d", lag, test.count)
			}
		})
	}
}

func TestActionsHaveNames(t *testing.T) {
	names := map[string]bool{}
	for _, name := range actionNames {
		if name == "" || names[name] {
			t.Errorf("action name %q; want a name of its own", name)
		}
		names[name] = true
	}
}

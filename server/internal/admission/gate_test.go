package admission

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnectionLimit(t *testing.T) {
	connections := 0
	g := NewGate(Config{Limit: 2, Connections: func() int { return connections }})
	for _, want := range []string{"", "", "client.connection_limit", "client.connection_limit"} {
		if got := g.Admit(); got != want {
			t.Errorf("Admit with %d connections = %q; want %q", connections, got, want)
		}
		connections++
	}
}

func TestNoLimits(t *testing.T) {
	g := NewGate(Config{Connections: func() int { return math.MaxInt }})
	for range 100 {
		if got := g.Admit(); got != "" {
			t.Fatalf("Admit without limits = %q; want none", got)
		}
	}
	if got := g.Controller(); got != nil {
		t.Errorf("Controller without a maximum = %v; want nil", got)
	}
}

// The rate is N a second in the long run, not one (server.md 6.8).
func TestConnectionRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Config{Rate: 10})
		admitted := func(requests int) (n int) {
			for range requests {
				switch got := g.Admit(); got {
				case "":
					n++
				case "client.connection_rate_limit":
				default:
					t.Errorf("Admit = %q; want none or client.connection_rate_limit", got)
				}
			}
			return n
		}
		if got := admitted(25); got != 10 {
			t.Errorf("admitted at once = %d; want the burst of 10", got)
		}
		time.Sleep(500 * time.Millisecond)
		if got := admitted(25); got != 5 {
			t.Errorf("admitted half a second later = %d; want 5", got)
		}
		time.Sleep(time.Hour)
		if got := admitted(25); got != 10 {
			t.Errorf("admitted after a pause = %d; want no more than the burst of 10", got)
		}
	})
}

func TestBusy(t *testing.T) {
	g := NewGate(Config{MaxDelay: time.Second, Rate: 100_000})
	g.controller.minimum = 100
	for range 3 {
		g.Controller().sampled(time.Minute)
	}
	reasons := make(map[string]int)
	for range 1000 {
		reasons[g.Admit()]++
	}
	if got := reasons["client.connection_max_delay"]; got < 100 || got+reasons[""] != 1000 {
		t.Errorf("reasons of 1,000 while busy = %v; want most refused by client.connection_max_delay, and no other reason", reasons)
	}
}

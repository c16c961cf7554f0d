package loadtest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock{origin: time.Now()}
		begin := c.now()
		p := newPace(0, 10, c)
		at := func() time.Duration {
			t.Helper()
			moment, err := p.wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return time.Duration(moment - begin)
		}
		for i := range 3 {
			if got := at(); got != time.Duration(i)*100*time.Millisecond {
				t.Errorf("thing %d at %v; want %v", i, got, time.Duration(i)*100*time.Millisecond)
			}
		}
		time.Sleep(250 * time.Millisecond) // the server stalls: two things are late, and their time is when they were due
		for i := 3; i < 6; i++ {
			if got := at(); got != time.Duration(i)*100*time.Millisecond {
				t.Errorf("thing %d at %v; want %v", i, got, time.Duration(i)*100*time.Millisecond)
			}
		}
		if now := time.Duration(c.now() - begin); now != 500*time.Millisecond {
			t.Errorf("all was done at %v; want %v", now, 500*time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := p.wait(ctx); err == nil {
			t.Error("waited beyond the end; want an error")
		}
		saturating := newPace(0, 0, c)
		for range 1000 {
			if moment, err := saturating.wait(t.Context()); err != nil || moment != c.now() {
				t.Fatalf("wait = %d, %v; want %d, nil", moment, err, c.now())
			}
		}
	})
}

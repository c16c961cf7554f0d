package await

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestReached(t *testing.T) {
	for _, test := range []struct {
		name  string
		calls int // until done returns true
		limit time.Duration
		want  bool
	}{
		{"at once", 1, 0, true},
		{"later", 5, time.Minute, true},
		{"too late", 1000, 9 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, began := 0, time.Now()
				got := reached(test.limit, func() bool { calls++; return calls >= test.calls })
				if got != test.want {
					t.Errorf("reached = %v; want %v", got, test.want)
				}
				if took := time.Since(began); took > test.limit {
					t.Errorf("reached took %v; want at most %v", took, test.limit)
				}
			})
		})
	}
}

func TestReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := make(chan int)
		go func() {
			time.Sleep(Limit / 2)
			c <- 7
		}()
		if got := Receive(t, c, "a number"); got != 7 {
			t.Errorf("Receive = %d; want 7", got)
		}
	})
}

func TestOutput(t *testing.T) {
	var o Output
	var writers sync.WaitGroup
	for range 10 {
		writers.Go(func() {
			if n, err := o.Write([]byte("line\n")); n != 5 || err != nil {
				t.Errorf("Write = %d, %v; want 5, nil", n, err)
			}
			if got := o.String(); !strings.Contains(got, "line\n") {
				t.Errorf("String() = %q; want what was written in it", got)
			}
		})
	}
	writers.Wait()
	if got, want := o.String(), strings.Repeat("line\n", 10); got != want {
		t.Errorf("String() = %q; want %q", got, want)
	}
}

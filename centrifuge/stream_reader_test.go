package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// laggingStream is a stream whose reads take time, and whose publications arrive at
// the node later than they are appended.
type laggingStream struct {
	reader *streamReader
	rand   func(n int) int

	mu    sync.Mutex
	top   uint64
	calls int
	held  map[*reading]bool
}

// reading is a subscription that starts: its gate holds since it was added.
type reading struct {
	heldFrom []uint64 // publications that arrived since
	served   uint64   // the position that was read
}

func (s *laggingStream) call(ctx context.Context) (HistoryResult, error) {
	s.mu.Lock()
	s.calls++
	before, after := s.rand(5), s.rand(5)
	s.mu.Unlock()
	pause(ctx, before)
	s.mu.Lock()
	top := s.top
	s.mu.Unlock()
	pause(ctx, after)
	return HistoryResult{StreamPosition: StreamPosition{Offset: top, Epoch: "e"}}, ctx.Err()
}

func pause(ctx context.Context, ms int) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(ms) * time.Millisecond):
	}
}

// arrive is what Node.HandlePublication does.
func (s *laggingStream) arrive(offset uint64) {
	s.reader.invalidate("a")
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.held {
		r.heldFrom = append(r.heldFrom, offset)
	}
}

// TestStreamReaderModel: whatever the timing, what a subscription reads and what its
// gate holds have no gap between them.
func TestStreamReaderModel(t *testing.T) {
	shared, stale := 0, 0
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			s := &laggingStream{reader: newStreamReader(readLife), rand: random.IntN, held: make(map[*reading]bool)}
			intN := func(n int) int {
				s.mu.Lock()
				defer s.mu.Unlock()
				return random.IntN(n)
			}
			var all sync.WaitGroup
			busy := 1 + intN(200)
			all.Go(func() { // publishes; the arrivals keep their order
				arrivals := make(chan uint64, 1000)
				all.Go(func() {
					for offset := range arrivals {
						pause(t.Context(), intN(4))
						s.arrive(offset)
					}
				})
				for range 20 {
					pause(t.Context(), intN(busy))
					s.mu.Lock()
					s.top++
					arrivals <- s.top
					s.mu.Unlock()
				}
				close(arrivals)
			})
			readings := make([]*reading, 100)
			for i := range readings {
				all.Go(func() {
					pause(t.Context(), intN(1000))
					r := &reading{}
					readings[i] = r
					s.mu.Lock()
					s.held[r] = true
					s.mu.Unlock()
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(3+intN(100))*time.Millisecond)
					defer cancel()
					result, err := s.reader.read(ctx, "a", HistoryOptions{}, s.call)
					switch {
					case err == nil:
						r.served = result.Offset
					case ctx.Err() != nil:
						readings[i] = nil // it has left, whoever made the call
					default:
						t.Errorf("read = %v although the context lasts; want nil", err)
					}
				})
			}
			all.Wait()
			for _, r := range readings {
				if r == nil {
					continue
				}
				next := r.served + 1
				for _, offset := range r.heldFrom {
					switch {
					case offset > next:
						t.Fatalf("seed %d: read up to %d, then got %d; want at most %v", seed, r.served, offset, next)
					case offset == next:
						next++
					}
				}
				if next != s.top+1 {
					t.Fatalf("seed %d: served up to %d, want %d", seed, next-1, s.top)
				}
			}
			if s.calls < len(readings) {
				shared++
			}
			if s.calls > 1 {
				stale++
			}
			time.Sleep(3 * readLife)
			if n := s.reader.entries.Load() + s.reader.bytes.Load(); n != 0 {
				t.Errorf("%d entries and bytes are left; want 0", n)
			}
		})
	}
	if shared < 250 || stale < 250 {
		t.Errorf("calls were shared in %d runs and repeated in %d, want most of 300", shared, stale)
	}
}

// TestStreamReaderShares what has the same key, for as long as it is valid.
func TestStreamReaderShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newStreamReader(readLife)
		calls := 0
		at := func(offset uint64) *StreamPosition { return &StreamPosition{Offset: offset, Epoch: "e"} }
		wantCalls := func(name string, want int, channel string, opts HistoryOptions, err error) {
			t.Helper()
			calls = 0
			_, got := r.read(t.Context(), channel, opts, func(context.Context) (HistoryResult, error) {
				calls++
				return HistoryResult{}, err
			})
			if calls != want || want == 1 && !errors.Is(got, err) {
				t.Errorf("%s: %d calls and error %v, want %d and %v", name, calls, got, want, err)
			}
		}
		base := HistoryOptions{Since: at(1), Limit: -1}
		wantCalls("first", 1, "a", base, nil)
		wantCalls("again", 0, "a", HistoryOptions{Since: at(1), Limit: -1}, nil)
		wantCalls("another channel", 1, "b", base, nil)
		for i, other := range []HistoryOptions{
			{Limit: -1}, {Since: at(2), Limit: -1}, {Since: at(1)}, {Since: at(1), Limit: -1, Reverse: true},
			{Since: at(1), Limit: -1, MetaTTL: 1}, {Since: &StreamPosition{Offset: 1}, Limit: -1}, {Since: &StreamPosition{}, Limit: -1},
		} {
			wantCalls(fmt.Sprint("other options ", i), 1, "a", other, nil)
		}
		r.invalidate("a")
		wantCalls("after a publication", 1, "a", base, nil)
		wantCalls("the other channel", 0, "b", base, nil)
		time.Sleep(readLife)
		wantCalls("too old", 1, "a", base, nil)

		failed := errors.New("failed")
		wantCalls("failure", 1, "c", base, failed)
		wantCalls("after a failure", 1, "c", base, ErrorUnrecoverablePosition)
		wantCalls("unrecoverable is a result", 0, "c", base, nil)
		time.Sleep(3 * readLife)
	})
}

// TestStreamReaderBusy: in a channel in which publications arrive faster than reads
// return, subscriptions wait for one read and share the next.
func TestStreamReaderBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newStreamReader(readLife)
		var mu sync.Mutex
		calls, now, most := 0, 0, 0
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				r.invalidate("a")
				_, err := r.read(t.Context(), "a", HistoryOptions{}, func(context.Context) (HistoryResult, error) {
					mu.Lock()
					calls++
					now++
					most = max(most, now)
					mu.Unlock()
					time.Sleep(5 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					now--
					return HistoryResult{}, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most != 1 || calls > 13 { // 50 ms, 5 ms each
			t.Errorf("%d calls, %d at a time; want at most 13, one at a time", calls, most)
		}
		time.Sleep(3 * readLife)
	})
}

// TestStreamReaderIsBounded in what it keeps; what is too large is shared with those
// who wait for it.
func TestStreamReaderIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newStreamReader(readLife)
		large := HistoryResult{Publications: []*Publication{{Data: make([]byte, maxReadBytes/2+1)}}}
		calls := 0
		read := func(channel string) {
			_, err := r.read(t.Context(), channel, HistoryOptions{}, func(context.Context) (HistoryResult, error) {
				calls++
				time.Sleep(time.Millisecond)
				return large, nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		read("a")
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { read("b") })
		}
		all.Wait()
		read("b")
		read("a")
		if calls != 3 {
			t.Errorf("%d calls, want 3: b is shared and not kept", calls)
		}
		if got := r.bytes.Load(); got > maxReadBytes {
			t.Errorf("%d bytes are kept; want at most %v", got, maxReadBytes)
		}
		time.Sleep(3 * readLife)
		if got := r.bytes.Load(); got != 0 {
			t.Errorf("bytes are left: r.bytes.Load() = %v; want 0", got)
		}
	})
}

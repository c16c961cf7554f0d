package fanout

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/protocol"
)

const delayed = 10 * time.Millisecond

// newDelayed is an outbox of 1 MB, for use in a bubble.
func newDelayed(t *testing.T, sink Sink, maxBatch int, blocking bool) (*Outbox, *Delay) {
	t.Helper()
	d := NewDelay(delayed)
	t.Cleanup(d.Close)
	o := new(Outbox)
	o.Init(sink, 1<<20, maxBatch, blocking)
	o.Share(d, nil)
	return o, d
}

func putAndFlush(o *Outbox, frames ...*protocol.Encoded) {
	if o.Put(frames...) == PutDirty {
		o.Flush()
	}
}

// load tells how many wait, for how many there is capacity, and whether the delay is
// to wake up for them.
func (d *Delay) load() (waiters, capacity int, awake bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting.len(), cap(d.waiting.items), d.awake
}

// TestDelay: what comes within the delay leaves together at its end, neither
// sooner nor later; what comes then has a delay of its own.
func TestDelay(t *testing.T) {
	for _, blocking := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sink := &recordingSink{}
			o, _ := newDelayed(t, sink, 64, blocking)
			expect := func(calls ...int) {
				t.Helper()
				synctest.Wait()
				if got := sink.called(); !slices.Equal(got, calls) {
					t.Fatalf("calls of %v frames, want %v", got, calls)
				}
			}
			for n := range 3 {
				putAndFlush(o, numbered(0, n))
				time.Sleep(delayed / 4)
			}
			time.Sleep(delayed/4 - 1)
			expect()
			time.Sleep(time.Nanosecond)
			expect(3)
			time.Sleep(delayed / 2)
			putAndFlush(o, numbered(0, 3))
			time.Sleep(delayed - 1)
			expect(3)
			time.Sleep(time.Nanosecond)
			expect(3, 1)
			checkOrder(t, sink.frames, true, 1, 4)
		})
	}
}

// TestDelayEnds before its time when there is no more to be gained.
func TestDelayEnds(t *testing.T) {
	big := &protocol.Encoded{Bytes: make([]byte, delayBytes/2)}
	for _, test := range []struct {
		name  string
		do    func(o *Outbox, d *Delay)
		calls []int
		later []int // when the delay is over
	}{
		{"nothing", func(*Outbox, *Delay) {}, nil, []int{1}},
		{"batch not full", func(o *Outbox, _ *Delay) { putAndFlush(o, numbered(0, 1), numbered(0, 2)) }, nil, []int{3}},
		{"batch full", func(o *Outbox, _ *Delay) { putAndFlush(o, numbered(0, 1), numbered(0, 2), numbered(0, 3)) }, []int{4}, []int{4}},
		{"more than full", func(o *Outbox, _ *Delay) {
			putAndFlush(o, numbered(0, 1), numbered(0, 2), numbered(0, 3), numbered(0, 4), numbered(0, 5))
		}, []int{4, 2}, []int{4, 2}},
		{"bytes", func(o *Outbox, _ *Delay) { putAndFlush(o, big, big) }, []int{3}, []int{3}},
		{"fewer bytes", func(o *Outbox, _ *Delay) { putAndFlush(o, big) }, nil, []int{2}},
		{"closed, flushed", func(o *Outbox, _ *Delay) { o.Close(true, func() {}) }, []int{1}, []int{1}},
		{"closed, dropped", func(o *Outbox, _ *Delay) { o.Close(false, func() {}) }, nil, nil},
		{"no delay any more", func(o *Outbox, d *Delay) { d.Close(); putAndFlush(o, numbered(0, 1)) }, []int{1, 1}, []int{1, 1}},
		{"again full, in the time of the first delay", func(o *Outbox, _ *Delay) {
			putAndFlush(o, numbered(0, 1), numbered(0, 2), numbered(0, 3))
			putAndFlush(o, numbered(0, 4))
			time.Sleep(delayed / 2)
			putAndFlush(o, numbered(0, 5), numbered(0, 6), numbered(0, 7))
			putAndFlush(o, numbered(0, 8))
			time.Sleep(delayed * 3 / 4) // the first two are over
		}, []int{4, 4}, []int{4, 4, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink := &recordingSink{}
				o, d := newDelayed(t, sink, 4, false)
				putAndFlush(o, numbered(0, 0))
				test.do(o, d)
				synctest.Wait()
				if got := sink.called(); !slices.Equal(got, test.calls) {
					t.Errorf("calls of %v frames, want %v", got, test.calls)
				}
				time.Sleep(delayed)
				synctest.Wait()
				if got := sink.called(); !slices.Equal(got, test.later) {
					t.Errorf("in the end calls of %v frames, want %v", got, test.later)
				}
				if waiters, _, awake := d.load(); waiters != 0 || awake {
					t.Errorf("%d waiters, awake %v; want none, false", waiters, awake)
				}
			})
		})
	}
}

// TestDelayDuringWrite: what comes while a write is under way is delayed too,
// unless a caller waits for the end.
func TestDelayDuringWrite(t *testing.T) {
	for _, closes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sink := &recordingSink{entered: make(chan struct{}), release: make(chan struct{})}
			o, _ := newDelayed(t, sink, 64, true)
			putAndFlush(o, numbered(0, 0))
			<-sink.entered // after the delay
			putAndFlush(o, numbered(0, 1))
			putAndFlush(o, numbered(0, 2))
			if closes {
				o.Close(true, func() {})
			}
			released := time.Now()
			sink.release <- struct{}{}
			<-sink.entered
			sink.release <- struct{}{}
			synctest.Wait()
			want := delayed
			if closes {
				want = 0
			}
			if got := time.Since(released); got != want {
				t.Errorf("the rest left after %v, want %v", got, want)
			}
			if got := sink.called(); !slices.Equal(got, []int{1, 2}) {
				t.Errorf("calls of %v frames; want [1 2]", got)
			}
		})
	}
}

// TestDelayWaitsForNobody: a sink that blocks does not hold up the others.
func TestDelayWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDelay(delayed)
		defer d.Close()
		stuck := &recordingSink{entered: make(chan struct{}, 1), release: make(chan struct{})}
		sinks := []*recordingSink{stuck, {}, {}}
		for i, sink := range sinks {
			var o Outbox
			o.Init(sink, 0, 64, i < 2)
			o.Share(d, nil)
			putAndFlush(&o, numbered(0, 0))
		}
		time.Sleep(delayed)
		synctest.Wait()
		if len(stuck.entered) != 1 || sinks[1].count() != 1 || sinks[2].count() != 1 {
			t.Errorf("the others got %d and %d frames; want len(stuck.entered) 1, 1 and 1", sinks[1].count(), sinks[2].count())
		}
		close(stuck.release)
	})
}

// TestDelayOfMany: each outbox after its own delay, however many there are; and
// none of the memory stays.
func TestDelayOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 3 * maxKeptWaiters
		d := NewDelay(delayed)
		defer d.Close()
		start, outboxes := time.Now(), make([]Outbox, many)
		var late atomic.Int32
		for i := range outboxes {
			due := start.Add(time.Duration(i)*time.Microsecond + delayed)
			outboxes[i].Init(sinkFunc(func([]*protocol.Encoded) {
				if !time.Now().Equal(due) {
					late.Add(1)
				}
			}), 0, 64, false)
			outboxes[i].Share(d, nil)
		}
		for i := range outboxes {
			putAndFlush(&outboxes[i], numbered(0, i))
			time.Sleep(time.Microsecond)
		}
		time.Sleep(delayed)
		synctest.Wait()
		if late.Load() != 0 {
			t.Errorf("%d of %d were not written when they were due; want 0", late.Load(), many)
		}
		if waiters, capacity, awake := d.load(); awake || waiters != 0 || capacity > maxKeptWaiters {
			t.Errorf("%d waiters are left, awake %v, capacity for %d is kept; want none, false, at most %d", waiters, awake, capacity, maxKeptWaiters)
		}
	})
}

type sinkFunc func([]*protocol.Encoded)

func (f sinkFunc) WriteFrames(batch []*protocol.Encoded) (int, error) { f(batch); return 0, nil }
func (sinkFunc) Failed(error)                                         {}
func (sinkFunc) Lost(*Subscriber, Loss)                               {}
func (sinkFunc) Omitted(*Subscriber, *Push, protocol.Omitted)         {}
func (sinkFunc) Superseded(int)                                       {}
func (sinkFunc) ID() string                                           { return "" }

// TestDelayConcurrently: several putters for each of several outboxes with all
// kinds of sinks, some of which are closed in the middle. Order is kept and
// nothing is lost that was not dropped by Close.
func TestDelayConcurrently(t *testing.T) {
	for run := range 60 {
		synctest.Test(t, func(t *testing.T) {
			const outboxes, putters, each = 6, 3, 60
			d := NewDelay(time.Duration(1+rand.IntN(2000)) * time.Microsecond)
			defer d.Close()
			var busy sync.WaitGroup
			sinks, outs := make([]*recordingSink, outboxes), make([]*Outbox, outboxes)
			var finals atomic.Int32
			for i := range outs {
				sinks[i], outs[i] = &recordingSink{}, new(Outbox)
				o, sink, blocking := outs[i], sinks[i], i%2 == 0
				o.Init(sink, 0, 1+rand.IntN(20), blocking)
				o.Share(d, nil)
				for putter := range putters {
					busy.Go(func() {
						for n := range each {
							putAndFlush(o, numbered(putter, n))
							time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
						}
					})
				}
				if !blocking {
					busy.Go(func() {
						for range 40 {
							sink.stick(rand.IntN(2) == 0)
							o.Unblock()
							time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond)
						}
						sink.stick(false)
						o.Unblock()
					})
				}
				if i == run%outboxes {
					busy.Go(func() {
						time.Sleep(time.Duration(rand.IntN(10_000)) * time.Microsecond)
						o.Close(rand.IntN(2) == 0, func() { finals.Add(1) })
					})
				}
			}
			busy.Wait()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			for i, sink := range sinks {
				if sink.twice.Load() {
					t.Fatal("two writers at a time; want one")
				}
				closed := i == run%outboxes
				checkOrder(t, sink.frames, !closed, putters, each)
				if !closed && (outs[i].queued() != 0 || outs[i].Stalled()) {
					t.Errorf("at the end %d bytes are queued, stalled %v; want 0, false", outs[i].queued(), outs[i].Stalled())
				}
			}
			if finals.Load() != 1 {
				t.Errorf("the end was told %d times; want 1", finals.Load())
			}
		})
	}
}

package fanout

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"centrifugo/protocol"
)

// slowSink keeps a part of what it is given, as a socket does that takes some.
type slowSink struct {
	ownerless

	mu       sync.Mutex
	takes    int // bytes of each call
	pending  int
	err      error
	failures []error
}

func (s *slowSink) WriteFrames(batch []*protocol.Encoded) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	for _, f := range batch {
		s.pending += len(f.Bytes)
	}
	s.pending = max(0, s.pending-s.takes)
	return s.pending, nil
}

func (s *slowSink) Failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, err)
}

func (s *slowSink) set(takes int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.err = takes, err
}

func (s *slowSink) told() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures
}

func newSlow(d *Delay, b *Budget, maxBatch int, blocking bool) (*Outbox, *slowSink) {
	o, sink := new(Outbox), &slowSink{}
	o.Init(sink, 0, maxBatch, blocking)
	o.Share(d, b)
	return o, sink
}

func frameOf(size int) *protocol.Encoded { return &protocol.Encoded{Bytes: make([]byte, size)} }

// TestBudgetCounts what waits for full sockets and nothing else.
func TestBudgetCounts(t *testing.T) {
	b := NewBudget(1000)
	first, sink := newSlow(nil, b, 2, false)
	expect := func(used int64, refused uint64) {
		t.Helper()
		if b.Used() != used || b.Refused() != refused {
			t.Errorf("%d bytes used and %d refused, want %d and %d", b.Used(), b.Refused(), used, refused)
		}
	}
	sink.set(1<<20, nil)
	first.Put(frameOf(600), frameOf(600), frameOf(600))
	expect(0, 0) // it may be writable
	first.Flush()
	expect(0, 0)
	sink.set(100, nil)
	putAndFlush(first, frameOf(300))
	expect(200, 0) // in the sink
	first.Put(frameOf(300), frameOf(200), frameOf(100))
	expect(800, 0)
	first.Unblock() // two more frames go to the sink, which takes 100
	expect(700, 0)

	second, other := newSlow(nil, b, 64, false)
	if got := second.Put(frameOf(400)); got != PutDirty {
		t.Errorf("putting to a free socket: %d; want %v", got, PutDirty)
	}
	second.Flush() // its socket is full: the budget is used up
	if told := other.told(); len(told) != 1 || !errors.Is(told[0], ErrOverBudget) {
		t.Errorf("the sink was told %v; want length 1 and %v", told, ErrOverBudget)
	}
	if got := second.Put(frameOf(1)); got != PutClosed {
		t.Errorf("an outbox takes frames after that: %d; want %v", got, PutClosed)
	}
	expect(700, 1)
	if got := first.Put(frameOf(301)); got != PutOverflow {
		t.Errorf("putting more than the budget has: %d; want %v", got, PutOverflow)
	}
	if got := first.Put(frameOf(1)); got != PutClosed {
		t.Errorf("an outbox takes frames behind a gap: %d; want %v", got, PutClosed)
	}
	expect(700, 2)
	first.Close(false, func() {})
	expect(0, 2)
	if got := len(sink.told()); got != 0 {
		t.Errorf("a sink was told of an overflow that Put has told: len(sink.told()) = %v; want 0", got)
	}
}

// TestBudgetOfBlockingSinks: they do not say that they are full; what is put
// while a write is under way counts.
func TestBudgetOfBlockingSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		sink := &recordingSink{entered: make(chan struct{}), release: make(chan struct{})}
		var o Outbox
		o.Init(sink, 0, 64, true)
		o.Share(nil, b)
		putAndFlush(&o, frameOf(100))
		<-sink.entered
		if o.Put(frameOf(4), frameOf(4)) != PutQueued || b.Used() != 8 {
			t.Errorf("%d bytes used; want o.Put(frameOf(4), frameOf(4)) %v and 8", b.Used(), PutQueued)
		}
		if o.Put(frameOf(4)) != PutOverflow || b.Used() != 8 || b.Refused() != 1 {
			t.Errorf("%d bytes used, %d refused; want o.Put(frameOf(4)) %v, 8 and 1", b.Used(), b.Refused(), PutOverflow)
		}
		o.Close(false, func() {})
		if b.Used() != 0 {
			t.Errorf("%d bytes used after Close; want 0", b.Used())
		}
		sink.release <- struct{}{}
	})
}

// TestBudgetWhileWriting: what a blocking sink has been given does not wait any more.
func TestBudgetWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		sink := &recordingSink{entered: make(chan struct{}), release: make(chan struct{})}
		var o Outbox
		o.Init(sink, 0, 2, true)
		o.Share(nil, b)
		putAndFlush(&o, frameOf(1))
		<-sink.entered
		o.Put(frameOf(10), frameOf(10), frameOf(10), frameOf(10), frameOf(10))
		for _, want := range []int64{50, 30, 10, 0} {
			if b.Used() != want {
				t.Errorf("%d bytes used, want %d", b.Used(), want)
			}
			sink.release <- struct{}{}
			if want > 0 {
				<-sink.entered
			}
		}
	})
}

// TestBudgetWithoutBound counts.
func TestBudgetWithoutBound(t *testing.T) {
	b := NewBudget(-1)
	o, _ := newSlow(nil, b, 64, false)
	putAndFlush(o, frameOf(1<<20))
	if b.Used() != 1<<20 || o.Put(frameOf(1)) != PutQueued || b.Used() != 1<<20+1 {
		t.Errorf("%d bytes used; want %v, o.Put(frameOf(1)) %v and %v", b.Used(), 1<<20, PutQueued, 1<<20+1)
	}
}

// budgetStep does something to one of the outboxes.
func budgetStep(r *rand.Rand, o *Outbox, sink *slowSink) {
	switch n := r.IntN(100); {
	case n < 45:
		frames := make([]*protocol.Encoded, 1+r.IntN(4))
		for i := range frames {
			frames[i] = frameOf(r.IntN(100))
		}
		switch o.Put(frames...) {
		case PutDirty:
			if r.IntN(4) > 0 {
				o.Flush() // otherwise another step, or Close, does
			}
		case PutOverflow:
			o.Close(false, func() {})
		case PutQueued, PutClosed:
		}
	case n < 55:
		o.Flush()
	case n < 75:
		o.Unblock()
	case n < 97:
		sink.set(r.IntN(400), nil)
	case n < 98:
		sink.set(0, errors.New("broken pipe"))
	default:
		o.Close(r.IntN(2) == 0, func() {})
	}
}

// checkCharge compares what an outbox is charged with what waits in it.
func checkCharge(t *testing.T, o *Outbox) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	want := 0
	if o.state == outboxBlocked {
		want = o.size + o.pending
	}
	if o.account.charged != want && !o.overflowed {
		t.Fatalf("in state %d with %d bytes and %d in the sink it is charged %d; want %d", o.state, o.size, o.pending, o.account.charged, want)
	}
}

// TestBudgetIsGivenBack whatever happens: random steps, one at a time, of many
// outboxes with a small budget. The count is right after each.
func TestBudgetIsGivenBack(t *testing.T) {
	refused := uint64(0)
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := NewBudget(2000)
		outs, sinks := make([]*Outbox, 10), make([]*slowSink, 10)
		for i := range outs {
			outs[i], sinks[i] = newSlow(nil, b, 1+r.IntN(5), false)
		}
		for range 300 {
			i := r.IntN(len(outs))
			budgetStep(r, outs[i], sinks[i])
			sum := 0
			for _, o := range outs {
				checkCharge(t, o)
				sum += o.account.charged
			}
			if b.Used() != int64(sum) || sum > 2000 {
				t.Fatalf("seed %d: %d bytes used, the outboxes are charged %d; want %v and at most 2000",
					seed, b.Used(), sum, int64(sum))
			}
			if outs[i].state == outboxClosed {
				outs[i], sinks[i] = newSlow(nil, b, 1+r.IntN(5), false)
			}
		}
		for _, o := range outs {
			o.Close(r.IntN(2) == 0, func() {})
		}
		if b.Used() != 0 {
			t.Fatalf("seed %d: %d bytes were not given back; want 0", seed, b.Used())
		}
		refused += b.Refused()
	}
	if refused < 100 {
		t.Errorf("only %d were refused: the test does not test it; want at least 100", refused)
	}
}

// TestBudgetIsGivenBackConcurrently with blocking sinks and delays among them.
func TestBudgetIsGivenBackConcurrently(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			b, d := NewBudget(3000), NewDelay(time.Millisecond)
			defer d.Close()
			outs := make([]*Outbox, 8)
			var busy sync.WaitGroup
			for i := range outs {
				delay := d
				if i < 4 {
					delay = nil
				}
				o, sink := newSlow(delay, b, 4, i%2 == 0)
				if i%2 == 0 {
					sink.set(1<<30, nil) // a blocking sink keeps nothing
				}
				outs[i] = o
				for j := range uint64(3) {
					busy.Go(func() {
						r := rand.New(rand.NewPCG(seed, uint64(i)<<8|j))
						for range 150 {
							if i%2 == 0 && r.IntN(5) == 0 {
								time.Sleep(time.Duration(r.IntN(500)) * time.Microsecond)
							}
							if other := new(slowSink); i%2 == 0 {
								budgetStep(r, o, other)
							} else {
								budgetStep(r, o, sink)
							}
						}
					})
				}
			}
			busy.Wait()
			for _, o := range outs {
				o.Close(seed%2 == 0, func() {})
			}
			synctest.Wait()
			if b.Used() != 0 {
				t.Fatalf("seed %d: %d bytes were not given back; want 0", seed, b.Used())
			}
		})
	}
}

// TestOutboxSize: every connection has one, and with it stays within 512 bytes.
func TestOutboxSize(t *testing.T) {
	if size := unsafe.Sizeof(Outbox{}); size > 120 {
		t.Errorf("%d bytes; want at most 120", size)
	}
}

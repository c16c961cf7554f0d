package fanout

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"centrifugo/protocol"
)

// ownerless is the Owner in a Sink whose subscriptions do not matter.
type ownerless struct{}

func (ownerless) Lost(*Subscriber, Loss)                       {}
func (ownerless) Omitted(*Subscriber, *Push, protocol.Omitted) {}
func (ownerless) Superseded(int)                               {}
func (ownerless) ID() string                                   { return "" }

// recordingSink keeps what it gets and notices a second writer.
type recordingSink struct {
	Owner // nil where nothing happens to the subscriptions

	writing atomic.Int32
	twice   atomic.Bool
	failed  atomic.Int32

	mu      sync.Mutex
	frames  []*protocol.Encoded
	calls   []int // frames of each call
	stuck   bool
	pending int
	err     error
	// entered and release, if not nil, hold a write up.
	entered, release chan struct{}
}

func (s *recordingSink) WriteFrames(batch []*protocol.Encoded) (int, error) {
	if s.writing.Add(1) > 1 {
		s.twice.Store(true)
	}
	defer s.writing.Add(-1)
	if s.entered != nil {
		s.entered <- struct{}{}
		<-s.release
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.calls = append(s.calls, len(batch))
	s.frames = append(s.frames, batch...)
	for _, f := range batch {
		s.pending += len(f.Bytes)
	}
	if !s.stuck {
		s.pending = 0
	}
	return s.pending, nil
}

func (s *recordingSink) Failed(error) { s.failed.Add(1) }

func (s *recordingSink) stick(stuck bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = stuck
}

func (s *recordingSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.frames)
}

// called returns how many frames each call had.
func (s *recordingSink) called() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func numbered(putter, n int) *protocol.Encoded {
	return &protocol.Encoded{Bytes: binary.BigEndian.AppendUint32(nil, uint32(putter<<20|n))}
}

// checkOrder says whether the frames of each putter came in their order and whole.
func checkOrder(t *testing.T, frames []*protocol.Encoded, complete bool, putters, each int) {
	t.Helper()
	next := make(map[int]int)
	for _, f := range frames {
		v := int(binary.BigEndian.Uint32(f.Bytes))
		putter, n := v>>20, v&(1<<20-1)
		if n != next[putter] {
			t.Fatalf("putter %d: frame %d came; want %d", putter, n, next[putter])
		}
		next[putter]++
	}
	for putter := range putters {
		if complete && next[putter] != each {
			t.Errorf("putter %d: %d frames came; want %d", putter, next[putter], each)
		}
	}
}

// TestOutboxConcurrently: putters, flushers, a socket that sticks and unsticks,
// and a close at any moment.
func TestOutboxConcurrently(t *testing.T) {
	for _, blocking := range []bool{false, true} {
		for run := range 300 {
			synctest.Test(t, func(t *testing.T) {
				const putters, each = 4, 50
				sink := &recordingSink{}
				var o Outbox
				o.Init(sink, 0, 1+rand.IntN(8), blocking)
				closes, flushes := run%2 == 0, rand.IntN(2) == 0
				var finals atomic.Int32
				var puts, sticking sync.WaitGroup
				for putter := range putters {
					puts.Go(func() {
						for n := range each {
							if o.Put(numbered(putter, n)) == PutDirty {
								o.Flush()
							}
						}
					})
				}
				done := make(chan struct{})
				if !blocking {
					sticking.Go(func() {
						for {
							select {
							case <-done:
								sink.stick(false)
								o.Unblock()
								return
							default:
								sink.stick(rand.IntN(2) == 0)
								o.Unblock()
							}
						}
					})
				}
				if closes {
					puts.Go(func() { o.Close(flushes, func() { finals.Add(1) }) })
				}
				puts.Wait()
				close(done)
				sticking.Wait()
				synctest.Wait()
				if sink.twice.Load() {
					t.Fatal("two writers at a time; want one")
				}
				checkOrder(t, sink.frames, !closes, putters, each)
				if !closes {
					if o.Close(true, func() { finals.Add(1) }); o.queued() != 0 {
						t.Errorf("%d bytes are left; want 0", o.queued())
					}
				}
				if finals.Load() != 1 {
					t.Errorf("the end was told %d times; want 1", finals.Load())
				}
			})
		}
	}
}

// TestOutboxBound: what waits here and in the sink counts, all or nothing.
func TestOutboxBound(t *testing.T) {
	sink := &recordingSink{stuck: true}
	var o Outbox
	o.Init(sink, 40, 4, false) // ten frames
	put := func(n int, want PutResult) {
		t.Helper()
		frames := make([]*protocol.Encoded, n)
		for i := range frames {
			frames[i] = numbered(0, i)
		}
		if got := o.Put(frames...); got != want {
			t.Errorf("putting %d frames: %d, want %d", n, got, want)
		}
	}
	put(6, PutDirty)
	o.Flush()
	if !o.Stalled() || o.queued() != 24 {
		t.Errorf("stalled %v, %d bytes; want true, 24 bytes", o.Stalled(), o.queued())
	}
	put(4, PutQueued)
	put(0, PutQueued)
	sink.stick(false)
	o.Unblock()
	if sink.count() != 10 || o.queued() != 0 || o.Stalled() {
		t.Errorf("%d frames came, %d bytes wait, stalled %v; want 10, none, false", sink.count(), o.queued(), o.Stalled())
	}
	put(10, PutDirty)
	if got := o.countLocked(); got != 10 {
		t.Errorf("the frames are not queued: o.countLocked() = %v; want 10", got)
	}
	o.Flush()
	if o.one != nil || o.more != nil || o.state != outboxIdle {
		t.Errorf("an idle outbox holds %v, %v in state %v; want nothing in state %v", o.one, o.more, o.state, outboxIdle)
	}
	sink.stick(true)
	put(6, PutDirty)
	o.Flush()
	put(5, PutOverflow)
	sink.stick(false)
	o.Unblock()
	put(1, PutClosed) // it must not arrive behind the gap
	if sink.count() != 26 {
		t.Errorf("%d frames came; want 26", sink.count())
	}
}

// TestOutboxBatches: no call gets more frames than asked for, nor fewer than it could.
func TestOutboxBatches(t *testing.T) {
	sink := &recordingSink{}
	var o Outbox
	o.Init(sink, 0, 4, false)
	for n := range 10 {
		o.Put(numbered(0, n))
	}
	o.Flush()
	if len(sink.calls) != 3 || sink.calls[0] != 4 || sink.calls[1] != 4 || sink.calls[2] != 2 {
		t.Errorf("calls of %v frames; want length 3, [0] 4, [1] 4 and [2] 2", sink.calls)
	}
	checkOrder(t, sink.frames, true, 1, 10)
}

// TestOutboxCloses in each state, with and without what is queued.
func TestOutboxCloses(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(o *Outbox, s *recordingSink)
		flush   bool
		frames  int
	}{
		{"idle", func(*Outbox, *recordingSink) {}, true, 0},
		{"queued, flushed", func(o *Outbox, _ *recordingSink) { o.Put(numbered(0, 0), numbered(0, 1)) }, true, 2},
		{"queued, dropped", func(o *Outbox, _ *recordingSink) { o.Put(numbered(0, 0), numbered(0, 1)) }, false, 0},
		{"blocked", func(o *Outbox, s *recordingSink) {
			s.stick(true)
			o.Put(numbered(0, 0))
			o.Flush()
			o.Put(numbered(0, 1))
		}, true, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			sink := &recordingSink{}
			var o Outbox
			o.Init(sink, 0, 4, false)
			test.prepare(&o, sink)
			finals := 0
			if !o.Close(test.flush, func() { finals++ }) || finals != 1 {
				t.Errorf("the end was told %d times; want 1, and Close to report it", finals)
			}
			if o.Close(true, func() { finals++ }) || finals != 1 {
				t.Errorf("the end was told %d times after a second Close; want 1, and Close to report false", finals)
			}
			if sink.count() != test.frames {
				t.Errorf("%d frames came, want %d", sink.count(), test.frames)
			}
			if got := o.Put(numbered(0, 9)); got != PutClosed {
				t.Errorf("a closed outbox takes frames: o.Put(numbered(0, 9)) = %v; want PutClosed", got)
			}
			o.Flush()
			o.Unblock()
			if got := sink.count(); got != test.frames {
				t.Errorf("a closed outbox writes: sink.count() = %v; want %v", got, test.frames)
			}
		})
	}
}

// TestOutboxClosesWithALastMessage checks that the last message is written without flush
// too, and to a full socket.
func TestOutboxClosesWithALastMessage(t *testing.T) {
	for _, flush := range []bool{false, true} {
		for _, full := range []bool{false, true} {
			sink := &recordingSink{}
			var o Outbox
			o.Init(sink, 0, 10, false)
			if full {
				o.Block(1)
			}
			o.Put(numbered(0, 0))
			finals := 0
			if !o.CloseWith(numbered(0, 1), flush, func() { finals++ }) || finals != 1 {
				t.Errorf("flush %v, full %v: final was called %d times; want once", flush, full, finals)
			}
			want := 1
			if flush {
				want = 2
			}
			if got := sink.count(); got != want {
				t.Errorf("flush %v, full %v: %d messages were written; want %d", flush, full, got, want)
			}
		}
	}
}

// TestOutboxClosesDuringWrite checks that Close during a write calls final after the
// write and, with flush, after the rest; for a blocking sink without flush at once.
func TestOutboxClosesDuringWrite(t *testing.T) {
	for _, blocking := range []bool{false, true} {
		for _, flush := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				sink := &recordingSink{entered: make(chan struct{}), release: make(chan struct{})}
				var o Outbox
				o.Init(sink, 0, 1, blocking)
				o.Put(numbered(0, 0))
				go o.Flush()
				<-sink.entered
				o.Put(numbered(0, 1))
				ended := make(chan struct{})
				if !o.Close(flush, func() { close(ended) }) {
					t.Error("Close = false; want true")
				}
				if got := o.Put(numbered(0, 2)); got != PutClosed {
					t.Errorf("an outbox that is closing takes frames: o.Put(numbered(0, 2)) = %v; want PutClosed", got)
				}
				atOnce := blocking && !flush
				select {
				case <-ended:
					if !atOnce {
						t.Error("Close called final during a write; want it after the write")
					}
				default:
					if atOnce {
						t.Error("Close of a blocking sink without flush waited for the write; want the end at once")
					}
				}
				want := 1
				sink.release <- struct{}{}
				if flush {
					want = 2
					<-sink.entered
					sink.release <- struct{}{}
				}
				<-ended
				synctest.Wait() // the write returns
				if sink.count() != want {
					t.Errorf("%d frames came, want %d", sink.count(), want)
				}
			})
		}
	}
}

// TestOutboxError: told once, nothing is written afterwards.
func TestOutboxError(t *testing.T) {
	sink := &recordingSink{err: errors.New("broken pipe")}
	var o Outbox
	o.Init(sink, 0, 1, false)
	o.Put(numbered(0, 0), numbered(0, 1))
	o.Flush()
	o.Flush()
	o.Unblock()
	if sink.failed.Load() != 1 {
		t.Errorf("told %d times; want 1", sink.failed.Load())
	}
	if o.Put(numbered(0, 2)) != PutClosed || o.Close(true, func() { t.Error("the end was told; want it told once") }) {
		t.Error("an outbox is open after an error; want it closed")
	}
}

// TestOutboxUnblocksEarly: the socket is writable again before the write that found
// it full has returned.
func TestOutboxUnblocksEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &recordingSink{entered: make(chan struct{}), release: make(chan struct{}), stuck: true}
		var o Outbox
		o.Init(sink, 0, 1, false)
		o.Put(numbered(0, 0))
		go o.Flush()
		<-sink.entered
		o.Unblock() // the flush is still writing
		sink.release <- struct{}{}
		<-sink.entered // it looks again instead of waiting
		sink.stick(false)
		sink.release <- struct{}{}
		synctest.Wait()
		if o.Stalled() || o.queued() != 0 {
			t.Errorf("stalled %v with %d bytes queued after the event; want false, 0", o.Stalled(), o.queued())
		}
	})
}

// queued returns the bytes that wait, those in the sink included.
func (o *Outbox) queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size + o.pending
}

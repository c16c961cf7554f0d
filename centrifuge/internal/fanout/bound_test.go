package fanout

import (
	"math"
	"testing"
	"testing/synctest"

	"centrifugo/protocol"
)

// TestOutboxTakesOneOfAnySize: the bound is for what a client does not drain.
func TestOutboxTakesOneOfAnySize(t *testing.T) {
	type step struct {
		size  int
		reply bool
		flush bool
		want  PutResult
	}
	for _, test := range []struct {
		name  string
		stuck bool
		steps []step
	}{
		{"one beyond the bound", true, []step{{size: 101, flush: true, want: PutDirty}}},
		{"one of a hundred times the bound", true, []step{{size: 10_000, flush: true, want: PutDirty}}},
		{"behind it the bound is left", true, []step{
			{size: 1000, flush: true, want: PutDirty}, {size: 50, want: PutQueued}, {size: 50, want: PutQueued}, {size: 1, want: PutOverflow},
		}},
		{"a second one beyond the bound", true, []step{{size: 1000, flush: true, want: PutDirty}, {size: 101, want: PutOverflow}}},
		{"behind one that fits", true, []step{{size: 100, flush: true, want: PutDirty}, {size: 1, want: PutOverflow}}},
		{"behind what was not offered to the socket", true, []step{{size: 1, want: PutDirty}, {size: 1000, want: PutQueued}, {size: 100, flush: true, want: PutQueued}}},
		{"of a client that reads", false, []step{
			{size: 1000, flush: true, want: PutDirty}, {size: 2000, flush: true, want: PutDirty}, {size: 3000, flush: true, want: PutDirty},
		}},
		{"a reply to a client that is behind", true, []step{
			{size: 50, flush: true, want: PutDirty}, {size: 1000, reply: true, want: PutQueued}, {size: 50, want: PutQueued}, {size: 1, want: PutOverflow},
		}},
		{"small replies count", true, []step{{size: 90, flush: true, want: PutDirty}, {size: 12, reply: true, want: PutQueued}, {size: 1, want: PutOverflow}}},
		{"large replies are flushed at once", false, []step{{size: 1, want: PutDirty}, {size: delayBytes, reply: true, flush: true, want: PutFull}, {size: delayBytes, reply: true, flush: true, want: PutFull}}},
		{"the largest that there is", true, []step{{size: 10, flush: true, want: PutDirty}, {size: math.MaxInt32, want: PutOverflow}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sink := &recordingSink{stuck: test.stuck}
			var o Outbox
			o.Init(sink, 100, 64, false)
			for i, s := range test.steps {
				var got PutResult
				switch {
				case s.size == math.MaxInt32:
					o.mu.Lock()
					got = PutQueued
					if o.refusesLocked(math.MaxInt, false) {
						got = PutOverflow
					}
					o.mu.Unlock()
				case s.reply:
					got = o.PutReply(frameOf(s.size))
				default:
					got = o.Put(frameOf(s.size))
				}
				if got != s.want {
					t.Fatalf("step %d: %d, want %d", i, got, s.want)
				}
				if s.flush {
					o.Flush()
				}
			}
		})
	}
}

// TestOutboxBoundReturns: once everything was taken a large message is forgotten.
func TestOutboxBoundReturns(t *testing.T) {
	sink := &recordingSink{stuck: true}
	var o Outbox
	o.Init(sink, 100, 64, false)
	putAndFlush(&o, frameOf(1000))
	sink.stick(false)
	o.Unblock()
	if o.relief != nil {
		t.Error("an idle outbox remembers the large message; want it forgotten")
	}
	sink.stick(true)
	putAndFlush(&o, frameOf(60))
	if got := o.Put(frameOf(60)); got != PutOverflow {
		t.Errorf("%d; want %v", got, PutOverflow)
	}
}

// TestOutboxDrained: a caller that executes commands waits until half of the bound is free.
func TestOutboxDrained(t *testing.T) {
	for _, end := range []string{"drained", "closed", "failed", "overflowed"} {
		synctest.Test(t, func(t *testing.T) {
			sink := &recordingSink{stuck: true}
			var o Outbox
			o.Init(sink, 100, 64, false)
			if o.Drained() != nil {
				t.Error("Drained of an empty outbox = a channel; want nil")
			}
			o.Put(frameOf(90))
			if o.Drained() != nil {
				t.Error("Drained before anything was offered to the socket = a channel; want nil")
			}
			o.Flush()
			drained := o.Drained()
			if drained == nil || drained != o.Drained() {
				t.Fatalf("Drained with a full socket = %v, then %v; want one channel", drained, o.Drained())
			}
			waited := make(chan struct{})
			go func() {
				<-drained
				close(waited)
			}()
			synctest.Wait()
			select {
			case <-waited:
				t.Fatal("the wait ended by itself; want it to last")
			default:
			}
			switch end {
			case "drained":
				sink.stick(false)
				o.Unblock()
			case "closed":
				o.Close(false, func() {})
			case "failed":
				sink.mu.Lock()
				sink.err = protocol.ErrMalformed
				sink.mu.Unlock()
				o.Unblock()
			case "overflowed":
				o.Put(frameOf(100))
				o.Close(false, func() {})
			}
			synctest.Wait()
			select {
			case <-waited:
			default:
				t.Errorf("%s: the channel of Drained is open; want it closed", end)
			}
			if o.Drained() != nil {
				t.Errorf("%s: Drained = a channel; want nil", end)
			}
		})
	}
}

// sippingSink takes a little of what it is given, each time that it is asked.
type sippingSink struct {
	ownerless
	left int
}

func (s *sippingSink) WriteFrames(batch []*protocol.Encoded) (int, error) {
	for _, f := range batch {
		s.left += len(f.Bytes)
	}
	s.left = max(s.left-10, 0)
	return s.left, nil
}

func (s *sippingSink) Failed(error) {}

// TestOutboxDrainedSlowly: who waits is told when enough was taken, not before,
// however little it is at a time.
func TestOutboxDrainedSlowly(t *testing.T) {
	for _, size := range []int{60, 90, 100, 101, 1000} {
		var o Outbox
		o.Init(&sippingSink{}, 100, 64, false)
		putAndFlush(&o, frameOf(size))
		drained := o.Drained()
		if drained == nil && size-10 > 50 {
			t.Fatalf("%d: Drained = nil; want a channel", size)
		}
		for left := size - 10; drained != nil && left > 50; left -= 10 {
			select {
			case <-drained:
				t.Fatalf("%d: the channel of Drained is closed while %d bytes wait; want it open", size, left)
			default:
			}
			o.Unblock()
		}
		if drained != nil {
			select {
			case <-drained:
			default:
				t.Errorf("%d: Drained = a channel; want nil", size)
			}
		}
	}
}

// floodedSink is written to by a caller who must not be held: whatever it takes,
// another frame is put.
type floodedSink struct {
	recordingSink
	outbox *Outbox
	left   int
}

func (s *floodedSink) WriteFrames(batch []*protocol.Encoded) (int, error) {
	n, err := s.recordingSink.WriteFrames(batch)
	if s.left--; s.left > 0 {
		s.outbox.PutReply(frameOf(1))
	}
	return n, err
}

// TestOutboxFlushYields: a flush writes what waited when it was called and a
// little more; a connection that floods does not hold the lane.
func TestOutboxFlushYields(t *testing.T) {
	for _, test := range []struct {
		name           string
		queued, during int
		batch, most    int
	}{
		{"a flood", 1, 10_000, 1, maxTurn},
		{"a flood in larger batches", 64, 10_000, 64, maxTurn},
		{"what waited is written at once", 100, 0, 1, 100},
		{"what waited, then a flood", 100, 10_000, 1, 100},
		{"a little more", 1, maxTurn - 1, 1, maxTurn},
	} {
		synctest.Test(t, func(t *testing.T) {
			var o Outbox
			sink := &floodedSink{outbox: &o, left: test.during}
			sink.entered = make(chan struct{}, test.during+test.queued+1)
			sink.release = make(chan struct{})
			o.Init(sink, 0, test.batch, false)
			for range test.queued {
				o.Put(frameOf(1))
			}
			flushed := make(chan struct{})
			go func() {
				o.Flush()
				close(flushed)
			}()
			calls := 0
			for done := false; !done; {
				synctest.Wait()
				select {
				case <-flushed:
					done = true
				default:
					calls++
					sink.release <- struct{}{}
				}
			}
			if calls > test.most {
				t.Errorf("%s: the caller made %d writes, want at most %d", test.name, calls, test.most)
			}
			close(sink.release)
			synctest.Wait()
			if want := test.queued + max(test.during-1, 0); sink.count() != want || sink.twice.Load() {
				t.Errorf("%s: %d frames, two writers %v; want %d, false", test.name, sink.count(), sink.twice.Load(), want)
			}
		})
	}
}

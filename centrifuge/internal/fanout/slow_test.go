package fanout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/internal/fossil"
	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"
)

// slowWorld is one connection with one subscription, whose socket takes and refuses
// bytes at random, and a client that applies what it gets. The model test checks that
// the client ends with what its policy promises, or knows that it does not; and that it
// never gets a delta to a publication that it does not have.
type slowWorld struct {
	rand *rand.Rand
	seen map[string]int

	policy                     SlowPolicy
	delta, filter, withOffsets bool
	format                     protocol.Format

	sub    *Subscriber
	out    Outbox
	delay  *Delay  // nil for none
	budget *Budget // nil for none
	inbox  []*Push // published, not delivered yet

	published int
	prev      []byte
	wanted    []int // numbers of the publications that the client should get
	payloads  map[int][]byte

	// The socket.
	kept   []*protocol.Encoded
	space  int // messages that it takes
	arrive []*protocol.Encoded

	losses     []Loss
	superseded int
	got        []int
	base       []byte
	closed     bool
}

func (w *slowWorld) WriteFrames(batch []*protocol.Encoded) (int, error) {
	w.kept = append(w.kept, batch...)
	n := min(w.space, len(w.kept))
	w.space -= n
	w.arrive = append(w.arrive, w.kept[:n]...)
	w.kept = w.kept[n:]
	return sizeOf(w.kept), nil
}

func (w *slowWorld) Failed(error)                                 { w.closed = true }
func (w *slowWorld) Lost(_ *Subscriber, why Loss)                 { w.losses = append(w.losses, why) }
func (w *slowWorld) Omitted(*Subscriber, *Push, protocol.Omitted) { panic("a payload was omitted") }
func (w *slowWorld) Superseded(n int)                             { w.superseded += n }
func (w *slowWorld) ID() string                                   { return "me" }

const slowWorldBound = 4000

func newSlowWorld(r *rand.Rand) *slowWorld {
	w := &slowWorld{
		rand: r, seen: make(map[string]int), payloads: make(map[int][]byte), policy: SlowPolicy(r.IntN(3)),
		delta: r.IntN(2) == 0, filter: r.IntN(3) == 0, withOffsets: r.IntN(2) == 0, space: 1 << 20,
	}
	if r.IntN(2) == 0 {
		w.format = protocol.FormatProtobuf
	}
	w.out.Init(w, slowWorldBound, 4, false)
	if r.IntN(4) == 0 {
		w.delay = NewDelay(time.Millisecond)
	}
	if r.IntN(4) == 0 {
		w.budget = NewBudget(slowWorldBound / 2)
		w.budget.take(r.IntN(slowWorldBound / 2)) // by another connection
	}
	w.out.Share(w.delay, w.budget)
	w.sub = &Subscriber{Out: &w.out, Format: w.format, Channel: "c", PushJoinLeave: true, Options: &SubscriberOptions{Delta: w.delta, Slow: w.policy}}
	if w.filter {
		w.sub.Options.Filter = oddTags{}
	}
	w.sub.Open(w.withOffsets, 0, "e")
	return w
}

func (w *slowWorld) publish() {
	w.published++
	data := fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`, w.published, strings.Repeat("the same text ", w.rand.IntN(20)))
	p := &Push{Channel: "c", Pub: &protocol.Publication{Data: data}, Prev: w.prev}
	if w.rand.IntN(8) == 0 {
		p.Prev = nil // its publisher did not ask for a delta
	}
	if w.withOffsets {
		p.Offset, p.Pub.Offset, p.Epoch = uint64(w.published), uint64(w.published), "e"
	} else {
		p.Seq = uint64(w.published)
	}
	if w.rand.IntN(2) == 0 {
		p.Pub.Tags = map[string]string{"odd": "1"}
	}
	if w.rand.IntN(10) == 0 {
		p.Exclude = "me"
		w.seen["excluded"]++
	}
	if p.Exclude == "" && (!w.filter || p.Pub.Tags != nil) {
		w.wanted = append(w.wanted, w.published)
	}
	w.payloads[w.published], w.prev = data, data
	w.inbox = append(w.inbox, p)
	if w.rand.IntN(10) == 0 {
		w.inbox = append(w.inbox, &Push{Channel: "c", Join: &protocol.ClientInfo{Client: "x"}})
	}
}

func (w *slowWorld) deliver(n int) {
	if n = min(n, len(w.inbox)); n == 0 || w.closed {
		return
	}
	var d delivery
	d.reset(w.inbox[:n])
	w.inbox = w.inbox[n:]
	if w.sub.deliver(&d) {
		w.out.Flush()
	}
	w.wait()
	for _, why := range w.losses {
		if why == LossSlow && !w.closed {
			w.closed = true // as the client's code does
			w.out.Close(false, func() {})
		}
	}
}

// read applies what has arrived.
func (w *slowWorld) read() error {
	for _, f := range w.arrive {
		reply, err := clientcodec.DecodeReply(w.format, f.Bytes)
		if err != nil {
			return err
		}
		pub := reply.Push.Pub
		if pub == nil {
			w.seen["join"]++
			continue
		}
		data := []byte(pub.Data)
		if w.delta && !w.format.Protobuf() {
			var text string
			if err := json.Unmarshal(data, &text); err != nil {
				return fmt.Errorf("data is not a string: %s", data)
			}
			data = []byte(text)
		}
		if pub.Delta {
			w.seen["delta"]++
			if data, err = fossil.Apply(w.base, data, 1<<20); err != nil {
				return fmt.Errorf("a delta to a publication that the client does not have: %w", err)
			}
		} else {
			w.seen["full"]++
		}
		w.base = data
		var doc struct{ N int }
		if err := json.Unmarshal(data, &doc); err != nil {
			return fmt.Errorf("publication %s: %w", data, err)
		}
		if !bytes.Equal(data, w.payloads[doc.N]) {
			return fmt.Errorf("publication %d is %s; want %s", doc.N, data, w.payloads[doc.N])
		}
		if len(w.got) > 0 && doc.N <= w.got[len(w.got)-1] {
			return fmt.Errorf("publication %d after %d", doc.N, w.got[len(w.got)-1])
		}
		w.got = append(w.got, doc.N)
	}
	w.arrive = nil
	return nil
}

func (w *slowWorld) unstick(space int) {
	w.space = space
	w.out.Unblock()
	w.wait()
}

// wait lets a goroutine that continues a write do so, and a delayed write begin.
func (w *slowWorld) wait() {
	if w.delay != nil {
		time.Sleep(2 * time.Millisecond)
	}
	synctest.Wait()
}

func (w *slowWorld) run() error {
	for range 20 + w.rand.IntN(150) {
		switch n := w.rand.IntN(10); {
		case n < 6:
			w.publish()
		case n < 8:
			w.deliver(1 + w.rand.IntN(6))
		case n < 9:
			w.space = w.rand.IntN(3)
		default:
			w.unstick(w.rand.IntN(12))
		}
		if err := w.read(); err != nil {
			return err
		}
	}
	w.deliver(len(w.inbox))
	w.unstick(1 << 20)
	if w.delay != nil {
		w.delay.Close()
		w.wait()
	}
	if err := w.read(); err != nil {
		return err
	}
	return w.settled()
}

// settled checks that the client has what it should have, or was told.
func (w *slowWorld) settled() error {
	position, _, open := w.sub.Position()
	switch {
	case w.closed:
		w.seen["closed"]++
		if w.budget != nil {
			w.seen["over budget"]++ // what the socket has not taken cannot be dropped
			return nil
		}
		if w.policy != SlowDisconnect && len(w.losses) == 0 {
			return fmt.Errorf("closed, losses %v", w.losses)
		}
		return nil
	case len(w.losses) > 0:
		w.seen["slow gap"]++
		if w.policy != SlowDropOldest || w.losses[0] != LossSlowGap || len(w.losses) > 1 {
			return fmt.Errorf("losses %v with policy %d", w.losses, w.policy)
		}
		if len(w.got) > len(w.wanted) || fmt.Sprint(w.got) != fmt.Sprint(w.wanted[:len(w.got)]) {
			return fmt.Errorf("before the gap the client got %v; want the first of %v", w.got, w.wanted)
		}
		return nil
	case w.withOffsets && (!open || position != uint64(w.published)):
		return fmt.Errorf("the subscription is at %d; want %d", position, w.published)
	case w.policy == SlowLatest:
		if len(w.got)+w.superseded != len(w.wanted) {
			return fmt.Errorf("got %d publications, %d were superseded; want %d", len(w.got), w.superseded, len(w.wanted))
		}
		if w.superseded > 0 {
			w.seen["superseded"]++
		}
		if n := len(w.wanted); n > 0 && (len(w.got) == 0 || w.got[len(w.got)-1] != w.wanted[n-1]) {
			return fmt.Errorf("the client got %v; want %d at the end", w.got, w.wanted[n-1])
		}
		return nil
	}
	w.seen["complete"]++
	if fmt.Sprint(w.got) != fmt.Sprint(w.wanted) {
		return fmt.Errorf("the client got %v; want %v", w.got, w.wanted)
	}
	return nil
}

func TestSlowModel(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("MODEL_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	n := 7_000
	if testing.Short() {
		n /= 5
	}
	t.Logf("seed %d, %d worlds (MODEL_SEED repeats them)", seed, n)
	seen := make(map[string]int)
	synctest.Test(t, func(t *testing.T) { runSlowWorlds(t, seed, n, seen) })
	t.Logf("seen: %v", seen)
	for _, what := range []string{"closed", "slow gap", "superseded", "complete", "delta", "full", "join", "excluded", "over budget"} {
		if seen[what] == 0 {
			t.Errorf("no world had %q: the test does not test it; want more than 0", what)
		}
	}
}

func runSlowWorlds(t *testing.T, seed uint64, n int, seen map[string]int) {
	t.Helper()
	for i := range n {
		w := newSlowWorld(rand.New(rand.NewPCG(seed, uint64(i))))
		if err := w.run(); err != nil {
			t.Fatalf("world %d of seed %d (policy %d, delta %v, filter %v, offsets %v): %v", i, seed, w.policy, w.delta, w.filter, w.withOffsets, err)
		}
		for what, count := range w.seen {
			seen[what] += count
		}
	}
}

// sleepingSink is a blocking transport whose writes take time.
type sleepingSink struct {
	*testSubscriber
	frames []*protocol.Encoded
}

func (s *sleepingSink) WriteFrames(batch []*protocol.Encoded) (int, error) {
	time.Sleep(time.Duration(len(batch)) * time.Millisecond)
	s.frames = append(s.frames, batch...)
	return 0, nil
}

func (s *sleepingSink) Failed(error) {}

// TestSlowLatestBlocking: a blocking transport that takes a tenth of what is published
// gets the newest at the end, and nothing twice.
func TestSlowLatestBlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSubscriber(0, protocol.FormatProtobuf)
		sink := &sleepingSink{testSubscriber: s}
		s.out.Init(sink, 8<<10, 4, true)
		s.Options = &SubscriberOptions{Slow: SlowLatest}
		s.Open(true, 0, "e")
		const pushes = 5000
		for i := range uint64(pushes) {
			var d delivery
			p := newPush("a", i+1)
			p.Pub.Data = bytes.Repeat([]byte("x"), 500)
			d.reset([]*Push{p})
			if s.deliver(&d) {
				s.out.Flush()
			}
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		last := uint64(0)
		for _, f := range sink.frames {
			reply, err := clientcodec.DecodeReply(protocol.FormatProtobuf, f.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if offset := reply.Push.Pub.Offset; offset <= last {
				t.Fatalf("publication %d came after %d; want a later one", offset, last)
			} else {
				last = offset
			}
		}
		if got := len(sink.frames) + int(s.superseded.Load()); last != pushes || got != pushes || s.superseded.Load() == 0 {
			t.Errorf("the last is %d, %d were sent and %d superseded; want %d in all", last, len(sink.frames), s.superseded.Load(), pushes)
		}
		if len(s.losses) > 0 {
			t.Errorf("losses %v; want none", s.losses)
		}
	})
}

// TestDeltaIsComputedOnce: whatever the number of subscribers, and in both formats.
func TestDeltaIsComputedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(2)
		var subscribers []*testSubscriber
		for i := range 100 {
			s := newSubscriber(uint16(i%2), protocol.Format(i/2%2)) //nolint:gosec // small
			s.Options = &SubscriberOptions{Delta: true}
			s.join(h, "a")
			s.HasBase(1, "e")
			s.Open(true, 1, "e")
			subscribers = append(subscribers, s)
		}
		p := newPush("a", 2)
		p.Pub.Data = []byte(`"` + strings.Repeat("the same ", 50) + `2"`)
		p.Prev = []byte(`"` + strings.Repeat("the same ", 50) + `1"`)
		p.Deltas = new(atomic.Uint64)
		h.Broadcast(p)
		synctest.Wait()
		if n := p.Deltas.Load(); n != 1 {
			t.Errorf("the delta was computed %d times; want once", n)
		}
		var encoded [2]*protocol.Encoded
		for i, s := range subscribers {
			if s.sink.count() != 1 {
				t.Fatalf("subscriber %d got %d messages; want 1", i, s.sink.count())
			}
			form := &encoded[i/2%2]
			if *form == nil {
				*form = s.sink.frames[0]
			}
			if *form != s.sink.frames[0] {
				t.Errorf("subscriber %d got a message of its own; want the shared one", i)
			}
			if reply, err := clientcodec.DecodeReply(s.Format, s.sink.frames[0].Bytes); err != nil || !reply.Push.Pub.Delta {
				t.Errorf("subscriber %d got %s, %v; want a delta", i, s.sink.frames[0].Bytes, err)
			}
		}
		h.Close()
	})
}

// TestChannelIDs: subscribers with a channel id get it in place of the name, in one
// message for all.
func TestChannelIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(1)
		ids := []int64{0, 7, 7, 8}
		var subscribers []*testSubscriber
		for _, id := range ids {
			s := newSubscriber(0, jsonFormat)
			s.PushJoinLeave = true
			if id != 0 {
				s.Options = &SubscriberOptions{ChannelID: id}
			}
			s.join(h, "a")
			s.Open(true, 0, "e")
			subscribers = append(subscribers, s)
		}
		h.Broadcast(newPush("a", 1))
		h.Broadcast(&Push{Channel: "a", Join: &protocol.ClientInfo{Client: "x"}})
		synctest.Wait()
		for i, s := range subscribers {
			want := []string{`"channel":"a"`, `"id":7`, `"id":7`, `"id":8`}[i]
			for _, f := range s.sink.frames {
				if !strings.Contains(string(f.Bytes), want) || strings.Contains(string(f.Bytes), `"channel"`) != (ids[i] == 0) {
					t.Errorf("the subscriber with id %d got %s; want %q in it and %v", ids[i], f.Bytes, want, ids[i] == 0)
				}
			}
			if s.sink.count() != 2 {
				t.Errorf("the subscriber with id %d got %d messages; want 2", ids[i], s.sink.count())
			}
		}
		if subscribers[1].sink.frames[0] != subscribers[2].sink.frames[0] {
			t.Error("two subscribers with the same id got messages of their own; want one for both")
		}
		h.Close()
	})
}

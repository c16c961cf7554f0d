package fanout

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"
)

// The model test runs random interleavings of everything that may happen to a
// subscription against an oracle. The steps of a publication (append, enqueue at
// the lane, deliver, flush) and of a subscription (register, read history, open)
// are taken one at a time, in any order that the code allows.

const (
	interleavings = 40_000
	maxSteps      = 60
)

func TestModel(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("MODEL_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	n := interleavings
	if testing.Short() {
		n /= 2 // one in 2,500 is slow, and one must be
	}
	t.Logf("seed %d, %d interleavings (MODEL_SEED repeats them)", seed, n)
	seen := make(map[string]int)
	for i := range n {
		w := newWorld(rand.New(rand.NewPCG(seed, uint64(i))))
		if err := w.run(); err != nil {
			t.Fatalf("interleaving %d of seed %d: %v\n%s", i, seed, err, w.trace())
		}
		for what, count := range w.seen {
			seen[what] += count
		}
	}
	t.Logf("seen: %v", seen)
	for _, what := range []string{"recovered", "unrecovered", "fresh", "gap", "slow", "held", "epoch loss", "trim", "delivered", "filtered", "complete",
		"batch", "superseded", "mid-batch"} {
		if seen[what] == 0 {
			t.Errorf("no interleaving had %q: the test does not test it; want more than 0", what)
		}
	}
}

// world is a stream, a lane's inbox, one client and what it must have seen.
type world struct {
	rand  *rand.Rand
	log   []string
	seen  map[string]int
	epoch int
	top   uint64
	kept  []*protocol.Publication // the history that is left
	inbox []*Push

	sub      *Subscriber
	ended    []*Subscriber // the lane has not taken them off yet
	out      *Outbox
	sink     *modelSink
	loss     Loss
	read     bool // history was read for the pending subscription
	opened   bool
	readTop  uint64
	readEp   string
	missed   []*protocol.Publication
	since    uint64
	sinceEp  string
	recovers bool

	// The client: what it knows.
	at       uint64
	atEpoch  string
	known    bool // it has a position
	client   bool // replied to: a subscription as the client sees it
	consumed int
	fault    error
	skipped  int // pushes that the broker lost since the subscription began
	filter   bool

	// In half of the worlds publications are gathered before they reach the inbox.
	batched bool
	list    coalescing
	arrived []*Push                    // all that went into the batch that is open
	left    map[string]map[uint64]bool // what batches left out on purpose, by epoch
	newest  uint64                     // offset of the newest publication with a tag
}

type modelSink struct {
	Owner
	frames []*protocol.Encoded
	stuck  bool
	kept   []*protocol.Encoded
	failed bool
}

func (s *modelSink) WriteFrames(batch []*protocol.Encoded) (int, error) {
	s.kept = append(s.kept, batch...)
	if s.stuck {
		n := 0
		for _, f := range s.kept {
			n += len(f.Bytes)
		}
		return n, nil
	}
	s.frames = append(s.frames, s.kept...)
	s.kept = nil
	return 0, nil
}

func (s *modelSink) Failed(error) { s.failed = true }

func (w *world) Omitted(*Subscriber, *Push, protocol.Omitted) {
	w.fault = errors.New("a payload was left out over Protobuf")
}

func (w *world) Lost(s *Subscriber, why Loss) {
	if s != w.sub || w.loss != LossNone {
		w.fault = fmt.Errorf("a loss was told of a subscription that had ended, or twice")
	}
	w.loss = why
}

// Superseded and ID implement Owner.
func (w *world) Superseded(int) { w.fault = errors.New("a publication was left out without a policy") }

func (w *world) ID() string { return "me" }

// oddTags passes publications with the tag.
type oddTags struct{}

func (oddTags) Match(tags map[string]string) bool { return tags != nil }

func newWorld(r *rand.Rand) *world {
	w := &world{rand: r, seen: make(map[string]int), filter: r.IntN(4) == 0, left: make(map[string]map[uint64]bool)}
	if w.batched = r.IntN(2) == 0; w.batched {
		w.list.options = CoalesceOptions{MaxSize: r.IntN(6), FlushLatest: r.IntN(2) == 0, ByTags: w.filter}
	}
	w.connect()
	return w
}

func (w *world) connect() {
	w.sink, w.out = &modelSink{Owner: w}, &Outbox{}
	w.out.Init(w.sink, 700, 4, false)
	w.consumed = 0
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) trace() (s string) {
	for _, line := range w.log {
		s += line + "\n"
	}
	return s
}

func (w *world) epochName() string { return "e" + strconv.Itoa(w.epoch) }

func (w *world) run() error {
	for range 10 + w.rand.IntN(maxSteps) {
		if err := w.step(); err != nil {
			return err
		}
	}
	return w.settle()
}

func (w *world) step() error {
	switch n := w.rand.IntN(100); {
	case n < 30:
		w.publish()
	case n < 34:
		w.flush()
	case n < 55:
		w.deliver(1 + w.rand.IntN(4))
	case n < 62:
		w.subscribe()
	case n < 69:
		w.readHistory()
	case n < 78:
		w.open()
	case n < 80:
		w.unsubscribe()
	case n < 81:
		w.trim()
	case n < 84 && w.rand.IntN(10) == 0:
		w.loseEpoch()
	case n < 86:
		w.losePush()
	case n < 89:
		w.stick()
	case n < 94:
		w.unstick()
	case w.sub != nil:
		w.afterLoss()
	}
	if w.fault != nil {
		return w.fault
	}
	return w.check()
}

func (w *world) publish() {
	w.top++
	pub := &protocol.Publication{Data: make(protocol.Raw, 1+w.rand.IntN(60)), Offset: w.top}
	if w.rand.IntN(2) == 0 {
		pub.Tags = map[string]string{"odd": "1"}
	}
	if pub.Tags != nil {
		w.newest = w.top
	}
	w.kept = append(w.kept, pub)
	push := &Push{Channel: "c", Pub: pub, Offset: w.top, Epoch: w.epochName()}
	w.note("publish %d %s", w.top, w.epochName())
	switch {
	case !w.batched:
		w.inbox = append(w.inbox, push)
	case w.rand.IntN(40) == 0:
		w.note("lose %d before it is gathered", push.Offset)
		w.skipped++
	default:
		w.arrived = append(w.arrived, push)
		if full, _ := w.list.add(push); full {
			w.flush()
		}
	}
}

// flush hands a batch to the lane, as a timer may at any time.
func (w *world) flush() {
	pushes := w.list.take(nil)
	if len(pushes) == 0 {
		return
	}
	w.seen["batch"]++
	sent := make(map[*Push]bool)
	for _, p := range pushes {
		sent[p] = true
	}
	for _, p := range w.arrived {
		if !sent[p] {
			w.seen["superseded"]++
			if w.left[p.Epoch] == nil {
				w.left[p.Epoch] = make(map[uint64]bool)
			}
			w.left[p.Epoch][p.Offset] = true
		}
	}
	w.note("flush %d of %d", len(pushes), len(w.arrived))
	w.arrived = nil
	w.inbox = append(w.inbox, pushes...)
}

// leftOut reports whether a batch left out everything after one offset and
// before another.
func (w *world) leftOut(after, before uint64) bool {
	for offset := after + 1; offset < before; offset++ {
		if !w.left[w.atEpoch][offset] {
			return false
		}
	}
	return true
}

func (w *world) deliver(n int) {
	n = min(n, len(w.inbox))
	pushes := w.inbox[:n]
	w.inbox = w.inbox[n:]
	w.note("deliver %d", n)
	for _, s := range w.ended {
		var d delivery
		d.reset(pushes)
		if s.deliver(&d) {
			w.out.Flush()
		}
	}
	if w.rand.IntN(4) == 0 {
		w.ended = nil
	}
	if w.sub == nil || n == 0 {
		return
	}
	if !w.opened {
		w.seen["held"]++
	}
	var d delivery
	d.reset(pushes)
	if w.sub.deliver(&d) {
		w.out.Flush()
	}
	if w.loss != LossGap || w.rand.IntN(2) == 0 {
		w.afterLoss() // otherwise later: the lane does not wait for it
	}
}

// afterLoss does what the client's code does when a subscription cannot go on.
func (w *world) afterLoss() {
	switch w.loss {
	case LossGap:
		w.seen["gap"]++
	case LossSlow:
		w.seen["slow"]++
	default:
		return
	}
	w.note("loss %d", w.loss)
	slow := w.loss == LossSlow
	w.end()
	if slow {
		w.out.Close(false, func() {})
		w.consume()
		w.connect()
	}
}

func (w *world) end() {
	w.sub.Gate.Close()
	w.ended = append(w.ended, w.sub)
	w.sub, w.read, w.opened, w.loss = nil, false, false, LossNone
}

func (w *world) subscribe() {
	if w.sub != nil {
		return
	}
	w.consume()
	w.sub = &Subscriber{Out: w.out, Format: protocol.FormatProtobuf}
	if w.filter {
		w.sub.Options = &SubscriberOptions{Filter: oddTags{}}
	}
	w.recovers = w.known && w.rand.IntN(4) != 0
	w.since, w.sinceEp, w.skipped = w.at, w.atEpoch, 0
	w.note("subscribe recover=%v since %d %s", w.recovers, w.since, w.sinceEp)
}

func (w *world) readHistory() {
	if w.sub == nil || w.read {
		return
	}
	if len(w.arrived) > 0 {
		w.seen["mid-batch"]++
	}
	w.read, w.readTop, w.readEp, w.missed = true, w.top, w.epochName(), nil
	for _, pub := range w.kept {
		if pub.Offset > w.since {
			w.missed = append(w.missed, pub)
		}
	}
	w.note("read top %d %s", w.readTop, w.readEp)
}

// open replies as client_recover does: the history in the reply, the rest live.
func (w *world) open() {
	if w.sub == nil || !w.read || w.opened {
		return
	}
	result := &protocol.SubscribeResult{Epoch: w.readEp, Offset: w.readTop}
	if w.recovers {
		complete := w.sinceEp == w.readEp && (len(w.missed) == 0 && w.since == w.readTop ||
			len(w.missed) > 0 && w.missed[0].Offset == w.since+1)
		if complete {
			result.Recovered, result.Offset = true, w.since
			for _, pub := range w.missed {
				if w.sub.Options == nil || w.sub.Options.Filter.Match(pub.Tags) {
					result.Publications = append(result.Publications, pub)
				}
			}
		}
	}
	frame, err := protocol.Encode(protocol.FormatProtobuf, &protocol.Reply{ID: 1, Subscribe: result})
	if err != nil {
		panic(err)
	}
	dirty, ok, loss := w.sub.Open(true, w.readTop, w.readEp, frame)
	w.note("open ok=%v loss=%d", ok, loss)
	if dirty {
		w.out.Flush()
	}
	w.opened = true
	if !ok {
		w.end()
		return
	}
	w.loss = loss
	w.afterLoss()
}

func (w *world) unsubscribe() {
	if w.sub == nil {
		return
	}
	w.note("unsubscribe")
	w.end()
	w.consume()
	w.client = false
}

func (w *world) trim() {
	if len(w.kept) > 0 {
		w.kept = w.kept[1+w.rand.IntN(len(w.kept)):]
		w.seen["trim"]++
		w.note("trim to %d", len(w.kept))
	}
}

func (w *world) loseEpoch() {
	w.epoch++
	w.top, w.kept, w.newest = 0, nil, 0
	w.seen["epoch loss"]++
	w.note("epoch loss")
}

// losePush is what a broker without guarantees does.
func (w *world) losePush() {
	if len(w.inbox) == 0 {
		return
	}
	i := w.rand.IntN(len(w.inbox))
	w.note("lose %d", w.inbox[i].Offset)
	w.inbox = append(append([]*Push(nil), w.inbox[:i]...), w.inbox[i+1:]...)
	w.skipped++
}

func (w *world) stick() { w.sink.stuck = true; w.note("stick") }

func (w *world) unstick() {
	w.sink.stuck = false
	w.out.Unblock()
	w.note("unstick")
}

// check reads what has arrived and holds it against the oracle.
func (w *world) check() error {
	for ; w.consumed < len(w.sink.frames); w.consumed++ {
		reply, err := clientcodec.DecodeReply(protocol.FormatProtobuf, w.sink.frames[w.consumed].Bytes)
		if err != nil {
			return err
		}
		if reply.Subscribe != nil {
			err = w.takeResult(reply.Subscribe)
		} else {
			err = w.takePublication(reply.Push.Pub)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) takeResult(r *protocol.SubscribeResult) error {
	w.client = true
	if !r.Recovered {
		if w.recovers {
			w.seen["unrecovered"]++
		} else {
			w.seen["fresh"]++
		}
		w.at, w.atEpoch, w.known = r.Offset, r.Epoch, true
		return nil
	}
	w.seen["recovered"]++
	if r.Epoch != w.atEpoch || r.Offset != w.at {
		return fmt.Errorf("recovered from %d %s, but the client was at %d %s", r.Offset, r.Epoch, w.at, w.atEpoch)
	}
	for _, pub := range r.Publications {
		if err := w.takePublication(pub); err != nil {
			return err
		}
	}
	if w.filter {
		w.at = max(w.at, w.readTop) // the rest was filtered, up to the top that was read
	}
	return nil
}

func (w *world) takePublication(pub *protocol.Publication) error {
	switch {
	case !w.client:
		return fmt.Errorf("publication %d without a subscription", pub.Offset)
	case pub.Offset <= w.at:
		return fmt.Errorf("publication %d again, the client is at %d", pub.Offset, w.at)
	case !w.filter && !w.leftOut(w.at, pub.Offset):
		return fmt.Errorf("publication %d, the client is at %d: a gap that was not reported", pub.Offset, w.at)
	case w.filter && pub.Tags == nil:
		return fmt.Errorf("publication %d should have been filtered", pub.Offset)
	}
	if w.filter {
		w.seen["filtered"]++
	}
	w.seen["delivered"]++
	w.at = pub.Offset
	return nil
}

// consume forgets frames that are on the way to a subscription that has ended,
// after checking them.
func (w *world) consume() {
	w.sink.stuck = false
	w.out.Unblock()
	if err := w.check(); err != nil {
		panic(err)
	}
	w.client = false
}

// settle lets everything arrive. A live subscription must then be at the top,
// unless the broker lost the newest publications, which no push can tell.
func (w *world) settle() error {
	if w.sub != nil {
		w.afterLoss()
	}
	w.readHistory()
	w.open()
	w.flush()
	w.deliver(len(w.inbox))
	if w.sub != nil {
		w.afterLoss()
	}
	w.unstick()
	if err := w.check(); err != nil {
		return err
	}
	if w.sub == nil || w.skipped > 0 || !w.client {
		return nil
	}
	offset, epoch, ok := w.sub.Position()
	if !ok {
		return nil
	}
	if offset != w.top || epoch != w.epochName() {
		if epoch != w.epochName() && w.top == 0 {
			return nil // nothing was published in the new epoch: the position check finds it
		}
		return fmt.Errorf("the subscription is at %d %s, the stream at %d %s", offset, epoch, w.top, w.epochName())
	}
	if !w.filter && (w.at != w.top || w.atEpoch != w.epochName()) {
		return fmt.Errorf("the client is at %d %s, the stream at %d %s", w.at, w.atEpoch, w.top, w.epochName())
	}
	if w.filter && w.atEpoch == w.epochName() && w.at < w.newest {
		return fmt.Errorf("the client is at %d, the newest publication that it wants is %d", w.at, w.newest)
	}
	w.seen["complete"]++
	return nil
}

package centrifugetest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
)

// shortTTL is the shortest that every engine can keep.
const shortTTL = time.Second

var kept = centrifuge.PublishOptions{HistorySize: 10, HistoryTTL: time.Minute, HistoryMetaTTL: time.Hour}

// TestHistoryBroker is the conformance suite of centrifuge.HistoryBroker, beside
// TestBroker. NewBroker returns a broker that is not started; the suite starts
// and closes it.
func TestHistoryBroker(t *testing.T, newBroker func(t *testing.T) centrifuge.HistoryBroker, options ...Option) {
	s := newSuite(options)
	for _, c := range []struct {
		name  string
		test  func(t *testing.T, b *historyCase)
		needs []Feature
	}{
		{"gives offsets and an epoch", testPositions, nil},
		{"keeps all there is of a publication", testKeptWhole, nil},
		{"keeps the newest", testHistorySize, nil},
		{"makes metadata of an unused channel", testUnusedChannel, nil},
		{"publishes without history beside it", testWithoutHistory, nil},
		{"removes history and keeps the position", testRemoveHistory, nil},
		{"expires publications", testHistoryTTL, nil},
		{"prolongs the life of publications", testHistoryTTLProlonged, nil},
		{"expires metadata", testMetaTTL, nil},
		{"delivers in the order of offsets", testOffsetOrder, nil},
		{"gives the previous payload", testPrevious, nil},
		{"reads pages", testPages, []Feature{Paging}},
		{"refuses positions", testRefusedPositions, []Feature{Paging}},
		{"returns the first result for an idempotency key", testIdempotency, []Feature{Idempotency}},
		{"forgets idempotency keys", testIdempotencyTTL, []Feature{Idempotency}},
		{"suppresses old versions", testVersions, []Feature{Versions}},
		{"resets versions", testVersionReset, []Feature{Versions, VersionReset}},
	} {
		s.run(t, c.name, func(t *testing.T) {
			broker := newBroker(t)
			c.test(t, &historyCase{brokerCase: startBroker(t, broker), history: broker})
		}, c.needs...)
	}
}

type historyCase struct {
	*brokerCase
	history centrifuge.HistoryBroker
}

// read reads the history and fails on an error.
func (h *historyCase) read(t *testing.T, opts centrifuge.HistoryOptions) centrifuge.HistoryResult {
	t.Helper()
	result, err := h.history.History(t.Context(), h.channel, opts)
	if err != nil {
		t.Fatalf("reading history with %+v: %v", opts, err)
	}
	return result
}

// wantOffsets reads all and compares.
func (h *historyCase) wantOffsets(t *testing.T, want ...uint64) {
	t.Helper()
	if got := offsets(h.read(t, centrifuge.HistoryOptions{Limit: -1})); !slices.Equal(got, want) {
		t.Fatalf("history has %v, want %v", got, want)
	}
}

func offsets(result centrifuge.HistoryResult) []uint64 {
	var got []uint64
	for _, pub := range result.Publications {
		got = append(got, pub.Offset)
	}
	return got
}

func testPositions(t *testing.T, h *historyCase) {
	h.subscribe(t, h.channel)
	var epoch string
	for i := uint64(1); i <= 3; i++ {
		result := h.publish(t, h.channel, fmt.Sprint(i), kept)
		if i == 1 {
			epoch = result.Epoch
		}
		if result.Offset != i || result.Epoch != epoch || result.Suppressed != centrifuge.NotSuppressed {
			t.Errorf("publication %d went to %+v; want offset %d of epoch %s", i, result, i, epoch)
		}
		e := h.wantPublication(t, h.channel, fmt.Sprint(i))
		if e.pub.Offset != i || e.epoch != epoch {
			t.Errorf("publication %d delivered at %d of %q, want %d of %q", i, e.pub.Offset, e.epoch, i, epoch)
		}
	}
	if !regexp.MustCompile(`^[A-Za-z]{8}$`).MatchString(epoch) {
		t.Errorf("epoch %q; want 8 letters", epoch)
	}
	result := h.read(t, centrifuge.HistoryOptions{Limit: -1})
	if result.Offset != 3 || result.Epoch != epoch || len(result.Publications) != 3 {
		t.Fatalf("history of %d at %+v; want result.Offset 3, result.Epoch %v and 3",
			len(result.Publications), result.StreamPosition, epoch)
	}
}

func testKeptWhole(t *testing.T, h *historyCase) {
	info := &centrifuge.ClientInfo{User: "u", Client: "c", ConnInfo: []byte("1"), ChanInfo: []byte("2")}
	pub := &centrifuge.Publication{Data: []byte("{\"x\": 1}\x00\n"), Info: info, Tags: map[string]string{"k": "v"}, ExcludeClient: "x"}
	if _, err := h.Publish(t.Context(), h.channel, pub, kept); err != nil {
		t.Fatal(err)
	}
	result := h.read(t, centrifuge.HistoryOptions{Limit: -1})
	if len(result.Publications) != 1 {
		t.Fatalf("%d publications; want 1", len(result.Publications))
	}
	got := result.Publications[0]
	if string(got.Data) != "{\"x\": 1}\x00\n" || got.ExcludeClient != "x" || got.Tags["k"] != "v" || got.Info == nil ||
		got.Info.User != "u" || got.Info.Client != "c" || string(got.Info.ConnInfo) != "1" || string(got.Info.ChanInfo) != "2" {
		t.Errorf("got %+v, %+v; want Data \"{\\\"x\\\": 1}\\x00\\n\", ExcludeClient \"x\", \"v\", User \"u\", Client \"c\", ConnInfo \"1\" and ChanInfo \"2\"",
			got, got.Info)
	}
}

func testHistorySize(t *testing.T, h *historyCase) {
	opts := kept
	opts.HistorySize = 3
	for range 5 {
		h.publish(t, h.channel, "1", opts)
	}
	h.wantOffsets(t, 3, 4, 5)
	opts.HistorySize = 1
	h.publish(t, h.channel, "1", opts)
	h.wantOffsets(t, 6)
	opts.HistorySize = 3
	h.publish(t, h.channel, "1", opts)
	h.wantOffsets(t, 6, 7)
}

func testUnusedChannel(t *testing.T, h *historyCase) {
	first := h.read(t, centrifuge.HistoryOptions{})
	if first.Offset != 0 || first.Epoch == "" || len(first.Publications) != 0 {
		t.Errorf("got %+v; want Offset 0 and no Publications", first)
	}
	if again := h.read(t, centrifuge.HistoryOptions{Limit: -1}); again.StreamPosition != first.StreamPosition {
		t.Errorf("got %+v, want %+v", again.StreamPosition, first.StreamPosition)
	}
	if result := h.publish(t, h.channel, "1", kept); result.Offset != 1 || result.Epoch != first.Epoch {
		t.Errorf("published to %+v, want epoch %q", result, first.Epoch)
	}
}

func testWithoutHistory(t *testing.T, h *historyCase) {
	h.subscribe(t, h.channel)
	first := h.publish(t, h.channel, "1", kept)
	for _, opts := range []centrifuge.PublishOptions{{}, {HistorySize: 10}, {HistoryTTL: time.Minute}} {
		if result := h.publish(t, h.channel, "2", opts); result != (centrifuge.PublishResult{}) {
			t.Errorf("%+v: got %+v; want nothing", opts, result)
		}
	}
	h.wantPublication(t, h.channel, "1")
	for range 3 {
		if e := h.wantPublication(t, h.channel, "2"); e.pub.Offset != 0 {
			t.Errorf("delivered with offset %d, want 0", e.pub.Offset)
		}
	}
	result := h.read(t, centrifuge.HistoryOptions{Limit: -1})
	if result.StreamPosition != first.StreamPosition || len(result.Publications) != 1 {
		t.Errorf("history of %d at %+v; want %v and 1", len(result.Publications), result.StreamPosition, first.StreamPosition)
	}
}

func testRemoveHistory(t *testing.T, h *historyCase) {
	if err := h.history.RemoveHistory(t.Context(), h.channel); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	h.publish(t, h.channel, "1", kept)
	second := h.publish(t, h.channel, "2", kept)
	if err := h.history.RemoveHistory(t.Context(), h.channel); err != nil {
		t.Fatal(err)
	}
	result := h.read(t, centrifuge.HistoryOptions{Limit: -1})
	if len(result.Publications) != 0 || result.StreamPosition != second.StreamPosition {
		t.Errorf("history of %d at %+v, want none at %+v", len(result.Publications), result.StreamPosition, second)
	}
	if third := h.publish(t, h.channel, "3", kept); third.Offset != 3 || third.Epoch != second.Epoch {
		t.Errorf("published to %+v; want Offset 3 and Epoch %v", third, second.Epoch)
	}
	h.wantOffsets(t, 3)
}

func testHistoryTTL(t *testing.T, h *historyCase) {
	opts := kept
	opts.HistoryTTL = shortTTL
	start := time.Now()
	result := h.publish(t, h.channel, "1", opts)
	if got := offsets(h.read(t, centrifuge.HistoryOptions{Limit: -1})); len(got) != 1 && time.Since(start) < shortTTL {
		t.Fatalf("history has %v at once; want one publication", got)
	}
	await.Until(t, "publications expired", func() bool {
		return len(h.read(t, centrifuge.HistoryOptions{Limit: -1}).Publications) == 0
	})
	if got := h.read(t, centrifuge.HistoryOptions{}); got.StreamPosition != result.StreamPosition {
		t.Errorf("position is %+v, want %+v", got.StreamPosition, result.StreamPosition)
	}
	opts.UseDelta = true
	h.subscribe(t, h.channel)
	if next := h.publish(t, h.channel, "2", opts); next.Offset != 2 || next.Epoch != result.Epoch {
		t.Errorf("published to %+v; want Offset 2 and Epoch %v", next, result.Epoch)
	}
	if e := h.wantPublication(t, h.channel, "2"); e.prev != nil {
		t.Errorf("previous payload %q of an expired publication; want nil", e.prev)
	}
}

func testHistoryTTLProlonged(t *testing.T, h *historyCase) {
	opts := kept
	opts.HistoryTTL = shortTTL
	name := h.channel
	for i := 0; ; i++ { // until the second publication came in the life of the first one
		h.channel = fmt.Sprint(name, i)
		start := time.Now()
		h.publish(t, h.channel, "1", opts)
		h.publish(t, h.channel, "2", kept)
		if time.Since(start) < shortTTL {
			break
		}
	}
	deadline := time.Now().Add(shortTTL + shortTTL/2)
	await.Until(t, "the first TTL has passed", func() bool { return time.Now().After(deadline) })
	h.wantOffsets(t, 1, 2)
}

func testMetaTTL(t *testing.T, h *historyCase) {
	opts := kept
	opts.HistoryTTL, opts.HistoryMetaTTL = shortTTL, 2*shortTTL
	first := h.publish(t, h.channel, "1", opts)
	deadline := time.Now().Add(3 * shortTTL)
	await.Until(t, "the metadata expired", func() bool { return time.Now().After(deadline) })
	next := h.publish(t, h.channel, "2", opts)
	if next.Offset != 1 || next.Epoch == first.Epoch || next.Epoch == "" {
		t.Errorf("published to %+v after %+v; want Offset 1 and Epoch anything but %v", next, first, first.Epoch)
	}
	h.wantOffsets(t, 1)
}

func testOffsetOrder(t *testing.T, h *historyCase) {
	const publishers, each = 8, 100
	h.subscribe(t, h.channel)
	opts := kept
	opts.HistorySize = publishers * each
	publishInParallel(t, h.brokerCase, publishers, each, opts)
	delivered := make([]*centrifuge.Publication, 0, publishers*each)
	for i := range uint64(publishers * each) {
		e := h.next(t)
		if e.pub.Offset != i+1 {
			t.Fatalf("got offset %d, want %d", e.pub.Offset, i+1)
		}
		delivered = append(delivered, e.pub)
	}
	for i, pub := range h.read(t, centrifuge.HistoryOptions{Limit: -1}).Publications {
		if string(pub.Data) != string(delivered[i].Data) {
			t.Fatalf("history has %s at %d; want %s, as delivered", pub.Data, pub.Offset, delivered[i].Data)
		}
	}
	if h.overlap.Load() {
		t.Error("two calls of the handler at once; want one")
	}
}

func testPrevious(t *testing.T, h *historyCase) {
	h.subscribe(t, h.channel)
	delta := kept
	delta.UseDelta = true
	h.publish(t, h.channel, "1", delta)
	h.publish(t, h.channel, "2", kept)
	h.publish(t, h.channel, "3", delta)
	if err := h.history.RemoveHistory(t.Context(), h.channel); err != nil {
		t.Fatal(err)
	}
	h.publish(t, h.channel, "4", delta)
	h.publish(t, h.channel, "5", delta)
	for _, want := range []struct{ data, prev string }{{"1", ""}, {"2", ""}, {"3", "2"}, {"4", ""}, {"5", "4"}} {
		if e := h.wantPublication(t, h.channel, want.data); string(e.prev) != want.prev || (want.prev == "") != (e.prev == nil) {
			t.Errorf("the payload before %s is %q, want %q", want.data, e.prev, want.prev)
		}
	}
}

func testPages(t *testing.T, h *historyCase) {
	opts := kept
	opts.HistorySize = 5
	var epoch string
	for i := range 8 {
		epoch = h.publish(t, h.channel, fmt.Sprint(i+1), opts).Epoch
	}
	at := func(offset uint64) *centrifuge.StreamPosition {
		return &centrifuge.StreamPosition{Offset: offset, Epoch: epoch}
	}
	for _, c := range []struct {
		name string
		opts centrifuge.HistoryOptions
		want []uint64
	}{
		{"position only", centrifuge.HistoryOptions{}, nil},
		{"position only, with since", centrifuge.HistoryOptions{Since: at(5)}, nil},
		{"all", centrifuge.HistoryOptions{Limit: -1}, []uint64{4, 5, 6, 7, 8}},
		{"two", centrifuge.HistoryOptions{Limit: 2}, []uint64{4, 5}},
		{"more than there is", centrifuge.HistoryOptions{Limit: 100}, []uint64{4, 5, 6, 7, 8}},
		{"since", centrifuge.HistoryOptions{Limit: -1, Since: at(6)}, []uint64{7, 8}},
		{"since, one", centrifuge.HistoryOptions{Limit: 1, Since: at(6)}, []uint64{7}},
		{"since any epoch", centrifuge.HistoryOptions{Limit: -1, Since: &centrifuge.StreamPosition{Offset: 7}}, []uint64{8}},
		{"since the epoch alone", centrifuge.HistoryOptions{Limit: 2, Since: at(0)}, []uint64{4, 5}},
		{"since what is gone", centrifuge.HistoryOptions{Limit: 1, Since: at(1)}, []uint64{4}},
		{"since the top", centrifuge.HistoryOptions{Limit: -1, Since: at(8)}, nil},
		{"since beyond the top", centrifuge.HistoryOptions{Limit: -1, Since: at(100)}, nil},
		{"newest first", centrifuge.HistoryOptions{Limit: -1, Reverse: true}, []uint64{8, 7, 6, 5, 4}},
		{"newest", centrifuge.HistoryOptions{Limit: 1, Reverse: true}, []uint64{8}},
		{"newest first, before", centrifuge.HistoryOptions{Limit: 2, Since: at(7), Reverse: true}, []uint64{6, 5}},
		{"before the oldest", centrifuge.HistoryOptions{Limit: -1, Since: at(4), Reverse: true}, nil},
		{"before what is gone", centrifuge.HistoryOptions{Limit: -1, Since: at(2), Reverse: true}, nil},
	} {
		result := h.read(t, c.opts)
		if got := offsets(result); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		if result.Offset != 8 || result.Epoch != epoch {
			t.Errorf("%s: position %+v; want result.Offset 8 and result.Epoch %v", c.name, result.StreamPosition, epoch)
		}
	}
}

func testRefusedPositions(t *testing.T, h *historyCase) {
	h.publish(t, h.channel, "1", kept)
	for _, c := range []struct {
		opts centrifuge.HistoryOptions
		want error
	}{
		{centrifuge.HistoryOptions{Limit: 1, Since: &centrifuge.StreamPosition{Offset: 1, Epoch: "other"}}, centrifuge.ErrorUnrecoverablePosition},
		{centrifuge.HistoryOptions{Since: &centrifuge.StreamPosition{Epoch: "_"}}, centrifuge.ErrorUnrecoverablePosition},
		{centrifuge.HistoryOptions{Limit: 1, Since: &centrifuge.StreamPosition{}, Reverse: true}, centrifuge.ErrorBadRequest},
	} {
		if _, err := h.history.History(t.Context(), h.channel, c.opts); !errors.Is(err, c.want) {
			t.Errorf("since %+v: got %v, want %v", c.opts.Since, err, c.want)
		}
	}
}

func testIdempotency(t *testing.T, h *historyCase) {
	once := kept
	once.IdempotencyKey = "key"
	first := h.publish(t, h.channel, "1", once)
	h.publish(t, h.channel, "2", kept)
	again := h.publish(t, h.channel, "3", once)
	if again.Suppressed != centrifuge.SuppressedIdempotency || again.StreamPosition != first.StreamPosition {
		t.Errorf("got %+v, want the position of %+v", again, first)
	}
	h.wantOffsets(t, 1, 2)
}

func testIdempotencyTTL(t *testing.T, h *historyCase) {
	once := kept
	once.IdempotencyKey, once.IdempotencyTTL = "key", shortTTL
	h.publish(t, h.channel, "1", once)
	await.Until(t, "the key is forgotten", func() bool {
		return h.publish(t, h.channel, "2", once).Suppressed == centrifuge.NotSuppressed
	})
	h.wantOffsets(t, 1, 2)
}

func testVersions(t *testing.T, h *historyCase) {
	h.subscribe(t, h.channel)
	published := uint64(0)
	for _, c := range []struct {
		version    uint64
		epoch      string
		suppressed bool
	}{
		{5, "", false},
		{5, "", true},
		{4, "", true},
		{6, "", false},
		{1, "a", false}, // another epoch
		{1, "a", true},
		{1, "", true}, // any epoch
		{2, "", false},
		{1, "b", false},
	} {
		opts := kept
		opts.Version, opts.VersionEpoch = c.version, c.epoch
		result := h.publish(t, h.channel, fmt.Sprint(published+1), opts)
		if !c.suppressed {
			published++
			h.wantPublication(t, h.channel, fmt.Sprint(published))
		}
		if got := result.Suppressed == centrifuge.SuppressedVersion; got != c.suppressed || result.Offset != published {
			t.Fatalf("version %d of %q: got %+v, want suppressed %v at %d", c.version, c.epoch, result, c.suppressed, published)
		}
	}
	opts := centrifuge.PublishOptions{Version: 1} // without history it has no meaning
	if result := h.publish(t, h.channel, `"plain"`, opts); result.Suppressed != centrifuge.NotSuppressed {
		t.Errorf("got %+v without history; want Suppressed %v", result, centrifuge.NotSuppressed)
	}
	h.wantPublication(t, h.channel, `"plain"`)
}

func testVersionReset(t *testing.T, h *historyCase) {
	versioned := kept
	versioned.Version = 5
	h.publish(t, h.channel, "1", versioned)
	h.publish(t, h.channel, "2", kept)
	if result := h.publish(t, h.channel, "3", versioned); result.Suppressed != centrifuge.NotSuppressed {
		t.Errorf("got %+v; want Suppressed %v", result, centrifuge.NotSuppressed)
	}
	h.wantOffsets(t, 1, 2, 3)
}

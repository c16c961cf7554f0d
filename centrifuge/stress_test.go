package centrifuge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// TestStress runs many short lives of a node with real goroutines: publishers,
// and clients that subscribe, recover, unsubscribe, lose their connection and
// read slowly, over streams that forget quickly. Each client checks that what
// it gets ascends, has no duplicates, and no gap that it was not told of.
func TestStress(t *testing.T) {
	seed, runs := rand.Uint64(), 500
	if text := os.Getenv("STRESS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() {
		runs = 150
	}
	t.Logf("seed %d, %d runs (STRESS_SEED repeats the choices, not the schedule)", seed, runs)
	var seen sightings
	for run := range runs {
		synctest.Test(t, func(t *testing.T) {
			stressRun(t, rand.New(rand.NewPCG(seed, uint64(run))), &seen)
		})
		if t.Failed() {
			t.Fatalf("run %d of seed %d", run, seed)
		}
	}
	t.Logf("seen: %v", seen.counts)
	for _, what := range []string{"publication", "recovered", "unrecovered", "insufficient", "cut", "slow", "unsubscribed", "flipped", "superseded", "other epoch", "subscribed by the server",
		"sound engine", "slow engine", "failing engine", "reordering engine", "dropping engine", "dropping engine that tells", "refused"} {
		if seen.counts[what] == 0 {
			t.Errorf("no run had %q: the test does not test it; want more than 0", what)
		}
	}
}

// sightings counts what the runs came across.
type sightings struct {
	mu     sync.Mutex
	counts map[string]int
}

func (s *sightings) see(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = make(map[string]int)
	}
	s.counts[what]++
}

func stressRun(t *testing.T, r *rand.Rand, seen *sightings) {
	memory := centrifuge.MemoryBrokerConfig{}
	evicts := r.IntN(3) == 0
	if evicts {
		memory.HistoryMaxChannels = 1 // what is published to another channel drops the stream, or its content
	}
	broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(memory)}
	engine, kind := faultyFor(broker, r)
	seen.see(kind)
	config := centrifuge.Config{Broker: engine, Lanes: 1 + r.IntN(4), QueueSize: 2000, PingInterval: -1, WriteTimeout: -1}
	config.Concurrency = 1 + r.IntN(2)*r.IntN(8)
	latest := false
	if r.IntN(2) == 0 {
		batch := centrifuge.BatchOptions{MaxSize: r.IntN(5), MaxDelay: time.Duration(1+r.IntN(5)) * time.Millisecond}
		batch.FlushLatest = r.IntN(2) == 0
		latest = batch.FlushLatest
		config.ChannelBatch = func(string) centrifuge.BatchOptions { return batch }
	}
	s := newSite(t, config, allow(centrifuge.SubscribeOptions{
		Recovery: true, Presence: r.IntN(2) == 0, JoinLeave: r.IntN(2) == 0, PushJoinLeave: r.IntN(2) == 0,
	}))
	const clients = 4
	publishers := 1 + r.IntN(4)
	size, count := 2+r.IntN(12), 20+r.IntN(40)
	var publishing, reading sync.WaitGroup
	for range publishers {
		own := rand.New(rand.NewPCG(r.Uint64(), 1))
		publishing.Go(func() {
			for range count {
				broker.lose.Store(own.IntN(60) == 0)
				if evicts && own.IntN(10) == 0 {
					_, _ = s.Publish(context.Background(), "b", []byte(`1`), centrifuge.PublishOptions{HistorySize: 1, HistoryTTL: time.Hour})
				}
				_, _ = s.Publish(context.Background(), "a", []byte(`{"pad":"0123456789"}`), centrifuge.PublishOptions{HistorySize: size, HistoryTTL: time.Hour})
				pause(own)
			}
		})
	}
	readers := make([]*stressClient, clients)
	for i := range readers {
		readers[i] = &stressClient{site: s, fails: kind == "failing engine", rand: rand.New(rand.NewPCG(r.Uint64(), 2)), format: everyFormat[r.IntN(len(everyFormat))], seen: seen, latest: latest}
		reading.Go(readers[i].run)
	}
	publishing.Wait()
	broker.lose.Store(false)
	engine.Set(centrifugetest.Faults{})
	_, _ = s.Publish(context.Background(), "a", []byte(`"last"`), centrifuge.PublishOptions{HistorySize: size, HistoryTTL: time.Hour})
	reading.Wait()
	if s.Stats().PublicationsSuperseded > 0 {
		seen.see("superseded")
	}
	top, err := s.History(t.Context(), "a", centrifuge.HistoryOptions{})
	must(t, err)
	if kind == "failing engine" {
		s.logged()
	}
	for i, c := range readers {
		if c.failure != "" {
			t.Errorf("client %d (%s): %s\n%s", i, formatName(c.format), c.failure, strings.Join(c.log, "\n"))
		} else if c.at != top.StreamPosition {
			t.Errorf("client %d is at %v in the end; want %v\n%s", i, c.at, top.StreamPosition, strings.Join(c.log, "\n"))
		}
	}
}

// faultyFor gives a broker one kind of faults, or none.
func faultyFor(broker *lossyBroker, r *rand.Rand) (engine *centrifugetest.FaultyBroker, kind string) {
	kinds := []struct {
		name   string
		faults centrifugetest.Faults
	}{
		{"sound engine", centrifugetest.Faults{}},
		{"slow engine", centrifugetest.Faults{MaxDelay: 20 * time.Millisecond}},
		{"failing engine", centrifugetest.Faults{Fail: 0.1, FailLate: 0.1, MaxDelay: 2 * time.Millisecond}},
		{"reordering engine", centrifugetest.Faults{Reorder: 0.05, Duplicate: 0.1, MaxDelay: 5 * time.Millisecond}},
		{"dropping engine", centrifugetest.Faults{Drop: 0.05, Duplicate: 0.05, MaxDelay: 5 * time.Millisecond}},
		{"dropping engine that tells", centrifugetest.Faults{Drop: 0.05, TellGaps: true, MaxDelay: 5 * time.Millisecond}},
	}
	k := kinds[r.IntN(len(kinds))]
	return centrifugetest.NewFaultyBroker(broker, r.Uint64(), k.faults), k.name
}

// pause lets the others run, in one of the ways in which they may.
func pause(r *rand.Rand) {
	switch r.IntN(8) {
	case 0:
		time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
	case 1:
		time.Sleep(time.Nanosecond)
	}
}

// stressClient keeps a position as an SDK does.
type stressClient struct {
	site   *site
	rand   *rand.Rand
	format protocol.Format
	seen   *sightings
	latest bool // publications may be left out of a batch
	fails  bool // commands may be refused with an internal error

	peer    *peer
	at      centrifuge.StreamPosition  // of the last publication
	known   bool                       // at is a position
	state   string                     // of the subscription: one of the below
	resumes *centrifuge.StreamPosition // where a flip goes on, see step
	log     []string
	failure string
}

const (
	without       = ""
	subscribing   = "subscribing"
	byServer      = "subscribing by the server"
	subscribed    = "subscribed"
	unsubscribing = "unsubscribing"
)

func (c *stressClient) note(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf(format, args...))
}

func (c *stressClient) fail(format string, args ...any) {
	if c.failure == "" {
		c.failure = fmt.Sprintf(format, args...)
	}
}

// run acts at random, then catches up once more and stays.
func (c *stressClient) run() {
	for range 5 + c.rand.IntN(25) {
		c.step()
		c.read()
		pause(c.rand)
	}
	time.Sleep(time.Hour) // the publishers have ended
	for range 3 {         // slow readers may fall behind once more
		c.read()
		c.ensureSubscribed()
		time.Sleep(time.Second)
		c.read()
	}
	if c.peer != nil {
		c.peer.Cut()
	}
}

func (c *stressClient) step() {
	if c.rand.IntN(4) == 0 && c.subscribeByServer() {
		return
	}
	c.ensureSubscribed()
	switch c.rand.IntN(12) {
	case 0:
		c.note("cut")
		c.seen.see("cut")
		c.peer.Cut()
	case 1:
		if c.state == subscribed {
			c.note("unsubscribe")
			c.seen.see("unsubscribed")
			c.state = unsubscribing
			c.peer.commands(`{"id":9,"unsubscribe":{"channel":"a"}}`)
		}
	case 2:
		c.note("stick")
		c.peer.Stick(true)
		time.Sleep(time.Duration(c.rand.IntN(50)) * time.Millisecond)
		c.peer.Stick(false)
	case 3:
		c.note("unsubscribed by the server")
		c.peer.Client.Client().Unsubscribe("a", centrifuge.UnsubscribeInsufficient)
	case 4:
		time.Sleep(40 * time.Second) // a tick may find the position lost
	case 5:
		if c.state == subscribed {
			c.flip()
		}
	}
}

// flip unsubscribes and subscribes again without waiting for a reply, in one
// message or in two.
func (c *stressClient) flip() {
	c.note("flip at %v", c.at)
	c.seen.see("flipped")
	at := c.at
	c.resumes, c.state = &at, unsubscribing
	commands := []string{`{"id":9,"unsubscribe":{"channel":"a"}}`, c.subscribe()}
	if c.rand.IntN(2) == 0 {
		c.peer.commands(commands...)
		return
	}
	c.peer.commands(commands[0])
	c.peer.commands(commands[1])
}

func (c *stressClient) subscribe() string {
	request := `{"id":2,"subscribe":{"channel":"a"`
	if c.known {
		request += fmt.Sprintf(`,"recover":true,"offset":%d,"epoch":"%s"`, c.at.Offset, c.at.Epoch)
	}
	c.note("%s", request)
	return request + "}}"
}

// subscribeByServer makes the application subscribe a connected client, from its
// position. The push of V1 tells neither its position nor whether it was recovered.
func (c *stressClient) subscribeByServer() bool {
	if c.peer == nil || c.state != without || c.format.V1() {
		return false
	}
	if _, ended := c.peer.Ended(); ended {
		return false
	}
	c.note("subscribed by the server from %v", c.at)
	c.state = byServer
	options := centrifuge.SubscribeOptions{Recovery: true}
	if c.known {
		at := c.at
		options.RecoverSince = &at
	}
	_ = c.site.Subscribe(context.Background(), centrifuge.Target{User: "u", Client: c.peer.Client.Client().ID()}, "a", options)
	c.read()
	if c.state == byServer { // the connection has ended or is about to be
		c.state = without
	}
	return true
}

// subscribedByServer: the offset is the client's own where everything follows,
// otherwise the top.
func (c *stressClient) subscribedByServer(p *protocol.Subscribe) {
	c.seen.see("subscribed by the server")
	c.note("subscribe push: %s, offset %d", p.Epoch, p.Offset)
	if c.state != byServer {
		c.fail("a subscribe push while %q", c.state)
	}
	c.state, c.known = subscribed, true
	c.at = centrifuge.StreamPosition{Offset: p.Offset, Epoch: p.Epoch}
}

// ensureSubscribed connects and subscribes where needed, recovering if there is
// a position.
func (c *stressClient) ensureSubscribed() {
	if c.peer != nil {
		if why, ended := c.peer.Ended(); ended {
			c.read()
			if why.Code == centrifuge.DisconnectSlow.Code {
				c.seen.see("slow")
			}
			c.note("the connection has ended: %v", why)
			c.peer, c.state, c.resumes = nil, without, nil
		}
	}
	if c.peer == nil {
		c.peer = c.site.dial(c.format, transport(c.format), "u")
		c.peer.commands(`{"id":1,"connect":{}}`)
	}
	if c.state != without {
		return
	}
	c.peer.commands(c.subscribe())
	c.state = subscribing
}

// read takes what has come.
func (c *stressClient) read() {
	for c.peer != nil && c.peer.Pending() > 0 {
		reply := c.peer.Read()
		switch {
		case reply.Error != nil && c.fails && reply.Error.Code == centrifuge.ErrorInternal.Code && c.state == subscribing:
			c.note("refused")
			c.seen.see("refused")
			c.state = without
		case reply.Error != nil:
			c.fail("an error: %+v", reply.Error)
		case reply.Subscribe != nil:
			c.subscribedTo(reply.Subscribe)
		case reply.Unsubscribe != nil:
			c.note("unsubscribed")
			c.state = without
			if c.resumes != nil { // it was asked for already
				c.at, c.state, c.resumes = *c.resumes, subscribing, nil
			}
		case reply.Push == nil:
		case reply.Push.Subscribe != nil:
			c.subscribedByServer(reply.Push.Subscribe)
		case reply.Push.Unsubscribe != nil:
			c.note("unsubscribe push")
			c.seen.see("insufficient")
			switch c.state {
			case subscribed:
				c.state = without
			case unsubscribing: // its reply follows
			default:
				c.fail("an unsubscribe push while %q", c.state)
			}
		case reply.Push.Pub != nil:
			if c.state != subscribed && c.state != unsubscribing {
				c.fail("publication %d while %q", reply.Push.Pub.Offset, c.state)
			}
			c.publication(reply.Push.Pub)
		}
	}
}

func (c *stressClient) subscribedTo(r *protocol.SubscribeResult) {
	c.note("subscribed: recovered %v, offset %d, %d publications", r.Recovered, r.Offset, len(r.Publications))
	recovering := c.known
	if c.state != subscribing {
		c.fail("a subscribe reply while %q", c.state)
	}
	c.state, c.known = subscribed, true
	if !recovering || !r.Recovered {
		if recovering {
			c.seen.see("unrecovered")
			if c.at.Epoch != r.Epoch {
				c.seen.see("other epoch")
			}
		}
		c.at = centrifuge.StreamPosition{Offset: r.Offset, Epoch: r.Epoch} // it knows that there is a gap
		return
	}
	c.seen.see("recovered")
	if c.at.Epoch != r.Epoch {
		c.fail("recovered from another epoch")
	}
	for _, pub := range r.Publications {
		c.publication(pub)
	}
	if c.format.V1() && c.at.Offset != r.Offset {
		c.fail("recovered up to %d, the top is %d", c.at.Offset, r.Offset)
	}
}

func (c *stressClient) publication(pub *protocol.Publication) {
	c.seen.see("publication")
	c.note("publication %d", pub.Offset)
	if pub.Epoch != "" && pub.Epoch != c.at.Epoch {
		c.fail("publication %d of another epoch", pub.Offset)
	}
	if pub.Offset != c.at.Offset+1 && (!c.latest || pub.Offset <= c.at.Offset) {
		c.fail("publication %d after %d", pub.Offset, c.at.Offset)
	}
	c.at.Offset = pub.Offset
}

package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
)

// newCluster returns nodes that know each other.
func newCluster(t *testing.T, n int, handlers centrifuge.Handlers) []*site {
	t.Helper()
	bus := centrifugetest.NewBus()
	sites := make([]*site, n)
	for i := range sites {
		sites[i] = newSite(t, centrifuge.Config{Name: fmt.Sprint(i), Controller: bus.Controller(), PingInterval: -1}, handlers)
	}
	synctest.Wait()
	return sites
}

// nodes returns what the node knows of its cluster.
func (s *site) nodes() []centrifuge.NodeInfo {
	s.t.Helper()
	infos, err := s.Info(s.t.Context())
	must(s.t, err)
	return infos
}

// TestCluster checks that the calls which act on users reach every node.
func TestCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 3, allow(centrifuge.SubscribeOptions{}))
		var peers []*peer
		for _, s := range sites {
			p := s.connect(jsonV2, "u")
			p.commands(subscribeA)
			p.received()
			peers = append(peers, p)
		}
		a, target := sites[0], centrifuge.Target{User: "u"}
		expect := func(want ...string) {
			t.Helper()
			for _, p := range peers {
				p.expect(want...)
			}
		}
		must(t, a.Subscribe(t.Context(), target, "srv", centrifuge.SubscribeOptions{Data: []byte(`1`), Recovery: true}))
		expect(`{"push":{"channel":"srv","subscribe":{"recoverable":true,"epoch":"<e>","positioned":true,"data":1}}}`)
		must(t, a.Refresh(t.Context(), target, centrifuge.RefreshOptions{ExpireAt: time.Now().Unix() + 60}))
		expect(`{"push":{"refresh":{"expires":true,"ttl":60}}}`)
		must(t, a.Unsubscribe(t.Context(), target, "srv", centrifuge.UnsubscribeServer))
		expect(`{"push":{"channel":"srv","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
		for _, s := range sites {
			if infos := s.nodes(); len(infos) != 3 || infos[0].ID != s.ID() {
				t.Errorf("Info() = %+v; want 3 nodes, %s first", infos, s.ID())
			}
			channels, err := s.Channels(t.Context(), "a*")
			must(t, err)
			if len(channels) != 1 || channels["a"].Clients != 3 {
				t.Errorf(`Channels("a*") = %v; want 3 clients of a`, channels)
			}
		}
		if _, err := a.Channels(t.Context(), "["); err == nil {
			t.Error(`Channels("[") succeeded; want an error`)
		}
		except := centrifuge.Target{User: "u", Except: []string{peers[1].Client.Client().ID()}}
		must(t, a.Disconnect(t.Context(), except, centrifuge.DisconnectForceNoReconnect))
		peers[0].expect("close 3503 force disconnect")
		peers[1].expect()
		peers[2].expect("close 3503 force disconnect")
	})
}

// TestControlOrder checks that the actions of one caller are applied in their order.
func TestControlOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 2, centrifuge.Handlers{})
		p := sites[1].connect(jsonV2, "u")
		target := centrifuge.Target{User: "u"}
		for range 200 {
			must(t, sites[0].Subscribe(t.Context(), target, "srv", centrifuge.SubscribeOptions{}))
			must(t, sites[0].Unsubscribe(t.Context(), target, "srv", centrifuge.UnsubscribeServer))
		}
		if got := p.received(); len(got) != 400 || sites[1].NumSubscribers("srv") != 0 {
			t.Errorf("%d pushes, %d subscribers; want 400 and 0", len(got), sites[1].NumSubscribers("srv"))
		}
	})
}

// TestPanicsByControlMessages checks that a handler which panics because of a control
// message closes the connections for which it was called, on every node.
func TestPanicsByControlMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 2, panicking("Unsubscribed"))
		var peers []*peer
		for _, s := range sites {
			p := s.connect(jsonV2, "u")
			p.commands(subscribeA)
			p.received()
			peers = append(peers, p)
		}
		must(t, sites[0].Unsubscribe(t.Context(), centrifuge.Target{User: "u"}, "a", centrifuge.UnsubscribeServer))
		for i, p := range peers {
			p.received()
			if why, ended := p.Ended(); !ended || why.Code != centrifuge.DisconnectServerError.Code {
				t.Errorf("ended %v with %v; want true with %v", ended, why, centrifuge.DisconnectServerError)
			}
			if got := len(sites[i].logged()); got == 0 {
				t.Errorf("the panic was not logged: len(sites[i].logged()) = %v; want more than 0", got)
			}
		}
	})
}

// TestShutdownNotice checks that a node that shuts down is removed at once, and is not
// added again.
func TestShutdownNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 3, centrifuge.Handlers{})
		time.Sleep(time.Minute)
		want := func(n int, when string) {
			t.Helper()
			if got := len(sites[0].nodes()); got != n {
				t.Errorf("%s Info() has %d nodes; want %d", when, got, n)
			}
		}
		want(3, "after a minute")
		must(t, sites[2].Shutdown(t.Context()))
		synctest.Wait()
		want(2, "after a shutdown")
		time.Sleep(time.Minute)
		want(2, "a minute after a shutdown")
	})
}

// TestShutdownNoticeWhileDraining checks that a node that waits for its last client is
// not added again, and that no survey waits for it.
func TestShutdownNoticeWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		sites := newCluster(t, 2, centrifuge.Handlers{
			Disconnected: func(context.Context, centrifuge.DisconnectedEvent) { <-release },
		})
		sites[1].connect(jsonV2, "u")
		done := make(chan error)
		go func() { done <- sites[1].Shutdown(context.Background()) }()
		time.Sleep(time.Minute)
		if infos := sites[0].nodes(); len(infos) != 1 {
			t.Errorf("Info() has %d nodes; want 1", len(infos))
		}
		if _, err := sites[0].Channels(t.Context(), ""); err != nil {
			t.Errorf("Channels() = %v; want no error", err)
		}
		close(release)
		must(t, <-done)
	})
}

// muteController receives nothing after mute is closed. It still sends.
type muteController struct {
	*centrifugetest.BusController
	mute chan struct{}
}

// Start implements centrifuge.Controller.
func (c muteController) Start(nodeID string, h centrifuge.ControlHandler) error {
	return c.BusController.Start(nodeID, func(message []byte) {
		select {
		case <-c.mute:
		default:
			h(message)
		}
	})
}

// TestSurveyIncomplete checks that a node that does not answer is named by the error,
// and that one that shuts down meanwhile is not waited for.
func TestSurveyIncomplete(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			bus := centrifugetest.NewBus()
			mute := muteController{bus.Controller(), make(chan struct{})}
			a := newSite(t, centrifuge.Config{Controller: bus.Controller()}, centrifuge.Handlers{})
			b := newSite(t, centrifuge.Config{Controller: mute}, centrifuge.Handlers{})
			synctest.Wait()
			close(mute.mute)
			start, want := time.Now(), 10*time.Second
			if leaves {
				want = 3 * time.Second
				time.AfterFunc(want, func() { must(t, b.Shutdown(context.Background())) })
			}
			_, err := a.Channels(t.Context(), "")
			var incomplete *centrifuge.SurveyError
			switch {
			case leaves && err != nil:
				t.Errorf("Channels() = %v; want no error", err)
			case !leaves && (!errors.As(err, &incomplete) || !slices.Equal(incomplete.Missing, []string{b.ID()}) || !errors.Is(err, context.DeadlineExceeded)):
				t.Errorf("Channels() = %v; want a SurveyError that names %s", err, b.ID())
			}
			if got := time.Since(start).Round(time.Second); got != want {
				t.Errorf("Channels() took %v; want %v", got, want)
			}
		})
	}
}

// TestSurveyOfCrashedNode checks that a survey does not wait for a node that has
// expired, and names it.
func TestSurveyOfCrashedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := centrifugetest.NewBus()
		crashed := bus.Controller()
		s := newSite(t, centrifuge.Config{Controller: bus.Controller()}, centrifuge.Handlers{})
		must(t, crashed.Start("crashed", func([]byte) {}))
		must(t, crashed.PublishControl(t.Context(), "", []byte(`{"v":1,"op":"info","from":"crashed","info":{"name":"x"}}`)))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := s.Survey(ctx, "x", nil, "")
		var incomplete *centrifuge.SurveyError
		if !errors.As(err, &incomplete) || !slices.Equal(incomplete.Missing, []string{"crashed"}) || incomplete.Cause != nil {
			t.Errorf("Survey() = %v; want a SurveyError that names the node", err)
		}
		if got := time.Since(start); got > 11*time.Second {
			t.Errorf("Survey() took %v; want at most 11 s", got)
		}
		must(t, crashed.Close(t.Context()))
	})
}

// stranger sends control messages to the cluster of s, as a node that it does not know.
func stranger(t *testing.T, bus *centrifugetest.Bus, messages ...string) {
	t.Helper()
	c := bus.Controller()
	must(t, c.Start("stranger", func([]byte) {}))
	for _, message := range messages {
		must(t, c.PublishControl(t.Context(), "", []byte(message)))
	}
	synctest.Wait()
	must(t, c.Close(t.Context()))
}

// TestMalformedControlMessages checks that they are counted, logged once, and have no
// other effect.
func TestMalformedControlMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := centrifugetest.NewBus()
		s := newSite(t, centrifuge.Config{Controller: bus.Controller(), LogLevel: centrifuge.LogWarn}, centrifuge.Handlers{})
		messages := []string{
			``, `{`, `[]`, `{"op":"shutdown"}`, `{"v":1,"op":"subscribe","from":"x"}`, `{"v":1,"op":"info","from":"x"}`,
			`{"v":1,"op":"disconnect","from":"x","disconnect":[]}`, `{"v":1,"op":"answer","from":"x","answer":{}}`,
		}
		stranger(t, bus, messages...)
		if stats := s.Stats(); stats.ControlMalformed != uint64(len(messages)) || stats.ControlReceived != 0 {
			t.Errorf("%d messages are malformed, %d received; want %d, 0", stats.ControlMalformed, stats.ControlReceived, len(messages))
		}
		if logged := s.logged(); len(logged) != 1 {
			t.Errorf("logged %q; want one line", logged)
		}
		stranger(t, bus, `{"v":1,"op":"answer","from":"x","call":7,"answer":{}}`) // no call waits for it
		if infos := s.nodes(); len(infos) != 1 {
			t.Errorf("Info() has %d nodes; want 1", len(infos))
		}
	})
}

// TestOtherReleases checks that what a newer release sends is ignored, counted and
// logged once, while what both releases know is applied.
func TestOtherReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := centrifugetest.NewBus()
		s := newSite(t, centrifuge.Config{Controller: bus.Controller(), LogLevel: centrifuge.LogWarn, PingInterval: -1}, centrifuge.Handlers{})
		p := s.connect(jsonV2, "u")
		for range 100 {
			stranger(t, bus, `{"v":2,"op":"disconnect","from":"x","who":"everybody"}`, `{"v":1,"op":"dance","from":"x","dance":{"steps":3}}`)
		}
		p.expect()
		if stats := s.Stats(); stats.ControlIgnored != 200 || stats.ControlMalformed != 0 {
			t.Errorf("%d messages are ignored, %d malformed; want 200, 0", stats.ControlIgnored, stats.ControlMalformed)
		}
		if logged := s.logged(); len(logged) != 1 {
			t.Errorf("logged %q; want one line", logged)
		}
		stranger(t, bus, `{"v":1,"op":"disconnect","from":"x","urgent":true,"disconnect":{"target":{"user":"u","since":1},"code":3503,"reason":"bye","grace":[1]}}`)
		p.expect("close 3503 bye")
	})
}

// TestUnknownCall checks that a call of an operation that this release does not know is
// answered at once.
func TestUnknownCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := centrifugetest.NewBus()
		newSite(t, centrifuge.Config{Controller: bus.Controller()}, centrifuge.Handlers{})
		newer := bus.Controller()
		var got []string
		must(t, newer.Start("newer", func(message []byte) { got = append(got, string(message)) }))
		must(t, newer.PublishControl(t.Context(), "", []byte(`{"v":1,"op":"dance","from":"newer","call":3}`)))
		synctest.Wait()
		if len(got) != 2 || !strings.Contains(got[1], `"op":"answer"`) || !strings.Contains(got[1], `"call":3,"answer":{"error":{"code":108`) {
			t.Errorf("got %q; want an answer that says not available", got)
		}
		must(t, newer.Close(t.Context()))
	})
}

// TestMetricsOfNodes checks that metrics reach the other nodes, without what JSON
// cannot carry.
func TestMetricsOfNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 2, centrifuge.Handlers{})
		sites[0].SetMetrics(&centrifuge.NodeMetrics{Interval: 60, Items: map[string]float64{"a": 1.5, "nan": math.NaN(), "inf": math.Inf(1)}})
		time.Sleep(4 * time.Second)
		got := sites[1].nodes()[1].Metrics
		if got == nil || got.Interval != 60 || !maps.Equal(got.Items, map[string]float64{"a": 1.5}) {
			t.Errorf("the other node has metrics %+v; want a of 60 s", got)
		}
	})
}

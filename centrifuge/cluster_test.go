package centrifuge_test

import (
	"context"
	"fmt"
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

// TestCluster: the calls that act on users reach every node.
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
			infos, err := s.Info(t.Context())
			must(t, err)
			if len(infos) != 3 || infos[0].ID != s.ID() {
				t.Errorf("info %+v", infos)
			}
			channels, err := s.Channels(t.Context(), "a*")
			must(t, err)
			if len(channels) != 1 || channels["a"].Clients != 3 {
				t.Errorf("channels %v", channels)
			}
		}
		if _, err := a.Channels(t.Context(), "["); err == nil {
			t.Error("a bad pattern was taken")
		}
		except := centrifuge.Target{User: "u", Except: []string{peers[1].Client.Client().ID()}}
		must(t, a.Disconnect(t.Context(), except, centrifuge.DisconnectForceNoReconnect))
		peers[0].expect("close 3503 force disconnect")
		peers[1].expect()
		peers[2].expect("close 3503 force disconnect")
	})
}

// TestControlOrders of one caller are carried out in their order.
func TestControlOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 2, centrifuge.Handlers{})
		p := sites[1].connect(jsonV2, "u")
		target := centrifuge.Target{User: "u"}
		for range 200 {
			must(t, sites[0].Subscribe(t.Context(), target, "srv", centrifuge.SubscribeOptions{}))
			must(t, sites[0].Unsubscribe(t.Context(), target, "srv", centrifuge.UnsubscribeServer))
		}
		if got := p.received(); len(got) != 400 || sites[1].NumSubscribers("srv") != 0 {
			t.Errorf("%d pushes, %d subscribers", len(got), sites[1].NumSubscribers("srv"))
		}
	})
}

// TestPanicsByOrders: a handler that panics for an order ends the connections
// that it worked for, wherever they are.
func TestPanicsByOrders(t *testing.T) {
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
				t.Errorf("ended %v with %v", ended, why)
			}
			if len(sites[i].logged()) == 0 {
				t.Error("the panic was not logged")
			}
		}
	})
}

// TestFarewell: a node that leaves is forgotten at once, one that crashes later.
func TestFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 3, centrifuge.Handlers{})
		nodes := func() int {
			infos, err := sites[0].Info(t.Context())
			must(t, err)
			return len(infos)
		}
		time.Sleep(time.Minute)
		if n := nodes(); n != 3 {
			t.Fatalf("%d nodes", n)
		}
		must(t, sites[2].Shutdown(t.Context()))
		synctest.Wait()
		if n := nodes(); n != 2 {
			t.Errorf("%d nodes after a farewell", n)
		}
		time.Sleep(time.Minute)
		if n := nodes(); n != 2 {
			t.Errorf("%d nodes a minute after a farewell", n)
		}
	})
}

// TestFarewellWhileDraining: a node that waits for its last client is not met again.
func TestFarewellWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		sites := newCluster(t, 2, centrifuge.Handlers{
			Disconnected: func(context.Context, centrifuge.DisconnectedEvent) { <-release },
		})
		sites[1].connect(jsonV2, "u")
		done := make(chan error)
		go func() { done <- sites[1].Shutdown(context.Background()) }()
		time.Sleep(time.Minute)
		if infos, _ := sites[0].Info(t.Context()); len(infos) != 1 {
			t.Errorf("%d nodes", len(infos))
		}
		if _, err := sites[0].Channels(t.Context(), ""); err != nil {
			t.Errorf("the survey waits for a node that has said farewell: %v", err)
		}
		close(release)
		must(t, <-done)
	})
}

// muteController lets the node speak, and hear nothing, while mute.
type muteController struct {
	*centrifugetest.BusController
	mute chan struct{} // closed: mute
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

// TestSurveyIncomplete: a node that does not answer is named by an error, and
// one that says farewell meanwhile is not waited for.
func TestSurveyIncomplete(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			bus := centrifugetest.NewBus()
			mute := muteController{bus.Controller(), make(chan struct{})}
			a := newSite(t, centrifuge.Config{Controller: bus.Controller()}, centrifuge.Handlers{})
			b := newSite(t, centrifuge.Config{Controller: mute}, centrifuge.Handlers{})
			synctest.Wait()
			close(mute.mute)
			start := time.Now()
			if leaves {
				time.AfterFunc(3*time.Second, func() { must(t, b.Shutdown(context.Background())) })
			}
			_, err := a.Channels(t.Context(), "")
			if (err == nil) != leaves {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			if want := map[bool]time.Duration{false: 10 * time.Second, true: 3 * time.Second}[leaves]; time.Since(start).Round(time.Second) != want {
				t.Errorf("it took %v", time.Since(start))
			}
		})
	}
}

// TestMalformedControlMessages are logged or ignored, and harm nobody.
func TestMalformedControlMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := centrifugetest.NewBus()
		stranger := bus.Controller()
		must(t, stranger.Start("stranger", func([]byte) {}))
		s := newSite(t, centrifuge.Config{Controller: bus.Controller()}, centrifuge.Handlers{})
		for _, message := range []string{
			``, `{`, `[]`, `{"op":"dance"}`, `{"op":"subscribe"}`, `{"op":"unsubscribe"}`, `{"op":"disconnect"}`, `{"op":"refresh"}`,
			`{"op":"info"}`, `{"op":"answer","survey":7}`, `{"op":"subscribe","channel":"a"}`, `{"op":"ask","pattern":"["}`,
		} {
			must(t, stranger.PublishControl(t.Context(), "", []byte(message)))
		}
		synctest.Wait()
		s.logged()
		if infos, err := s.Info(t.Context()); err != nil || len(infos) != 1 {
			t.Errorf("info %v, %v", infos, err)
		}
		must(t, stranger.Close(t.Context()))
	})
}

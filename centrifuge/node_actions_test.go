package centrifuge_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestServerSideAtRunTime checks subscriptions that the server makes after a client has
// connected (protocol.md 5.6).
func TestServerSideAtRunTime(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		handlers := allow(centrifuge.SubscribeOptions{})
		var ended []centrifuge.UnsubscribedEvent
		handlers.Unsubscribed = func(_ context.Context, e centrifuge.UnsubscribedEvent) { ended = append(ended, e) }
		s := newSite(t, centrifuge.Config{}, handlers)
		s.publishRun("srv", 3, 10)
		p, other := s.connect(format, "u"), s.connect(format, "v")
		target := centrifuge.Target{User: "u"}
		must(t, s.Subscribe(t.Context(), target, "srv", centrifuge.SubscribeOptions{Recovery: true, Data: []byte(`{"d":1}`)}))
		p.expect(`{"push":{"channel":"srv","subscribe":{"recoverable":true,"epoch":"<e>","offset":3,"positioned":true,"data":{"d":1}}}}`)
		must(t, s.Subscribe(t.Context(), target, "srv", centrifuge.SubscribeOptions{})) // it is already
		p.expect()
		p.commands(`{"id":2,"subscribe":{"channel":"srv"}}`)
		p.expect(refused(2, centrifuge.ErrorAlreadySubscribed))
		s.publish("srv", `4`, history)
		p.expect(`{"push":{"channel":"srv","pub":{"data":4,"offset":4}}}`)
		must(t, s.Unsubscribe(t.Context(), target, "srv", centrifuge.UnsubscribeServer))
		p.expect(`{"push":{"channel":"srv","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
		s.publish("srv", `5`, history)
		must(t, s.Unsubscribe(t.Context(), target, "srv", centrifuge.UnsubscribeServer)) // it is not any more
		p.expect()
		other.expect()
		if len(ended) != 1 || !ended[0].ServerSide || ended[0].Unsubscribe != centrifuge.UnsubscribeServer {
			t.Errorf("Unsubscribed was called with %+v; want one server-side subscription", ended)
		}
	})
}

// TestSubscribeSince checks that missed publications follow the subscribe push.
func TestSubscribeSince(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		s.publishRun("srv", 3, 10)
		p := s.connect(format, "u")
		must(t, s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "srv", centrifuge.SubscribeOptions{
			Recovery: true, RecoverSince: &centrifuge.StreamPosition{Offset: 1},
		}))
		offset := `1`
		if format.V1() {
			offset = `3`
		}
		p.expect(`{"push":{"channel":"srv","subscribe":{"recoverable":true,"epoch":"<e>","offset":`+offset+`,"positioned":true}}}`,
			`{"push":{"channel":"srv","pub":{"data":{"i":2},"offset":2}}}`,
			`{"push":{"channel":"srv","pub":{"data":{"i":3},"offset":3}}}`)
		s.publish("srv", `4`, history)
		p.expect(`{"push":{"channel":"srv","pub":{"data":4,"offset":4}}}`)
	})
}

// TestTarget checks which connections a target selects.
func TestTarget(t *testing.T) {
	for _, test := range []struct {
		name   string
		target func(ids []string, sessions []string) centrifuge.Target
		hit    []int
	}{
		{"user", func([]string, []string) centrifuge.Target { return centrifuge.Target{User: "u"} }, []int{0, 1}},
		{"anonymous", func([]string, []string) centrifuge.Target { return centrifuge.Target{} }, []int{3}},
		{"no connection", func([]string, []string) centrifuge.Target { return centrifuge.Target{User: "x"} }, nil},
		{"client", func(ids, _ []string) centrifuge.Target { return centrifuge.Target{User: "u", Client: ids[1]} }, []int{1}},
		{"client of another user", func(ids, _ []string) centrifuge.Target { return centrifuge.Target{User: "u", Client: ids[2]} }, nil},
		{"client without a user", func(ids, _ []string) centrifuge.Target { return centrifuge.Target{Client: ids[1]} }, []int{1}},
		{"anonymous client", func(ids, _ []string) centrifuge.Target { return centrifuge.Target{Client: ids[3]} }, []int{3}},
		{"unknown client", func([]string, []string) centrifuge.Target { return centrifuge.Target{Client: "x"} }, nil},
		{"client and session", func(ids, sessions []string) centrifuge.Target {
			return centrifuge.Target{Client: ids[1], Session: sessions[1]}
		}, []int{1}},
		{"client and session of another", func(ids, sessions []string) centrifuge.Target {
			return centrifuge.Target{Client: ids[1], Session: sessions[0]}
		}, nil},
		{"client, but not that", func(ids, _ []string) centrifuge.Target {
			return centrifuge.Target{Client: ids[1], Except: ids[1:2]}
		}, nil},
		{"session without a user", func(_, sessions []string) centrifuge.Target {
			return centrifuge.Target{Session: sessions[2]}
		}, []int{2}},
		{"anonymous only", func(ids, _ []string) centrifuge.Target { return centrifuge.Target{Client: ids[1], Anonymous: true} }, nil},
		{"anonymous only, one", func(ids, _ []string) centrifuge.Target { return centrifuge.Target{Client: ids[3], Anonymous: true} }, []int{3}},
		{"session", func(_, sessions []string) centrifuge.Target {
			return centrifuge.Target{User: "u", Session: sessions[0]}
		}, []int{0}},
		{"except", func(ids, _ []string) centrifuge.Target { return centrifuge.Target{User: "u", Except: ids[:1]} }, []int{1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
				var peers []*peer
				var ids, sessions []string
				for _, user := range []string{"u", "u", "v", ""} {
					p := s.dial(jsonV2, centrifuge.TransportInfo{Emulation: true}, user)
					p.commands(`{"id":1,"connect":{}}`)
					result := p.Read().Connect
					peers, ids, sessions = append(peers, p), append(ids, result.Client), append(sessions, result.Session)
				}
				target := test.target(ids, sessions)
				must(t, s.Refresh(t.Context(), target, centrifuge.RefreshOptions{ExpireAt: time.Now().Unix() + 5}))
				for i, p := range peers {
					if hit := len(p.received()) == 1; hit != slices.Contains(test.hit, i) {
						t.Errorf("connection %d: refreshed = %v; want %v", i, hit, !hit)
					}
				}
				must(t, s.Disconnect(t.Context(), target, centrifuge.DisconnectForceNoReconnect))
				for i, p := range peers {
					if hit := len(p.received()) == 1; hit != slices.Contains(test.hit, i) {
						t.Errorf("connection %d: disconnected = %v; want %v", i, hit, !hit)
					}
				}
			})
		})
	}
}

// TestNodeRefresh checks that a new expiry is pushed to the client and applied.
func TestNodeRefresh(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, noPings, centrifuge.Handlers{})
		p := s.connect(format, "u")
		target := centrifuge.Target{User: "u"}
		must(t, s.Refresh(t.Context(), target, centrifuge.RefreshOptions{ExpireAt: time.Now().Unix() + 60}))
		p.expect(`{"push":{"refresh":{"expires":true,"ttl":60}}}`)
		must(t, s.Refresh(t.Context(), target, centrifuge.RefreshOptions{}))
		p.expect(`{"push":{"refresh":{}}}`)
		time.Sleep(2 * time.Minute)
		p.expect()
		must(t, s.Refresh(t.Context(), target, centrifuge.RefreshOptions{Expired: true}))
		p.expect(p.closes(centrifuge.DisconnectExpired))
		p = s.connect(format, "u")
		must(t, s.Refresh(t.Context(), target, centrifuge.RefreshOptions{ExpireAt: 1}))
		p.expect(p.closes(centrifuge.DisconnectExpired))
	})
}

// TestUnsubscribeAll checks that an empty channel means all channels.
func TestUnsubscribeAll(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		p.commands(subscribeA, `{"id":3,"subscribe":{"channel":"b"}}`)
		p.received()
		must(t, s.Unsubscribe(t.Context(), centrifuge.Target{User: "u"}, "", centrifuge.UnsubscribeServer))
		p.expectAnyOrder(`{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`,
			`{"push":{"channel":"b","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
		if n := len(p.Client.Client().Channels()); n != 0 {
			t.Errorf("the client has %d channels; want 0", n)
		}
	})
}

// TestDisconnectAfterWhatIsQueued checks that a client receives what is queued before the
// connection is closed (protocol.md 5.8).
func TestDisconnectAfterWhatIsQueued(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		var told centrifuge.DisconnectedEvent
		handlers := allow(centrifuge.SubscribeOptions{})
		handlers.Disconnected = func(_ context.Context, e centrifuge.DisconnectedEvent) { told = e }
		s := newSite(t, centrifuge.Config{}, handlers)
		p := s.connect(format, "u")
		must(t, p.Client.Client().Send([]byte(`1`)))
		p.Client.Client().Disconnect(centrifuge.Disconnect{Code: 4000, Reason: "bye"})
		p.Client.Client().Disconnect(centrifuge.DisconnectStale) // the first one counts
		p.expect(`{"push":{"message":{"data":1}}}`, p.closes(centrifuge.Disconnect{Code: 4000, Reason: "bye"}))
		if told.Disconnect.Code != 4000 || told.Client != p.Client.Client() {
			t.Errorf("Disconnected was called with %+v; want code 4000", told)
		}
	})
}

// TestInfoAndChannels checks what a node without a cluster reports.
func TestInfoAndChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, noPings, allow(centrifuge.SubscribeOptions{}))
		p, q := s.connect(jsonV2, "u"), s.connect(jsonV2, "v")
		p.commands(`{"id":2,"subscribe":{"channel":"news:a"}}`, `{"id":3,"subscribe":{"channel":"chat"}}`)
		q.commands(`{"id":2,"subscribe":{"channel":"news:a"}}`)
		p.received()
		q.received()
		time.Sleep(time.Minute)
		infos := s.nodes()
		if i := infos[0]; len(infos) != 1 || i.ID != s.ID() || i.Name != s.ID() || i.Version != "test" || i.Uptime < time.Minute || i.Clients != 2 || i.Users != 2 || i.Channels != 2 || i.Subscriptions != 3 {
			t.Errorf("Info() = %+v; want one node with 2 clients of 2 users, 2 channels, 3 subscriptions", i)
		}
		for pattern, want := range map[string]int{"": 2, "news:*": 1, "*a*": 2, "x": 0} {
			channels, err := s.Channels(t.Context(), pattern)
			must(t, err)
			if len(channels) != want {
				t.Errorf("Channels(%q) = %v; want %d channels", pattern, channels, want)
			}
		}
		channels, _ := s.Channels(t.Context(), "news:*")
		if channels["news:a"].Clients != 2 {
			t.Errorf(`Channels("news:*") = %v; want 2 clients of news:a`, channels)
		}
		if _, err := s.Channels(t.Context(), "["); err == nil {
			t.Error(`Channels("[") succeeded; want an error`)
		}
	})
}

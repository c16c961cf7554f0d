package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// TestRecoveryThatNeverArrives: a client that comes back for a recovery which it
// could not take twice is told that it is not recovered.
func TestRecoveryThatNeverArrives(t *testing.T) {
	slow := func(s *site, p *peer) { // what comes behind the reply is too much
		for range 30 {
			s.publish("other", `"`+strings.Repeat("x", 100)+`"`, centrifuge.PublishOptions{})
			synctest.Wait()
		}
		p.received()
	}
	for _, test := range []struct {
		name      string
		end       func(s *site, p *peer)
		stays     bool // the client takes the reply before the end
		size      int  // of publications, 200 if zero
		pause     time.Duration
		other     string // instead of the same position, each second time
		recovered bool   // also the third time
	}{
		{name: "too slow", end: slow},
		{name: "nothing is taken", end: func(*site, *peer) { time.Sleep(2 * time.Second) }},
		{name: "the client does not wait", end: func(_ *site, p *peer) { p.Cut() }},
		{name: "the write fails", end: func(s *site, p *peer) {
			p.Refuse(errors.New("broken"))
			p.Client.Conn().Writable()
		}},
		{name: "taken", stays: true, end: func(_ *site, p *peer) { p.Cut() }, recovered: true},
		{name: "taken, then too slow", stays: true, end: func(s *site, p *peer) { p.Stick(true); slow(s, p) }, recovered: true},
		{name: "small", size: 1, end: slow, recovered: true},
		{name: "closed by the application", end: func(_ *site, p *peer) { p.Client.Client().Disconnect(centrifuge.DisconnectForceReconnect) }, recovered: true},
		{name: "long ago", end: slow, pause: 6 * time.Minute, recovered: true},
		{name: "from another position", end: slow, other: `"offset":2`, recovered: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				handlers := allow(centrifuge.SubscribeOptions{Recovery: true})
				handlers.Connecting = func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
					return centrifuge.ConnectingReply{Subscriptions: map[string]centrifuge.SubscribeOptions{"other": {}}}, nil
				}
				s := newSite(t, centrifuge.Config{QueueSize: 2000, PingInterval: -1, WriteTimeout: time.Second}, handlers)
				size := test.size
				if size == 0 {
					size = 200
				}
				for range 5 {
					s.publish("a", `"`+strings.Repeat("x", size)+`"`, history)
				}
				recover := func(i int, offset string) string {
					p := s.connect(format, "u")
					if i < 2 && !test.stays {
						p.Stick(true)
					}
					p.commands(fmt.Sprintf(`{"id":2,"subscribe":{"channel":"a","recover":true,"epoch":%q,%s}}`, s.epoch("a"), offset))
					synctest.Wait()
					if i < 2 {
						test.end(s, p)
						synctest.Wait()
						if _, ended := p.Ended(); !ended {
							t.Fatal("the connection goes on; want it ended")
						}
						return ""
					}
					return strings.Join(p.received(), "\n")
				}
				for i := range 3 {
					offset := `"offset":1`
					if test.other != "" && i == 1 {
						offset = test.other
					}
					got := recover(i, offset)
					if i == 2 && strings.Contains(got, `"recovered":true`) != test.recovered {
						t.Errorf("recovered: %v, want %v: %.300s", !test.recovered, test.recovered, got)
					}
					time.Sleep(test.pause)
				}
				if test.recovered {
					return
				}
				// It was told once, and may try again.
				if got := recover(3, `"offset":1`); !strings.Contains(got, `"recovered":true`) {
					t.Errorf("%.300s; want %q in it", got, `"recovered":true`)
				}
			})
		})
	}
}

// TestSetbacksAreOfOne: others recover from the same position, and a connect with
// recovered subscriptions makes progress in the end.
func TestSetbacksAreOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := allow(centrifuge.SubscribeOptions{Recovery: true})
		handlers.Connecting = func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			subs := make(map[string]centrifuge.SubscribeOptions)
			for _, channel := range e.Channels {
				subs[channel] = centrifuge.SubscribeOptions{Recovery: true}
			}
			return centrifuge.ConnectingReply{Subscriptions: subs}, nil
		}
		s := newSite(t, centrifuge.Config{QueueSize: 2000, PingInterval: -1, WriteTimeout: time.Second}, handlers)
		for range 5 {
			s.publish("a", `"`+strings.Repeat("x", 200)+`"`, history)
		}
		connect := func(user string, stuck bool) string {
			p := s.dial(jsonV2, transport(jsonV2), user)
			p.Stick(stuck)
			p.commands(fmt.Sprintf(`{"id":1,"connect":{"subs":{"a":{"recover":true,"offset":1,"epoch":%q}}}}`, s.epoch("a")))
			time.Sleep(2 * time.Second)
			return strings.Join(p.received(), "\n")
		}
		connect("u", true)
		connect("u", true)
		if got := connect("v", false); !strings.Contains(got, `"recovered":true`) {
			t.Errorf("another user: %.300s; want %q in it", got, `"recovered":true`)
		}
		if got := connect("u", false); strings.Contains(got, `"recovered":true`) || !strings.Contains(got, `"was_recovering":true`) {
			t.Errorf("%.300s; want no %q in it and %q in it", got, `"recovered":true`, `"was_recovering":true`)
		}
	})
}

package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// notJSON are payloads that Protobuf connections can be sent and JSON ones cannot.
var notJSON = map[string]string{
	"binary": "\xff\xfe", "invalid UTF-8 in a string": "\"a\xffb\"", "half a value": "{", "two values": "1 2", "text": "hello",
	"a surrogate": "\"\xed\xa0\x80\"", "too deep": strings.Repeat("[", protocol.MaxDepth+1) + strings.Repeat("]", protocol.MaxDepth+1),
}

var jsonFormats = []protocol.Format{jsonV2, jsonV1}

// eachNotJSON runs a test with a site for each of notJSON and each format of JSON.
func eachNotJSON(t *testing.T, handlers func(bad string) centrifuge.Handlers, f func(t *testing.T, s *site, format protocol.Format, bad string)) {
	t.Helper()
	for name, bad := range notJSON {
		t.Run(name, func(t *testing.T) {
			inBubble(t, jsonFormats, func(t *testing.T, format protocol.Format) {
				f(t, newSite(t, centrifuge.Config{}, handlers(bad)), format, bad)
			})
		})
	}
}

func allowing(options centrifuge.SubscribeOptions) func(string) centrifuge.Handlers {
	return func(string) centrifuge.Handlers { return allow(options) }
}

// expectWithoutEpoch is expect without the epochs, which V1 has in fewer places.
func (p *peer) expectWithoutEpoch(want ...string) {
	p.t.Helper()
	got := p.received()
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], `,"epoch":"<e>"`, "")
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// TestForeignPublications: what others publish never closes a connection. What
// cannot be sent is left out and counted, live, recovered and in history.
func TestForeignPublications(t *testing.T) {
	eachNotJSON(t, allowing(centrifuge.SubscribeOptions{Recovery: true}), func(t *testing.T, s *site, format protocol.Format, bad string) {
		binary := s.connect(protobufV2, "attacker")
		binary.commands(subscribeA)
		binary.received()
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		s.publish("a", `1`, history)
		binary.Send(&protocol.Command{ID: 5, Publish: &protocol.PublishRequest{Channel: "a", Data: []byte(bad)}})
		synctest.Wait()
		s.publish("a", `3`, history)
		p.expectWithoutEpoch(`{"push":{"channel":"a","pub":{"data":1,"offset":1}}}`, `{"push":{"channel":"a","pub":{"data":3,"offset":3}}}`)
		for range 4 { // three publications, and the answer to the publish
			if r := binary.Read(); r.ID != 5 && string(r.Push.Pub.Data) != []string{"1", bad, "3"}[r.Push.Pub.Offset-1] {
				t.Errorf("Protobuf got %q; want the payload as it was published", r.Push.Pub.Data)
			}
		}
		p.commands(`{"id":3,"history":{"channel":"a","limit":10}}`)
		p.expectWithoutEpoch(`{"id":3,"history":{"publications":[{"data":1,"offset":1},{"data":3,"offset":3}],"offset":3}}`)
		recovering := s.connect(format, "v")
		recovering.commands(`{"id":2,"subscribe":{"channel":"a","recover":true}}`)
		got := strings.ReplaceAll(strings.Join(recovering.received(), " "), `,"epoch":"<e>"`, "")
		if !strings.Contains(got, `"publications":[{"data":1,"offset":1},{"data":3,"offset":3}]`) || !strings.Contains(got, `"recovered":true`) {
			t.Errorf("recovering: %s; want %q in it and %q in it",
				got, `"publications":[{"data":1,"offset":1},{"data":3,"offset":3}]`, `"recovered":true`)
		}
		s.publish("a", `4`, history)
		for _, p := range []*peer{p, recovering} {
			p.expect(`{"push":{"channel":"a","pub":{"data":4,"offset":4}}}`)
		}
		if got := s.Stats(); got.OmittedPublications != 3 || got.OmittedPayloads != 0 {
			t.Errorf("counted %d publications and %d payloads; want 3 and 0", got.OmittedPublications, got.OmittedPayloads)
		}
		for _, p := range []*peer{p, recovering, binary} {
			if why, ended := p.Ended(); ended {
				t.Errorf("closed: %v; want it open", why)
			}
		}
	})
}

// TestForeignPublicationsWithDeltas: the chain goes on behind what was left out.
func TestForeignPublicationsWithDeltas(t *testing.T) {
	options := centrifuge.SubscribeOptions{Recovery: true, AllowDelta: true}
	for name, bad := range notJSON {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{}, allow(options))
				p := s.connect(jsonV2, "u")
				p.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}`)
				p.received()
				reader := &deltaReader{t: t, format: jsonV2}
				publish := func(data string) {
					opts := history
					opts.UseDelta = true
					s.publish("a", data, opts)
				}
				for _, data := range []string{document(1), document(2), bad, document(4), document(5)} {
					publish(data)
				}
				reader.expect(p, 1, -2, 4, -5)
				p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
				p.received()
				for _, data := range []string{document(6), bad, document(8), document(9), bad} {
					publish(data)
				}
				p.commands(`{"id":4,"subscribe":{"channel":"a","delta":"fossil","recover":true,"offset":5}}`)
				reader.recovered(p, 6, 8, -9)
				publish(document(11))
				publish(document(12))
				reader.expect(p, 11, -12)
			})
		})
	}
}

// TestForeignCachedPublication: the state of a channel may be what cannot be sent.
func TestForeignCachedPublication(t *testing.T) {
	options := centrifuge.SubscribeOptions{Recovery: true, RecoveryMode: centrifuge.RecoverCache, AutoRecover: true}
	eachNotJSON(t, allowing(options), func(t *testing.T, s *site, format protocol.Format, bad string) {
		s.publish("a", bad, history)
		p := s.connect(format, "u")
		p.commands(subscribeA)
		if got := strings.Join(p.received(), " "); !strings.Contains(got, `"subscribe":{`) || strings.Contains(got, "publications") {
			t.Errorf("got %s; want %q in it and no \"publications\" in it", got, `"subscribe":{`)
		}
		s.publish("a", `2`, history)
		p.expect(`{"push":{"channel":"a","pub":{"data":2,"offset":2}}}`)
	})
}

// TestForeignInfo: what is shown of others is left out where it cannot be sent.
func TestForeignInfo(t *testing.T) {
	eachNotJSON(t, func(bad string) centrifuge.Handlers {
		handlers := allow(centrifuge.SubscribeOptions{})
		handlers.Connecting = func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			credentials := &centrifuge.Credentials{UserID: "u"}
			if e.Name == "bad" {
				credentials.Info = []byte(bad)
			}
			return centrifuge.ConnectingReply{Credentials: credentials}, nil
		}
		handlers.Subscribe = func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			options := centrifuge.SubscribeOptions{JoinLeave: true, PushJoinLeave: true, Presence: true, Info: []byte(`{"c":1}`), Recovery: true}
			if string(e.Data) == "1" {
				options.Info = []byte(bad)
			}
			return centrifuge.SubscribeReply{Options: options}, nil
		}
		return handlers
	}, func(t *testing.T, s *site, format protocol.Format, _ string) {
		watcher := s.connect(format, "")
		watcher.commands(subscribeA)
		watcher.received()
		p := s.dial(format, transport(format), "")
		p.commands(`{"id":1,"connect":{"name":"bad"}}`, `{"id":2,"subscribe":{"channel":"a","data":1}}`, `{"id":3,"publish":{"channel":"a","data":5}}`)
		p.received()
		info := `{"user":"u","client":"` + p.Client.Client().ID() + `"}`
		watcher.expectWithoutEpoch(`{"push":{"channel":"a","join":{"info":`+info+`}}}`, `{"push":{"channel":"a","pub":{"data":5,"info":`+info+`,"offset":1}}}`)
		p.commands(`{"id":4,"presence":{"channel":"a"}}`, `{"id":5,"history":{"channel":"a","limit":1}}`)
		if got := p.received(); len(got) != 2 || strings.Count(got[0], `"chan_info"`) != 1 || !strings.Contains(got[1], `"info":{"user":"u","client":"<id>"}`) {
			t.Errorf("got %q; want length 2, 1 and %q in it", got, `"info":{"user":"u","client":"<id>"}`)
		}
		p.Cut()
		watcher.expect(`{"push":{"channel":"a","leave":{"info":` + info + `}}}`)
		if got := s.Stats().OmittedPayloads; got == 0 {
			t.Errorf("nothing was counted: s.Stats().OmittedPayloads = %v; want more than 0", got)
		}
	})
}

// TestDataOfTheApplication: connections stay and are served without it; where it is
// all there is to the answer they get an error.
func TestDataOfTheApplication(t *testing.T) {
	eachNotJSON(t, func(bad string) centrifuge.Handlers {
		handlers := connecting(centrifuge.ConnectingReply{
			Credentials:   &centrifuge.Credentials{UserID: "u"},
			Data:          []byte(bad),
			Subscriptions: map[string]centrifuge.SubscribeOptions{"srv": {Data: []byte(bad)}},
		}, nil)
		handlers.Subscribe = func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Data: []byte(bad)}}, nil
		}
		handlers.RPC = func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: []byte(bad)}, nil
		}
		return handlers
	}, func(t *testing.T, s *site, format protocol.Format, bad string) {
		p := s.connect(format, "")
		p.commands(subscribeA)
		p.expect(`{"id":2,"subscribe":{}}`)
		p.commands(`{"id":3,"rpc":{"method":"m"}}`)
		p.expect(refused(3, centrifuge.ErrorInternal))
		if logged := s.logged(); len(logged) != 1 || !strings.Contains(logged[0], "not valid JSON") {
			t.Errorf("logged %q; want length 1 and \"not valid JSON\" in it", logged)
		}
		must(t, s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "more", centrifuge.SubscribeOptions{Data: []byte(bad)}))
		p.expect(`{"push":{"channel":"more","subscribe":{}}}`)
		if err := p.Client.Client().Send([]byte(bad)); !errors.Is(err, protocol.ErrNotJSON) {
			t.Errorf("sending: %v; want %v", err, protocol.ErrNotJSON)
		}
		must(t, s.Refresh(t.Context(), centrifuge.Target{User: "u"}, centrifuge.RefreshOptions{Info: []byte(bad)}))
		p.received()
		p.commands(`{"id":4,"publish":{"channel":"a","data":1}}`)
		if got := strings.Join(p.received(), " "); !strings.Contains(got, `{"id":4,"publish":{}}`) || !strings.Contains(got, `"data":1`) || strings.Contains(got, "conn_info") {
			t.Errorf("publishing: %s; want %q in it, %q in it and no \"conn_info\" in it", got, `{"id":4,"publish":{}}`, `"data":1`)
		}
	})
}

// TestMissedAfterAPush: publications that follow a subscribe push.
func TestMissedAfterAPush(t *testing.T) {
	eachNotJSON(t, allowing(centrifuge.SubscribeOptions{}), func(t *testing.T, s *site, format protocol.Format, bad string) {
		for _, data := range []string{`1`, bad, `3`} {
			s.publish("srv", data, history)
		}
		p := s.connect(format, "u")
		must(t, s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "srv", centrifuge.SubscribeOptions{
			Recovery: true, RecoverSince: &centrifuge.StreamPosition{},
		}))
		if got := p.received(); len(got) != 3 || !strings.Contains(got[1], `"data":1`) || !strings.Contains(got[2], `"data":3`) {
			t.Errorf("got %q; want length 3, %q in it and %q in it", got, `"data":1`, `"data":3`)
		}
	})
}

// TestOmittedIsLogged, not more than once a second.
func TestOmittedIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entries := make(chan centrifuge.LogEntry, 1000)
		node, err := centrifuge.New(centrifuge.Config{LogHandler: func(e centrifuge.LogEntry) { entries <- e }, LogLevel: centrifuge.LogWarn})
		must(t, err)
		node.Handle(allow(centrifuge.SubscribeOptions{}))
		must(t, node.Run())
		s := &site{Node: node, t: t}
		defer s.close()
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		for i := range 500 {
			s.publish("a", fmt.Sprint("x", i), centrifuge.PublishOptions{})
		}
		p.expect()
		if len(entries) != 1 {
			t.Fatalf("%d entries; want 1", len(entries))
		}
		e := <-entries
		if e.Level != centrifuge.LogWarn || e.Fields["channel"] != "a" || e.Fields["client"] == "" || e.Fields["publications"] != 1 {
			t.Errorf("logged %+v; want Level %v, \"a\" and 1", e, centrifuge.LogWarn)
		}
		if got := s.Stats().OmittedPublications; got != 500 {
			t.Errorf("counted %d; want 500", got)
		}
	})
}

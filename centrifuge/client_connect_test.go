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
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// connecting is an application that only lets connections in.
func connecting(reply centrifuge.ConnectingReply, err error) centrifuge.Handlers {
	handlers := allow(centrifuge.SubscribeOptions{})
	handlers.Connecting = func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
		return reply, err
	}
	return handlers
}

// TestConnectResult: what is told to whom.
func TestConnectResult(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() // where bubbles begin
	for _, test := range []struct {
		name   string
		config centrifuge.Config
		reply  centrifuge.ConnectingReply
		v2, v1 string
	}{
		{
			name: "plain", v2: `"ping":25,"pong":true`,
		},
		{
			name: "no pings", config: centrifuge.Config{PingInterval: -1},
		},
		{
			name: "no pongs", config: centrifuge.Config{PongTimeout: -1}, v2: `"ping":25`,
		},
		{
			name: "data", reply: centrifuge.ConnectingReply{Data: []byte(`{"a":1}`)},
			v2: `"data":{"a":1},"ping":25,"pong":true`, v1: `"data":{"a":1}`,
		},
		{
			name: "client-side refresh", reply: centrifuge.ConnectingReply{
				Credentials: &centrifuge.Credentials{Exp: now + 60}, ClientSideRefresh: true,
			},
			v2: `"expires":true,"ttl":60,"ping":25,"pong":true`, v1: `"expires":true,"ttl":60`,
		},
		{
			name: "refresh is capped at a year", reply: centrifuge.ConnectingReply{
				Credentials: &centrifuge.Credentials{Exp: now + 1e9}, ClientSideRefresh: true,
			},
			v2: `"expires":true,"ttl":31536000,"ping":25,"pong":true`, v1: `"expires":true,"ttl":31536000`,
		},
		{
			name: "server-side refresh", reply: centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{Exp: now + 60}},
			v2: `"ping":25,"pong":true`,
		},
		{
			name: "time", config: centrifuge.Config{IncludeServerTime: true},
			v2: fmt.Sprintf(`"ping":25,"pong":true,"time":%d`, now*1000),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				s := newSite(t, test.config, connecting(test.reply, nil))
				p := s.dial(format, transport(format), "u")
				p.commands(`{"id":1,"connect":{}}`)
				more := test.v2
				if format.V1() {
					more = test.v1
				}
				if more != "" {
					more = "," + more
				}
				p.expect(`{"id":1,"connect":{"client":"<id>","version":"test"` + more + `}}`)
			})
		})
	}
}

// TestConnectRefused has the rows of protocol.md 5.2.
func TestConnectRefused(t *testing.T) {
	past := &centrifuge.Credentials{UserID: "u", Exp: 1}
	tooMany := map[string]centrifuge.SubscribeOptions{"a": {}, "b": {}, "c": {}}
	for _, test := range []struct {
		name   string
		reply  centrifuge.ConnectingReply
		err    error
		want   *centrifuge.Error
		closed centrifuge.Disconnect
		logged int
	}{
		{name: "expired token", err: centrifuge.ErrorTokenExpired, want: centrifuge.ErrorTokenExpired},
		{name: "invalid token", err: centrifuge.DisconnectInvalidToken, closed: centrifuge.DisconnectInvalidToken},
		{name: "backend down", err: errors.New("backend down"), want: centrifuge.ErrorInternal, logged: 1},
		{name: "expired credentials", reply: centrifuge.ConnectingReply{Credentials: past}, want: centrifuge.ErrorExpired},
		{name: "channels", reply: centrifuge.ConnectingReply{Subscriptions: tooMany}, closed: centrifuge.DisconnectChannelLimit},
		{
			name:  "an expired subscription",
			reply: centrifuge.ConnectingReply{Subscriptions: map[string]centrifuge.SubscribeOptions{"a": {ExpireAt: 1}, "b": {Presence: true}}},
			want:  centrifuge.ErrorExpired,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				s := newSite(t, centrifuge.Config{ChannelLimit: 2}, connecting(test.reply, test.err))
				p := s.dial(format, transport(format), "u")
				p.commands(`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"x"}}`, `{"id":3,"rpc":{}}`)
				if test.want == nil {
					p.expect(p.closes(test.closed))
					return
				}
				p.expect(refused(1, test.want)) // and nothing behind it
				p.commands(`{"id":4,"connect":{}}`)
				p.expect()
				if logged := s.logged(); len(logged) != test.logged {
					t.Errorf("logged %q; want length %v", logged, test.logged)
				}
				if channels := s.Stats().Channels; channels != 0 {
					t.Errorf("%d channels are left of a connection that was refused; want 0", channels)
				}
				if why := p.Closed(); why.Code != centrifuge.DisconnectStale.Code {
					t.Errorf("an unusable connection was closed with %v; want Code %v", why, centrifuge.DisconnectStale.Code)
				}
			})
		})
	}
}

func TestConnectWithoutCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
		p := &peer{centrifugetest.Dial(t.Context(), t, s.Node, jsonV2), t, jsonV2}
		p.commands(`{"id":1,"connect":{}}`)
		p.expect(badRequest)
	})
}

// TestCredentialsOfReplacedContext: middleware may run in the handler.
func TestCredentialsOfReplacedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var value any
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{
			Connecting: func(ctx context.Context, _ centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
				ctx = centrifuge.SetCredentials(ctx, &centrifuge.Credentials{UserID: "other"})
				return centrifuge.ConnectingReply{Context: context.WithValue(ctx, key{}, 1)}, nil
			},
			RPC: func(ctx context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
				value = ctx.Value(key{})
				return centrifuge.RPCReply{Data: []byte(`"` + e.Client.UserID() + `"`)}, nil
			},
		})
		p := s.connect(jsonV2, "u")
		p.commands(`{"id":2,"rpc":{}}`)
		p.expect(`{"id":2,"rpc":{"data":"other"}}`)
		if value != 1 {
			t.Errorf("the handler's context has not replaced the connection's: value = %v; want 1", value)
		}
		ctx := p.Client.Client().Context()
		p.Cut()
		<-ctx.Done()
	})
}

// TestReplacedContextEndsWithTheConnection: not with the context that the handler gave, which
// ends with the handler here, nor with contexts derived from it.
func TestReplacedContextEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{
			Connecting: func(ctx context.Context, _ centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				return centrifuge.ConnectingReply{Context: ctx}, nil
			},
		})
		p := s.connect(jsonV2, "u")
		ctx := p.Client.Client().Context()
		derived, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		time.Sleep(2 * time.Second)
		if err := errors.Join(ctx.Err(), derived.Err()); err != nil {
			t.Errorf("while connected the context and one derived from it have ended: %v; want neither to", err)
		}
		if deadline, ok := ctx.Deadline(); ok {
			t.Errorf("the context has the deadline %v of the handler's; want none", deadline)
		}
		p.Cut()
		synctest.Wait()
		if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(derived.Err(), context.Canceled) {
			t.Errorf("after the end: %v, and %v of one derived from it; want both %v", ctx.Err(), derived.Err(), context.Canceled)
		}
	})
}

func TestUserConnectionLimit(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{UserConnectionLimit: 2}, centrifuge.Handlers{})
		first := s.connect(format, "u")
		s.connect(format, "u")
		s.connect(format, "other")
		for range 3 {
			s.connect(format, "") // anonymous ones are not limited
		}
		p := s.dial(format, transport(format), "u")
		p.commands(`{"id":1,"connect":{}}`)
		p.expect(p.closes(centrifuge.DisconnectConnectionLimit))
		first.Cut()
		synctest.Wait()
		s.connect(format, "u") // the limit is no longer reached
	})
}

// TestServerSideAtConnect: protocol.md 5.6.
func TestServerSideAtConnect(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		handlers := connecting(centrifuge.ConnectingReply{Subscriptions: map[string]centrifuge.SubscribeOptions{
			"news": {Recovery: true, Data: []byte(`{"d":1}`), JoinLeave: true, PushJoinLeave: true},
		}}, nil)
		s := newSite(t, centrifuge.Config{}, handlers)
		s.publish("news", `{"i":1}`, history)
		s.publish("news", `{"i":2}`, history)
		p := s.dial(format, transport(format), "u")
		p.commands(`{"id":1,"connect":{"subs":{"news":{"recover":true,"offset":1},"other":{}}}}`)
		offset, ping, was := `,"offset":1`, `,"ping":25,"pong":true`, `,"was_recovering":true`
		if format.V1() {
			offset, ping, was = `,"offset":2`, ``, `` // the top, and neither pings nor was_recovering
		}
		p.expect(`{"id":1,"connect":{"client":"<id>","version":"test","subs":{"news":{"recoverable":true,"epoch":"<e>",`+
			`"publications":[{"data":{"i":2},"offset":2}],"recovered":true`+offset+`,"positioned":true,"data":{"d":1}`+was+`}}`+ping+`}}`,
			`{"push":{"channel":"news","join":{"info":{"user":"u","client":"<id>"}}}}`)
		s.publish("news", `{"i":3}`, history)
		p.expect(`{"push":{"channel":"news","pub":{"data":{"i":3},"offset":3}}}`)
		p.commands(`{"id":2,"subscribe":{"channel":"news"}}`)
		p.expect(refused(2, centrifuge.ErrorAlreadySubscribed))
		if got := p.Client.Client().ServerSideChannels(); len(got) != 1 || got[0] != "news" {
			t.Errorf("server-side channels %q; want length 1 and [0] \"news\"", got)
		}
		p.commands(`{"id":3,"unsubscribe":{"channel":"news"}}`)
		p.expect(`{"id":3,"unsubscribe":{}}`)
		s.publish("news", `{"i":4}`, history)
		p.expect()
	})
}

// TestFilterAtConnect: a server-side subscription has the filter of the connect request, which
// is refused where a subscribe command's would be.
func TestFilterAtConnect(t *testing.T) {
	const request = `{"id":1,"connect":{"subs":{"news":{"tf":{"key":"color","cmp":"eq","val":"red"}}}}}`
	for _, allowed := range []bool{true, false} {
		inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
			s := newSite(t, centrifuge.Config{}, connecting(centrifuge.ConnectingReply{
				Subscriptions: map[string]centrifuge.SubscribeOptions{"news": {AllowTagsFilter: allowed}},
			}, nil))
			p := s.dial(format, transport(format), "u")
			p.commands(request)
			if !allowed {
				p.expect(refused(1, centrifuge.ErrorBadRequest))
				return
			}
			p.received()
			s.publish("news", `1`, tagged("blue"))
			s.publish("news", `2`, tagged("red"))
			p.expect(`{"push":{"channel":"news","pub":{"data":2,"offset":2,"tags":{"color":"red"}}}}`)
		})
	}
}

// TestConnectReplyIsFirst: what is pushed while a connection connects follows
// the reply (protocol.md 9.1).
func TestConnectReplyIsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{QueueSize: -1}, connecting(centrifuge.ConnectingReply{
			Subscriptions: map[string]centrifuge.SubscribeOptions{"a": {}},
			Data:          []byte(`"` + strings.Repeat("x", 1<<20) + `"`), // it takes its time to encode
		}, nil))
		stop := make(chan struct{})
		for range 4 {
			go func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					_ = s.Refresh(context.Background(), centrifuge.Target{User: "u"}, centrifuge.RefreshOptions{})
					_, _ = s.Publish(context.Background(), "a", []byte(`1`), centrifuge.PublishOptions{})
				}
			}()
		}
		for i := range 50 {
			p := s.dial(jsonV2, transport(jsonV2), "u")
			p.commands(`{"id":1,"connect":{}}`)
			if first := p.Read(); first == nil || first.Connect == nil {
				t.Fatalf("run %d: the first message is %+v; want a connect result", i, first)
			}
			p.Cut()
		}
		close(stop)
	})
}

// TestUnidirectional: bare pushes, and errors become disconnects (protocol.md 7).
func TestUnidirectional(t *testing.T) {
	for err, want := range map[error]string{
		centrifuge.ErrorTokenExpired:     "close 3005 connection expired",
		centrifuge.ErrorExpired:          "close 3005 connection expired",
		centrifuge.ErrorTooManyRequests:  "close 3013 too many requests",
		centrifuge.ErrorPermissionDenied: "close 3507 permission denied",
		centrifuge.ErrorUnknownChannel:   "close 3004 internal server error",
	} {
		t.Run(err.Error(), func(t *testing.T) {
			inBubble(t, []protocol.Format{protocol.FormatUni, protocol.FormatUni | protocol.FormatProtobuf}, func(t *testing.T, format protocol.Format) {
				s := newSite(t, centrifuge.Config{}, connecting(centrifuge.ConnectingReply{}, err))
				p := s.dial(format, transport(format), "u")
				p.commands(`{"id":1,"connect":{}}`)
				p.expect(want)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, connecting(centrifuge.ConnectingReply{
			Subscriptions: map[string]centrifuge.SubscribeOptions{"a": {}},
		}, nil))
		p := s.dial(protocol.FormatUni, centrifuge.TransportInfo{Unidirectional: true, DisconnectPush: true}, "u")
		p.commands(`{"id":1,"connect":{}}`)
		got := p.received()
		if len(got) != 1 || !strings.HasPrefix(got[0], `{"push":{"connect":{"client":"<id>","version":"test","subs":{"a":{}},"ping":25,"session":"`) {
			t.Errorf("got %q; want length 1 and prefix %q",
				got, `{"push":{"connect":{"client":"<id>","version":"test","subs":{"a":{}},"ping":25,"session":"`)
		}
		s.publish("a", `{}`, centrifuge.PublishOptions{})
		p.expect(`{"push":{"channel":"a","pub":{"data":{}}}}`)
		p.Client.Client().Disconnect(centrifuge.DisconnectForceReconnect)
		p.expect(`{"push":{"disconnect":{"code":3011,"reason":"force reconnect"}}}`, "close 3011 force reconnect")
	})
}

// TestEmulationSession: a secret session and the node go to emulation
// transports only (protocol.md 5.7).
func TestEmulationSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
		p := s.dial(jsonV2, centrifuge.TransportInfo{Emulation: true, Generation: centrifuge.GenerationV2}, "u")
		p.commands(`{"id":1,"connect":{}}`)
		reply := p.Read()
		if r := reply.Connect; len(r.Session) != 36 || r.Session == r.Client || r.Node != s.ID() {
			t.Errorf("got %+v; want node %s, and a session of 36 characters that is not the client", r, s.ID())
		}
	})
}

// TestShutdownWhileConnecting: no client is left, whatever stage of the connect it
// was in.
func TestShutdownWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered := make(chan struct{}, 2)
		block := func(ctx context.Context) error {
			entered <- struct{}{}
			<-ctx.Done() // released by the end of the connection
			return ctx.Err()
		}
		handlers := allow(centrifuge.SubscribeOptions{})
		handlers.Connecting = func(ctx context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			if e.Token == "slow" {
				return centrifuge.ConnectingReply{}, block(ctx)
			}
			return centrifuge.ConnectingReply{}, nil
		}
		handlers.Subscribe = func(ctx context.Context, _ centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{}, block(ctx)
		}
		s := newSite(t, centrifuge.Config{}, handlers)
		idle := s.dial(jsonV2, transport(jsonV2), "u")
		slow := s.dial(jsonV2, transport(jsonV2), "u")
		slow.commands(`{"id":1,"connect":{"token":"slow"}}`)
		subscribing := s.connect(jsonV2, "u")
		subscribing.commands(`{"id":2,"subscribe":{"channel":"a"}}`)
		<-entered
		<-entered
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, p := range []*peer{idle, slow, subscribing} {
			p.expect("close 3001 shutdown")
		}
		if _, err := s.Accept(t.Context(), slow.Transport); !errors.Is(err, centrifuge.ErrShutdown) {
			t.Errorf("accepting after Shutdown: %v; want %v", err, centrifuge.ErrShutdown)
		}
		if _, err := s.Publish(t.Context(), "a", nil, centrifuge.PublishOptions{}); !errors.Is(err, centrifuge.ErrShutdown) {
			t.Errorf("publishing after Shutdown: %v; want %v", err, centrifuge.ErrShutdown)
		}
	})
}

package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
)

// gated calls gate with the name of the handler and the id of its connection before each
// handler of h.
func gated(h centrifuge.Handlers, gate func(name, client string)) centrifuge.Handlers {
	v := reflect.ValueOf(&h).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			continue
		}
		name, original := v.Type().Field(i).Name, reflect.ValueOf(v.Field(i).Interface())
		v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func(args []reflect.Value) []reflect.Value {
			var id string
			if client := args[1].FieldByName("Client"); client.IsValid() {
				id = client.Interface().(*centrifuge.Client).ID()
			} else if client := args[1].FieldByName("ClientID"); client.IsValid() {
				id = client.String()
			}
			gate(name, id)
			return original.Call(args)
		}))
	}
	return h
}

// everyHandler is an application that has each handler that works for one connection.
func everyHandler() centrifuge.Handlers {
	h := allow(centrifuge.SubscribeOptions{})
	h.Subscribe = func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
		options := centrifuge.SubscribeOptions{Presence: true, JoinLeave: true, ExpireAt: time.Now().Unix() + 10}
		if e.Recover {
			options.Recovery, options.RecoveryMode = true, centrifuge.RecoverCache
		}
		return centrifuge.SubscribeReply{Options: options}, nil
	}
	h.Connecting = func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
		return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u", Exp: time.Now().Unix() + 10}}, nil
	}
	h.CacheEmpty = func(context.Context, centrifuge.CacheEmptyEvent) (centrifuge.CacheEmptyReply, error) {
		return centrifuge.CacheEmptyReply{}, nil
	}
	h.Connected = func(context.Context, centrifuge.ConnectedEvent) {}
	h.Subscribed = func(context.Context, centrifuge.SubscribedEvent) {}
	h.Unsubscribed = func(context.Context, centrifuge.UnsubscribedEvent) {}
	h.Refresh = func(context.Context, centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
		return centrifuge.RefreshReply{}, nil
	}
	h.SubRefresh = func(context.Context, centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
		return centrifuge.SubRefreshReply{}, nil
	}
	h.Alive = func(context.Context, centrifuge.AliveEvent) {}
	h.Disconnected = func(context.Context, centrifuge.DisconnectedEvent) {}
	return h
}

// handlerNames are those of everyHandler.
var handlerNames = []string{
	"Connecting", "Connected", "Subscribe", "Subscribed", "Unsubscribed", "Publish", "Presence", "PresenceStats", "History",
	"RPC", "Message", "Refresh", "SubRefresh", "CacheEmpty", "Alive", "Disconnected",
}

// nodeHandlerNames are the handlers that work for no connection.
var nodeHandlerNames = []string{"Survey", "Notification"}

// TestHandlerNames: the tables of panics and of hangs have all handlers.
func TestHandlerNames(t *testing.T) {
	handlers := reflect.TypeFor[centrifuge.Handlers]()
	for i := range handlers.NumField() {
		if name := handlers.Field(i).Name; !slices.Contains(handlerNames, name) && !slices.Contains(nodeHandlerNames, name) {
			t.Errorf("%s is in no table; want it in one", name)
		}
	}
}

// useAll sends commands that make the node call every handler but Disconnected.
func (p *peer) useAll() {
	p.t.Helper()
	for _, command := range []string{
		`{"id":1,"connect":{}}`, subscribeA, `{"id":3,"subscribe":{"channel":"b"}}`, `{"id":4,"rpc":{}}`, `{"send":{"data":1}}`,
		`{"id":5,"publish":{"channel":"a","data":1}}`, `{"id":6,"presence":{"channel":"a"}}`, `{"id":7,"presence_stats":{"channel":"a"}}`,
		`{"id":8,"history":{"channel":"a"}}`, `{"id":9,"unsubscribe":{"channel":"a"}}`,
		`{"id":10,"subscribe":{"channel":"empty","recover":true}}`,
	} {
		if _, ended := p.Ended(); ended {
			return
		}
		p.commands(command)
		synctest.Wait()
	}
	time.Sleep(40 * time.Second) // expiry and a tick
}

// TestEveryHandlerPanics: a panic of any handler ends the connection that it works for;
// another connection is served, and nothing is left.
func TestEveryHandlerPanics(t *testing.T) {
	for _, name := range handlerNames {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var called atomic.Bool
				var target atomic.Value // id of the connection whose handler panics
				s := newSite(t, noPings, gated(everyHandler(), func(handler, client string) {
					if handler == name && client == target.Load() {
						called.Store(true)
						panic(boom)
					}
				}))
				other := s.connect(jsonV2, "v")
				p := s.dial(jsonV2, transport(jsonV2), "u")
				target.Store(p.Client.Client().ID())
				p.useAll()
				if why, ended := p.Ended(); name == "Disconnected" {
					p.Cut()
					synctest.Wait()
				} else if !ended || why.Code != centrifuge.DisconnectServerError.Code {
					t.Errorf("ended %v with %v; want %v", ended, why, centrifuge.DisconnectServerError)
				}
				if !called.Load() {
					t.Fatalf("%s was not called; want a call", name)
				}
				other.received()
				other.commands(`{"id":5,"rpc":{"data":1}}`)
				other.expect(`{"id":5,"rpc":{"data":1}}`)
				if stats := s.Stats(); stats.Clients != 1 || stats.Subscriptions != 0 {
					t.Errorf("%d clients and %d subscriptions; want 1 and 0", stats.Clients, stats.Subscriptions)
				}
				if logged := s.logged(); len(logged) == 0 || !strings.Contains(logged[0], boom) {
					t.Errorf("logged %q; want the panic", logged)
				}
			})
		})
	}
}

// TestEveryHandlerHangs: a handler that does not return holds up its own connection. The
// user connects again, other connections are served, and Shutdown returns when its
// context ends; when the handler returns at last, nothing is left.
func TestEveryHandlerHangs(t *testing.T) {
	for _, name := range handlerNames {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer func() { // also where the test fails
					select {
					case <-release:
					default:
						close(release)
					}
				}()
				var called atomic.Bool
				var target atomic.Value // id of the connection whose handler hangs
				s := newSite(t, noPings, gated(everyHandler(), func(handler, client string) {
					if handler == name && client == target.Load() {
						called.Store(true)
						<-release
					}
				}))
				other := s.connect(jsonV2, "v")
				p := s.dial(jsonV2, transport(jsonV2), "u")
				target.Store(p.Client.Client().ID())
				p.useAll()
				p.Cut()
				time.Sleep(time.Minute)
				if !called.Load() {
					t.Fatalf("%s was not called; want a call", name)
				}
				again := s.connect(jsonV2, "u")
				for _, served := range []*peer{other, again} {
					served.received()
					served.commands(`{"id":2,"rpc":{"data":1}}`, `{"id":3,"subscribe":{"channel":"c"}}`)
					synctest.Wait()
					s.publish("c", `2`, centrifuge.PublishOptions{})
					if got := strings.Join(served.received(), " "); !strings.Contains(got, `{"id":2,"rpc":{"data":1}}`) || !strings.Contains(got, `"pub":{"data":2}`) {
						t.Errorf("another connection received %s; want its reply and the publication", got)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				_ = s.Shutdown(ctx)
				if took := time.Since(start); took > 20*time.Second {
					t.Errorf("Shutdown took %v; want at most %v", took, 20*time.Second)
				}
				close(release)
				synctest.Wait()
				if n := s.NumClients(); n != 0 {
					t.Errorf("%d connections are left; want 0", n)
				}
				s.logged() // what the engine said to calls after the shutdown
			})
		})
	}
}

// TestNodeHandlersPanicAndHang: a handler that works for no connection and panics, or does
// not return, disturbs neither the connections of its node nor the other handler, and
// Shutdown returns.
func TestNodeHandlersPanicAndHang(t *testing.T) {
	for _, name := range nodeHandlerNames {
		for _, hangs := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s hangs=%v", name, hangs), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testNodeHandler(t, name, hangs) })
			})
		}
	}
}

func testNodeHandler(t *testing.T, name string, hangs bool) {
	release := make(chan struct{})
	var mu sync.Mutex
	calls := make(map[string]int)
	may := func(handler string) {
		mu.Lock()
		calls[handler]++
		mu.Unlock()
		switch {
		case handler == name && hangs:
			<-release
		case handler == name:
			panic(boom)
		}
	}
	handlers := allow(centrifuge.SubscribeOptions{})
	handlers.Survey = func(context.Context, centrifuge.SurveyEvent) (centrifuge.SurveyReply, error) {
		may("Survey")
		return centrifuge.SurveyReply{Data: []byte("answer")}, nil
	}
	handlers.Notification = func(context.Context, centrifuge.NotificationEvent) { may("Notification") }
	sites := newCluster(t, 2, handlers)
	p := sites[1].connect(jsonV2, "u")
	must(t, sites[0].Notify(t.Context(), "x", nil, sites[1].ID()))
	synctest.Wait()
	results, err := sites[0].Survey(t.Context(), "x", nil, sites[1].ID())
	var missing *centrifuge.SurveyError
	answer := results[sites[1].ID()]
	switch {
	case name != "Survey" && (err != nil || string(answer.Data) != "answer"):
		t.Errorf("Survey() = %+v, %v; want the answer", results, err)
	case name == "Survey" && hangs && !errors.As(err, &missing):
		t.Errorf("Survey() of a handler that hangs = %+v, %v; want a SurveyError", results, err)
	case name == "Survey" && !hangs && (err != nil || answer.Error == nil || answer.Error.Code != centrifuge.ErrorInternal.Code):
		t.Errorf("Survey() of a handler that panics = %+v, %v; want the internal error of its node", results, err)
	}
	mu.Lock()
	if calls["Survey"] != 1 || calls["Notification"] != 1 {
		t.Errorf("calls = %v; want one of each", calls)
	}
	mu.Unlock()
	p.commands(`{"id":2,"rpc":{"data":1}}`, `{"id":3,"subscribe":{"channel":"c"}}`)
	p.expect(`{"id":2,"rpc":{"data":1}}`, `{"id":3,"subscribe":{}}`)
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := sites[1].Shutdown(ctx); err != nil || time.Since(start) > 20*time.Second {
		t.Errorf("Shutdown() = %v after %v; want no error within 20s", err, time.Since(start))
	}
	p.expect("close 3001 shutdown")
	close(release)
	synctest.Wait()
	if logged := sites[1].logged(); !hangs && (len(logged) != 1 || !strings.Contains(logged[0], boom)) {
		t.Errorf("logged %q; want the panic", logged)
	}
	sites[0].logged()
}

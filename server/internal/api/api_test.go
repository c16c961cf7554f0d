package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/config"
)

func newAPI(t testing.TB, node Node, change func(*Options)) *API {
	t.Helper()
	rules, err := channels.New(config.Channel{
		PrivatePrefix: "$", NamespaceBoundary: ":", UserBoundary: "#", UserSeparator: ",",
	}, channels.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{
		Protocol: "test", Node: node, Rules: func() *channels.Rules { return rules }, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&opts)
	}
	return New(opts)
}

func publication(data string) Publication { return Publication{Data: []byte(data)} }

// delta_publish of a namespace enables deltas for every publication.
func TestDeltaOfNamespace(t *testing.T) {
	for _, tt := range []struct {
		namespace, asked, want bool
	}{{false, false, false}, {true, false, true}, {false, true, true}, {true, true, true}} {
		rules, err := channels.New(config.Channel{
			NamespaceBoundary: ":", WithoutNamespace: config.ChannelOptions{DeltaPublish: tt.namespace},
		}, channels.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		node := &apitest.Node{}
		a := newAPI(t, node, func(o *Options) { o.Rules = func() *channels.Rules { return rules } })
		p := publication("1")
		p.Delta = tt.asked
		if _, err := MethodPublish.Call(t.Context(), a, &PublishRequest{Channel: "a", Publication: p}); err != nil {
			t.Fatal(err)
		}
		if calls := node.Calls(); len(calls) != 1 || strings.Contains(calls[0], "delta") != tt.want {
			t.Errorf("%+v: %q; want length 1 and %v", tt, calls, tt.want)
		}
	}
}

func TestObserver(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	observe := func(o *Options) {
		o.Observer = func(protocol, m string, d time.Duration, code uint32) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprintf("%s %s %d %s", protocol, m, code, d))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		node := &apitest.Node{OnPublish: func(string) { time.Sleep(time.Second) }}
		a := newAPI(t, node, observe)
		ctx := context.Background()
		if _, err := MethodPublish.Call(ctx, a, &PublishRequest{Channel: "a", Publication: publication("1")}); err != nil {
			t.Error(err)
		}
		if _, err := MethodPublish.Call(ctx, a, &PublishRequest{}); err != ErrorBadRequest {
			t.Errorf("publish without a channel: %v; want %v", err, ErrorBadRequest)
		}
		res, err := MethodBatch.Call(ctx, a, &BatchRequest{Commands: Commands{
			{Method: &MethodPublish.Method, Request: &PublishRequest{Channel: "a", Publication: publication("1")}}, nil, {Method: &MethodRPC.Method, Request: &RPCRequest{Method: "x"}},
		}})
		if err != nil || len(res.Replies) != 3 {
			t.Errorf("batch = %+v, %v; want 3 replies and no error", res, err)
		}
	})
	want := []string{
		"test publish 0 1s", "test publish 107 0s",
		"test publish 0 1s", "test rpc 104 0s", "test batch 0 1s",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("observed\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

func TestFailuresAreLoggedOnce(t *testing.T) {
	var log strings.Builder
	a := newAPI(t, &apitest.Node{Err: errors.New("broker is down")}, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	if _, err := MethodPublish.Call(context.Background(), a, &PublishRequest{Channel: "a", Publication: publication(`"payload"`)}); err != ErrorInternal {
		t.Errorf("err %v; want %v", err, ErrorInternal)
	}
	text := log.String()
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, "broker is down") || !strings.Contains(text, "channel=a") ||
		!strings.Contains(text, "method=publish") || strings.Contains(text, "payload") {
		t.Errorf("log %q; want 1, \"broker is down\" in it, \"channel=a\" in it, \"method=publish\" in it and no \"payload\" in it",
			text)
	}
}

// gauge counts concurrent publishes.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) publish(string) {
	now := g.now.Add(1)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
	time.Sleep(time.Second) // in a bubble
	g.now.Add(-1)
}

func TestParallel(t *testing.T) {
	const n = 2*MaxParallel + 10
	names := make([]string, n)
	commands := make(Commands, n)
	for i := range n {
		names[i] = fmt.Sprintf("c%d", i)
		commands[i] = &Command{Method: &MethodPublish.Method, Request: &PublishRequest{Channel: names[i], Publication: publication("1")}}
	}
	many := &BroadcastRequest{Channels: names, Publication: publication("1")}
	ctx := context.Background()
	for _, test := range []struct {
		name string
		run  func(a *API)
		most int64
		took time.Duration
		pubs int
	}{
		{"broadcast", func(a *API) { _, _ = MethodBroadcast.Call(ctx, a, many) }, MaxParallel, 3 * time.Second, n},
		{"parallel batch", func(a *API) { _, _ = MethodBatch.Call(ctx, a, &BatchRequest{Commands: commands, Parallel: true}) },
			MaxParallel, 3 * time.Second, n},
		{"sequential batch", func(a *API) { _, _ = MethodBatch.Call(ctx, a, &BatchRequest{Commands: commands[:10]}) }, 1, 10 * time.Second, 10},
		// The broadcasts share the bound: 8 at a time, each with 128 workers.
		{"broadcasts in a parallel batch", func(a *API) {
			batch := make(Commands, 8)
			for i := range batch {
				batch[i] = &Command{Method: &MethodBroadcast.Method, Request: many}
			}
			_, _ = MethodBatch.Call(ctx, a, &BatchRequest{Commands: batch, Parallel: true})
		}, MaxParallel, 17 * time.Second, 8 * n},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g gauge
				node := &apitest.Node{OnPublish: g.publish}
				start := time.Now()
				test.run(newAPI(t, node, nil))
				if most := g.most.Load(); most != test.most {
					t.Errorf("%d at a time, want %d", most, test.most)
				}
				if took := time.Since(start); took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				}
				if pubs := len(node.Calls()); pubs != test.pubs {
					t.Errorf("%d publications, want %d", pubs, test.pubs)
				}
			})
		})
	}
}

func TestSequentialBatchKeepsOrder(t *testing.T) {
	node := &apitest.Node{}
	var commands Commands
	var want []string
	for i := range 50 {
		channel := fmt.Sprintf("c%d", i)
		commands = append(commands, &Command{Method: &MethodPublish.Method, Request: &PublishRequest{Channel: channel, Publication: publication("1")}})
		want = append(want, "publish "+channel+" 1")
	}
	if _, err := MethodBatch.Call(context.Background(), newAPI(t, node, nil), &BatchRequest{Commands: commands}); err != nil {
		t.Fatal(err)
	}
	if got := node.Calls(); !slices.Equal(got, want) {
		t.Errorf("order %q; want %q", got, want)
	}
}

func TestPatternIsBounded(t *testing.T) {
	node := &apitest.Node{}
	a := newAPI(t, node, nil)
	for _, test := range []struct {
		length int
		want   *Error
	}{{MaxPattern, nil}, {MaxPattern + 1, ErrorBadRequest}} {
		if _, err := MethodChannels.Call(context.Background(), a, &ChannelsRequest{Pattern: strings.Repeat("a", test.length)}); err != test.want {
			t.Errorf("pattern of %d bytes: %v; want %v", test.length, err, test.want)
		}
	}
	if calls := node.Calls(); len(calls) != 1 {
		t.Errorf("the node was asked %d times; want 1", len(calls))
	}
}

func TestMethodNames(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Methods() {
		if m.Name == "" || m.Summary == "" || seen[m.Name] {
			t.Errorf("method %+v; want a summary and a name of its own", m)
		}
		seen[m.Name] = true
		if got := MethodByName(m.Name); got != m {
			t.Errorf("MethodByName(%q) = %+v; want %+v", m.Name, got, m)
		}
	}
	if got := MethodByName("nothing"); got != nil {
		t.Errorf("MethodByName(nothing) = %+v; want nil", got)
	}
}

// TestMethodForms checks what encoding and documentation rely on: requests and
// results are structs, and their fields have names in JSON.
func TestMethodForms(t *testing.T) {
	for _, m := range Methods() {
		for _, typ := range []reflect.Type{m.Request, m.Result} {
			if typ.Kind() != reflect.Struct {
				t.Fatalf("%s: %s is no struct; want %v", m.Name, typ, reflect.Struct)
			}
			for _, f := range reflect.VisibleFields(typ) {
				if !f.Anonymous && f.Tag.Get("json") == "" {
					t.Errorf("%s: %s.%s has no name in JSON; want one", m.Name, typ, f.Name)
				}
			}
		}
	}
}

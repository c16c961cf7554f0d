package centrifuge_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// tracer keeps the events of a test.
type tracer struct {
	channel, user string // of which all is told

	mu     sync.Mutex
	events []centrifuge.TraceEvent
}

func (r *tracer) Channel(channel string) bool { return channel == r.channel }
func (r *tracer) Client(_, user string) bool  { return user == r.user && user != "" }
func (r *tracer) Trace(e centrifuge.TraceEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// told returns the events in short since the last call, those of a user only if it is not
// empty.
func (r *tracer) told(user string) []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var told []string
	for _, e := range r.events {
		if user != "" && e.User != user {
			continue
		}
		text := fmt.Sprintf("%s %s %d", e.Kind, e.Channel, e.Offset)
		if e.First != 0 && e.First != e.Offset {
			text += fmt.Sprintf(" from %d", e.First)
		}
		if e.Code != 0 {
			text += fmt.Sprintf(" code %d", e.Code)
		}
		told = append(told, text)
	}
	r.events = nil
	return told
}

func (r *tracer) expect(t *testing.T, user string, want ...string) {
	t.Helper()
	if got := r.told(user); !slices.Equal(got, want) {
		t.Errorf("events of %q:\n%s\nwant:\n%s", user, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTraceOutcomes: what becomes of publications is told for each subscriber.
func TestTraceOutcomes(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{Recovery: true, AllowTagsFilter: true}))
		r := &tracer{channel: "a"}
		before := s.connect(format, "before")
		before.commands(subscribeA)
		s.SetTracer(r)
		p := s.connect(format, "u")
		r.expect(t, "u", "connected  0")
		p.commands(`{"id":2,"subscribe":{"channel":"a","tf":{"op":"","key":"k","cmp":"eq","val":"1"}}}`)
		r.expect(t, "u", "subscribed a 0")
		s.publish("a", `1`, withTag(history, "1"))
		r.expect(t, "u", "queued a 1", "written a 1")
		s.publish("a", `2`, withTag(history, "2"))
		r.expect(t, "u", "filtered a 2")
		s.publish("a", `3`, withTag(excluding(p, history), "1"))
		r.expect(t, "u", "excluded a 3")
		s.publish("b", `1`, history)
		r.expect(t, "u")
		p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
		r.expect(t, "u", "unsubscribed a 3")
		s.publish("a", `4`, history)
		s.publish("a", `5`, history)
		p.commands(`{"id":4,"subscribe":{"channel":"a","recover":true,"offset":3}}`)
		r.expect(t, "u", "recovered a 5 from 4", "subscribed a 5")
		p.commands(`{"id":5,"subscribe":{"channel":"a"}}`)
		r.expect(t, "u", "refused a 0 code 105")
		p.Client.Client().Disconnect(centrifuge.DisconnectForceReconnect)
		r.expect(t, "u", fmt.Sprintf("disconnected  0 code %d", centrifuge.DisconnectForceReconnect.Code), fmt.Sprintf("unsubscribed a 5 code %d", centrifuge.UnsubscribeDisconnect.Code))
		s.SetTracer(nil)
		s.publish("a", `6`, history)
		r.expect(t, "")
	})
}

func withTag(opts centrifuge.PublishOptions, value string) centrifuge.PublishOptions {
	opts.Tags = map[string]string{"k": value}
	return opts
}

// TestTracePublisher: the node tells what it has published and what it has not, and what
// the broker has delivered.
func TestTracePublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(v2Formats[0], "u")
		p.commands(subscribeA)
		p.received()
		r := &tracer{channel: "a"}
		s.SetTracer(r)
		opts := history
		opts.IdempotencyKey, opts.Source = "k", "test"
		s.publish("a", `1`, opts)
		s.publish("a", `1`, opts)
		versioned := history
		versioned.Version = 7
		s.publish("a", `2`, versioned)
		s.publish("a", `2`, versioned)
		synctest.Wait()
		var got []string
		r.mu.Lock()
		for _, e := range r.events {
			got = append(got, fmt.Sprintf("%s %d %s%s %d", e.Kind, e.Offset, e.Reason, e.Source, e.Count))
		}
		r.mu.Unlock()
		slices.Sort(got)
		want := []string{
			"published 1 test 0", "published 2  0", "queued 1  0", "queued 2  0", "received 1  1", "received 2  1",
			"suppressed 1 idempotencytest 0", "suppressed 2 version 0", "written 1  0", "written 2  0",
		}
		if !slices.Equal(got, want) {
			t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestTraceSlow: a reader that is too slow is told of by the policy of its subscription.
func TestTraceSlow(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy centrifuge.SlowPolicy
		want   []centrifuge.TraceKind
		not    []centrifuge.TraceKind
	}{
		{"disconnect", centrifuge.SlowDisconnect, []centrifuge.TraceKind{centrifuge.TraceTooSlow, centrifuge.TraceDisconnected}, nil},
		{"latest", centrifuge.SlowLatest, []centrifuge.TraceKind{centrifuge.TracePostponed, centrifuge.TraceSuperseded}, []centrifuge.TraceKind{centrifuge.TraceDisconnected}},
		{"drop oldest", centrifuge.SlowDropOldest, []centrifuge.TraceKind{centrifuge.TraceDropped, centrifuge.TraceUnsubscribed}, []centrifuge.TraceKind{centrifuge.TraceDisconnected}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := slowSite(t, v2Formats[0], centrifuge.SubscribeOptions{Recovery: true, Slow: test.policy})
				r := &tracer{user: "u"}
				s.SetTracer(r)
				last := s.flood("a", 200)
				p.Stick(false)
				synctest.Wait()
				kinds := map[centrifuge.TraceKind]int{}
				written := uint64(0)
				r.mu.Lock()
				for _, e := range r.events {
					kinds[e.Kind]++
					if e.Kind == centrifuge.TraceWritten {
						written = e.Offset
					}
				}
				r.mu.Unlock()
				for _, kind := range test.want {
					if kinds[kind] == 0 {
						t.Errorf("events %v; want %s among them", kinds, kind)
					}
				}
				for _, kind := range test.not {
					if kinds[kind] > 0 {
						t.Errorf("events %v; want no %s among them", kinds, kind)
					}
				}
				if test.policy == centrifuge.SlowLatest && written != last {
					t.Errorf("the last written is %d; want %d", written, last)
				}
			})
		})
	}
}

// TestTraceMarked: with a user only the publications of his connections are told, those of
// connections before the tracer too.
func TestTraceMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		p, other := s.connect(v2Formats[0], "u"), s.connect(v2Formats[0], "other")
		p.commands(subscribeA)
		other.commands(subscribeA)
		p.received()
		other.received()
		r := &tracer{user: "u"}
		s.SetTracer(r)
		s.publish("a", `1`, centrifuge.PublishOptions{})
		r.expect(t, "other") // and forgets the others
		s.publish("a", `2`, centrifuge.PublishOptions{})
		r.expect(t, "u", "queued a 0", "written a 0")
		s.publish("a", `not JSON`, centrifuge.PublishOptions{})
		r.expect(t, "u", "not_json a 0")
	})
}

// TestTraceConcurrently: the tracer may change while there is traffic.
func TestTraceConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{Recovery: true}))
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for range 4 {
			p := s.connect(v2Formats[0], "u")
			p.commands(subscribeA)
			group.Go(func() {
				for ctx.Err() == nil {
					_, _ = s.Publish(ctx, "a", []byte(`1`), centrifuge.PublishOptions{})
					time.Sleep(time.Millisecond)
				}
			})
		}
		for i := range 100 {
			s.SetTracer(&tracer{channel: []string{"a", ""}[i%2], user: "u"})
			time.Sleep(time.Millisecond)
			s.SetTracer(nil)
		}
		cancel()
		group.Wait()
	})
}

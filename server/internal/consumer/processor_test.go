package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
)

// failing is a node whose Publish fails while fail says so.
type failing struct {
	apitest.Node

	mu    sync.Mutex
	times []time.Time
	fail  func(call int, channel string) error // call counts from 1
}

func (n *failing) Publish(ctx context.Context, channel string, data []byte, o centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	n.mu.Lock()
	n.times = append(n.times, time.Now())
	call := len(n.times)
	n.mu.Unlock()
	if err := n.fail(call, channel); err != nil {
		return centrifuge.PublishResult{}, err
	}
	return n.Node.Publish(ctx, channel, data, o)
}

// list is a source of messages that are processed once, in order.
type list struct {
	format   consumer.Format
	attempts int
	messages []consumer.Message

	errs []error // of Process
}

func (l *list) Format() consumer.Format { return l.format }
func (l *list) Attempts() int           { return l.attempts }
func (l *list) Run(ctx context.Context, p *consumer.Processor) error {
	for _, m := range l.messages {
		l.errs = append(l.errs, p.Process(ctx, m))
	}
	l.messages = nil
	<-ctx.Done()
	return nil
}

func message(body string) consumer.Message { return consumer.Message{ID: "m", Body: []byte(body)} }

const publishA = `{"method":"publish","payload":{"channel":"a","data":1}}`

// A call that the server cannot execute yet is repeated with pauses that double from 10 ms to
// 5 s; the message behind it waits.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 15
		node := &failing{fail: func(call int, _ string) error {
			if call <= failures {
				return errors.New("broken")
			}
			return nil
		}}
		source := &list{messages: []consumer.Message{message(publishA), message(`{"method":"publish","payload":{"channel":"b","data":2}}`)}}
		extended := 0
		source.messages[0].Extend = func(context.Context) { extended++ }
		r := consumertest.Start(t, source, node)
		time.Sleep(2 * time.Minute)
		r.Stop()
		if got, want := node.Calls(), []string{"publish a 1", "publish b 2"}; !slices.Equal(got, want) {
			t.Errorf("calls = %q; want %q", got, want)
		}
		for i := range failures {
			nominal := min(10*time.Millisecond<<i, 5*time.Second)
			if got := node.times[i+1].Sub(node.times[i]); got < nominal/2 || got > nominal {
				t.Errorf("pause %d = %v; want from %v to %v", i+1, got, nominal/2, nominal)
			}
		}
		s := r.Stats()
		if got := [3]uint64{s.Processed.Load(), s.Errors.Load(), s.Retries.Load()}; got != [3]uint64{2, failures, failures} {
			t.Errorf("processed, errors, retries = %v; want 2, %d, %d", got, failures, failures)
		}
		if extended != failures {
			t.Errorf("extended %d times; want %d", extended, failures)
		}
	})
}

// A message that waits is extended in time.
func TestExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		node := &failing{fail: func(int, string) error {
			if time.Since(began) < time.Minute {
				return errors.New("broken")
			}
			return nil
		}}
		m := message(publishA)
		last := began
		m.Extend = func(context.Context) {
			if gap := time.Since(last); gap > 300*time.Millisecond {
				t.Errorf("extended after %v; want at most 300ms", gap)
			}
			last = time.Now()
		}
		m.ExtendEvery = 300 * time.Millisecond
		r := consumertest.Start(t, &list{messages: []consumer.Message{m}}, node)
		time.Sleep(2 * time.Minute)
		r.Stop()
		if n := r.Stats().Processed.Load(); n != 1 || last.Sub(began) < time.Minute-5*time.Second {
			t.Errorf("processed %d, last extended after %v; want 1, nearly a minute", n, last.Sub(began))
		}
	})
}

// A stop ends the repetitions, and the message is not acknowledged.
func TestStopWhileRetrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := &failing{fail: func(int, string) error { return errors.New("broken") }}
		source := &list{messages: []consumer.Message{message(publishA)}}
		r := consumertest.Start(t, source, node)
		time.Sleep(time.Minute)
		stopped := time.Now()
		r.Stop()
		if took := time.Since(stopped); took != 0 {
			t.Errorf("stopping took %v; want nothing", took)
		}
		if len(source.errs) != 1 || !errors.Is(source.errs[0], context.Canceled) {
			t.Errorf("Process = %v; want the end of the context", source.errs)
		}
		if n := r.Stats().Processed.Load(); n != 0 {
			t.Errorf("processed = %d; want 0", n)
		}
	})
}

func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := &failing{fail: func(int, string) error { return errors.New("broken") }}
		source := &list{attempts: 3, messages: []consumer.Message{message(publishA)}}
		r := consumertest.Start(t, source, node)
		time.Sleep(time.Minute)
		r.Stop()
		if len(node.times) != 3 || len(source.errs) != 1 || !errors.Is(source.errs[0], consumer.ErrUnavailable) {
			t.Errorf("%d calls, Process = %v; want 3, ErrUnavailable", len(node.times), source.errs)
		}
	})
}

// Of a broadcast only the channels are repeated in which it failed.
func TestBroadcastIsRepeatedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		tried := make(map[string]int)
		node := &failing{fail: func(_ int, channel string) error {
			mu.Lock()
			defer mu.Unlock()
			tried[channel]++
			if channel == "b" && tried[channel] < 4 {
				return errors.New("broken")
			}
			return nil
		}}
		source := &list{messages: []consumer.Message{message(`{"method":"broadcast","payload":{"channels":["a","b","x:y"],"data":1}}`)}}
		r := consumertest.Start(t, source, node)
		time.Sleep(time.Minute)
		r.Stop()
		mu.Lock()
		defer mu.Unlock()
		if got := fmt.Sprint(tried); got != "map[a:1 b:4]" {
			t.Errorf("calls by channel = %s; want map[a:1 b:4]", got)
		}
		if got := r.Stats().Refused(consumer.APIError); got != 1 {
			t.Errorf("refused = %d; want 1, for x:y, which has an unknown namespace", got)
		}
		if !strings.Contains(r.Log.String(), "x:y") {
			t.Errorf("the log does not name x:y: %s; want \"x:y\" in it", r.Log)
		}
	})
}

// What can never succeed is logged, counted and acknowledged.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   string
		reason consumer.Reason
		log    string
	}{
		{"error of the API", `{"method":"publish","payload":{"channel":"x:y","data":1}}`, consumer.APIError, "unknown channel"},
		{"malformed", `{`, consumer.Malformed, "decoding a command"},
		{"unknown method", `{"method":"info","payload":{}}`, consumer.UnknownMethod, `\"info\"`},
		{"panic", `{"method":"publish","payload":{"channel":"panic","data":1}}`, consumer.Panicked, "publish panicked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			node := &failing{fail: func(_ int, channel string) error {
				if channel == "panic" {
					panic("of a test")
				}
				return nil
			}}
			source := &list{messages: []consumer.Message{message(tt.body), message(publishA)}}
			r := consumertest.Start(t, source, node)
			r.Processed(t, 2)
			r.Stop()
			if got := r.Stats().Refused(tt.reason); got != 1 || r.Stats().Errors.Load() != 1 {
				t.Errorf("refused %s = %d, errors = %d; want 1 each", tt.reason, got, r.Stats().Errors.Load())
			}
			if text := r.Log.String(); !strings.Contains(text, "message has no effect") || !strings.Contains(text, tt.log) {
				t.Errorf("log = %s; want %s", text, tt.log)
			}
			if got := node.Calls(); !slices.Equal(got, []string{"publish a 1"}) {
				t.Errorf("calls = %q; want the message behind it alone", got)
			}
		})
	}
}

// The log has at most ten lines of a kind in ten seconds, and says how many there were.
func TestLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &list{}
		for range 1000 {
			source.messages = append(source.messages, message("x"))
		}
		r := consumertest.Start(t, source, &apitest.Node{})
		r.Processed(t, 1000)
		r.Stop()
		if n := strings.Count(r.Log.String(), "message has no effect"); n != 10 {
			t.Errorf("%d lines; want 10", n)
		}
		if n := r.Stats().Refused(consumer.Malformed); n != 1000 {
			t.Errorf("counted %d; want 1000", n)
		}
	})
}

// In the publication data mode the payload is bytes.
func TestPublicationData(t *testing.T) {
	source := &list{
		format: consumer.Format{Publication: consumer.PublicationFormat{Enabled: true, Channels: "ch", Version: "v", VersionEpoch: "e"}},
		messages: []consumer.Message{
			{Body: []byte("\xff"), Attributes: []consumer.Attribute{{Name: "ch", Value: "a"}, {Name: "v", Value: "3"}, {Name: "e", Value: "x"}}},
			{Body: []byte("2"), Attributes: []consumer.Attribute{{Name: "ch", Value: "b,c"}}},
		},
	}
	node := &apitest.Node{}
	r := consumertest.Start(t, source, node)
	r.Processed(t, 2)
	r.Stop()
	got := node.Calls()
	slices.Sort(got)
	if want := []string{"publish a \xff version=3/x", "publish b 2", "publish c 2"}; !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

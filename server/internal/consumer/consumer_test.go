package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
)

// runner is a source that is a function.
type runner func(ctx context.Context, p *consumer.Processor) error

func (runner) Format() consumer.Format                                { return consumer.Format{} }
func (runner) Attempts() int                                          { return 0 }
func (r runner) Run(ctx context.Context, p *consumer.Processor) error { return r(ctx, p) }

// A source that fails is started again, after pauses that grow to 5 s and are short again
// after a message was processed.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Time
		source := runner(func(ctx context.Context, p *consumer.Processor) error {
			starts = append(starts, time.Now())
			switch len(starts) {
			case 12:
				if err := p.Process(ctx, message(publishA)); err != nil {
					t.Error(err)
				}
			case 13:
				panic("of a test")
			case 14:
				return nil
			case 15:
				<-ctx.Done()
				return nil
			}
			return errors.New("cannot connect")
		})
		r := consumertest.Start(t, source, &apitest.Node{})
		time.Sleep(5 * time.Minute)
		r.Stop()
		if len(starts) != 15 {
			t.Fatalf("%d starts; want 15", len(starts))
		}
		for i, nominal := range []time.Duration{10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000, 10, 20, 40} {
			nominal *= time.Millisecond
			if got := starts[i+1].Sub(starts[i]); got < nominal/2 || got > nominal {
				t.Errorf("pause %d = %v; want from %v to %v", i+1, got, nominal/2, nominal)
			}
		}
		if n := r.Stats().Errors.Load(); n != 14 {
			t.Errorf("errors = %d; want 14", n)
		}
		for _, text := range []string{"cannot connect", "panic: of a test", "ended by itself", "consumer=test"} {
			if !strings.Contains(r.Log.String(), text) {
				t.Errorf("the log lacks %q; want it in: %s", text, r.Log)
			}
		}
	})
}

func TestTogether(t *testing.T) {
	failure := errors.New("one failed")
	var errs []error
	last := make(chan struct{})
	source := runner(func(ctx context.Context, p *consumer.Processor) error {
		wait := func(ctx context.Context) error { <-ctx.Done(); return nil }
		errs = append(errs,
			p.Together(ctx, wait, func(context.Context) error { return failure }, wait),
			p.Together(ctx, wait, func(context.Context) error { panic("of a test") }),
			p.Together(ctx, func(context.Context) error { return nil }))
		close(last)
		return p.Together(ctx, wait, wait)
	})
	r := consumertest.Start(t, source, &apitest.Node{})
	<-last
	r.Stop()
	if len(errs) != 3 || !errors.Is(errs[0], failure) || !strings.Contains(errs[1].Error(), "panic: of a test") || errs[2] != nil {
		t.Errorf("errors = %v; want the failure, the panic, nil", errs)
	}
	if strings.Contains(r.Log.String(), "did not stop cleanly") {
		t.Errorf("log = %s; want no \"did not stop cleanly\" in it", r.Log)
	}
}

// The context that finishes work ends five seconds after the one that asks for the stop.
func TestFinishing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		finishing, stop := consumer.Finishing(ctx)
		defer stop()
		cancel()
		time.Sleep(4999 * time.Millisecond)
		synctest.Wait()
		if err := finishing.Err(); err != nil {
			t.Errorf("after 4.999 s: %v; want nil", err)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if finishing.Err() == nil {
			t.Error("after 5 s: nil; want an error")
		}
	})
}

func TestLag(t *testing.T) {
	var s consumer.Stats
	if _, known := s.Lag(); known {
		t.Error("lag is known; want unknown")
	}
	s.SetLag(0)
	if n, known := s.Lag(); n != 0 || !known {
		t.Errorf("lag = %d, %v; want 0, true", n, known)
	}
}

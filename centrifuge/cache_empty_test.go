package centrifuge_test

import (
	"context"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// cacheEmpty is an application whose channels are recovered in cache mode.
func cacheEmpty(handler func(context.Context, centrifuge.CacheEmptyEvent) (centrifuge.CacheEmptyReply, error)) centrifuge.Handlers {
	handlers := allow(centrifuge.SubscribeOptions{Recovery: true, RecoveryMode: centrifuge.RecoverCache})
	handlers.CacheEmpty = handler
	return handlers
}

// TestCacheEmpty checks when the handler is called, and that the subscriber gets what it
// publishes once.
func TestCacheEmpty(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		var s *site
		var calls []string
		s = newSite(t, noPings, cacheEmpty(func(_ context.Context, e centrifuge.CacheEmptyEvent) (centrifuge.CacheEmptyReply, error) {
			calls = append(calls, e.Client.UserID()+" "+e.Channel)
			if e.Channel == "other" {
				return centrifuge.CacheEmptyReply{}, nil
			}
			s.publish(e.Channel, `"state"`, history)
			return centrifuge.CacheEmptyReply{Populated: true}, nil
		}))
		p := s.connect(format, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"a","recover":true}}`)
		p.expect(`{"id":2,"subscribe":{"recoverable":true,"epoch":"<e>","publications":[{"data":"state","offset":1,"epoch":"<e>"}],"recovered":true,"positioned":true,"was_recovering":true}}`)
		q := s.connect(format, "v")
		q.commands(`{"id":2,"subscribe":{"channel":"a","recover":true}}`, `{"id":3,"subscribe":{"channel":"b"}}`, `{"id":4,"subscribe":{"channel":"other","recover":true}}`)
		q.expect(`{"id":2,"subscribe":{"recoverable":true,"epoch":"<e>","publications":[{"data":"state","offset":1,"epoch":"<e>"}],"recovered":true,"positioned":true,"was_recovering":true}}`,
			`{"id":3,"subscribe":{"recoverable":true,"epoch":"<e>","positioned":true}}`,
			`{"id":4,"subscribe":{"recoverable":true,"epoch":"<e>","positioned":true,"was_recovering":true}}`)
		if len(calls) != 2 || calls[0] != "u a" || calls[1] != "v other" {
			t.Errorf("the handler was called for %q; want u a, v other", calls)
		}
		s.publish("a", `2`, history)
		p.expect(`{"push":{"channel":"a","pub":{"data":2,"offset":2}}}`)
	})
}

// TestCacheEmptyFails checks that an error of the handler answers the subscribe command,
// and that a panic closes its connection only.
func TestCacheEmptyFails(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, noPings, cacheEmpty(func(_ context.Context, e centrifuge.CacheEmptyEvent) (centrifuge.CacheEmptyReply, error) {
			if e.Channel == "panic" {
				panic(boom)
			}
			return centrifuge.CacheEmptyReply{}, centrifuge.ErrorTooManyRequests
		}))
		p, other := s.connect(format, "u"), s.connect(format, "v")
		p.commands(`{"id":2,"subscribe":{"channel":"a","recover":true}}`)
		p.expect(refused(2, centrifuge.ErrorTooManyRequests))
		p.commands(`{"id":3,"subscribe":{"channel":"panic","recover":true}}`)
		p.expect("close 3004 internal server error")
		other.expect()
		if logged := s.logged(); len(logged) != 1 {
			t.Errorf("logged %q; want the panic", logged)
		}
	})
}

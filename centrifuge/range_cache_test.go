package centrifuge

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/protocol"
)

func publicationsFrom(first uint64, n, size int) []*Publication {
	pubs := make([]*Publication, n)
	for i := range pubs {
		pubs[i] = &Publication{Offset: first + uint64(i), Data: bytes.Repeat([]byte("1"), size)}
	}
	return pubs
}

func TestRangesShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rangeCache
		one := r.of("a", "e", rangePlain, publicationsFrom(3, 5, 10), nil)
		if one == nil || r.of("a", "e", rangePlain, publicationsFrom(3, 5, 10), nil) != one {
			t.Fatal("the same part of a stream is not the same range; want one")
		}
		for name, other := range map[string]func() bool{
			"channel": func() bool { return r.of("b", "e", rangePlain, publicationsFrom(3, 5, 10), nil) == one },
			"epoch":   func() bool { return r.of("a", "f", rangePlain, publicationsFrom(3, 5, 10), nil) == one },
			"first":   func() bool { return r.of("a", "e", rangePlain, publicationsFrom(4, 4, 10), nil) == one },
			"form": func() bool {
				return r.of("a", "e", rangeDeltaJSON, publicationsFrom(3, 5, 10), func(pubs []*Publication) []*Publication { return pubs }) == one
			},
			"last": func() bool { return r.of("a", "e", rangePlain, publicationsFrom(3, 4, 10), nil) == one },
		} {
			if other() {
				t.Errorf("another %s gives the same range; want another", name)
			}
		}
		gap := publicationsFrom(3, 5, 10)
		gap[2] = &Publication{Offset: 100}
		gap[4] = &Publication{Offset: 9}
		if r.of("a", "e", rangePlain, gap, nil) != nil || r.of("a", "e", rangePlain, nil, nil) != nil {
			t.Error("there is a range with a gap, or an empty one; want none")
		}
		time.Sleep(rangeLife + rangeLife/2)
		if got := r.of("a", "e", rangePlain, publicationsFrom(3, 5, 10), nil); got != one {
			t.Errorf("removed too early: of(…) = %p; want the range of before, %p", got, one)
		}
		time.Sleep(rangeLife)
		if got := r.of("a", "e", rangePlain, publicationsFrom(3, 5, 10), nil); got != one {
			t.Errorf("removed although it was used: of(…) = %p; want the range of before, %p", got, one)
		}
		time.Sleep(3 * rangeLife)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.young != nil || r.old != nil || r.size != 0 || r.turning {
			t.Errorf("ranges are left: %d bytes; want none", r.size)
		}
	})
}

func TestRangesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rangeCache
		const size = maxRangeBytes / 10
		for i := range uint64(10) {
			if r.of("a", "e", rangePlain, publicationsFrom(i+1, 1, size), nil) == nil {
				t.Fatal("a range within the bound is not kept; want it kept")
			}
		}
		if r.of("a", "e", rangePlain, publicationsFrom(100, 1, size), nil) != nil {
			t.Error("more than the bound is kept; want nothing more")
		}
		if r.of("a", "e", rangePlain, publicationsFrom(1, 1, size), nil) == nil {
			t.Error("what is kept is not found; want it found")
		}
		time.Sleep(3 * rangeLife)
		if r.of("a", "e", rangePlain, publicationsFrom(100, 1, size), nil) == nil {
			t.Error("a range is not kept although all others were removed; want it kept")
		}
		time.Sleep(3 * rangeLife) // its timer
	})
}

// keepingTransport keeps the last message.
type keepingTransport struct{ last string }

func (*keepingTransport) Info() TransportInfo {
	return TransportInfo{Name: "keep", Generation: GenerationV2}
}

func (k *keepingTransport) Write(_ context.Context, batch []*protocol.Encoded) (int, error) {
	k.last = string(batch[len(batch)-1].Bytes)
	return 0, nil
}

func (*keepingTransport) Ping() error          { return nil }
func (*keepingTransport) Resume()              {}
func (*keepingTransport) Close(uint32, string) {}

// TestClientsRecoverOneRange: clients that missed the same publications share one range
// of the node, unless a subscription has a filter. Those with deltas have a
// range of their own.
func TestClientsRecoverOneRange(t *testing.T) {
	const asks = `{"id":2,"subscribe":{"channel":"a","recover":true,"offset":%d,"epoch":"%s"%s}}`
	synctest.Test(t, func(t *testing.T) {
		n, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		n.Handle(Handlers{Subscribe: func(context.Context, SubscribeEvent) (SubscribeReply, error) {
			return SubscribeReply{Options: SubscribeOptions{Recovery: true, AllowDelta: true, AllowTagsFilter: true}}, nil
		}})
		if err := n.Run(); err != nil {
			t.Fatal(err)
		}
		var at StreamPosition
		for range 5 {
			result, err := n.Publish(t.Context(), "a", []byte(`{}`), PublishOptions{HistorySize: 10, HistoryTTL: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			at = result.StreamPosition
		}
		for _, ask := range []struct {
			offset uint64
			more   string
			ranges int // of the node afterwards
		}{
			{1, `,"delta":"fossil"`, 1},
			{1, `,"delta":"fossil"`, 1},
			{1, `,"tf":{"key":"k","cmp":"ex"}`, 1},
			{1, `,"delta":"fossil","tf":{"key":"k","cmp":"nex"}`, 1},
			{1, "", 2},
			{1, "", 2},
			{2, "", 3},
		} {
			transport := &keepingTransport{}
			client, err := n.Accept(SetCredentials(t.Context(), &Credentials{}), transport)
			if err != nil {
				t.Fatal(err)
			}
			client.Receive([]byte(`{"id":1,"connect":{}}`))
			client.Receive(fmt.Appendf(nil, asks, ask.offset, at.Epoch, ask.more))
			synctest.Wait()
			if !strings.Contains(transport.last, `"recovered":true`) {
				t.Errorf("%+v: not recovered: %s; want %q in it", ask, transport.last, `"recovered":true`)
			}
			if got, want := strings.Count(transport.last, `"data":`), int(5-ask.offset); !strings.Contains(ask.more, "tf") && got != want { //nolint:gosec // a few
				t.Errorf("%+v: %d publications, want %d: %s", ask, got, want, transport.last)
			}
			n.ranges.mu.Lock()
			if got := len(n.ranges.young) + len(n.ranges.old); got != ask.ranges {
				t.Errorf("%+v: %d ranges, want %d", ask, got, ask.ranges)
			}
			n.ranges.mu.Unlock()
		}
		if err := n.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * rangeLife) // the timer of the ranges
	})
}

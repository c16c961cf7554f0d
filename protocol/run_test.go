package protocol

import (
	"bytes"
	"errors"
	"sync"
	"testing"
)

func runOf(n int) []*Publication {
	pubs := make([]*Publication, n)
	for i := range pubs {
		pubs[i] = &Publication{Data: Raw(`{"n":1}`), Offset: uint64(i + 1), Tags: map[string]string{"k": "v"}, Info: &ClientInfo{User: "u", Client: "c"}}
	}
	return pubs
}

// TestRun compares a result with a run to one with the same publications.
func TestRun(t *testing.T) {
	for f := range FormatUni {
		for _, n := range []int{0, 1, 100} {
			pubs := runOf(n)
			run := NewRun(pubs)
			plain := &SubscribeResult{Recoverable: true, Epoch: "e", Recovered: true, Publications: pubs, Offset: 7}
			shared := *plain
			shared.Publications, shared.Run = nil, run
			for _, r := range []struct{ plain, shared *Reply }{
				{&Reply{ID: 2, Subscribe: plain}, &Reply{ID: 2, Subscribe: &shared}},
				{&Reply{ID: 1, Connect: &ConnectResult{Subs: map[string]*SubscribeResult{"a": plain}}}, &Reply{ID: 1, Connect: &ConnectResult{Subs: map[string]*SubscribeResult{"a": &shared}}}},
			} {
				want, err := NewFrame(f, r.plain)
				if err != nil {
					t.Fatal(err)
				}
				got, err := NewFrame(f, r.shared)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(want.Bytes, got.Bytes) {
					t.Errorf("format %d, %d publications:\n%q\n%q", f, n, got.Bytes, want.Bytes)
				}
			}
		}
	}
}

// TestRunNotJSON: a run that has no form fails for everybody alike.
func TestRunNotJSON(t *testing.T) {
	run := NewRun([]*Publication{{Data: Raw("\x00")}})
	for range 2 {
		if _, err := NewFrame(0, &Reply{ID: 1, Subscribe: &SubscribeResult{Run: run}}); !errors.Is(err, ErrNotJSON) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := NewFrame(FormatProtobuf, &Reply{ID: 1, Subscribe: &SubscribeResult{Run: run}}); err != nil {
		t.Error(err)
	}
}

// TestRunEncodedOnce has many subscribers ask at the same time.
func TestRunEncodedOnce(t *testing.T) {
	run := NewRun(runOf(100))
	var wg sync.WaitGroup
	first := make([]*byte, 16)
	for i := range first {
		wg.Go(func() {
			encoded, err := run.encoded(FormatProtobuf)
			if err != nil {
				t.Error(err)
				return
			}
			first[i] = &encoded[0]
		})
	}
	wg.Wait()
	for _, p := range first {
		if p != first[0] {
			t.Fatal("the run was encoded more than once")
		}
	}
}

// TestRunAllocations: what a subscriber costs does not depend on what it missed.
func TestRunAllocations(t *testing.T) {
	run := NewRun(runOf(1000))
	for f := range FormatUni {
		allocs := testing.AllocsPerRun(20, func() {
			if _, err := NewFrame(f, &Reply{ID: 2, Subscribe: &SubscribeResult{Run: run}}); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 4 { // reply, result, frame, bytes
			t.Errorf("format %d: %v allocations", f, allocs)
		}
	}
}

package protocol_test

import (
	"bytes"
	"sync"
	"testing"

	. "centrifugo/protocol"
	. "centrifugo/protocol/clientcodec"
)

func rangeOf(n int) []*Publication {
	pubs := make([]*Publication, n)
	for i := range pubs {
		pubs[i] = &Publication{Data: Raw(`{"n":1}`), Offset: uint64(i + 1), Tags: map[string]string{"k": "v"}, Info: &ClientInfo{User: "u", Client: "c"}}
	}
	return pubs
}

// TestEncodedRange compares a result with a range to one with the same publications.
func TestEncodedRange(t *testing.T) {
	for f := range FormatUni {
		for _, n := range []int{0, 1, 100} {
			pubs := rangeOf(n)
			encodedRange := NewEncodedRange(pubs)
			plain := &SubscribeResult{Recoverable: true, Epoch: "e", Recovered: true, Publications: pubs, Offset: 7}
			shared := *plain
			shared.Publications, shared.Range = nil, encodedRange
			for _, r := range []struct{ plain, shared *Reply }{
				{&Reply{ID: 2, Subscribe: plain}, &Reply{ID: 2, Subscribe: &shared}},
				{&Reply{ID: 1, Connect: &ConnectResult{Subs: map[string]*SubscribeResult{"a": plain}}}, &Reply{ID: 1, Connect: &ConnectResult{Subs: map[string]*SubscribeResult{"a": &shared}}}},
			} {
				want, err := Encode(f, r.plain)
				if err != nil {
					t.Fatal(err)
				}
				got, err := Encode(f, r.shared)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(want.Bytes, got.Bytes) {
					t.Errorf("format %d, %d publications:\ngot  %q\nwant %q", f, n, got.Bytes, want.Bytes)
				}
			}
		}
	}
}

// TestEncodedRangeOmits checks that only JSON omits publications that are not JSON.
func TestEncodedRangeOmits(t *testing.T) {
	for name, test := range map[string]struct {
		pubs []*Publication
		want string
		lost Omitted
	}{
		"all":    {[]*Publication{{Data: Raw("\x00")}}, `{"id":1,"subscribe":{}}`, Omitted{Publications: 1}},
		"first":  {[]*Publication{{Data: Raw("\xff\xfe")}, {Data: Raw("2"), Offset: 2}}, `{"id":1,"subscribe":{"publications":[{"data":2,"offset":2}]}}`, Omitted{Publications: 1}},
		"middle": {[]*Publication{{Data: Raw("1")}, {Data: Raw("{")}, {Data: Raw("3")}}, `{"id":1,"subscribe":{"publications":[{"data":1},{"data":3}]}}`, Omitted{Publications: 1}},
		"info": {[]*Publication{{Data: Raw("1"), Info: &ClientInfo{User: "u", Client: "c", ConnInfo: Raw("\xff"), ChanInfo: Raw("5")}}},
			`{"id":1,"subscribe":{"publications":[{"data":1,"info":{"user":"u","client":"c","chan_info":5}}]}}`, Omitted{Payloads: 1}},
	} {
		encodedRange := NewEncodedRange(test.pubs)
		for range 2 {
			frame, err := Encode(0, &Reply{ID: 1, Subscribe: &SubscribeResult{Range: encodedRange}})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if string(frame.Bytes) != test.want {
				t.Errorf("%s: %s, want %s", name, frame.Bytes, test.want)
			}
		}
		if lost := encodedRange.Omitted(0); lost != test.lost {
			t.Errorf("%s: omitted %+v, want %+v", name, lost, test.lost)
		}
		if lost := encodedRange.Omitted(FormatProtobuf); lost.Any() {
			t.Errorf("%s: Protobuf omits %+v; want nothing", name, lost)
		}
		frame, err := Encode(FormatProtobuf, &Reply{ID: 1, Subscribe: &SubscribeResult{Range: encodedRange}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		reply, err := DecodeReply(FormatProtobuf, frame.Bytes)
		if err != nil || len(reply.Subscribe.Publications) != len(test.pubs) {
			t.Errorf("%s: Protobuf: %+v, %v; want len(Subscribe.Publications) %v", name, reply, err, len(test.pubs))
		}
	}
}

// TestEncodedRangeEncodesOnce encodes a range from many goroutines.
func TestEncodedRangeEncodesOnce(t *testing.T) {
	encodedRange := NewEncodedRange(rangeOf(100))
	var wg sync.WaitGroup
	first := make([]*byte, 16)
	for i := range first {
		wg.Go(func() {
			first[i] = &encodedRange.EncodedIn(FormatProtobuf)[0]
		})
	}
	wg.Wait()
	for _, p := range first {
		if p != first[0] {
			t.Fatalf("the range was encoded more than once: got %v; want %v", p, first[0])
		}
	}
}

// TestEncodedRangeAllocations checks that the allocations for a subscriber do not
// depend on the number of publications.
func TestEncodedRangeAllocations(t *testing.T) {
	encodedRange := NewEncodedRange(rangeOf(1000))
	for f := range FormatUni {
		allocs := testing.AllocsPerRun(20, func() {
			if _, err := Encode(f, &Reply{ID: 2, Subscribe: &SubscribeResult{Range: encodedRange}}); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 4 { // reply, result, Encoded, bytes
			t.Errorf("format %d: %v allocations; want at most 4", f, allocs)
		}
	}
}

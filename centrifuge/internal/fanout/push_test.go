package fanout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"
)

// TestEncodeOnce: the subscribers of one form and format share the frame.
func TestEncodeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(4)
		var subscribers []*testSubscriber
		for i := range 400 {
			s := newSubscriber(h.Lane(uint64(i)), protocol.Format(i%protocol.NumFormats))
			s.Options = &SubscriberOptions{Delta: i%3 == 0}
			s.join(h, "a")
			s.Open(true, 0, "e")
			subscribers = append(subscribers, s)
		}
		for i := range uint64(3) {
			p := newPush("a", i+1)
			p.Pub.Data = []byte(`{"pad":"` + strings.Repeat("a", 100) + `","i":` + string(rune('0'+i)) + `}`)
			if i > 0 {
				p.Prev = []byte(`{"pad":"` + strings.Repeat("a", 100) + `","i":` + string(rune('0'+i-1)) + `}`)
			}
			h.Broadcast(p)
		}
		synctest.Wait()
		for i := range 3 {
			frames := make(map[*protocol.Encoded]int)
			for _, s := range subscribers {
				frames[s.sink.frames[i]]++
			}
			if want := 2 * protocol.NumFormats; len(frames) != want {
				t.Errorf("push %d was encoded %d times for %d subscribers, want %d", i, len(frames), len(subscribers), want)
			}
		}
		h.Close()
	})
}

// TestUnencodable: a payload without form in a format is not sent to subscribers
// with that format, who get everything else.
func TestUnencodable(t *testing.T) {
	for _, bad := range []string{"\xff", "{", "\"\xff\"", strings.Repeat("[", 1025) + strings.Repeat("]", 1025), "1 2"} {
		for _, delta := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				h := NewHub(1)
				text, binary := newSubscriber(0, jsonFormat), newSubscriber(0, protocol.FormatProtobuf)
				for _, s := range []*testSubscriber{text, binary} {
					if delta {
						s.Options = &SubscriberOptions{Delta: true}
					}
					s.join(h, "a")
					s.Open(true, 0, "e")
				}
				good := []byte(`"` + strings.Repeat("x", 100) + `"`)
				payloads := [][]byte{good, good, []byte(bad), []byte(bad), good, good}
				var prev []byte
				for i, data := range payloads {
					offset := uint64(i + 1) //nolint:gosec // a small index
					h.Broadcast(&Push{Channel: "a", Offset: offset, Epoch: "e", Prev: prev, Pub: &protocol.Publication{Data: data, Offset: offset}})
					prev = data
				}
				synctest.Wait()
				if len(text.losses) != 0 || text.without.Publications != 2 {
					t.Errorf("%.10q: losses %v, left out %+v; want none and Publications 2", bad, text.losses, text.without)
				}
				if len(binary.losses) != 0 || binary.without.Any() || binary.sink.count() != len(payloads) {
					t.Errorf("%.10q: losses %v, left out %+v, %d frames; want none, none, %d", bad, binary.losses, binary.without, binary.sink.count(), len(payloads))
				}
				var got []string
				for _, frame := range text.sink.frames {
					reply, err := clientcodec.DecodeReply(jsonFormat, frame.Bytes)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, fmt.Sprint(reply.Push.Pub.Offset, reply.Push.Pub.Delta))
				}
				want := []string{"1 false", "2 false", "5 false", "6 false"}
				if delta { // what was left out is no base
					want = []string{"1 false", "2 true", "5 false", "6 true"}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%.10q: got %v, want %v", bad, got, want)
				}
				if offset, _, _ := text.Position(); offset != uint64(len(payloads)) {
					t.Errorf("%.10q: position %d; want %d", bad, offset, len(payloads))
				}
				h.Close()
			})
		}
	}
}

// TestOmittedInfo: what is shown of a client is left out alone, and told once.
func TestOmittedInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(1)
		subs := []*testSubscriber{newSubscriber(0, jsonFormat), newSubscriber(0, jsonFormat), newSubscriber(0, protocol.FormatProtobuf)}
		for _, s := range subs {
			s.PushJoinLeave = true
			s.join(h, "a")
			s.Open(false, 0, "")
		}
		info := &protocol.ClientInfo{User: "u", Client: "c", ConnInfo: []byte("\xff"), ChanInfo: []byte("1")}
		h.Broadcast(&Push{Channel: "a", Join: info})
		h.Broadcast(&Push{Channel: "a", Pub: &protocol.Publication{Data: []byte("5"), Info: info}})
		h.Broadcast(&Push{Channel: "a", Leave: info})
		synctest.Wait()
		told := 0
		for i, s := range subs {
			if len(s.losses) != 0 || s.sink.count() != 3 {
				t.Errorf("%d: losses %v, %d frames; want none and 3", i, s.losses, s.sink.count())
			}
			told += s.without.Payloads
		}
		if told != 3 {
			t.Errorf("%d payloads are told, want 3", told)
		}
		h.Close()
	})
}

package fanout

import (
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/protocol"
)

// TestEncodeOnce: the subscribers of one form and format share the frame.
func TestEncodeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(4)
		var subscribers []*subscriber
		for i := range 400 {
			s := newSubscriber(h.Lane(uint64(i)), protocol.Format(i%protocol.NumFormats))
			s.Extra = &Extra{Delta: i%3 == 0}
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
			frames := make(map[*protocol.Frame]int)
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

// TestUnencodable: a payload without form in a format ends the subscriptions of
// that format, and is tried once.
func TestUnencodable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(1)
		text, binary := newSubscriber(0, jsonFormat), newSubscriber(0, protocol.FormatProtobuf)
		for _, s := range []*subscriber{text, binary} {
			s.join(h, "a")
			s.Open(false, 0, "")
		}
		for range 3 {
			h.Broadcast(&Push{Channel: "a", Pub: &protocol.Publication{Data: []byte("\xff")}})
		}
		synctest.Wait()
		if len(text.losses) != 1 || text.losses[0] != LossEncoding || text.sink.count() != 0 {
			t.Errorf("losses %v, %d frames", text.losses, text.sink.count())
		}
		if len(binary.losses) != 0 || binary.sink.count() != 3 {
			t.Errorf("losses %v, %d frames", binary.losses, binary.sink.count())
		}
		h.Close()
	})
}

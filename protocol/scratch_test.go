package protocol_test

import (
	"reflect"
	"testing"

	. "centrifugo/protocol"
	. "centrifugo/protocol/clientcodec"
)

// TestReplyScratch checks that decoding pushes with scratch memory does not allocate,
// that a push holds nothing of an earlier one, and that elements of a list do not
// share memory.
func TestReplyScratch(t *testing.T) {
	for _, f := range []Format{0, FormatProtobuf, FormatV1, FormatV1 | FormatProtobuf, FormatUni} {
		decoder := ReplyDecoder{Format: f, Scratch: new(ReplyScratch)}
		full, bare := encoded(t, f, benchReply), encoded(t, f, &Reply{Push: &Push{Channel: "b", Pub: &Publication{Data: Raw("1")}}})
		decode := func() {
			if got, err := decoder.Decode(full); err != nil || got.Push.Pub.Info.Client != benchReply.Push.Pub.Info.Client {
				t.Fatalf("%s: %v, %+v; want Push.Pub.Info.Client %v", formatName(f), err, got, benchReply.Push.Pub.Info.Client)
			}
			if got, err := decoder.Decode(bare); err != nil || got.Push.Pub.Info != nil || got.Push.Pub.Offset != 0 || got.Push.Channel != "b" {
				t.Fatalf("%s: %v, %+v; want the push of channel b without info and offset", formatName(f), err, got)
			}
		}
		if n := testing.AllocsPerRun(100, decode); n != 0 {
			t.Errorf("%s: %v allocations; want 0", formatName(f), n)
		}
	}
	want := &Reply{ID: 1, History: &HistoryResult{Epoch: "e", Offset: 2, Publications: []*Publication{
		{Data: Raw("1"), Offset: 1, Info: &ClientInfo{User: "a"}}, {Data: Raw("2"), Offset: 2, Info: &ClientInfo{User: "b"}},
	}}}
	got, err := ReplyDecoder{Format: FormatProtobuf, Scratch: new(ReplyScratch)}.Decode(encoded(t, FormatProtobuf, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("history: %v, %+v; want %+v", err, got, want)
	}
}

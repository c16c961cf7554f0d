package httpstream

import (
	"testing"

	"centrifugo/internal/memtest"
	"centrifugo/protocol"
)

// The bytes of a message are the same alone and in a batch of one, in each framing.
func TestFraming(t *testing.T) {
	for _, tt := range []struct {
		name          string
		framing       framing
		one, together string
	}{
		{"stream", framing{}, "{}\n", "{}\n{}\n"},
		{"chunked stream", framing{chunked: true}, "3\r\n{}\n\r\n", "6\r\n{}\n{}\n\r\n"},
		{"Protobuf", framing{protobuf: true}, "\x02{}", "\x02{}\x02{}"},
		{"chunked Protobuf", framing{protobuf: true, chunked: true}, "3\r\n\x02{}\r\n", "6\r\n\x02{}\x02{}\r\n"},
		{"events", framing{wire: Events}, "data: {}\n\n", "data: {}\n\ndata: {}\n\n"},
		{"chunked events", framing{wire: Events, chunked: true}, "a\r\ndata: {}\n\n\r\n", "14\r\ndata: {}\n\ndata: {}\n\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &protocol.Encoded{Bytes: []byte("{}"), Kind: protocol.KindPing}
			if got := string(tt.framing.shared(m)); got != tt.one {
				t.Errorf("shared = %q; want %q", got, tt.one)
			}
			if got := string(tt.framing.appendBatch(nil, []*protocol.Encoded{m}, nil)); got != tt.one {
				t.Errorf("appendBatch of one = %q; want %q", got, tt.one)
			}
			if got := string(tt.framing.appendBatch(nil, []*protocol.Encoded{m, m}, nil)); got != tt.together {
				t.Errorf("appendBatch of two = %q; want %q", got, tt.together)
			}
			if got := tt.framing.appendBatch(nil, nil, nil); len(got) > 0 {
				t.Errorf("appendBatch of none = %q; want nothing: an empty chunk ends the body", got)
			}
		})
	}
}

// A message to many connections is framed once, a batch in a buffer of the pool.
func TestFramingAllocations(t *testing.T) {
	if memtest.Race {
		t.Skip("the race detector allocates")
	}
	f := framing{wire: Events, chunked: true}
	m := &protocol.Encoded{Bytes: []byte(`{"push":{}}`), Kind: protocol.KindPushPublication}
	f.shared(m)
	if got := testing.AllocsPerRun(100, func() { f.shared(m) }); got != 0 {
		t.Errorf("shared allocates %v times; want 0", got)
	}
	buffer := make([]byte, 0, 4<<10)
	batch := []*protocol.Encoded{m, m}
	if got := testing.AllocsPerRun(100, func() { f.appendBatch(buffer, batch, nil) }); got != 0 {
		t.Errorf("appendBatch allocates %v times; want 0", got)
	}
}

package protocol_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	. "centrifugo/protocol"
)

// TestWireFormsAreApart has many goroutines ask for all forms of one message at
// the same time: each is built once, compressed once, and none takes the place
// of another.
func TestWireFormsAreApart(t *testing.T) {
	e := &Encoded{Bytes: []byte("{}")}
	var built [NumWireForms]atomic.Int32
	var compressed countingCompressor
	var wg sync.WaitGroup
	for range 16 {
		for form := range NumWireForms {
			wg.Go(func() {
				m := e.Wire(form, func(message []byte) *WireMessage {
					built[form].Add(1)
					return &WireMessage{Bytes: append([]byte{byte(form)}, message...), Header: 1}
				})
				if want := string(rune(form)) + "{}"; string(m.Bytes) != want {
					t.Errorf("Wire(%d) = %q; want %q", form, m.Bytes, want)
				}
				if got := m.Compressed(&compressed); !slices.Equal(got, []byte{byte(form)}) {
					t.Errorf("Compressed of form %d = %q; want %q", form, got, []byte{byte(form)})
				}
			})
		}
	}
	wg.Wait()
	for form := range built {
		if n := built[form].Load(); n != 1 {
			t.Errorf("form %d was built %d times; want 1", form, n)
		}
	}
	if n := compressed.n.Load(); n != int32(NumWireForms) {
		t.Errorf("Compress was called %d times; want %d", n, NumWireForms)
	}
}

// countingCompressor returns the header of a message.
type countingCompressor struct{ n atomic.Int32 }

func (c *countingCompressor) Compress(m *WireMessage) []byte {
	c.n.Add(1)
	return m.Bytes[:m.Header]
}

// TestCompressedKeepsNothing checks that a message which compression does not make
// smaller is compressed once.
func TestCompressedKeepsNothing(t *testing.T) {
	var compressed countingCompressor
	m := &WireMessage{Bytes: []byte("{}")}
	for range 3 {
		if got := m.Compressed(&compressed); len(got) != 0 {
			t.Fatalf("Compressed = %q; want nothing", got)
		}
	}
	if n := compressed.n.Load(); n != 1 {
		t.Errorf("Compress was called %d times; want 1", n)
	}
}

// TestEncodedMemory bounds the size of what every reply and every push takes to
// its size classes.
func TestEncodedMemory(t *testing.T) {
	if size := unsafe.Sizeof(Encoded{}); size > 80 {
		t.Errorf("Encoded takes %d bytes; want at most 80", size)
	}
	if size := unsafe.Sizeof(WireMessage{}); size > 48 {
		t.Errorf("WireMessage takes %d bytes; want at most 48", size)
	}
}

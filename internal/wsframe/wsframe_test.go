package wsframe_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/gobwas/ws"

	"centrifugo/internal/wsframe"
)

// sizes are those at which the form of the length changes.
var sizes = []int{0, 1, 125, 126, 127, 65535, 65536, 70000}

// The frames are compared with those of another implementation, in both directions.
func TestFrames(t *testing.T) {
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	for _, size := range sizes {
		payload := bytes.Repeat([]byte("payload"), size/7+1)[:size]
		for _, masked := range []bool{false, true} {
			want := ws.NewFrame(ws.OpBinary, false, bytes.Clone(payload))
			want.Header.Rsv = ws.Rsv(true, false, false)
			got := wsframe.Append([]byte("x"), wsframe.Binary|wsframe.Compressed, payload)
			if masked {
				want = ws.MaskFrameInPlaceWith(want, mask)
				got = wsframe.AppendMasked([]byte("x"), wsframe.Binary|wsframe.Compressed, payload, mask)
			}
			encoded := ws.MustCompileFrame(want)
			if string(got) != "x"+string(encoded) {
				t.Fatalf("%d bytes, masked %v: appended %.40x, want x and %.40x", size, masked, got, encoded)
			}
			f, err := wsframe.Read(bytes.NewReader(encoded), uint64(size))
			if err != nil || f.First != wsframe.Binary|wsframe.Compressed || f.Opcode() != wsframe.Binary || f.Masked != masked || !bytes.Equal(f.Payload, payload) {
				t.Errorf("%d bytes, masked %v: Read = %x, masked %v, %.20q, %v; want the frame as it was written", size, masked, f.First, f.Masked, f.Payload, err)
			}
			for _, cut := range []int{1, 3, len(encoded) - 1} {
				if cut >= len(encoded) {
					continue
				}
				if _, err := wsframe.Read(bytes.NewReader(encoded[:cut]), 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%d bytes, masked %v, cut to %d: Read = %v, want an unexpected end", size, masked, cut, err)
				}
			}
			if size > 0 {
				if f, err := wsframe.Read(bytes.NewReader(encoded), uint64(size)-1); err == nil {
					t.Errorf("Read with a limit of %d = %d bytes, want an error", size-1, len(f.Payload))
				}
			}
		}
	}
}

func TestCloseCode(t *testing.T) {
	for payload, want := range map[string]struct {
		code   uint16
		reason string
	}{"": {1005, ""}, "\x03": {1005, ""}, "\x03\xE8": {1000, ""}, "\x0b\xc0slow": {3008, "slow"}} {
		if code, reason := wsframe.CloseCode([]byte(payload)); code != want.code || reason != want.reason {
			t.Errorf("CloseCode(%q) = %d, %q; want %d, %q", payload, code, reason, want.code, want.reason)
		}
	}
}

// The example of RFC 6455 1.3.
func TestAccept(t *testing.T) {
	const want = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	if got := wsframe.Accept("dGhlIHNhbXBsZSBub25jZQ=="); got != want {
		t.Errorf("Accept = %q, want %q", got, want)
	}
}

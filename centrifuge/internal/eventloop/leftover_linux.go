//go:build linux

package eventloop

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// keptRecord is the largest buffer for incoming records that an idle connection
// keeps, in bytes. The smallest that crypto/tls makes is about half of it.
const keptRecord = 1 << 10

// A tls.Conn keeps its read buffers for ever, as large as they once had to be:
// 3.7 KB after the hello of a client with a post-quantum key share, 20 KB after
// one long message, and that is half of what an idle connection holds. It has
// no method to give them back, so that this reaches for its fields: where they
// are and what they are is asked of the type. Should a version of Go have other
// ones, the buffers are kept, and a test says so.
var recordBuffer, handshakeBuffer = bufferIn("rawInput"), bufferIn("hand")

// field is the place of a bytes.Buffer in a tls.Conn.
type field struct {
	offset uintptr
	found  bool
}

func bufferIn(name string) field {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	return field{f.Offset, ok && f.Type == reflect.TypeFor[bytes.Buffer]()}
}

func (f field) of(c *tls.Conn) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), f.offset))
}

// dropLeftovers frees the read buffers of c that are empty. The caller is the
// one who reads c and has just been told that there is no more: then nothing
// that was decrypted is left in them (a Read forgets that before it asks).
func dropLeftovers(c *tls.Conn) {
	if !recordBuffer.found || !handshakeBuffer.found {
		return
	}
	if b := recordBuffer.of(c); b.Len() == 0 && b.Cap() > keptRecord {
		*b = bytes.Buffer{}
	}
	if b := handshakeBuffer.of(c); b.Len() == 0 && b.Cap() > 0 {
		*b = bytes.Buffer{}
	}
}

//go:build linux

package eventloop

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"unsafe"
)

// A tls.Conn never frees its read buffers and never shrinks them: they take 3.7 KB
// after the hello of a client with a post-quantum key share and 20 KB after one long
// message, half of the memory of an idle connection. It has no method to free them, so
// this file replaces two private fields with empty buffers.
//
// That is done only with the Go releases in verifiedReleases. With any other one, or if
// a field is missing or has another type, the fields are not touched: an idle TLS
// connection then takes about 5 KB more, and KeepsTLSBuffers reports it.
//
// To add a release: put it into verifiedReleases, run the tests of this package with
// that release (go test -race -count 10), and read the uses of Conn.rawInput and
// Conn.hand in its crypto/tls: Read must not use their memory after it has returned
// errNoMore with both empty. TestLeftovers checks what the fields mean;
// TestStream and TestKeyUpdate run records of every size through connections whose
// buffers are freed.
var verifiedReleases = []string{"go1.26"}

// keptRecord is the largest record buffer, in bytes, that is not freed. The smallest
// that crypto/tls allocates is about half of it.
const keptRecord = 1 << 10

// leftovers are the offsets of the read buffers in a tls.Conn.
type leftovers struct {
	records   uintptr // rawInput: bytes from the network, a partial record at the end
	handshake uintptr // hand: a partial handshake message
	verified  bool    // otherwise the buffers are not touched
}

var tlsLeftovers = findLeftovers(runtime.Version(), reflect.TypeFor[tls.Conn]())

// KeepsTLSBuffers reports whether idle TLS connections of an event loop keep their read
// buffers, because this Go release is not verified.
func KeepsTLSBuffers() bool { return !tlsLeftovers.verified }

// release matches the version of an unmodified release: go1.26 or go1.26.8. Release
// candidates, development versions and toolchains with experiments do not match.
var release = regexp.MustCompile(`^(go1\.\d+)(?:\.\d+)?$`)

// findLeftovers finds the buffers in the type of tls.Conn of a Go version.
func findLeftovers(version string, conn reflect.Type) leftovers {
	m := release.FindStringSubmatch(version)
	if m == nil || !slices.Contains(verifiedReleases, m[1]) {
		return leftovers{}
	}
	offset := func(name string) (uintptr, bool) {
		f, ok := conn.FieldByName(name)
		return f.Offset, ok && len(f.Index) == 1 && f.Type == reflect.TypeFor[bytes.Buffer]()
	}
	records, found := offset("rawInput")
	handshake, alsoFound := offset("hand")
	if !found || !alsoFound {
		return leftovers{}
	}
	return leftovers{records: records, handshake: handshake, verified: true}
}

// bufferAt returns the field of c at an offset.
func bufferAt(c *tls.Conn, offset uintptr) *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), offset))
}

// drop frees the read buffers of c that are empty. The caller is the reader of c, and
// its last Read has returned errNoMore: c then has no decrypted bytes, which are in the
// memory of the record buffer.
func (l leftovers) drop(c *tls.Conn) {
	if !l.verified {
		return
	}
	if b := bufferAt(c, l.records); b.Len() == 0 && b.Cap() > keptRecord {
		*b = bytes.Buffer{}
	}
	if b := bufferAt(c, l.handshake); b.Len() == 0 && b.Cap() > 0 {
		*b = bytes.Buffer{}
	}
}

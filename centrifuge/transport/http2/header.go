package http2

import (
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Header blocks are sent without a dynamic table (RFC 7541 2.3.2): connections have no table
// for it, and a block is the same for every connection.

// tableSizeZero tells a client that the table has no space (RFC 7541 6.3). It begins the
// first block after the client has reduced its size.
const tableSizeZero = 0x20

// Indexes of the static table (RFC 7541 appendix A).
var (
	staticStatus = map[int]byte{
		http.StatusOK: 8, http.StatusNoContent: 9, http.StatusPartialContent: 10, http.StatusNotModified: 11,
		http.StatusBadRequest: 12, http.StatusNotFound: 13, http.StatusInternalServerError: 14,
	}
	staticNames = map[string]int{
		"Accept-Ranges": 18, "Access-Control-Allow-Origin": 20, "Age": 21, "Allow": 22, "Cache-Control": 24,
		"Content-Disposition": 25, "Content-Encoding": 26, "Content-Language": 27, "Content-Length": 28,
		"Content-Location": 29, "Content-Range": 30, "Content-Type": 31, "Date": 33, "Etag": 34, "Expires": 36,
		"Last-Modified": 44, "Link": 45, "Location": 46, "Retry-After": 53, "Server": 54, "Set-Cookie": 55,
		"Strict-Transport-Security": 56, "Vary": 59, "Via": 60, "Www-Authenticate": 61,
	}
)

// staticStatusName is the index of ":status".
const staticStatusName = 8

func appendStatus(dst []byte, status int) []byte {
	if index, ok := staticStatus[status]; ok {
		return append(dst, 0x80|index)
	}
	return appendText(append(dst, staticStatusName), strconv.Itoa(status))
}

// appendHeader appends the fields of a header that HTTP/2 has. Invalid ones are left out,
// as net/http does.
func appendHeader(dst []byte, header http.Header) []byte {
	for name, values := range header {
		if connectionHeader(name) || !httpguts.ValidHeaderFieldName(name) {
			continue
		}
		for _, value := range values {
			if httpguts.ValidHeaderFieldValue(value) {
				dst = appendField(dst, name, value)
			}
		}
	}
	return dst
}

// connectionHeader reports whether HTTP/2 has no such field (RFC 9113 8.2.2).
func connectionHeader(canonical string) bool {
	switch canonical {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(canonical, ":")
}

// appendField appends a literal field without indexing (RFC 7541 6.2.2). name is in
// canonical form.
func appendField(dst []byte, name, value string) []byte {
	if index, ok := staticNames[name]; ok {
		return appendText(appendNumber(dst, index, 4), value)
	}
	dst = appendNumber(append(dst, 0), len(name), 7)
	for i := range len(name) {
		dst = append(dst, lower(name[i]))
	}
	return appendText(dst, value)
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// appendText appends a string without Huffman coding (RFC 7541 5.2).
func appendText(dst []byte, s string) []byte { return append(appendNumber(dst, len(s), 7), s...) }

// appendNumber appends an integer with a prefix of so many bits, whose other bits are zero
// (RFC 7541 5.1).
func appendNumber(dst []byte, n, bits int) []byte {
	most := 1<<bits - 1
	if n < most {
		return append(dst, byte(n))
	}
	dst = append(dst, byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

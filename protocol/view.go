package protocol

import "unsafe"

// view returns b as a string without a copy. Decoded strings are slices of the
// message, as payloads are, so the caller of a decoder must not change the message.
// Copies took half of the time of decoding a command.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

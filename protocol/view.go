package protocol

import "unsafe"

// view returns b as a string without a copy. Decoded strings are parts of the
// message as payloads are: whoever decodes lets the message alone from then on.
// A copy of each was measured: half of the time of decoding a command.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

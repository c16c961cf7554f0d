package protocol

import (
	"fmt"
	"unicode/utf8"
)

// Errors of CheckJSON. All of them wrap ErrNotJSON.
var (
	errMalformed = fmt.Errorf("%w: malformed", ErrNotJSON)
	errTooDeep   = fmt.Errorf("%w: nested deeper than %d levels", ErrNotJSON, MaxDepth)
	errNotUTF8   = fmt.Errorf("%w: invalid UTF-8", ErrNotJSON)
)

// CheckJSON is [ValidJSON] with a reason: nil where ValidJSON reports true, else
// an error that wraps [ErrNotJSON] and does not quote the value.
func CheckJSON(b []byte) error {
	end, seen := scanValue(b, 0, MaxDepth)
	switch {
	case end == scanTooDeep:
		return errTooDeep
	case end < 0 || skipSpace(b, end) != len(b):
		return errMalformed
	case seen&valueHigh != 0 && !utf8.Valid(b):
		return errNotUTF8
	}
	return nil
}

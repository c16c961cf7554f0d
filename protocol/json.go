package protocol

import (
	"errors"
	"fmt"

	"centrifugo/internal/jsonscan"
)

// MaxDepth is how deep the arrays and objects of a JSON payload may nest. All
// functions have the same bound: decoders accept such a payload, replies and pushes
// can hold it, and [ValidJSON] reports it as valid.
const MaxDepth = jsonscan.MaxDepth

// ValidJSON reports whether b is one JSON value of RFC 8259, with optional
// white space around it, in valid UTF-8, nested at most [MaxDepth] deep.
// It accepts what encoding/json accepts, except deeper nesting and invalid
// UTF-8: browsers refuse a text frame that holds it.
func ValidJSON(b []byte) bool { return jsonscan.Valid(b) }

// Errors of CheckJSON. All of them wrap ErrNotJSON.
var (
	errMalformed = fmt.Errorf("%w: malformed", ErrNotJSON)
	errTooDeep   = fmt.Errorf("%w: nested deeper than %d levels", ErrNotJSON, MaxDepth)
	errNotUTF8   = fmt.Errorf("%w: invalid UTF-8", ErrNotJSON)
)

// CheckJSON is [ValidJSON] with a reason: nil where ValidJSON reports true, else
// an error that wraps [ErrNotJSON] and does not quote the value.
func CheckJSON(b []byte) error {
	err := jsonscan.Check(b)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsonscan.ErrDepth):
		return errTooDeep
	case errors.Is(err, jsonscan.ErrUTF8):
		return errNotUTF8
	}
	return errMalformed
}

// AppendJSONString appends s as a quoted JSON string. It escapes control
// characters, quotes, <, >, &, U+2028 and U+2029, and puts U+FFFD in place of
// invalid UTF-8: byte for byte what encoding/json writes.
func AppendJSONString(dst []byte, s string) []byte { return jsonscan.AppendString(dst, s) }

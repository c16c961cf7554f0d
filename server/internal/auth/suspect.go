package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Claims that hold Unix seconds are of a larger unit than seconds from this value
// on, the year 5138, with which milliseconds begin in 1973.
const (
	fromMilliseconds = 100_000_000_000
	fromMicroseconds = fromMilliseconds * 1000
	fromNanoseconds  = fromMicroseconds * 1000
)

// Suspicions says what in the claims of a token is valid, but hardly what was meant:
// dates in another unit than seconds. They are for the owner of the token.
func Suspicions(claims []byte) []string {
	var all map[string]json.RawMessage
	if json.Unmarshal(claims, &all) != nil {
		return nil
	}
	var found []string
	for _, name := range []string{"exp", "nbf", "iat", "expire_at"} {
		value, err := strconv.ParseFloat(string(bytes.Trim(all[name], `"`)), 64)
		if err != nil || value < fromMilliseconds {
			continue
		}
		unit := "milliseconds"
		switch {
		case value >= fromNanoseconds:
			unit = "nanoseconds"
		case value >= fromMicroseconds:
			unit = "microseconds"
		}
		found = append(found, fmt.Sprintf("claim %s looks like %s; it is read as seconds", name, unit))
	}
	return found
}

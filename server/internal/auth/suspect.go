package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// A claim of Unix seconds with this value or more, the year 5138, is probably in
// milliseconds, in which it is in 1973.
const (
	fromMilliseconds = 100_000_000_000
	fromMicroseconds = fromMilliseconds * 1000
	fromNanoseconds  = fromMicroseconds * 1000
)

// Suspicions describes claims that are valid but probably wrong: dates in another unit
// than seconds. The texts are for the owner of the token.
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

package channels

import (
	"bytes"

	"centrifugo/protocol"
)

// Format is the rule for the data of publications (server.md 4.5).
type Format string

// The formats of data.
const (
	FormatNonEmpty   Format = ""            // any bytes, but not none
	FormatJSON       Format = "json"        // valid JSON
	FormatJSONObject Format = "json_object" // a valid JSON object
	FormatBinary     Format = "binary"      // anything, also nothing
)

// Valid reports whether data has the format; if not, the caller answers with error 107.
// The rule applies to publications of clients before any proxy, of the server API and of
// consumers, but not to data that a publish proxy has replaced. JSON must be valid UTF-8
// and within a limit of nesting, see protocol.ValidJSON.
func (f Format) Valid(data []byte) bool {
	switch f {
	case FormatBinary:
		return true
	case FormatJSON:
		return protocol.ValidJSON(data)
	case FormatJSONObject:
		return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) && protocol.ValidJSON(data)
	}
	return len(data) > 0
}

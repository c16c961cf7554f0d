package grpcstream

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"

	"google.golang.org/grpc/metadata"

	"centrifugo/centrifuge"
)

// adviceTrailer is the key of the trailer that tells a client why its connection ends, and
// whether it should come back (protocol.md 3.6).
const adviceTrailer = "disconnect"

// adviceOf returns the text of the trailer. In V1 it has no code, as the reason of a
// WebSocket close frame (protocol.md 8.5).
func (c *conn) adviceOf(d centrifuge.Disconnect) string {
	advice := struct {
		Code      uint32 `json:"code,omitempty"`
		Reason    string `json:"reason"`
		Reconnect bool   `json:"reconnect"`
	}{d.Code, d.Reason, d.Reconnect()}
	if c.generation != centrifuge.GenerationV2 {
		advice.Code = 0
	}
	text, _ := json.Marshal(advice) // a number, a string and a bool cannot fail
	return string(text)
}

// advise sets the trailer of a bidirectional connection, once. Unidirectional ones end with
// a disconnect push.
func (c *conn) advise(text string) {
	if c.wire.unidirectional {
		return
	}
	c.advised.Do(func() { c.stream.SetTrailer(metadata.Pairs(adviceTrailer, ascii(text))) })
}

// ascii returns JSON in which the characters that a trailer cannot have are escaped.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

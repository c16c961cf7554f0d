package apihttp

import (
	"bytes"
	"encoding/json"

	"centrifugo/protocol"
	"centrifugo/server/internal/api"
)

// decodePublish decodes the usual form of a publish request: keys as documented,
// strings of plain ASCII, and neither tags nor a version. It returns false for all
// other bodies, malformed ones included; the caller then discards req and uses
// encoding/json. For bodies that it accepts the result equals that of encoding/json.
// Req does not refer to body.
func decodePublish(body []byte, req *api.PublishRequest) bool {
	s := scanner{body: body}
	if !s.eat('{') {
		return false
	}
	if s.eat('}') {
		return s.atEnd()
	}
	for {
		key, ok := s.plainString()
		if !ok || !s.eat(':') || !decodePublishField(&s, key, req) {
			return false
		}
		if s.eat(',') {
			continue
		}
		return s.eat('}') && s.atEnd()
	}
}

func decodePublishField(s *scanner, key []byte, req *api.PublishRequest) bool {
	switch string(key) {
	case "channel":
		return s.stringField(&req.Channel)
	case "data":
		value, ok := s.value()
		// encoding/json decides about other values, and then the API.
		if !ok || !protocol.ValidJSON(value) {
			return false
		}
		req.Data = append(json.RawMessage(nil), value...)
		return true
	case "b64data":
		return s.stringField(&req.B64Data)
	case "idempotency_key":
		return s.stringField(&req.IdempotencyKey)
	case "skip_history":
		return s.boolField(&req.SkipHistory)
	case "delta":
		return s.boolField(&req.Delta)
	}
	return false
}

// scanner reads JSON text that may be invalid.
type scanner struct {
	body []byte
	pos  int
}

func (s *scanner) space() {
	for s.pos < len(s.body) {
		switch s.body[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// eat skips white space and then c, if c is next.
func (s *scanner) eat(c byte) bool {
	s.space()
	if s.pos < len(s.body) && s.body[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) atEnd() bool {
	s.space()
	return s.pos == len(s.body)
}

// plainString returns the contents of a string without escapes, of ASCII only.
func (s *scanner) plainString() ([]byte, bool) {
	if !s.eat('"') {
		return nil, false
	}
	start := s.pos
	for ; s.pos < len(s.body); s.pos++ {
		switch c := s.body[s.pos]; {
		case c == '"':
			s.pos++
			return s.body[start : s.pos-1], true
		case c == '\\' || c < 0x20 || c >= 0x80:
			return nil, false
		}
	}
	return nil, false
}

func (s *scanner) stringField(field *string) bool {
	value, ok := s.plainString()
	if ok {
		*field = string(value)
	}
	return ok
}

func (s *scanner) boolField(field *bool) bool {
	value, ok := s.value()
	if !ok || string(value) != "true" && string(value) != "false" {
		return false
	}
	*field = string(value) == "true"
	return true
}

// value returns the text of a value. It finds the end, but does not validate the text.
func (s *scanner) value() ([]byte, bool) {
	s.space()
	start, depth := s.pos, 0
	for ; s.pos < len(s.body); s.pos++ {
		switch s.body[s.pos] {
		case '"':
			if !s.skipString() {
				return nil, false
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.trimmed(start)
			}
			depth--
		case ',':
			if depth == 0 {
				return s.trimmed(start)
			}
		}
	}
	return nil, false
}

func (s *scanner) trimmed(start int) ([]byte, bool) {
	value := bytes.TrimRight(s.body[start:s.pos], " \t\r\n")
	return value, len(value) > 0
}

// skipString moves from the opening to the closing quote.
func (s *scanner) skipString() bool {
	for s.pos++; s.pos < len(s.body); s.pos++ {
		switch s.body[s.pos] {
		case '\\':
			s.pos++
		case '"':
			return true
		}
	}
	return false
}

// plainASCII reports whether encoding/json would write text without escapes.
func plainASCII(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c < 0x20, c >= 0x7f, c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

package apihttp

import (
	"encoding/json"
	"math"
	"strings"

	"centrifugo/internal/jsonscan"
	"centrifugo/server/internal/api"
)

// decodePublish decodes a publish request without reflection. It reports false
// for the few bodies whose meaning it leaves to encoding/json: malformed ones,
// those with a key twice, and those with a payload that is not UTF-8 or nests
// deeper than [jsonscan.MaxDepth]. The caller must then discard req. A body that
// decodePublish accepts is decoded as encoding/json does. Req does not refer to
// body.
func decodePublish(body []byte, req *api.PublishRequest) bool {
	r := jsonscan.NewReader(body, jsonscan.MaxDepth, math.MaxInt)
	_, ok := decodePublishFrom(&r, req)
	return ok && r.Finish() == nil
}

// decodePublishFrom decodes the next value of r, as decodePublish does, and returns the
// fields that it has. It reports false also for a value that r finds malformed.
func decodePublishFrom(r *jsonscan.Reader, req *api.PublishRequest) (seen publishFields, ok bool) {
	for ok := r.Object(); ok && r.Field(); {
		field := publishFieldOf(r.Key)
		if field&seen != 0 {
			return seen, false
		}
		seen |= field
		if field != 0 {
			field.decode(r, req)
			continue
		}
		if !plainASCII(string(r.Key)) {
			return seen, false // letters outside ASCII may equal letters of a key in another case
		}
		r.Unknown()
	}
	return seen, r.Err() == nil
}

// publishFields is a set of fields of a publish request.
type publishFields uint16

const (
	publishChannel publishFields = 1 << iota
	publishData
	publishB64Data
	publishSkipHistory
	publishTags
	publishIdempotencyKey
	publishDelta
	publishVersion
	publishVersionEpoch
	publishExcludeClient
)

// publishFieldOf returns an empty set for a key that is not known.
func publishFieldOf(key []byte) publishFields {
	switch string(key) {
	case "channel":
		return publishChannel
	case "data":
		return publishData
	case "b64data":
		return publishB64Data
	case "skip_history":
		return publishSkipHistory
	case "tags":
		return publishTags
	case "idempotency_key":
		return publishIdempotencyKey
	case "delta":
		return publishDelta
	case "version":
		return publishVersion
	case "version_epoch":
		return publishVersionEpoch
	case "exclude_client":
		return publishExcludeClient
	}
	return 0
}

// decode decodes the value of one field.
func (f publishFields) decode(r *jsonscan.Reader, req *api.PublishRequest) {
	switch f {
	case publishChannel:
		if channel := r.Str(); channel != req.Channel { // that of the line before, in a stream
			req.Channel = strings.Clone(channel)
		}
	case publishData:
		req.Data = append(json.RawMessage(nil), r.Raw()...)
	case publishB64Data:
		req.B64Data = strings.Clone(r.Str())
	case publishSkipHistory:
		req.SkipHistory = r.Bool()
	case publishTags:
		req.Tags = tags(r)
	case publishIdempotencyKey:
		req.IdempotencyKey = strings.Clone(r.Str())
	case publishDelta:
		req.Delta = r.Bool()
	case publishVersion:
		req.Version = r.Uint(math.MaxUint64)
	case publishVersionEpoch:
		req.VersionEpoch = strings.Clone(r.Str())
	case publishExcludeClient:
		req.ExcludeClient = strings.Clone(r.Str())
	}
}

// tags reads a map of strings; an empty one is not nil, as encoding/json has it.
func tags(r *jsonscan.Reader) map[string]string {
	if !r.Object() {
		return nil
	}
	tags := make(map[string]string)
	for r.Entry() {
		key := string(r.Key)
		tags[key] = strings.Clone(r.Str())
	}
	return tags
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

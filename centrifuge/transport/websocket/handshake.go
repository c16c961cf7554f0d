package websocket

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 4.2.2
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"centrifugo/centrifuge"
	"centrifugo/protocol"

	"github.com/gobwas/httphead"
)

// The subprotocols a client may ask for (protocol.md 3.2).
const (
	subprotocolJSON     = "centrifuge-json"
	subprotocolProtobuf = "centrifuge-protobuf"
)

// deflateResponse accepts permessage-deflate without a context in either
// direction: a broadcast is the same bytes for all, and an idle connection
// keeps no window.
const deflateResponse = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// upgrade is what an upgrade request asks for.
type upgrade struct {
	request
	subprotocol string                   // that is chosen, empty for none
	connect     *protocol.ConnectRequest // in the URL of a unidirectional connection, or nil
}

// request is what a connection keeps of it.
type request struct {
	protobuf   bool
	deflate    bool
	nativePing bool
	generation centrifuge.Generation
}

// generations are the values of the URL parameter cf_protocol_version. Without
// it the first message decides (protocol.md 8.6).
var generations = map[string]centrifuge.Generation{
	"":         centrifuge.GenerationAuto,
	"v1":       centrifuge.GenerationV1,
	"v1-draft": centrifuge.GenerationV1Draft,
	"v2":       centrifuge.GenerationV2,
}

// parseRequest reports false for a generation that does not exist.
func parseRequest(query url.Values) (request, bool) {
	generation, ok := generations[query.Get("cf_protocol_version")]
	return request{
		// The three spellings of three times (protocol.md 3.2).
		protobuf: query.Get("format") == "protobuf" || query.Get("cf_protocol") == "protobuf" ||
			query.Get("protocol") == "protobuf",
		nativePing: query.Get("cf_ws_frame_ping_pong") == "true",
		generation: generation,
	}, ok
}

// subprotocol chooses the first of those offered that is known. What is not known
// is no reason to refuse, and neither is an empty header: SDKs send one.
func subprotocol(headers []string) string {
	for _, header := range headers {
		for offer := range strings.SplitSeq(header, ",") {
			switch offer = strings.TrimSpace(offer); offer {
			case subprotocolJSON, subprotocolProtobuf:
				return offer
			}
		}
	}
	return ""
}

// acceptKey answers a client's key (RFC 6455 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as the RFC has it; it protects nothing
	return base64.StdEncoding.EncodeToString(sum[:])
}

// appendAnswer appends the response that makes the connection a WebSocket.
func (r *upgrade) appendAnswer(dst []byte, key string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = append(append(dst, acceptKey(key)...), "\r\n"...)
	if r.subprotocol != "" {
		dst = append(append(append(dst, "Sec-WebSocket-Protocol: "...), r.subprotocol...), "\r\n"...)
	}
	if r.deflate {
		dst = append(dst, "Sec-WebSocket-Extensions: "+deflateResponse+"\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// isUpgrade reports whether r asks for a WebSocket at all.
func isUpgrade(r *http.Request) bool {
	return hasToken(r.Header["Upgrade"], "websocket") && hasToken(r.Header["Connection"], "upgrade")
}

func hasToken(values []string, token string) bool {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// validKey reports whether key is 16 bytes in base64 (RFC 6455 4.2.1).
func validKey(key string) bool {
	nonce, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(nonce) == 16
}

// wantsDeflate reports whether one of the offers in a request's
// Sec-WebSocket-Extensions headers can be accepted (RFC 7692 7.1).
func wantsDeflate(headers []string) bool {
	for _, header := range headers {
		current := -1
		offers := []deflateOffer{}
		valid := httphead.ScanOptions([]byte(header), func(i int, name, attribute, value []byte) httphead.Control {
			if i != current {
				current = i
				offers = append(offers, deflateOffer{ok: strings.EqualFold(string(name), "permessage-deflate")})
			}
			if attribute != nil {
				offers[len(offers)-1].add(string(attribute), string(value))
			}
			return httphead.ControlContinue
		})
		if !valid {
			continue
		}
		for _, offer := range offers {
			if offer.ok {
				return true
			}
		}
	}
	return false
}

// deflateOffer collects the parameters of one offer. An unknown, repeated or
// invalid one makes the whole offer void, as does one that we cannot meet: our
// window has 15 bits.
type deflateOffer struct {
	ok   bool
	seen [4]bool
}

func (o *deflateOffer) add(name, value string) {
	var index int
	switch name {
	case "server_no_context_takeover":
		index, o.ok = 0, o.ok && value == ""
	case "client_no_context_takeover":
		index, o.ok = 1, o.ok && value == ""
	case "server_max_window_bits":
		index, o.ok = 2, o.ok && value == "15"
	case "client_max_window_bits":
		index, o.ok = 3, o.ok && (value == "" || len(value) == 1 && (value == "8" || value == "9") ||
			len(value) == 2 && value >= "10" && value <= "15")
	default:
		o.ok = false
		return
	}
	o.ok = o.ok && !o.seen[index]
	o.seen[index] = true
}

package loadtest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"centrifugo/internal/wsframe"
)

// maxMessage bounds one message of the server, in bytes.
const maxMessage = 64 << 20

// header of a server's frame.
type header struct {
	fin, compressed bool
	opcode          byte
	size            int // bytes of the header
	payload         int // bytes behind it
}

var (
	errFrame    = errors.New("malformed WebSocket frame")
	errTooLarge = fmt.Errorf("message of more than %d bytes", maxMessage)
)

// parseHeader reads the header at the beginning of b; ok is false when b is too short.
func parseHeader(b []byte) (h header, ok bool, err error) {
	if len(b) < 2 {
		return h, false, nil
	}
	h = header{fin: b[0]&0x80 != 0, compressed: b[0]&0x40 != 0, opcode: b[0] & 0x0f, size: 2, payload: int(b[1])}
	if b[0]&0x30 != 0 || b[1]&0x80 != 0 { // reserved bits; a server does not mask
		return h, false, errFrame
	}
	if h.opcode >= wsframe.Close && (!h.fin || h.compressed || h.payload > 125) {
		return h, false, errFrame
	}
	switch h.payload {
	case 126:
		if len(b) < 4 {
			return h, false, nil
		}
		h.size, h.payload = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return h, false, nil
		}
		n := binary.BigEndian.Uint64(b[2:])
		if n > maxMessage {
			return h, false, errTooLarge
		}
		h.size, h.payload = 10, int(n) //nolint:gosec // bounded above
	}
	return h, true, nil
}

// appendFrame appends a whole message of a client. The mask is zero: it
// protects proxies from pages, not a server from a load generator.
func appendFrame(dst []byte, opcode byte, payload []byte) []byte {
	return wsframe.AppendMasked(dst, wsframe.Fin|opcode, payload, [4]byte{})
}

// handshake is the request that opens every connection of a fleet, and what
// must be answered.
type handshake struct {
	request []byte
	accept  string
	deflate bool
}

const deflateOffer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

func newHandshake(e endpoint, o *Options, nonce [16]byte) handshake {
	key := base64.StdEncoding.EncodeToString(nonce[:])
	h := handshake{accept: wsframe.Accept(key), deflate: o.Deflate}
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nUser-Agent: centrifugo-bench\r\n", e.path, e.host, key)
	if o.Protobuf {
		b.WriteString("Sec-WebSocket-Protocol: centrifuge-protobuf\r\n")
	}
	if o.Deflate {
		b.WriteString("Sec-WebSocket-Extensions: " + deflateOffer + "\r\n")
	}
	b.WriteString("\r\n")
	h.request = []byte(b.String())
	return h
}

// maxHandshake bounds the server's answer, in bytes.
const maxHandshake = 16 << 10

// check reads the server's answer at the beginning of b. A size of 0 means that
// its end has not come.
func (h *handshake) check(b []byte) (size int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHandshake {
			return 0, errors.New("handshake: answer too long")
		}
		return 0, nil
	}
	size = end + 4
	response, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(b[:size]), 512), nil)
	if err != nil {
		return 0, fmt.Errorf("handshake: %w", err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		return 0, fmt.Errorf("handshake: answered with %s", response.Status)
	}
	if response.Header.Get("Sec-WebSocket-Accept") != h.accept {
		return 0, errors.New("handshake: the server does not speak WebSocket")
	}
	extensions := strings.Join(response.Header.Values("Sec-WebSocket-Extensions"), ",")
	switch {
	case extensions == "" && h.deflate:
		return 0, errors.New("handshake: the server has no permessage-deflate")
	case extensions != "" && (!h.deflate || !strings.Contains(extensions, "server_no_context_takeover")):
		return 0, fmt.Errorf("handshake: the server insists on %q", extensions)
	}
	return size, nil
}

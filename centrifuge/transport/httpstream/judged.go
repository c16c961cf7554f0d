package httpstream

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"centrifugo/protocol"
)

// answer is the response of a connection whose status depends on its connect request
// (Config.ConnectStatus), until it is known. It writes what net/http would.
type answer struct {
	header http.Header // of a stream
	proto  string      // of the status line
}

func newAnswer(w http.ResponseWriter, r *http.Request) *answer {
	a := &answer{header: w.Header().Clone(), proto: "HTTP/1.1"}
	if !r.ProtoAtLeast(1, 1) {
		a.proto = "HTTP/1.0"
	}
	return a
}

// stream returns the head of a response with a stream, and the beginning of a body of
// events.
func (a *answer) stream(f framing) []byte {
	if f.chunked {
		a.header.Set("Transfer-Encoding", "chunked")
	}
	b := a.head(http.StatusOK)
	if f.wire == Events {
		b = f.appendChunkHeader(b, len(opening))
		b = f.appendChunkEnd(append(b, opening...))
	}
	return b
}

// refusal returns a whole response.
func (a *answer) refusal(status int, body string) []byte {
	a.header.Set("Content-Type", "text/plain; charset=utf-8")
	a.header.Set("Content-Length", strconv.Itoa(len(body)))
	return append(a.head(status), body...)
}

func (a *answer) head(status int) []byte {
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	b := bytes.NewBufferString(a.proto + " " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n")
	_ = a.header.Write(b) // a Buffer has no errors
	b.WriteString("\r\n")
	return b.Bytes()
}

// refuses reports whether batch says that the connect request was refused.
func refuses(batch []*protocol.Encoded) bool {
	return len(batch) > 0 && batch[0].Kind == protocol.KindPushDisconnect
}

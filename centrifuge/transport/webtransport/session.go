package webtransport

import (
	"encoding/binary"
	"net/http"
	"time"
	"unicode/utf8"

	"centrifugo/centrifuge"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	wt "github.com/quic-go/webtransport-go"
)

// session is a WebTransport session and the stream of the request that opened it.
type session struct {
	*wt.Session
	control *http3.Stream
}

// upgrade opens the session of a request.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request) (*session, error) {
	for {
		streamer, ok := w.(http3.HTTPStreamer)
		if ok {
			s, err := h.server.Upgrade(w, r)
			if err != nil {
				return nil, err //nolint:wrapcheck // it is not told to anybody
			}
			return &session{s, streamer.HTTPStream()}, nil
		}
		wrapped, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil, http.ErrNotSupported
		}
		w = wrapped.Unwrap()
	}
}

// closeCapsule is the type of the capsule that closes a session, and maxCloseReason bounds
// the reason in it, in bytes (draft-ietf-webtrans-http3, 6).
const (
	closeCapsule   = 0x2843
	maxCloseReason = 1024
)

// close closes the session and waits until the client knows it, at most timeout. The
// session ends in any case, and may have ended before.
//
// Session.CloseWithError is for what is left then: it sends the request to stop sending
// together with the capsule, and Chromium 156 handles the request first and drops code and
// reason.
func (s *session) close(d centrifuge.Disconnect, timeout time.Duration) {
	_ = s.control.SetWriteDeadline(time.Now().Add(timeout)) // an error means that it is closed
	if _, err := s.control.Write(appendClose(nil, d)); err == nil && s.control.Close() == nil {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-s.Context().Done():
		case <-timer.C:
		}
	}
	_ = s.CloseWithError(wt.SessionErrorCode(d.Code), d.Reason) // it may have ended
}

// appendClose appends the capsule that closes a session.
func appendClose(dst []byte, d centrifuge.Disconnect) []byte {
	reason := d.Reason
	for len(reason) > maxCloseReason {
		_, size := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-size]
	}
	dst = quicvarint.Append(dst, closeCapsule)
	dst = quicvarint.Append(dst, uint64(4+len(reason))) //nolint:gosec // a length
	return append(binary.BigEndian.AppendUint32(dst, d.Code), reason...)
}

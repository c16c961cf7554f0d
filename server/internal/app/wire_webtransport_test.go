package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"time"

	wt "github.com/quic-go/webtransport-go"

	"centrifugo/server/internal/app/apptest"
)

// webTransportLink returns a WebTransport session, which the first message opens.
func (s *wireServer) webTransportLink() apptest.Link {
	url := "https://" + s.clients.Address + "/connection/webtransport"
	if s.format.Protobuf() {
		url += "?cf_protocol=protobuf"
	}
	return &webTransportLink{client: &wt.Transport{TLSClientConfig: s.clients.TLS}, url: url, protobuf: s.format.Protobuf()}
}

// webTransportLink is an apptest.Link.
type webTransportLink struct {
	client   *wt.Transport
	url      string
	protobuf bool
	session  *wt.Session
	stream   *wt.Stream
	reader   *bufio.Reader
}

// Send implements apptest.Link.
func (l *webTransportLink) Send(message []byte) error {
	if l.session == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if !l.protobuf {
		message = append(bytes.Clone(message), '\n')
	}
	_, err := l.stream.Write(message)
	return err
}

func (l *webTransportLink) open() error {
	ctx, cancel := context.WithTimeout(context.Background(), apptest.Timeout)
	defer cancel()
	_, session, err := l.client.Dial(ctx, l.url, http.Header{})
	if err != nil {
		return err
	}
	l.session = session
	if l.stream, err = session.OpenStream(); err != nil {
		return err
	}
	l.reader = bufio.NewReader(l.stream)
	return nil
}

// Receive implements apptest.Link. The end of the stream is that of the session, which has the
// code.
func (l *webTransportLink) Receive() ([]byte, error) {
	_ = l.stream.SetDeadline(time.Now().Add(2 * apptest.Timeout)) // an error is that of the read
	message, err := l.next()
	if !errors.Is(err, io.EOF) {
		return message, err
	}
	_ = l.stream.Close()
	ctx, cancel := context.WithTimeout(context.Background(), apptest.Timeout)
	defer cancel()
	var closed *wt.SessionError
	if _, err := l.session.AcceptStream(ctx); errors.As(err, &closed) {
		return nil, &apptest.Ended{Code: uint32(closed.ErrorCode), Reason: closed.Message}
	}
	return nil, err
}

func (l *webTransportLink) next() ([]byte, error) {
	if !l.protobuf {
		line, err := l.reader.ReadBytes('\n')
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
	length, err := binary.ReadUvarint(l.reader)
	if err != nil {
		return nil, err
	}
	message := make([]byte, min(length, 1<<20))
	_, err = io.ReadFull(l.reader, message)
	return message, err
}

// Close implements apptest.Link.
func (l *webTransportLink) Close() error {
	if l.session != nil {
		_ = l.session.CloseWithError(0, "") // it may have ended
	}
	return l.client.Close()
}

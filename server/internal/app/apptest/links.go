package apptest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"centrifugo/protocol"

	"google.golang.org/protobuf/encoding/protowire"
)

// Server is where the transports of a server are, or those of a proxy in front of it.
type Server struct {
	Address string
	TLS     *tls.Config // nil for none
	// HTTP2, with TLS, sends requests over HTTP/2; not those of WebSocket.
	HTTP2 bool
	// HTTP3 sends requests over HTTP/3; nil for none.
	HTTP3 *http.Client

	once   sync.Once
	client *http.Client // for HTTP/2, and for commands
}

// http returns the client that all connections share.
func (s *Server) http() *http.Client {
	if s.HTTP3 != nil {
		return s.HTTP3
	}
	s.once.Do(func() {
		// Commands are sent over connections that are kept, as browsers do.
		s.client = &http.Client{Transport: &http.Transport{
			DialContext: dial, TLSClientConfig: s.TLS.Clone(), ForceAttemptHTTP2: s.HTTP2, MaxIdleConnsPerHost: 100,
			HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: readBuffer, MaxReceiveBufferPerConnection: 1 << 20},
		}}
	})
	return s.client
}

// version is that of HTTP.
func (s *Server) version() int {
	switch {
	case s.HTTP3 != nil:
		return 3
	case s.HTTP2:
		return 2
	}
	return 1
}

// Close closes what connections share.
func (s *Server) Close() { s.http().CloseIdleConnections() }

// socket is a WebSocket connection as a Link.
type socket struct {
	dial     func() (*Conn, error)
	protobuf bool

	mu      sync.Mutex
	conn    *Conn // nil before the first Send
	waiting [][]byte
}

// WebSocket returns a connection to the endpoint at path, which the first Send opens.
func (s *Server) WebSocket(path string, protobuf bool) Link {
	d := Dialer{TLS: s.TLS, Path: path, Header: http.Header{}}
	if protobuf {
		d.Header.Set("Sec-WebSocket-Protocol", "centrifuge-protobuf")
	}
	return &socket{dial: func() (*Conn, error) { return d.Dial(s.Address) }, protobuf: protobuf}
}

func (l *socket) open() (*Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		return l.conn, nil
	}
	conn, err := l.dial()
	var refused *Refused
	if errors.As(err, &refused) {
		return nil, &Ended{Status: strconv.Itoa(refused.Status)}
	}
	l.conn = conn
	return conn, err
}

// Send implements Link.
func (l *socket) Send(message []byte) error {
	c, err := l.open()
	if err != nil {
		return err
	}
	if l.protobuf {
		return c.Binary(message)
	}
	return c.Text(string(message))
}

// Receive implements Link.
func (l *socket) Receive() ([]byte, error) {
	if len(l.waiting) == 0 {
		_ = l.conn.SetDeadline(time.Now().Add(2 * Timeout)) // an error is that of the read
		text, err := l.conn.Message()
		var closed *Closed
		if errors.As(err, &closed) {
			return nil, &Ended{Code: uint32(closed.Code), Reason: closed.Reason} //nolint:gosec // 16 bits
		}
		if err != nil {
			return nil, err
		}
		if l.waiting, err = split([]byte(text), l.protobuf); err != nil {
			return nil, err
		}
	}
	next := l.waiting[0]
	l.waiting = l.waiting[1:]
	return next, nil
}

// split returns the messages that are joined in one (protocol.md 3.3).
func split(joined []byte, protobuf bool) (all [][]byte, err error) {
	if !protobuf {
		return bytes.Split(joined, []byte("\n")), nil
	}
	for len(joined) > 0 {
		message, n := protowire.ConsumeBytes(joined)
		if n < 0 {
			return nil, fmt.Errorf("joined messages: %w", protowire.ParseError(n))
		}
		all, joined = append(all, message), joined[n:]
	}
	return all, nil
}

// Close implements Link.
func (l *socket) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil
	}
	return drop(l.conn.Conn)
}

// drop resets a connection, so that its port can be used again at once: a test may open
// more than there are.
func drop(c net.Conn) error {
	under := c
	if t, ok := c.(*tls.Conn); ok {
		under = t.NetConn()
	}
	if t, ok := under.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it is closed next
	}
	return under.Close()
}

// Stream is how messages are in the body of a response.
type Stream struct {
	Path           string
	Events         bool // server-sent events
	Protobuf       bool
	Unidirectional bool
	// Get puts the first message into the URL.
	Get bool
}

// stream is a connection over HTTP as a Link.
type stream struct {
	server *Server
	Stream
	ctx    context.Context
	cancel context.CancelFunc

	mu            sync.Mutex
	opened        bool
	conn          net.Conn // nil over HTTP/2
	response      *http.Response
	body          *bufio.Reader
	session, node string
}

// Stream returns a connection over HTTP, which the first Send opens.
func (s *Server) Stream(c Stream) Link {
	l := &stream{server: s, Stream: c}
	l.ctx, l.cancel = context.WithTimeout(context.Background(), 6*Timeout)
	return l
}

func (l *stream) url(path string) string {
	if l.server.TLS != nil {
		return "https://" + l.server.Address + path
	}
	return "http://" + l.server.Address + path
}

// Send implements Link.
func (l *stream) Send(message []byte) error {
	l.mu.Lock()
	opened, session, node := l.opened, l.session, l.node
	l.opened = true
	l.mu.Unlock()
	if !opened {
		return l.open(message)
	}
	status, err := l.Emulate(node, session, message)
	if err == nil && status != http.StatusNoContent {
		err = &Ended{Status: strconv.Itoa(status)}
	}
	return err
}

// Emulate sends commands of a session, and returns the status.
func (l *stream) Emulate(node, session string, commands []byte) (status int, err error) {
	body := protocol.AppendEmulationRequest(nil, l.Protobuf, &protocol.EmulationRequest{Node: node, Session: session, Data: commands})
	request, err := http.NewRequestWithContext(l.ctx, http.MethodPost, l.url("/emulation"), bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", l.contentType())
	status, _, err = Do(l.server.http(), request)
	return status, err
}

func (l *stream) contentType() string {
	if l.Protobuf {
		return "application/octet-stream"
	}
	return "application/json"
}

func (l *stream) open(message []byte) error {
	method, path, body := http.MethodPost, l.Path, message
	if l.Get {
		method, path, body = http.MethodGet, path+"?cf_connect="+url.QueryEscape(string(message)), nil
	}
	request, err := http.NewRequestWithContext(l.ctx, method, l.url(path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	if !l.Get {
		request.Header.Set("Content-Type", l.contentType())
	}
	if version := l.server.version(); version > 1 {
		l.response, err = l.server.http().Do(request) //nolint:bodyclose,gosec // Close ends it; the test says where to
		if err == nil && l.response.ProtoMajor != version {
			err = fmt.Errorf("the protocol is %s; want HTTP/%d", l.response.Proto, version)
		}
	} else {
		err = l.exchange(request)
	}
	if err != nil {
		return err
	}
	if l.response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(l.response.Body)
		return &Ended{Status: strconv.Itoa(l.response.StatusCode), Reason: string(bytes.TrimSpace(text))}
	}
	l.body = bufio.NewReaderSize(l.response.Body, 512) // thousands of clients live in one test
	return nil
}

// exchange sends request over a connection of its own, whose reading is that of the test.
func (l *stream) exchange(request *http.Request) error {
	c, err := Dialer{TLS: l.server.TLS}.Connect(l.server.Address)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.conn = c
	l.mu.Unlock()
	if err := request.Write(c); err != nil {
		return err
	}
	l.response, err = http.ReadResponse(bufio.NewReaderSize(c, 512), request) //nolint:bodyclose // Close ends its connection
	return err
}

// Receive implements Link.
func (l *stream) Receive() ([]byte, error) {
	if l.conn != nil {
		_ = l.conn.SetDeadline(time.Now().Add(2 * Timeout)) // an error is that of the read
	}
	message, err := l.next()
	if err != nil || l.Unidirectional {
		return message, err
	}
	l.learn(message)
	return message, nil
}

// next reads a message.
func (l *stream) next() ([]byte, error) {
	if l.Protobuf {
		length, err := readUvarint(l.body)
		if err != nil {
			return nil, err
		}
		message := make([]byte, length)
		_, err = io.ReadFull(l.body, message)
		return message, err
	}
	for {
		line, err := l.body.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if !l.Events {
			return line, nil
		}
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			return data, nil
		}
	}
}

func readUvarint(r io.ByteReader) (v uint64, err error) {
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
		if shift > 28 {
			return 0, errors.New("the length of a message is too large")
		}
	}
}

// learn takes the session and the node of a connect result, which commands need.
func (l *stream) learn(message []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != "" {
		return
	}
	p := &Peer{}
	if l.Protobuf {
		p.Format = protocol.FormatProtobuf
	}
	if reply, err := p.decode(message); err == nil && reply.Connect != nil {
		l.session, l.node = reply.Connect.Session, reply.Connect.Node
	}
}

// Close implements Link.
func (l *stream) Close() error {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		return drop(l.conn)
	}
	if l.response != nil {
		return l.response.Body.Close()
	}
	return nil
}

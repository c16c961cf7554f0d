package http2

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

// pseudo headers of a request (RFC 9113 8.3.1, RFC 8441 4).
const (
	pseudoMethod    = ":method"
	pseudoScheme    = ":scheme"
	pseudoAuthority = ":authority"
	pseudoPath      = ":path"
	pseudoProtocol  = ":protocol"
)

// fieldOverhead is what a field counts beside its name and value (RFC 9113 6.5.2).
const fieldOverhead = 32

// maxFragments is how many frames a header block may have. A client that fills its frames needs
// 64 for one of 1 MiB.
const maxFragments = 1000

// use of a header block.
type use uint8

const (
	useRequest use = iota
	useTrailer
	useNothing // it is decoded because the next one depends on it
)

// fields is a header block that arrives. Wrong fields make it malformed, and it is read to its
// end.
type fields struct {
	stream    uint32
	use       use
	end       bool // the request has no body, or ends here
	fragments int  // frames that have come
	encoded   int  // bytes that have come
	size      int  // bytes of the fields
	tooLarge  bool
	malformed string // why; empty if it is not
	answer    code   // of a request that is not served; codeNone if it is

	pseudo map[string]string
	header http.Header
}

// headers begins a header block.
func (c *conn) headers(f frame) error {
	fragment, err := f.unpadded()
	if err != nil {
		return err
	}
	if f.stream%2 == 0 {
		return connError{codeProtocol, "HEADERS for a stream that a client cannot begin"}
	}
	b := &fields{stream: f.stream, end: f.has(flagEndStream), header: make(http.Header)}
	if f.has(flagPriority) {
		if len(fragment) < 5 {
			return connError{codeFrameSize, "HEADERS without its priority"}
		}
		if dependsOn(fragment) == f.stream {
			b.malformed = "stream that depends on itself"
		}
		fragment = fragment[5:]
	}
	if err := c.classify(b); err != nil {
		return err
	}
	c.fields = b
	return c.decode(fragment, f.has(flagEndHeaders))
}

func dependsOn(priority []byte) uint32 {
	return uint32(priority[0]&0x7f)<<24 | uint32(priority[1])<<16 | uint32(priority[2])<<8 | uint32(priority[3])
}

// classify finds what a block is for.
func (c *conn) classify(b *fields) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[b.stream]
	switch {
	case s != nil && s.remoteEnded:
		b.use, b.answer = useNothing, codeStreamClosed
	case s == nil && slices.Contains(c.abandoned, b.stream):
		b.use = useNothing
	case s != nil && !b.end:
		return connError{codeProtocol, "trailer that does not end the request"}
	case s != nil && s.exchange != nil:
		b.use = useTrailer
	case s != nil:
		s.remoteEnded = true // a transport has the stream
		b.use = useNothing
	case b.stream <= c.last:
		return connError{codeStreamClosed, "HEADERS for a stream that has ended"}
	case c.leaving: // the client has to use another connection (RFC 9113 6.8)
		b.use = useNothing
	default:
		c.last = b.stream
		b.pseudo = make(map[string]string, 4)
		if len(c.streams) >= c.server.config.MaxStreams || c.handlers >= c.server.config.MaxStreams {
			b.use, b.answer = useNothing, codeRefused
		}
	}
	return nil
}

// decode decodes a fragment of the block under way.
func (c *conn) decode(fragment []byte, last bool) error {
	b := c.fields
	b.fragments++
	b.encoded += len(fragment)
	if b.encoded > c.server.config.MaxHeaderBytes || b.fragments > maxFragments {
		return connError{codeCalm, "header of more bytes or frames than the limit"}
	}
	_, err := c.decoder.Write(fragment)
	if err == nil && last {
		err = c.decoder.Close()
	}
	if err != nil {
		return connError{codeCompression, "header that cannot be decoded: " + err.Error()}
	}
	c.setInHeader(!last)
	if !last {
		return nil
	}
	c.fields = nil
	switch {
	case b.answer != codeNone:
		if c.overspent() {
			return connError{codeCalm, "too many headers for streams that have ended or are not admitted"}
		}
		c.resetStream(b.stream, b.answer, "header for a stream that has ended, or is not admitted")
	case b.use == useRequest:
		c.begin(b)
	case b.use == useTrailer:
		c.endRequest(b)
	}
	return nil
}

// setInHeader takes note of whether a header block is under way, which has to end in time.
func (c *conn) setInHeader(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case on && !c.inHeader:
		c.armLocked(c.server.config.HeaderTimeout)
	case !on && c.inHeader && len(c.streams) == 0:
		c.armLocked(c.server.config.IdleTimeout)
	case !on && c.inHeader:
		c.disarmLocked()
	}
	c.inHeader = on
}

// emit takes a field of the block under way.
func (c *conn) emit(f hpack.HeaderField) {
	b := c.fields
	if b.size += len(f.Name) + len(f.Value) + fieldOverhead; b.size > c.server.config.MaxHeaderBytes {
		b.tooLarge = true
		return
	}
	switch {
	case b.malformed != "" || b.use == useNothing:
	case !httpguts.ValidHeaderFieldValue(f.Value):
		b.malformed = "field with an invalid value"
	case f.IsPseudo():
		b.addPseudo(f, c.server.config.ExtendedConnect)
	case !httpguts.ValidHeaderFieldName(f.Name) || strings.ToLower(f.Name) != f.Name:
		b.malformed = "field with an invalid name"
	default:
		b.add(f)
	}
}

func (b *fields) addPseudo(f hpack.HeaderField, extendedConnect bool) {
	_, twice := b.pseudo[f.Name]
	switch {
	case b.use != useRequest || len(b.header) > 0:
		b.malformed = "pseudo field behind the header"
		return
	case twice:
		b.malformed = "pseudo field that comes twice"
		return
	}
	switch f.Name {
	case pseudoProtocol:
		if !extendedConnect {
			b.malformed = "extended CONNECT, which is not announced"
		}
	case pseudoMethod, pseudoScheme, pseudoAuthority, pseudoPath:
	default:
		b.malformed = "unknown pseudo field"
	}
	b.pseudo[f.Name] = f.Value
}

func (b *fields) add(f hpack.HeaderField) {
	name := http.CanonicalHeaderKey(f.Name)
	switch {
	case connectionHeader(name):
		b.malformed = "field of HTTP/1"
	case name == "Te" && f.Value != "trailers":
		b.malformed = "TE of HTTP/1"
	default:
		b.header[name] = append(b.header[name], f.Value)
	}
}

// endRequest ends the body of a request with its trailer.
func (c *conn) endRequest(b *fields) {
	c.mu.Lock()
	s := c.streams[b.stream]
	if s == nil || s.exchange == nil { // it has ended meanwhile
		c.mu.Unlock()
		return
	}
	s.remoteEnded = true
	body := &s.exchange.body
	reason := b.malformed
	switch {
	case b.tooLarge:
		reason = "trailer of more bytes than the limit"
	case body.promised > 0:
		reason = "body of another length than Content-Length"
	}
	if reason == "" {
		for name := range body.trailer {
			body.trailer[name] = b.header[name]
		}
		body.endLocked()
	}
	c.mu.Unlock()
	if reason != "" {
		c.resetStream(b.stream, codeProtocol, reason)
	}
}

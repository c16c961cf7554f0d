package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync/atomic"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
)

// Headers of a client that are never passed on: they are about the connection to this
// server. A different Accept-Encoding would change how answers are compressed.
var hopHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Content-Type", "Host", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// forwarded are the names of what proxies pass on of a connection, canonical for headers.
type forwarded struct{ headers, metadata, emulated []string }

func newForwarded(c *config.Proxy) forwarded {
	return forwarded{headers: canonical(c.HTTPHeaders), metadata: c.GRPCMetadata, emulated: canonical(c.EmulatedHeaders)}
}

// add adds the names of another proxy.
func (f *forwarded) add(other forwarded) {
	merge := func(names *[]string, more []string) {
		for _, name := range more {
			if !slices.Contains(*names, name) {
				*names = append(*names, name)
			}
		}
	}
	merge(&f.headers, other.headers)
	merge(&f.metadata, other.metadata)
	merge(&f.emulated, other.emulated)
}

func canonical(names []string) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		if name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)); name != "" && !slices.Contains(hopHeaders, name) {
			out = append(out, name)
		}
	}
	return out
}

// Session keeps what proxies pass on of one connection. It is in the connection's context.
// A nil Session has nothing. It is safe for concurrent use.
type Session struct {
	// Static after construction. Nil for most.
	headers  http.Header         // of the request that opened the connection
	metadata map[string][]string // of the call that opened it
	emulated map[string]string   // from the connect command

	meta    atomic.Pointer[[]byte]
	streams streams
}

// sessionKey is the key of a *Session in the context of a connection.
type sessionKey struct{}

// WithSession returns a context with a session.
func WithSession(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

// SessionFrom returns the session of a connection, nil if there is none.
func SessionFrom(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// Meta returns the meta of the connection, JSON or nil.
func (s *Session) Meta() []byte {
	if s == nil {
		return nil
	}
	if meta := s.meta.Load(); meta != nil {
		return *meta
	}
	return nil
}

// SetMeta replaces the meta of the connection, which must be JSON. A nil value keeps it.
func (s *Session) SetMeta(meta []byte) {
	if s != nil && meta != nil {
		s.meta.Store(&meta)
	}
}

// errHeader refuses a connect command.
var errHeader = errors.New("a header in the connect command has a value that HTTP does not allow")

// NewSession returns the session of a connection that connects: of the headers of its
// request, which are in its context, and of those in its connect command, it keeps the ones
// that some proxy passes on. It returns nil if there are no proxies. An error refuses the
// connection.
func (s *Set) NewSession(ctx context.Context, emulated map[string]string) (*Session, error) {
	if s.Empty() {
		return nil, nil //nolint:nilnil // nothing to keep
	}
	session := new(Session)
	if len(s.forwarded.headers) > 0 {
		session.headers = choose(s.forwarded.headers, s.options.Headers(ctx), session.headers)
	}
	if len(s.forwarded.metadata) > 0 {
		session.metadata = choose(s.forwarded.metadata, s.options.Metadata(ctx), session.metadata)
	}
	for name, value := range emulated {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if !slices.Contains(s.forwarded.emulated, name) {
			continue
		}
		if !validValue(value) {
			return nil, fmt.Errorf("%w: %w", errHeader, centrifuge.DisconnectBadRequest)
		}
		if session.emulated == nil {
			session.emulated = make(map[string]string)
		}
		session.emulated[name] = value
	}
	return session, nil
}

// choose copies the named entries of a map into another.
func choose[M ~map[string][]string](names []string, from map[string][]string, to M) M {
	for _, name := range names {
		if values := from[name]; len(values) > 0 {
			if to == nil {
				to = make(M)
			}
			to[name] = values
		}
	}
	return to
}

// validValue reports whether HTTP allows a value of a header (RFC 9110, 5.5).
func validValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// headersOf returns the headers of a call about a connection, in the order of server.md
// 5.2: constants, those of the connect command, those of the transport. The keys are
// canonical.
func (p *Proxy) headersOf(s *Session) http.Header {
	h := make(http.Header, len(p.static)+2)
	for name, value := range p.static {
		h[name] = []string{value}
	}
	if s == nil {
		return h
	}
	for _, name := range p.forwarded.emulated {
		if value, ok := s.emulated[name]; ok {
			h[name] = []string{value}
		}
	}
	choose(p.forwarded.headers, s.headers, h)
	for _, key := range p.forwarded.metadata {
		if values := s.metadata[key]; len(values) > 0 {
			h[textproto.CanonicalMIMEHeaderKey(key)] = values
		}
	}
	return h
}

// staticHeaders returns constants with canonical names.
func staticHeaders(constants map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(constants))
	for name, value := range constants {
		if !validName(name) || !validValue(value) {
			return nil, fmt.Errorf("%.64q is not the name of a header, or its value is not one of a header", name)
		}
		out[textproto.CanonicalMIMEHeaderKey(name)] = value
	}
	return out, nil
}

// validName reports whether HTTP allows a name of a header (RFC 9110, 5.6.2).
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

// Package requestid gives requests an id for the log and for traces.
package requestid

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
)

// Names of the id: the header of a request over HTTP and of its answer, and the metadata of a
// call over gRPC. Its field in the log is request_id.
const (
	Header   = "X-Request-Id"
	Metadata = "x-request-id"
)

// maxLength bounds the id that a caller may send, in bytes.
const maxLength = 128

// valid reports whether the id of a caller is used: it has 1 to maxLength letters, digits and
// signs of those that common ids have.
func valid(id string) bool {
	if id == "" || len(id) > maxLength {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.:/=+@", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// Context is the context of a request that has an id. The id is determined when it is first
// needed: that which the caller has sent if it is valid, otherwise a random one. Begin or
// BeginHTTP must be called before the context is used. It must not be copied.
type Context struct {
	context.Context
	header http.Header                  // of a request over HTTP
	sent   func(context.Context) string // of others

	once sync.Once
	id   string // set by once
}

// Begin derives the context from parent. The function sent returns the id that the caller has
// sent, given parent.
func (c *Context) Begin(parent context.Context, sent func(context.Context) string) {
	c.Context, c.sent = parent, sent
}

// BeginHTTP derives the context from that of a request, whose header must not be changed.
func (c *Context) BeginHTTP(r *http.Request) { c.Context, c.header = r.Context(), r.Header }

// kept is an id that Keep was given.
type kept string

// Keep returns a context with the id that a caller has sent, for a connection that outlives
// its request and does not keep the header of that. Ok is false if the id is not valid.
func Keep(ctx context.Context, id string) (with context.Context, ok bool) {
	if !valid(id) {
		return ctx, false
	}
	return context.WithValue(ctx, contextKey{}, kept(strings.Clone(id))), true
}

// Carry returns the context to with the id that Keep has given the context from, or to if
// there is none.
func Carry(to, from context.Context) context.Context {
	if id, ok := from.Value(contextKey{}).(kept); ok {
		return context.WithValue(to, contextKey{}, id)
	}
	return to
}

type contextKey struct{}

// Value implements context.Context.
func (c *Context) Value(key any) any {
	if key == (contextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// Of returns the id of the request to which a context belongs, or an empty string if it belongs
// to none. It is safe for concurrent use.
func Of(ctx context.Context) string {
	switch c := ctx.Value(contextKey{}).(type) {
	case *Context:
		c.once.Do(c.determine)
		return c.id
	case kept:
		return string(c)
	}
	return ""
}

func (c *Context) determine() {
	if c.header != nil {
		c.id = sentBy(c.header)
	} else if id := c.sent(c.Context); valid(id) {
		c.id = id
	}
	if c.id == "" {
		c.id = rand.Text()
	}
}

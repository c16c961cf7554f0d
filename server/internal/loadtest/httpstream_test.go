package loadtest

import (
	"bytes"
	"fmt"
	"testing"
)

// chunk is a part of a body.
func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// streamed is a response that is a connection with one subscription.
func streamed(f *fleet, publications int) []byte {
	begin, end := "", "\n"
	if f.transport.events {
		begin, end = "data: ", "\n\n"
	}
	text := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	if f.transport.events {
		text += chunk("\r\n")
	}
	text += chunk(begin+`{"id":1,"connect":{"client":"x","session":"s","node":"n"}}`+end+begin) + chunk(`{"id":2,"subscribe":{}}`+end)
	for n := range publications {
		p := publication(f, 0, uint64(n+1)) //nolint:gosec // not negative
		text += chunk(begin+p[:10]) + chunk(p[10:]+end)
	}
	return []byte(text)
}

// TestStreamedBody: messages are found however the body is cut into reads and chunks.
func TestStreamedBody(t *testing.T) {
	for _, name := range []string{"http_stream", "sse"} {
		for _, size := range []int{1, 2, 3, 7, 50, 1 << 20} {
			f, c, l := newTestFleet(t, func(o *Options) { o.Transport = name })
			if !bytes.HasPrefix(l.written.Bytes(), []byte("POST /connection/"+name+" HTTP/1.1\r\n")) || !bytes.Contains(l.written.Bytes(), []byte(`{"id":1,"connect":{"name":"bench"}}`)) {
				t.Fatalf("%s: the request is %q; want prefix %q and %q in it",
					name, l.written.Bytes(), "POST /connection/"+name+" HTTP/1.1\r\n", []byte(`{"id":1,"connect":{"name":"bench"}}`))
			}
			var rest []byte
			for part := range chunked(streamed(f, 3), size) {
				rest = append([]byte(nil), f.feed(c, append(rest, part...))...)
			}
			if c.state != stateReady || c.session != "s" || c.node != "n" || f.tally.Deliveries != 3 || f.tally.Causes != nil || len(rest) > 0 {
				t.Errorf("%s in reads of %d: state %d, session %q, %d deliveries, %v; want 3 deliveries", name, size, c.state, c.session, f.tally.Deliveries, f.tally.Causes)
			}
			f.feed(c, []byte("0\r\n\r\n"))
			if want := (Cause{Kind: causeTransport, Reason: "closed without a word"}); f.tally.Causes[want] != 1 {
				t.Errorf("%s: after the last chunk: %v; want %v", name, f.tally.Causes, want)
			}
		}
	}
}

// chunked yields b in parts.
func chunked(b []byte, size int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(size, len(b))
			if !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// TestStreamedNonsense: what is no stream ends the client, with a reason.
func TestStreamedNonsense(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "nonsense\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("nonsense\n"),
	} {
		f, c, l := newTestFleet(t, func(o *Options) { o.Transport = "http_stream" })
		f.feed(c, []byte(text))
		if c.state != stateClosed || !l.closed || len(f.tally.Causes) != 1 {
			t.Errorf("%q: state %d, %v; want the client ended with a reason", text, c.state, f.tally.Causes)
		}
	}
}

// FuzzStreamed: nothing that a server sends may do more than end the client.
func FuzzStreamed(f *testing.F) {
	fl, _, _ := newTestFleet(f, func(o *Options) { o.Transport = "sse" })
	f.Add(streamed(fl, 1), true)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, events bool) {
		name := "http_stream"
		if events {
			name = "sse"
		}
		fl, c, l := newTestFleet(t, func(o *Options) { o.Transport = name })
		rest := fl.feed(c, append([]byte(nil), b...))
		if len(rest) > len(b) || (c.state == stateClosed) != l.closed {
			t.Errorf("%d bytes left of %d, state %d, closed %v; want no more than before, and one state", len(rest), len(b), c.state, l.closed)
		}
	})
}

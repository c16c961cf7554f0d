package loadtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// newHTTP2 returns what dials the HTTP/2 connections of a client.
func (f *fleet) newHTTP2(c *client) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(f.server.tls)
	protocols.SetUnencryptedHTTP2(!f.server.tls)
	t := &http.Transport{
		Protocols: protocols, DisableCompression: true, TLSHandshakeTimeout: connectTimeout,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return f.dialer(c).DialContext(ctx, network, address)
		},
	}
	if f.server.tls {
		t.TLSClientConfig = tlsConfig(f.server, f.opts.SkipVerify)
		t.TLSClientConfig.NextProtos = nil // net/http sets them
	}
	return t
}

func (f *fleet) dialHTTP2(c *client) (*http.ClientConn, error) {
	ctx, cancel := context.WithTimeout(f.stop, connectTimeout)
	defer cancel()
	conn, err := f.newHTTP2(c).NewClientConn(ctx, f.server.scheme(), f.server.address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return conn, nil
}

// http2Link is the link of a client whose connection is the body of a response over HTTP/2.
// The request has been its only message: commands are requests of their own.
type http2Link struct{ cancel context.CancelFunc }

func (http2Link) write([]byte) (int, error) { return 0, errors.ErrUnsupported }

func (http2Link) watch(bool) {}

func (l *http2Link) close() { l.cancel() }

// request gives a client a goroutine and a stream.
func (f *fleet) request(c *client) {
	began := c.began
	f.wg.Go(func() {
		ctx, cancel := context.WithCancel(f.stop)
		defer cancel()
		conn, err := f.http2.of(c.index, func() (*http.ClientConn, error) { return f.dialHTTP2(c) })
		l := &http2Link{cancel}
		message, ok := f.openHTTP2(c, began, l)
		if !ok {
			return
		}
		var response *http.Response
		if err == nil {
			response, err = f.post(ctx, conn, message)
		}
		if response != nil {
			defer func() { _ = response.Body.Close() }()
		}
		f.mu.Lock()
		switch {
		case c.link != link(l):
			f.mu.Unlock()
			return // closed by the fleet
		case err != nil:
			f.http2.forget(c.index)
			f.fail(c, Cause{Kind: causeConnect, Reason: err.Error()})
			f.mu.Unlock()
			return
		}
		c.state = stateSubscribing
		f.mu.Unlock()
		f.receiveFrom(c, l, response.Body)
	})
}

// openHTTP2 gives a client its link and returns the body of its request; ok is false if the
// client was given up.
func (f *fleet) openHTTP2(c *client, began int64, l *http2Link) (message []byte, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.state != stateDialing || c.began != began {
		return nil, false
	}
	c.link, c.state = l, stateHandshake
	message, ok = f.greeting(c)
	return bytes.Clone(message), ok
}

// post sends the request whose response is the connection.
func (f *fleet) post(ctx context.Context, conn *http.ClientConn, message []byte) (*http.Response, error) {
	address := f.server.scheme() + "://" + f.server.host + f.server.path
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(message))
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	request.Header.Set("User-Agent", "centrifugo-bench")
	request.Header.Set("Content-Type", f.contentType())
	response, err := conn.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("answered with %s", response.Status)
	}
	return response, nil
}

package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"centrifugo/server/internal/config"
)

// MaxResponse bounds an answer of a backend, in bytes.
const MaxResponse = 4 << 20

const (
	// A connection that is idle for longer is closed. It is longer than the pause between
	// the calls of a quiet server.
	idleConnection = 90 * time.Second
	// maxResponseHeaders bounds the headers of an answer, in bytes.
	maxResponseHeaders = 64 << 10
	// maxDrained is how much of an answer that is not used is read, so that its connection
	// can be used again.
	maxDrained = 64 << 10
	// silence is after how long an HTTP/2 connection on which nothing arrives is pinged, and then
	// how long the answer may take. Connections of HTTP/1.1 end with a call that takes too long.
	silence = 5 * time.Second
)

func isHTTP(endpoint string) bool {
	return strings.HasPrefix(endpoint, "http://") || strings.HasPrefix(endpoint, "https://")
}

// httpCarrier calls an endpoint by POST with JSON (server.md 5.3).
type httpCarrier struct {
	// Static after construction.
	endpoint   *url.URL
	transport  *http.Transport
	transforms []config.StatusTransform
}

// http returns the carrier for an HTTP endpoint.
func (o *Options) http(c config.Proxy) (Carrier, error) {
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, errors.New("endpoint is not a URL") // the cause would repeat it, and it may contain a password
	}
	t, err := c.HTTP.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("http.tls: %w", err)
	}
	return &httpCarrier{
		endpoint: endpoint, transforms: c.HTTP.StatusToCodeTransforms,
		transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			DialContext:     (&net.Dialer{Timeout: c.Timeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig: t, TLSHandshakeTimeout: c.Timeout, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: c.Limit.MaxInFlight, MaxConnsPerHost: c.Limit.MaxInFlight, IdleConnTimeout: idleConnection,
			MaxResponseHeaderBytes: maxResponseHeaders,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
		},
	}, nil
}

// Protocol implements Carrier.
func (*httpCarrier) Protocol() string { return "http" }

// Close implements Carrier.
func (c *httpCarrier) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// Call implements Carrier. It uses the transport rather than a client, so that redirects
// are not followed: they would send what a client has sent to another place.
func (c *httpCarrier) Call(ctx context.Context, _ Event, r *Request, headers http.Header) (*Response, error) {
	body, err := r.encodeJSON()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.URL, request.Host = c.endpoint, c.endpoint.Host
	if host := headers.Get("Host"); host != "" {
		request.Host = host // only static_headers can have it
	}
	request.Header = headers
	if user := c.endpoint.User; user != nil && headers.Get("Authorization") == "" {
		password, _ := user.Password()
		request.SetBasicAuth(user.Username(), password)
	}
	headers.Set("Content-Type", "application/json")
	answer, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, transportFailure(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, answer.Body, maxDrained)
		return c.statusResponse(answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, MaxResponse+1))
	switch {
	case err != nil:
		return nil, transportFailure(ctx, err)
	case len(text) > MaxResponse:
		return nil, &Failure{Reason: TooLarge, Err: fmt.Errorf("the answer is larger than %d bytes", MaxResponse)}
	}
	response, err := decodeJSON(text)
	if err != nil {
		return nil, &Failure{Reason: Malformed, Err: err}
	}
	return response, nil
}

// transportFailure describes an error of the connection.
func transportFailure(ctx context.Context, err error) *Failure {
	var timeout net.Error
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return &Failure{Reason: Timeout, Down: true, Err: err}
	}
	return &Failure{Reason: Unreachable, Down: true, Err: err}
}

// statusResponse returns what a status other than 200 means: the first transform of it
// decides, and without one the call has failed (server.md 5.3).
func (c *httpCarrier) statusResponse(status int) (*Response, error) {
	for _, t := range c.transforms {
		switch {
		case t.StatusCode != status:
			continue
		case t.ToError.Code > 0:
			return &Response{Error: &Error{Code: t.ToError.Code, Message: t.ToError.Message, Temporary: t.ToError.Temporary}}, nil
		default:
			return &Response{Disconnect: &Disconnect{Code: t.ToDisconnect.Code, Reason: t.ToDisconnect.Reason}}, nil
		}
	}
	return nil, &Failure{
		Reason: BadStatus, Status: strconv.Itoa(status),
		Down: status >= http.StatusInternalServerError || status == http.StatusTooManyRequests,
	}
}

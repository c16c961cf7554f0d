package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/logsample"
	"centrifugo/server/internal/config"
)

// failureLines bounds the lines of one proxy, event and reason in a second.
const failureLines = 10

// Carrier makes calls to one endpoint. It is safe for concurrent use.
type Carrier interface {
	// Protocol is the label of the carrier in metrics: "http" or "grpc".
	Protocol() string
	// Call asks the backend about an event. The keys of headers are canonical; the carrier
	// keeps neither the request nor the headers. ctx ends when the call has taken its time,
	// or when the client has left. A *Failure is a call without a usable answer; any other
	// error is about the request.
	Call(ctx context.Context, e Event, r *Request, headers http.Header) (*Response, error)
	// Close closes the connections to the endpoint.
	Close() error
}

// Reason says why a call brought no answer, as a field of log lines.
type Reason string

// The reasons of failures.
const (
	Unreachable Reason = "unreachable" // no connection, or it broke
	Timeout     Reason = "timeout"
	BadStatus   Reason = "status"    // another status than success
	Malformed   Reason = "malformed" // not an answer of this protocol
	TooLarge    Reason = "too_large"
)

// Failure is a call that brought no usable answer.
type Failure struct {
	Reason Reason
	// Status is that of the answer, such as "502" or "Unavailable"; empty if there is none.
	Status string
	// Down is set if the backend is unavailable or overloaded, rather than of another
	// opinion.
	Down bool
	// Err says more. It contains neither headers nor payload; it may be nil.
	Err error
}

// Error implements error.
func (f *Failure) Error() string {
	text := "proxy call failed: " + string(f.Reason)
	if f.Status != "" {
		text += " " + f.Status
	}
	if f.Err != nil {
		text += ": " + f.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Proxy is an endpoint with its settings. It is safe for concurrent use.
type Proxy struct {
	// Static after construction.
	key       string // of the configuration, such as "channel.proxy.subscribe"
	name      string // label of metrics: that of a named proxy, or "default"
	config    config.Proxy
	forwarded forwarded
	static    map[string]string // headers, with canonical names
	carrier   Carrier
	guard     *guard
	options   *Options
	sampler   *logsample.Sampler

	inFlight [numEvents]atomic.Int64
	used     [numEvents]atomic.Bool
	refused  [3]atomic.Uint64 // by index of refusals
	opened   atomic.Uint64    // how often the breaker opened
}

func newProxy(key, name string, c config.Proxy, o *Options) (*Proxy, error) {
	p := &Proxy{
		key: key, name: name, config: c, forwarded: newForwarded(&c), options: o,
		sampler: logsample.New(failureLines, time.Second),
	}
	constants, dial := c.GRPC.StaticMetadata, o.GRPC
	if isHTTP(c.Endpoint) {
		constants, dial = c.HTTP.StaticHeaders, o.http
	}
	var err error
	if p.static, err = staticHeaders(constants); err != nil {
		return nil, err
	}
	if p.carrier, err = dial(c); err != nil {
		return nil, err
	}
	p.guard = newGuard(&c, p.breakerChanged)
	return p, nil
}

// breakerChanged is called with the breaker locked.
func (p *Proxy) breakerChanged(from, to string) {
	level := slog.LevelInfo
	if to == stateName(2) {
		p.opened.Add(1)
		level = slog.LevelError
	}
	p.options.Log.Log(context.Background(), level, "proxy breaker changed", "proxy", p.key, "from", from, "to", to)
}

// Call asks the backend about an event of a connection whose context is ctx. The base64
// forms of the answer are decoded. It does not interpret the error or disconnect of the
// answer, which Response.Err returns.
//
// Errors: ErrorTooManyRequests if the backend has too many calls already; ErrorBadRequest if
// the payload of the client cannot be sent; ErrorInternal for everything else, which is
// logged unless the client has left.
func (p *Proxy) Call(ctx context.Context, e Event, caller Caller, r Request) (*Response, error) {
	p.complete(e, &caller, &r)
	permit, err := p.guard.enter(ctx)
	if err != nil {
		return nil, p.refuse(ctx, e, err)
	}
	p.used[e].Store(true)
	p.inFlight[e].Add(1)
	defer p.inFlight[e].Add(-1)
	callCtx, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	response, err := p.carry(callCtx, e, &r, p.headersOf(caller.Session))
	if err := p.conclude(ctx, e, &permit, response, err); err != nil {
		return nil, err
	}
	return response, nil
}

// errPanic is a carrier that has panicked.
var errPanic = errors.New("panic")

// carry calls the backend. A panic is a failure, so that the place of the call is given back.
func (p *Proxy) carry(ctx context.Context, e Event, r *Request, headers http.Header) (response *Response, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			response, err = nil, &Failure{Reason: Malformed, Err: fmt.Errorf("%w: %v\n%s", errPanic, reason, debug.Stack())}
		}
	}()
	ctx, ended := p.trace(ctx, e, headers)
	defer func() { ended(err) }()
	return p.carrier.Call(ctx, e, r, headers) //nolint:wrapcheck // a *Failure
}

// trace begins the span of a call, if calls are traced. The function that it returns ends it.
func (p *Proxy) trace(ctx context.Context, e Event, headers http.Header) (traced context.Context, ended func(error)) {
	if p.options.Trace == nil {
		return ctx, func(error) {}
	}
	return p.options.Trace(ctx, e, p.name, headers)
}

// conclude ends a call whose client has the context ctx, and returns the answer to the
// client's command if the call has failed.
func (p *Proxy) conclude(ctx context.Context, e Event, permit *permit, response *Response, err error) error {
	if err == nil {
		if malformed := response.settle(e); malformed != nil {
			err = &Failure{Reason: Malformed, Err: malformed}
		}
	}
	var failure *Failure
	switch {
	case err == nil:
		permit.leave(answered, false)
		p.observe(e, permit.began, false)
		return nil
	case ctx.Err() != nil: // the client has left: neither logged nor counted (server.md 5.3)
		permit.leave(gone, false)
		return centrifuge.ErrorInternal
	case !errors.As(err, &failure): // no call was made
		permit.leave(gone, false)
		return err
	case failure.Down:
		permit.leave(failed, failure.Reason == Timeout)
	default:
		permit.leave(answered, false)
	}
	p.observe(e, permit.began, true)
	p.logFailure(ctx, e, failure)
	return centrifuge.ErrorInternal
}

// refuse counts a call that is not made, and returns its answer.
func (p *Proxy) refuse(ctx context.Context, e Event, why error) error {
	if ctx.Err() != nil {
		return centrifuge.ErrorInternal // the client has left
	}
	for i, refusal := range refusals {
		if errors.Is(why, refusal.err) {
			p.refused[i].Add(1)
			p.log(ctx, slog.LevelWarn, "proxy call not made", e, refusal.name, 0)
		}
	}
	if errors.Is(why, errBreakerOpen) {
		return centrifuge.ErrorInternal // as the failures that have opened it
	}
	return centrifuge.ErrorTooManyRequests
}

func (p *Proxy) observe(e Event, began time.Time, failed bool) {
	if p.options.Observe != nil {
		p.options.Observe(Observation{Protocol: p.carrier.Protocol(), Event: e, Name: p.name, Duration: time.Since(began), Failed: failed})
	}
}

func (p *Proxy) logFailure(ctx context.Context, e Event, f *Failure) {
	var attrs []any
	if f.Status != "" {
		attrs = append(attrs, "status", f.Status)
	}
	if f.Err != nil {
		attrs = append(attrs, "error", f.Err)
	}
	p.log(ctx, slog.LevelError, "proxy call failed", e, string(f.Reason), uint32(e), attrs...)
}

// log writes a line about a call for a connection whose context is ctx, unless there were too
// many of the same kind. The lines never contain headers or payload.
func (p *Proxy) log(ctx context.Context, level slog.Level, message string, e Event, reason string, kind uint32, attrs ...any) {
	ok, suppressed := p.sampler.Take(logsample.Key{Message: message + reason, Code: kind})
	if !ok {
		return
	}
	attrs = append([]any{"proxy", p.key, "event", e.String(), "reason", reason}, attrs...)
	if suppressed > 0 {
		attrs = append(attrs, "suppressed", suppressed)
	}
	p.options.Log.Log(ctx, level, message, attrs...)
}

package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"centrifugo/internal/logsample"
	"centrifugo/server/internal/api"
)

// ErrUnavailable is the error of a message that this server could not process yet. The
// source must deliver it again.
var ErrUnavailable = errors.New("the message could not be processed yet")

// Processor executes messages. It is safe for concurrent use.
type Processor struct {
	// Static after construction.
	api, binary *api.API
	received    func(context.Context, []Attribute) context.Context // may be nil
	format      Format
	attempts    int // zero: any number
	stats       *Stats
	log         *slog.Logger
	sampler     *logsample.Sampler
}

// Lines of the log about messages, of each kind, are at most logLines in logInterval.
const (
	logLines    = 10
	logInterval = 10 * time.Second
)

// Stats returns the counters of the consumer.
func (p *Processor) Stats() *Stats { return p.stats }

// Log returns the log of the consumer.
func (p *Processor) Log() *slog.Logger { return p.log }

// Process calls the method that a message names. It returns nil if the message is to be
// acknowledged: the method succeeded, or repeating it would not help. While this server
// cannot execute the method (error 100), Process repeats it, with growing pauses, until ctx is
// done or the attempts of the source are used up; the error means that the message must
// be delivered again. A call that has begun is not interrupted.
func (p *Processor) Process(ctx context.Context, m Message) error {
	c, refused := p.format.decode(&m)
	if refused != nil {
		p.refuse(&m, refused)
		return nil
	}
	calls := context.WithoutCancel(ctx)
	if p.received != nil {
		calls = p.received(calls, m.Attributes)
	}
	for attempt := 1; ; attempt++ {
		again, refused := p.call(calls, &c)
		if refused != nil {
			p.refuse(&m, refused)
			return nil
		}
		if !again {
			p.stats.Processed.Add(1)
			return nil
		}
		p.stats.Errors.Add(1)
		if p.attempts > 0 && attempt >= p.attempts {
			return ErrUnavailable
		}
		if err := m.wait(ctx, pause(attempt)); err != nil {
			return err
		}
		p.stats.Retries.Add(1)
		p.sampled(slog.LevelWarn, "message is repeated", "message", m.ID, "method", c.method.Name, "attempt", attempt+1)
	}
}

// wait waits and keeps the message in work meanwhile.
func (m *Message) wait(ctx context.Context, d time.Duration) error {
	for {
		step := d
		if m.Extend != nil {
			m.Extend(ctx)
			if m.ExtendEvery > 0 {
				step = min(d, m.ExtendEvery)
			}
		}
		if err := sleep(ctx, step); err != nil {
			return err
		}
		if d -= step; d <= 0 {
			return nil
		}
	}
}

// call executes a command once. It reports true if the command, which may have been
// changed, must be repeated.
func (p *Processor) call(ctx context.Context, c *command) (again bool, refused *refusal) {
	defer func() {
		if r := recover(); r != nil {
			p.log.Error("panic", "method", c.method.Name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			again, refused = false, &refusal{Panicked, fmt.Errorf("%s panicked", c.method.Name)}
		}
	}()
	with := p.api
	if c.binary {
		with = p.binary
	}
	result, apiErr := c.method.CallDecoded(ctx, with, c.request)
	if apiErr != nil {
		if apiErr.Code == api.ErrorInternal.Code {
			return true, nil
		}
		return false, &refusal{APIError, fmt.Errorf("%s: error %d: %w", c.method.Name, apiErr.Code, apiErr)}
	}
	if broadcast, ok := c.request.(*api.BroadcastRequest); ok {
		return p.remaining(broadcast, result)
	}
	return false, nil
}

// remaining reduces a broadcast to the channels whose publication must be repeated, so
// that the others do not get it twice.
func (p *Processor) remaining(broadcast *api.BroadcastRequest, result any) (again bool, refused *refusal) {
	res, ok := result.(api.BroadcastResult)
	if !ok || len(res.Responses) != len(broadcast.Channels) {
		return false, nil
	}
	var channels []string
	for i, r := range res.Responses {
		switch {
		case r.Error == nil:
		case r.Error.Code == api.ErrorInternal.Code:
			channels = append(channels, broadcast.Channels[i])
		default:
			p.stats.refuse(APIError)
			p.sampled(slog.LevelError, "channel of a broadcast has no effect", "channel", broadcast.Channels[i], "code", r.Error.Code, "error", r.Error)
		}
	}
	broadcast.Channels = channels
	return len(channels) > 0, nil
}

// refuse logs and counts a message that is acknowledged without effect.
func (p *Processor) refuse(m *Message, r *refusal) {
	p.stats.refuse(r.reason)
	p.stats.Processed.Add(1)
	p.sampled(slog.LevelError, "message has no effect", "message", m.ID, "reason", string(r.reason), "error", r.err)
}

// Warn logs a warning unless there were many of its kind recently.
func (p *Processor) Warn(message string, args ...any) { p.sampled(slog.LevelWarn, message, args...) }

// Failed counts a failure of the source and logs it as Warn does.
func (p *Processor) Failed(message string, args ...any) {
	p.stats.Errors.Add(1)
	p.sampled(slog.LevelError, message, args...)
}

// sampled logs a line unless there were many of its kind recently.
func (p *Processor) sampled(level slog.Level, message string, args ...any) {
	ok, suppressed := p.sampler.Take(logsample.Key{Message: message})
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	p.log.Log(context.Background(), level, message, args...)
}

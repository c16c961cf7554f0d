package apihttp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"time"

	"centrifugo/internal/jsonscan"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/requestid"
)

// streamPath is the endpoint of streams below the prefix. Other servers of this protocol do
// not have it.
const streamPath = "stream"

const (
	// streamReadSize is how much of the body is read at once, in bytes. Answers to the
	// commands in it are written together.
	streamReadSize = 32 << 10
	// streamFlushSize bounds the answers that wait to be written, in bytes.
	streamFlushSize = 32 << 10
	// streamWriteTimeout is how long the caller may take no answers. Nothing is read
	// meanwhile, so that a caller that sends faster than it reads is slowed down.
	streamWriteTimeout = 30 * time.Second
)

// stream executes the commands of a body one after another, one on each line, and writes
// a reply to each on a line of its own, in the same order. The body has any length; a line has
// at most bodyLimit bytes.
type stream struct {
	handler *Handler
	ctx     context.Context
	request *http.Request
	writer  http.ResponseWriter
	control *http.ResponseController
	lines   *lineReader
	number  int // of the line, from 1
	out     []byte
	publish api.PublishRequest // of the last line that was one
}

// stream serves a request until its body ends, the caller leaves, or the handler stops.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	duplex := control.EnableFullDuplex() // otherwise net/http reads on before it sends a refusal
	if !h.admit(w, r) {
		return
	}
	ctx := requestid.For(r)
	s := &stream{
		handler: h, ctx: ctx, request: r.WithContext(ctx), writer: w, control: control,
		lines: newLineReader(r.Body, h.bodyLimit),
	}
	if err := s.begin(duplex); err != nil {
		h.log.Log(ctx, slog.LevelError, "a stream of api calls cannot be served", "error", err)
		plain(w, http.StatusInternalServerError)
		return
	}
	interrupt := context.AfterFunc(h.stopping, func() { _ = s.control.SetReadDeadline(time.Now()) })
	defer interrupt()
	if err := s.run(); err != nil {
		h.log.Log(ctx, slog.LevelInfo, "a stream of api calls ended early", "line", s.number, "error", err)
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWriteTimeout)) // for the end of the answer
}

// begin lifts the limits that requests of ordinary length have. Duplex says whether the response
// can be written while the request is read.
func (s *stream) begin(duplex error) error {
	if duplex != nil {
		return fmt.Errorf("reading and writing at the same time: %w", duplex)
	}
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("lifting the deadline of the body: %w", err)
	}
	header := s.writer.Header()
	header.Set("Content-Type", "application/x-ndjson")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx passes answers on at once
	return nil
}

func (s *stream) run() error {
	for s.handler.stopping.Err() == nil {
		if !s.lines.buffered() || len(s.out) >= streamFlushSize {
			if err := s.flush(); err != nil {
				return err
			}
		}
		line, err := s.lines.next()
		s.number++
		switch {
		case errors.Is(err, errLineTooLong):
			s.refuse(err)
		case err == io.EOF: //nolint:errorlint // lineReader returns it itself
			return s.flush()
		case err != nil && s.handler.stopping.Err() != nil:
			return s.flush()
		case err != nil:
			return errors.Join(fmt.Errorf("reading: %w", err), s.flush())
		case len(line) > 0:
			if err := s.execute(line); err != nil {
				return errors.Join(err, s.flush())
			}
		}
	}
	return s.flush()
}

// execute executes the command of a line. A line that is no command is answered with error
// 107, and the stream goes on.
func (s *stream) execute(line []byte) error {
	if decodePublishCommand(line, &s.publish) {
		result, apiErr := api.MethodPublish.Call(s.ctx, s.handler.api, &s.publish)
		if apiErr != nil {
			return s.reply(api.Reply{Error: apiErr})
		}
		var ok bool
		if s.out, ok = appendPublishResult(s.out, api.MethodPublish.Name, result); !ok {
			return s.reply(api.Reply{Method: &api.MethodPublish.Method, Result: result})
		}
		s.out = append(s.out, '\n')
		return nil
	}
	command, err := api.DecodeCommand(line)
	if err != nil {
		s.refuse(err)
		return nil
	}
	return s.reply(s.handler.api.Execute(s.ctx, command))
}

// refuse answers a line that is not executed.
func (s *stream) refuse(reason error) {
	reason = fmt.Errorf("line %d: %w", s.number, reason)
	s.handler.logRefused(s.request, slog.LevelInfo, http.StatusBadRequest, reason)
	// An error has a number and a text, which cannot fail to be encoded.
	_ = s.reply(api.Reply{Error: &api.Error{Code: api.ErrorBadRequest.Code, Message: api.ErrorBadRequest.Message + ": " + reason.Error()}})
}

// reply appends a reply. A result that contains data which is not JSON is answered as an
// error of the server, as in a batch.
func (s *stream) reply(reply api.Reply) error {
	encoded, err := json.Marshal(reply)
	if err != nil {
		s.handler.log.Log(s.ctx, slog.LevelWarn, "encoding the result of an api call failed", "error", err)
		if encoded, err = json.Marshal(api.Reply{Error: api.ErrorInternal}); err != nil {
			return fmt.Errorf("encoding a reply: %w", err)
		}
	}
	s.out = append(append(s.out, encoded...), '\n')
	return nil
}

// flush writes the replies.
func (s *stream) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWriteTimeout)) // begin has shown that deadlines are supported
	_, err := s.writer.Write(s.out)
	if err == nil {
		err = s.control.Flush()
	}
	if cap(s.out) > maxPooled {
		s.out = nil
	}
	s.out = s.out[:0]
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// decodePublishCommand decodes a command of the usual form, {"publish":{…}}, without
// reflection. It reports false for others, and for those that decodePublish leaves to
// encoding/json. What req holds before is overwritten, and its channel is kept if it is the same.
func decodePublishCommand(line []byte, req *api.PublishRequest) bool {
	r := jsonscan.NewReader(line, jsonscan.MaxDepth, math.MaxInt)
	if !r.Object() || !r.Field() || string(r.Key) != api.MethodPublish.Name || r.Peek() != '{' {
		return false
	}
	*req = api.PublishRequest{Channel: req.Channel}
	seen, ok := decodePublishFrom(&r, req)
	if seen&publishChannel == 0 {
		req.Channel = ""
	}
	return ok && !r.Field() && r.Finish() == nil
}

var errLineTooLong = errors.New("the line is too long")

// lineReader reads lines of bounded length.
type lineReader struct {
	r     *bufio.Reader
	limit int64
	long  []byte // a line that is longer than the buffer of r
}

func newLineReader(r io.Reader, limit int64) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, streamReadSize), limit: limit}
}

// buffered reports whether next returns without reading.
func (l *lineReader) buffered() bool {
	ahead, _ := l.r.Peek(l.r.Buffered()) // cannot fail
	return bytes.IndexByte(ahead, '\n') >= 0
}

// next returns the next line without white space around it, which is valid until the
// next call. The last line needs no line break. The error is io.EOF behind it, and
// errLineTooLong for a line that was skipped.
func (l *lineReader) next() ([]byte, error) {
	l.long = l.long[:0]
	if cap(l.long) > maxPooled {
		l.long = nil
	}
	tooLong := false
	for {
		part, err := l.r.ReadSlice('\n')
		if tooLong = tooLong || int64(len(l.long)+len(part)) > l.limit+1; tooLong { // the line break does not count
			l.long = nil
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if !tooLong {
				l.long = append(l.long, part...)
			}
			continue
		case err != nil && (err != io.EOF || len(l.long)+len(part) == 0 && !tooLong): //nolint:errorlint // a Reader returns io.EOF itself
			return nil, err //nolint:wrapcheck // the caller tells the cases apart
		case tooLong:
			return nil, errLineTooLong
		case len(l.long) == 0:
			return bytes.TrimSpace(part), nil
		}
		l.long = append(l.long, part...)
		return bytes.TrimSpace(l.long), nil
	}
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
)

// MaxCommands bounds the commands of one batch, and those of one body at the legacy
// endpoint. It keeps a decoded body near the size of its text.
const MaxCommands = 100_000

// ErrTooManyCommands is the error of decoding a batch with more than MaxCommands.
var ErrTooManyCommands = errors.New("too many commands")

// BatchRequest holds several calls.
type BatchRequest struct {
	// Commands are the calls.
	Commands Commands `json:"commands"`
	// Parallel runs the commands concurrently, at most 1024 at a time.
	Parallel bool `json:"parallel"`
}

// BatchResult holds one reply for each command, in their order.
type BatchResult struct {
	Replies []Reply `json:"replies,omitempty"`
}

// Command is a call in a batch. In JSON it is an object with one key, the name of
// the method, whose value is the request.
type Command struct {
	// Method is nil where the command names no method that a batch can call.
	Method *Method
	// Request is a pointer to a value of type Method.Request.
	Request any
}

// Reply is the result of a command. In JSON it is an object with one key: the name
// of the method, whose value is the result, or "error".
type Reply struct {
	// Method is set if Error is nil.
	Method *Method
	// Result is a value of type Method.Result.
	Result any
	Error  *Error
}

// MarshalJSON implements json.Marshaler.
func (r BatchResult) MarshalJSON() ([]byte, error) {
	if len(r.Replies) == 0 {
		return []byte("{}"), nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	out.WriteString(`{"replies":[`)
	for i, reply := range r.Replies {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := reply.encode(&out, enc); err != nil {
			return nil, err
		}
	}
	out.WriteString(`]}`)
	return out.Bytes(), nil
}

// encode writes the reply as an object; enc writes to out.
func (r Reply) encode(out *bytes.Buffer, enc *json.Encoder) error {
	key, value := "error", any(r.Error)
	if r.Error == nil {
		key, value = r.Method.Name, r.Result
	}
	out.WriteString(`{"`)
	out.WriteString(key)
	out.WriteString(`":`)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("encoding the reply to %s: %w", key, err)
	}
	out.Truncate(out.Len() - 1) // the line break of the encoder
	out.WriteByte('}')
	return nil
}

// MarshalJSON implements json.Marshaler.
func (r Reply) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	err := r.encode(&out, json.NewEncoder(&out))
	return out.Bytes(), err
}

// Commands is the list of a batch. An element is nil where the JSON is null.
type Commands []*Command

// UnmarshalJSON implements json.Unmarshaler. It stops with ErrTooManyCommands before
// it decodes more than MaxCommands.
func (c *Commands) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return errors.New("commands are not a list")
	}
	form := commandForm()
	commands := Commands{}
	for dec.More() {
		if len(commands) == MaxCommands {
			return ErrTooManyCommands
		}
		command, err := form.decode(dec)
		if err != nil {
			return err
		}
		commands = append(commands, command)
	}
	*c = commands
	return nil
}

// form decodes commands: encoding/json decodes into a struct that has a field for
// the request of each method.
type form struct {
	methods []*Method // those that a batch can call; the one at i has field i
	pointer reflect.Type
}

var commandForm = sync.OnceValue(func() form {
	var f form
	var fields []reflect.StructField
	for _, m := range methods {
		if m == &MethodBatch.Method {
			continue // batches do not nest
		}
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("F%d", len(fields)), Type: reflect.PointerTo(m.Request),
			Tag: reflect.StructTag(fmt.Sprintf("json:%q", m.Name)),
		})
		f.methods = append(f.methods, m)
	}
	f.pointer = reflect.PointerTo(reflect.StructOf(fields))
	return f
})

// decode returns nil for null.
func (f form) decode(dec *json.Decoder) (*Command, error) {
	target := reflect.New(f.pointer)
	if err := dec.Decode(target.Interface()); err != nil {
		return nil, err //nolint:wrapcheck // encoding/json wraps what an Unmarshaler returns
	}
	fields := target.Elem()
	if fields.IsNil() {
		return nil, nil //nolint:nilnil // null is a command
	}
	for i, m := range f.methods {
		if request := fields.Elem().Field(i); !request.IsNil() {
			return &Command{Method: m, Request: request.Interface()}, nil
		}
	}
	return new(Command), nil
}

// DecodeCommand decodes one command of a stream, as UnmarshalJSON of Commands does. It
// returns nil for null.
func DecodeCommand(b []byte) (*Command, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	command, err := commandForm().decode(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF { //nolint:errorlint // a Decoder returns io.EOF itself
		return nil, errors.New("something follows the command")
	}
	return command, nil
}

// batch runs the commands one after another unless req.Parallel. It never fails as
// a whole.
func (c call) batch(ctx context.Context, req *BatchRequest) (BatchResult, *Error) {
	replies := make([]Reply, len(req.Commands))
	if req.Parallel {
		parallel(ctx, len(replies), func(ctx context.Context, i int) { replies[i] = c.command(ctx, req.Commands[i]) })
		return BatchResult{Replies: replies}, nil
	}
	for i, command := range req.Commands {
		replies[i] = c.command(ctx, command)
	}
	return BatchResult{Replies: replies}, nil
}

// Execute runs one command, as a batch does.
func (a *API) Execute(ctx context.Context, command *Command) Reply {
	return call{API: a, method: MethodBatch.Name}.command(ctx, command)
}

// command runs one command of a batch. Null is a bad request; a command without a
// known method is not found (server.md 1.4).
func (c call) command(ctx context.Context, command *Command) Reply {
	switch {
	case command == nil:
		return Reply{Error: ErrorBadRequest}
	case command.Method == nil:
		return Reply{Error: ErrorNotFound}
	}
	result, apiErr := command.Method.call(ctx, c.API, command.Request)
	if apiErr != nil {
		return Reply{Error: apiErr}
	}
	return Reply{Method: command.Method, Result: result}
}

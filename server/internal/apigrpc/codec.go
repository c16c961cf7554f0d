package apigrpc

import (
	"fmt"
	"reflect"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"centrifugo/server/internal/api"
	"centrifugo/server/internal/requestid"
)

// codec decodes requests of the API into its structs and encodes its results, and leaves
// the messages of other services on the same server to the Protobuf runtime.
type codec struct{ standard encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// unary is one call. Unmarshal decodes its request and Marshal encodes its response.
type unary struct {
	ctx     requestid.Context
	form    *form
	request any // a pointer to a struct
	// malformed is set instead of an error of the codec, which gRPC would report as an
	// internal error of the server.
	malformed error
	result    any
	err       *api.Error
}

// command is what a stream receives.
type command struct {
	value *api.Command
	err   error
}

// reply is what a stream sends.
type reply struct{ value api.Reply }

// Name implements encoding.CodecV2.
func (codec) Name() string { return proto.Name }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *unary:
		v.malformed = withBytes(data, func(b []byte) error {
			return new(decoder).message(v.form.request, b, reflect.ValueOf(v.request).Elem())
		})
		return nil
	case *command:
		v.err = withBytes(data, func(b []byte) (err error) {
			v.value, err = new(decoder).command(b)
			return err
		})
		return nil
	}
	return c.standard.Unmarshal(data, v) //nolint:wrapcheck // not a message of ours
}

// withBytes calls do with the content of data, which is usually one buffer.
func withBytes(data mem.BufferSlice, do func([]byte) error) error {
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	return do(buffer.ReadOnlyData())
}

// responseSize is what most responses fit into, in bytes: an offset with an epoch.
const responseSize = 32

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	b := make([]byte, 0, responseSize)
	switch v := v.(type) {
	case *unary:
		switch {
		case !v.form.bare:
			b = appendResponse(b, v.form.result, v.result, v.err)
		case v.err != nil:
			return nil, fmt.Errorf("%s: %w", v.form.method.Name, v.err)
		default:
			b = appendMessage(b, v.form.result, reflect.ValueOf(v.result))
		}
	case *reply:
		b = appendReply(b, v.value)
	default:
		return c.standard.Marshal(v) //nolint:wrapcheck // not a message of ours
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

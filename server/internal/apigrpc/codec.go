package apigrpc

import (
	"fmt"
	"reflect"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"centrifugo/server/internal/api"
)

// codec decodes requests of the API into its structs and encodes its results, and leaves
// the messages of other services on the same server to the Protobuf runtime.
type codec struct{ standard encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// request is what a call receives. Err is set instead of an error of the codec, which
// gRPC would report as an internal error of the server.
type request struct {
	structure *structure
	value     any
	err       error
}

// command is what a stream receives.
type command struct {
	value *api.Command
	err   error
}

// response is what a call returns, and reply what a stream sends.
type (
	response struct {
		form   *form
		result any
		err    *api.Error
	}
	reply struct{ value api.Reply }
)

// Name implements encoding.CodecV2.
func (codec) Name() string { return proto.Name }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *request:
		v.err = withBytes(data, func(b []byte) error {
			return new(decoder).message(v.structure, b, reflect.ValueOf(v.value).Elem())
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

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	var b []byte
	switch v := v.(type) {
	case *response:
		switch {
		case !v.form.bare:
			b = appendResponse(nil, v.form.result, v.result, v.err)
		case v.err != nil:
			return nil, fmt.Errorf("%s: %w", v.form.method.Name, v.err)
		default:
			b = appendMessage(nil, v.form.result, reflect.ValueOf(v.result))
		}
	case *reply:
		b = appendReply(nil, v.value)
	default:
		return c.standard.Marshal(v) //nolint:wrapcheck // not a message of ours
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

package grpcstream

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"centrifugo/protocol"
)

// codec passes the messages of this package without encoding them again, and leaves those
// of other services on the same server to the Protobuf runtime.
type codec struct{ standard encoding.CodecV2 }

// message is what a stream receives, undecoded.
type message struct{ bytes []byte }

// prefixed is a message behind its length, as the node receives commands.
type prefixed struct {
	bytes  []byte
	buffer *[]byte // of the pool; free gives it back
}

func (p *prefixed) free() { mem.DefaultBufferPool().Put(p.buffer) }

// Codec returns the codec that the server of a Service needs, as the option
// grpc.ForceServerCodecV2. It replaces no codec that is registered in the process, and
// other services on the server work as with the normal one.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} }

// Name implements encoding.CodecV2.
func (codec) Name() string { return proto.Name }

// Marshal implements encoding.CodecV2. The bytes of a message are shared by all its
// receivers; gRPC does not change them.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if v, ok := v.(*protocol.Encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(v.Bytes)}, nil
	}
	return c.standard.Marshal(v) //nolint:wrapcheck // not a message of ours
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *message:
		v.bytes = data.Materialize()
		return nil
	case *prefixed:
		size := data.Len()
		prefix := protowire.SizeVarint(uint64(size)) //nolint:gosec // a length
		v.buffer = mem.DefaultBufferPool().Get(prefix + size)
		v.bytes = (*v.buffer)[:prefix+size]
		protowire.AppendVarint(v.bytes[:0], uint64(size)) //nolint:gosec // a length
		data.CopyTo(v.bytes[prefix:])
		return nil
	}
	return c.standard.Unmarshal(data, v) //nolint:wrapcheck // not a message of ours
}

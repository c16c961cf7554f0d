package protocol_test

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"centrifugo/clientpb"
	. "centrifugo/protocol"
	. "centrifugo/protocol/clientcodec"
)

// The message that the protocol was first introduced with: a publication in the
// nested envelope of V1, where each level is encoded, and then embedded as raw
// bytes in the next. That is how it has to be done with the standard packages.

type (
	stdReplyV1 struct {
		ID     uint32          `json:"id,omitempty"`
		Result json.RawMessage `json:"result,omitempty"`
	}
	stdPushV1 struct {
		Type    int             `json:"type,omitempty"`
		Channel string          `json:"channel,omitempty"`
		Data    json.RawMessage `json:"data"`
	}
)

func BenchmarkNested(b *testing.B) {
	for _, f := range []Format{FormatV1, FormatV1 | FormatProtobuf} {
		name := map[bool]string{false: "json", true: "protobuf"}[f.Protobuf()]
		message := encoded(b, f, benchReply)
		b.Run("encode/ours/"+name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = AppendReply(dst[:0], f, benchReply)
			}
		})
		b.Run("decode/ours/"+name, func(b *testing.B) {
			b.ReportAllocs()
			decoder := ReplyDecoder{Format: f, Scratch: new(ReplyScratch)}
			for b.Loop() {
				if _, err := decoder.Decode(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("encode/std/json", func(b *testing.B) {
		var m stdReply
		mustJSON(b, encoded(b, 0, benchReply), &m)
		b.ReportAllocs()
		for b.Loop() {
			data, _ := json.Marshal(m.Push.Pub)
			push, _ := json.Marshal(stdPushV1{Channel: m.Push.Channel, Data: data})
			_, _ = json.Marshal(stdReplyV1{Result: push})
		}
	})
	b.Run("decode/std/json", func(b *testing.B) {
		message := encoded(b, FormatV1, benchReply)
		b.ReportAllocs()
		for b.Loop() {
			var reply stdReplyV1
			var push stdPushV1
			mustJSON(b, message, &reply)
			mustJSON(b, reply.Result, &push)
			mustJSON(b, push.Data, new(stdPublication))
		}
	})
	b.Run("encode/std/protobuf", func(b *testing.B) {
		var m clientpb.Reply
		mustProto(b, encoded(b, FormatProtobuf, benchReply), &m)
		b.ReportAllocs()
		for b.Loop() {
			data, _ := proto.Marshal(m.GetPush().GetPub())
			push, _ := proto.Marshal(&clientpb.PushV1{Channel: m.GetPush().GetChannel(), Data: data})
			_, _ = proto.Marshal(&clientpb.ReplyV1{Result: push})
		}
	})
	b.Run("decode/std/protobuf", func(b *testing.B) {
		message := encoded(b, FormatV1|FormatProtobuf, benchReply)
		b.ReportAllocs()
		for b.Loop() {
			var reply clientpb.ReplyV1
			var push clientpb.PushV1
			mustProto(b, message, &reply)
			mustProto(b, reply.GetResult(), &push)
			mustProto(b, push.GetData(), new(clientpb.Publication))
		}
	})
}

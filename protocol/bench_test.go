package protocol_test

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"centrifugo/clientpb"
	. "centrifugo/protocol"
	. "centrifugo/protocol/clientcodec"
)

// The typical messages: a publication of a client going out, and the commands
// that clients send most. Payloads are 128 bytes of JSON.
var (
	benchData = Raw(`{"type":"message","text":"The quick brown fox jumps over the lazy dog, and back again","from":"alexander","at":1700000000123}`)

	benchReply = &Reply{Push: &Push{
		Channel: "chat:index",
		Pub: &Publication{
			Data:   benchData,
			Info:   &ClientInfo{User: "42", Client: "5f0b2b2e-9a57-4c39-8f3e-2f1d6a1c7e90", ConnInfo: Raw(`{"name":"Alexander"}`)},
			Offset: 123456,
		},
	}}
	benchSubscribe = &Command{ID: 2, Subscribe: &SubscribeRequest{
		Channel: "chat:index", Recover: true, Epoch: "gnnPInYh", Offset: 123456, Flag: 1,
	}}
	benchPublish = &Command{ID: 3, Publish: &PublishRequest{Channel: "chat:index", Data: benchData}}
)

// The same messages for encoding/json.
type (
	stdReply struct {
		ID   uint32   `json:"id,omitempty"`
		Push *stdPush `json:"push,omitempty"`
	}
	stdPush struct {
		ID      int64           `json:"id,omitempty"`
		Channel string          `json:"channel,omitempty"`
		Pub     *stdPublication `json:"pub,omitempty"`
	}
	stdPublication struct {
		Data    json.RawMessage   `json:"data,omitempty"`
		Info    *stdClientInfo    `json:"info,omitempty"`
		Offset  uint64            `json:"offset,omitempty"`
		Tags    map[string]string `json:"tags,omitempty"`
		Delta   bool              `json:"delta,omitempty"`
		Time    int64             `json:"time,omitempty"`
		Channel string            `json:"channel,omitempty"`
		Key     string            `json:"key,omitempty"`
		Removed bool              `json:"removed,omitempty"`
		Score   int64             `json:"score,omitempty"`
		Epoch   string            `json:"epoch,omitempty"`
		Version uint64            `json:"version,omitempty"`
	}
	stdClientInfo struct {
		User     string          `json:"user"`
		Client   string          `json:"client"`
		ConnInfo json.RawMessage `json:"conn_info,omitempty"`
		ChanInfo json.RawMessage `json:"chan_info,omitempty"`
	}
	stdCommand struct {
		ID        uint32        `json:"id,omitempty"`
		Subscribe *stdSubscribe `json:"subscribe,omitempty"`
		Publish   *stdPublish   `json:"publish,omitempty"`
	}
	stdSubscribe struct {
		Channel     string          `json:"channel,omitempty"`
		Token       string          `json:"token,omitempty"`
		Recover     bool            `json:"recover,omitempty"`
		Epoch       string          `json:"epoch,omitempty"`
		Offset      uint64          `json:"offset,omitempty"`
		Data        json.RawMessage `json:"data,omitempty"`
		Positioned  bool            `json:"positioned,omitempty"`
		Recoverable bool            `json:"recoverable,omitempty"`
		JoinLeave   bool            `json:"join_leave,omitempty"`
		Delta       string          `json:"delta,omitempty"`
		Flag        int64           `json:"flag,omitempty"`
	}
	stdPublish struct {
		Channel string          `json:"channel,omitempty"`
		Data    json.RawMessage `json:"data,omitempty"`
	}
)

func BenchmarkEncodeReply(b *testing.B) {
	for _, f := range []Format{0, FormatProtobuf, FormatV1} {
		b.Run("ours/"+formatName(f), func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = AppendReply(dst[:0], f, benchReply)
			}
		})
	}
	b.Run("std/json", func(b *testing.B) {
		var m stdReply
		mustJSON(b, encoded(b, 0, benchReply), &m)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = json.Marshal(&m)
		}
	})
	var m clientpb.Reply
	mustProto(b, encoded(b, FormatProtobuf, benchReply), &m)
	b.Run("std/protobuf", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = proto.Marshal(&m)
		}
	})
	b.Run("std/protobuf-append", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst, _ = proto.MarshalOptions{}.MarshalAppend(dst[:0], &m)
		}
	})
}

func BenchmarkDecodeReply(b *testing.B) {
	for _, f := range []Format{0, FormatProtobuf} {
		message := encoded(b, f, benchReply)
		b.Run("ours/"+formatName(f), func(b *testing.B) {
			b.ReportAllocs()
			decoder := ReplyDecoder{Format: f, Scratch: new(ReplyScratch)}
			for b.Loop() {
				if _, err := decoder.Decode(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	benchStdDecode(b, encoded(b, 0, benchReply), encoded(b, FormatProtobuf, benchReply), new(stdReply), new(clientpb.Reply))
}

func BenchmarkDecodeSubscribe(b *testing.B) { benchDecodeCommand(b, benchSubscribe) }
func BenchmarkDecodePublish(b *testing.B)   { benchDecodeCommand(b, benchPublish) }

func benchDecodeCommand(b *testing.B, command *Command) {
	var messages [2][]byte
	for i, f := range []Format{0, FormatProtobuf} {
		message, err := AppendCommand(nil, f, command)
		if err != nil {
			b.Fatal(err)
		}
		messages[i] = message
		batch := AppendBatch(nil, f, []*Encoded{{Bytes: message}})
		b.Run("ours/"+formatName(f), func(b *testing.B) {
			b.ReportAllocs()
			var c Command
			var scratch RequestScratch
			for b.Loop() {
				d := NewDecoder(f, batch, Limits{})
				d.Reuse(&scratch)
				if err := d.Next(&c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	benchStdDecode(b, messages[0], messages[1], new(stdCommand), new(clientpb.Command))
}

// benchStdDecode decodes into a new message each time, so that no message holds
// fields of an earlier one.
func benchStdDecode[J, P any, M interface {
	*P
	proto.Message
}](b *testing.B, jsonMessage, protoMessage []byte, _ *J, _ *P) {
	b.Run("std/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mustJSON(b, jsonMessage, new(J))
		}
	})
	b.Run("std/protobuf", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mustProto(b, protoMessage, M(new(P)))
		}
	})
}

func BenchmarkValidJSON(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(benchData)))
		for b.Loop() {
			if !ValidJSON(benchData) {
				b.Fatal("ValidJSON = false; want true")
			}
		}
	})
	b.Run("std", func(b *testing.B) {
		b.SetBytes(int64(len(benchData)))
		for b.Loop() {
			if !json.Valid(benchData) {
				b.Fatal("json.Valid = false; want true")
			}
		}
	})
}

func encoded(tb testing.TB, f Format, r *Reply) []byte {
	tb.Helper()
	b, err := AppendReply(nil, f, r)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func mustJSON(tb testing.TB, b []byte, v any) {
	if err := json.Unmarshal(b, v); err != nil {
		tb.Fatal(err)
	}
}

func mustProto(tb testing.TB, b []byte, m proto.Message) {
	if err := proto.Unmarshal(b, m); err != nil {
		tb.Fatal(err)
	}
}

func formatName(f Format) string {
	name := "json"
	if f.Protobuf() {
		name = "protobuf"
	}
	if f.V1() {
		name += "-v1"
	}
	if f.Uni() {
		name += "-uni"
	}
	return name
}

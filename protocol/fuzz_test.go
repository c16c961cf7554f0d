package protocol_test

import (
	"errors"
	"io"
	"reflect"
	"testing"

	. "centrifugo/protocol"
	. "centrifugo/protocol/clientcodec"
)

// All decoders have one property: a message that they accept can be encoded, decodes
// to an equal message, and that is encoded to the same size.

func FuzzDecoder(f *testing.F) {
	for _, format := range []Format{0, FormatProtobuf, FormatV1, FormatProtobuf | FormatV1} {
		for _, s := range commandSamples() {
			if message, err := AppendCommand(nil, format, s.message); err == nil {
				f.Add(byte(format), AppendBatch(nil, format, []*Encoded{{Bytes: message}}))
			}
		}
	}
	f.Add(byte(FormatV1), []byte(`{"id":1,"method":"subscribe","params":{"seq":1,"gen":2}}`))
	f.Add(byte(0), []byte("{}\n{\"x\":[1,-2e3,\"\\ud800\"]}\nnull"))
	f.Fuzz(func(t *testing.T, format byte, message []byte) {
		fm := Format(format) & (FormatProtobuf | FormatV1)
		d := NewDecoder(fm, message, Limits{})
		for {
			var c Command
			err := d.Next(&c)
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, ErrMalformed) {
					t.Fatal(err)
				}
				break
			}
			checkKept(t, &c, len(message))
			if !c.UnknownMethod && (c.Kind() != KindUnknown || !fm.V1()) {
				roundTripCommand(t, fm, &c)
			}
		}
		if _, err := DetectVersion(fm.Protobuf(), message); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if IsPong(fm, message) {
			commands, err := decodeAll(fm, message, Limits{}, false)
			if !errors.Is(err, io.EOF) || len(commands) != 1 || commands[0].Kind() != KindPong {
				t.Fatalf("%q is no pong; want %v, len(commands) 1 and commands[0].Kind() %v", message, io.EOF, KindPong)
			}
		}
	})
}

// checkKept checks that the size of a command is in proportion to its message: the
// number of elements is within the limit, and each byte of the message becomes at
// most three bytes of text, as an invalid byte does.
func checkKept(t *testing.T, c *Command, size int) {
	t.Helper()
	var kept keptSize
	kept.add(reflect.ValueOf(c).Elem())
	if kept.elements > min(DefaultElements, size) || kept.text > 3*size {
		t.Fatalf("%d elements and %d bytes are kept of %d bytes; want at most %v and at most %v",
			kept.elements, kept.text, size, min(DefaultElements, size), 3*size)
	}
}

// keptSize counts what a decoded message holds.
type keptSize struct{ elements, text int }

func (k *keptSize) add(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			k.add(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			k.add(v.Field(i))
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			k.elements++
			k.add(entry.Key())
			k.add(entry.Value())
		}
	case reflect.String:
		k.text += v.Len()
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			k.text += v.Len()
			return
		}
		for i := range v.Len() {
			k.elements++
			k.add(v.Index(i))
		}
	default:
	}
}

func roundTripCommand(t *testing.T, f Format, c *Command) {
	t.Helper()
	message, err := AppendCommand(nil, f, c)
	if err != nil {
		t.Fatalf("%s: %v", dump(c), err)
	}
	first, err := decodeAll(f, AppendBatch(nil, f, []*Encoded{{Bytes: message}}), Limits{CommandSize: 1 << 30}, false)
	if !errors.Is(err, io.EOF) || len(first) != 1 {
		t.Fatalf("%q: %v; want %v and len(first) 1", message, err, io.EOF)
	}
	again, err := AppendCommand(nil, f, &first[0])
	if err != nil || len(again) != len(message) {
		t.Fatalf("encoded %q, then %q, %v; want length %v", message, again, err, len(message))
	}
	second, _ := decodeAll(f, AppendBatch(nil, f, []*Encoded{{Bytes: again}}), Limits{CommandSize: 1 << 30}, false)
	if !reflect.DeepEqual(first, second) {
		t.Fatalf("decoded %s the second time; want %s, as the first time", dump(second), dump(first))
	}
	if first[0].ID != c.ID || first[0].Kind() != c.Kind() {
		t.Fatalf("decoded %s; want the id and kind of %s", dump(first), dump(c))
	}
}

func FuzzReplyDecoder(f *testing.F) {
	for _, format := range allFormats() {
		for _, s := range replySamples() {
			if message, err := AppendReply(nil, format, s.message); err == nil {
				f.Add(byte(format), byte(s.message.Kind()), message)
			}
		}
	}
	f.Fuzz(func(t *testing.T, format, kind byte, message []byte) {
		fm := Format(format) % NumFormats
		decoder := ReplyDecoder{Format: fm, Kind: func(uint32) MessageKind { return MessageKind(kind) }}
		reply, err := decoder.Decode(message)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNoForm) {
				t.Fatal(err)
			}
			return
		}
		encoded, err := AppendReply(nil, fm, reply)
		if errors.Is(err, ErrNoForm) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", dump(reply), err)
		}
		if !fm.Protobuf() && !stdValid(encoded) {
			t.Fatalf("encoded %q; want valid JSON", encoded)
		}
		first, err := decoder.Decode(encoded)
		if err != nil {
			t.Fatalf("%q: %v", encoded, err)
		}
		again, err := AppendReply(nil, fm, first)
		if err != nil || len(again) != len(encoded) {
			t.Fatalf("encoded %q, then %q, %v; want length %v", encoded, again, err, len(encoded))
		}
		second, err := decoder.Decode(again)
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("decoded %s, %v the second time; want %s, as the first time", dump(second), err, dump(first))
		}
	})
}

func FuzzBodies(f *testing.F) {
	f.Add(true, []byte("\x12\x01s\x0a\x01n\x1a\x02\xff\x00"))
	f.Add(false, []byte(`{"session":"s","node":"n","data":"{}\n{\"id\":1}"}`))
	f.Add(false, []byte(`{"token":"t","data":{"a":[1]},"subs":{"c":{"recover":true}},"headers":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, protobuf bool, body []byte) {
		format := Format(0)
		if protobuf {
			format = FormatProtobuf
		}
		if m, err := DecodeEmulationRequest(protobuf, body); err == nil {
			again, err := DecodeEmulationRequest(protobuf, AppendEmulationRequest(nil, protobuf, m))
			if err != nil || again.Node != m.Node || again.Session != m.Session || string(again.Data) != string(m.Data) {
				t.Fatalf("decoded %s, %v the second time; want %s, as the first time", dump(again), err, dump(m))
			}
		}
		if m, err := DecodeConnectRequest(format, body); err == nil {
			roundTripCommand(t, format, &Command{ID: 1, Connect: m})
		}
		if p, err := DecodePublication(body); err == nil {
			first := EncodePublication(p)
			again, err := DecodePublication(first)
			if err != nil || len(EncodePublication(again)) != len(first) {
				t.Fatalf("decoded %s, then %s, %v; want %v", dump(p), dump(again), err, len(first))
			}
		}
		if info, err := DecodeClientInfo(body); err == nil {
			first := EncodeClientInfo(info)
			again, err := DecodeClientInfo(first)
			if err != nil || string(EncodeClientInfo(again)) != string(first) {
				t.Fatalf("decoded %s, %v the second time; want %s, as the first time", dump(again), err, dump(info))
			}
		}
	})
}

func FuzzValidJSON(f *testing.F) {
	for _, value := range jsonValues {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := ValidJSON(b), stdValid(b); got != want && len(b) <= MaxDepth {
			t.Fatalf("ValidJSON(%q) = %t; want %t", b, got, want)
		}
	})
}

func FuzzJSONString(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(checkJSONString)
}

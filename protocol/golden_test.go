package protocol_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	. "centrifugo/protocol"
	. "centrifugo/protocol/clientcodec"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// allFormats are the formats of replies; commands have those that are not
// unidirectional.
func allFormats() []Format {
	list := make([]Format, NumFormats)
	for i := range list {
		list[i] = Format(i)
	}
	return list
}

// TestGoldenCommands pins the bytes of every command in every format, and
// that they decode to what was encoded.
func TestGoldenCommands(t *testing.T) {
	for _, f := range []Format{0, FormatProtobuf, FormatV1, FormatProtobuf | FormatV1} {
		t.Run(formatName(f), func(t *testing.T) {
			g := newGolden(t, "command", f)
			for _, s := range commandSamples() {
				message, err := AppendCommand(nil, f, s.message)
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				g.check(s.name, message)

				want := s.message
				wireForm(f, want)
				d := NewDecoder(f, AppendBatch(nil, f, []*Encoded{{Bytes: message}}), Limits{})
				var got Command
				if err := d.Next(&got); err != nil {
					t.Fatalf("%s: decoding: %v", s.name, err)
				}
				if !reflect.DeepEqual(&got, want) {
					t.Errorf("%s: decoded\n%s\nwant\n%s", s.name, dump(&got), dump(want))
				}
			}
			g.finish()
		})
	}
}

// TestGoldenReplies does it for replies, pushes among them.
func TestGoldenReplies(t *testing.T) {
	for _, f := range allFormats() {
		t.Run(formatName(f), func(t *testing.T) {
			g := newGolden(t, "reply", f)
			for _, s := range replySamples() {
				message, err := AppendReply(nil, f, s.message)
				if !s.message.HasForm(f) {
					if !errors.Is(err, ErrNoForm) {
						t.Errorf("%s: error %v, want ErrNoForm", s.name, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				g.check(s.name, message)

				want := s.message
				kind := want.Kind()
				wireForm(f, want)
				if want.Push != nil && want.Push.ID > 0 {
					want.Push.Channel = ""
				}
				decoder := ReplyDecoder{Format: f, Kind: func(uint32) MessageKind { return kind }}
				got, err := decoder.Decode(message)
				if err != nil {
					t.Fatalf("%s: decoding: %v", s.name, err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s: decoded\n%s\nwant\n%s", s.name, dump(got), dump(want))
				}
			}
			g.finish()
		})
	}
}

// TestGoldenBodies does it for messages that travel outside an envelope.
func TestGoldenBodies(t *testing.T) {
	for _, f := range []Format{0, FormatProtobuf} {
		t.Run(formatName(f), func(t *testing.T) {
			g := newGolden(t, "body", f)
			for i, name := range []string{"full", "empty"} {
				emulation, connect := new(EmulationRequest), new(ConnectRequest)
				if i == 0 {
					new(filler).fill(reflect.ValueOf(emulation).Elem(), 0)
					emulation.Data = Raw("{\"id\":1}\n{\"send\":{\"data\":\"<\"}}")
					new(filler).fill(reflect.ValueOf(connect).Elem(), 0)
				}
				message := AppendEmulationRequest(nil, f.Protobuf(), emulation)
				g.check("emulation "+name, message)
				gotEmulation, err := DecodeEmulationRequest(f.Protobuf(), message)
				if err != nil || !reflect.DeepEqual(gotEmulation, emulation) {
					t.Errorf("emulation %s: decoded %s, %v; want %s", name, dump(gotEmulation), err, dump(emulation))
				}
				message, err = AppendConnectRequest(nil, f, connect)
				if err != nil {
					t.Fatal(err)
				}
				g.check("connect "+name, message)
				gotConnect, err := DecodeConnectRequest(f, message)
				if err != nil || !reflect.DeepEqual(gotConnect, connect) {
					t.Errorf("connect %s: decoded %s, %v; want %s", name, dump(gotConnect), err, dump(connect))
				}
			}
			g.finish()
		})
	}
}

// TestStoredMessages covers what brokers store, internal fields included.
func TestStoredMessages(t *testing.T) {
	for _, empty := range []*Publication{nil, {}} {
		if b := EncodePublication(empty); len(b) != 0 {
			t.Errorf("empty publication has bytes %x; want none", b)
		}
	}
	publication := new(Publication)
	new(filler).fill(reflect.ValueOf(publication).Elem(), 0)
	got, err := DecodePublication(EncodePublication(publication))
	if err != nil || !reflect.DeepEqual(got, publication) {
		t.Errorf("publication: decoded %s, %v; want %s", dump(got), err, dump(publication))
	}
	info := new(ClientInfo)
	new(filler).fill(reflect.ValueOf(info).Elem(), 0)
	gotInfo, err := DecodeClientInfo(EncodeClientInfo(info))
	if err != nil || !reflect.DeepEqual(gotInfo, info) {
		t.Errorf("client info: decoded %s, %v; want %s", dump(gotInfo), err, dump(info))
	}
	for _, bad := range []string{"\x07", "\x22\x05ab", "\x2a\x01\x80"} {
		if _, err := DecodePublication([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("DecodePublication(%q): %v; want %v", bad, err, ErrMalformed)
		}
	}
}

// A golden is a file with one message a line: its name, a tab, and its JSON or
// the hexadecimal digits of its Protobuf.
type golden struct {
	t      *testing.T
	path   string
	binary bool
	want   map[string]string
	got    bytes.Buffer
	n      int
}

func newGolden(t *testing.T, what string, f Format) *golden {
	g := &golden{t: t, binary: f.Protobuf(), want: map[string]string{}}
	g.path = filepath.Join("testdata", "golden", what+"."+formatName(f)+".txt")
	if *update {
		return g
	}
	file, err := os.Open(g.path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, message, _ := strings.Cut(lines.Text(), "\t")
		g.want[name] = message
	}
	return g
}

func (g *golden) check(name string, message []byte) {
	g.t.Helper()
	g.n++
	text := string(message)
	if g.binary {
		text = hex.EncodeToString(message)
	} else if !json.Valid(message) {
		g.t.Errorf("%s: got %s; want valid JSON", name, message)
	}
	fmt.Fprintf(&g.got, "%s\t%s\n", name, text)
	if *update {
		return
	}
	if want, ok := g.want[name]; !ok || want != text {
		g.t.Errorf("%s:\n got %s\nwant %s", name, text, want)
	}
}

func (g *golden) finish() {
	g.t.Helper()
	if *update {
		if err := os.WriteFile(g.path, g.got.Bytes(), 0o644); err != nil {
			g.t.Fatal(err)
		}
		return
	}
	if len(g.want) != g.n {
		g.t.Errorf("%s has %d messages, want %d", g.path, len(g.want), g.n)
	}
}

func dump(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(b)
}

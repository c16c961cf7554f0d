package httpstream

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// moving is a message that moves positions.
func moving(moves ...protocol.Move) *protocol.Encoded {
	m := &protocol.Encoded{Bytes: []byte("{}"), Kind: protocol.KindPushPublication}
	for _, move := range moves {
		move.Next = m.Moves
		m.Moves = &move
	}
	return m
}

func begins(channel string, offset uint64) protocol.Move {
	return protocol.Move{Channel: channel, Epoch: "e", Offset: offset, Kind: protocol.MoveBegin}
}

func movesOn(channel string, offset uint64) protocol.Move {
	return protocol.Move{Channel: channel, Epoch: "e", Offset: offset}
}

func ended(channel string) protocol.Move {
	return protocol.Move{Channel: channel, Kind: protocol.MoveEnd}
}

// describe returns what the id of p says about channels: an offset with its epoch, "lost", or
// "none".
func describe(t *testing.T, id string, channels ...string) string {
	t.Helper()
	parsed, err := parseEventID(id)
	if err != nil {
		t.Fatalf("parseEventID(%q) = %v; want no error", id, err)
	}
	var all []string
	for _, channel := range channels {
		switch since := parsed.since(channel); {
		case since == nil:
			all = append(all, channel+" none")
		case since.Epoch == lostEpoch:
			all = append(all, channel+" lost")
		default:
			all = append(all, fmt.Sprintf("%s %d%s", channel, since.Offset, since.Epoch))
		}
	}
	return strings.Join(all, ", ")
}

// The id of a batch has the positions behind it.
func TestPositions(t *testing.T) {
	for _, tt := range []struct {
		name    string
		batches [][]*protocol.Encoded
		moved   bool // by the last batch
		want    string
	}{
		{"nothing", [][]*protocol.Encoded{{moving()}}, false, "a none, b none"},
		{"begin", [][]*protocol.Encoded{{moving(begins("a", 3), begins("b", 0))}}, true, "a 3e, b 0e"},
		{"publications", [][]*protocol.Encoded{{moving(begins("a", 3), begins("b", 0))}, {moving(movesOn("a", 4)), moving(movesOn("a", 5))}}, true, "a 5e, b 0e"},
		{"not recoverable", [][]*protocol.Encoded{{moving(begins("a", 3))}, {moving(movesOn("b", 4))}}, false, "a 3e, b none"},
		{"another message", [][]*protocol.Encoded{{moving(begins("a", 3))}, {moving()}}, false, "a 3e, b none"},
		{"begin again", [][]*protocol.Encoded{{moving(begins("a", 3))}, {moving(begins("a", 1))}}, true, "a 1e, b none"},
		{"end", [][]*protocol.Encoded{{moving(begins("a", 3), begins("b", 1))}, {moving(ended("a"))}}, true, "a none, b 1e"},
		{"end of none", [][]*protocol.Encoded{{moving(begins("a", 3))}, {moving(ended("b"))}}, false, "a 3e, b none"},
		{"end and begin in a batch", [][]*protocol.Encoded{{moving(begins("a", 3)), moving(ended("a")), moving(movesOn("a", 4)), moving(begins("a", 7))}}, true, "a 7e, b none"},
		{"large offset", [][]*protocol.Encoded{{moving(begins("a", 1<<64-1))}}, true, "a 18446744073709551615e, b none"},
		{"epoch that is learned", [][]*protocol.Encoded{
			{moving(protocol.Move{Channel: "a", Kind: protocol.MoveBegin})}, {moving(protocol.Move{Channel: "a", Offset: 1, Epoch: "new"})},
		}, true, "a 1new, b none"},
		{"epoch that is too long", [][]*protocol.Encoded{
			{moving(protocol.Move{Channel: "a", Epoch: strings.Repeat("e", maxEpoch+1), Kind: protocol.MoveBegin})},
		}, true, "a lost, b lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p positions
			moved := false
			for _, batch := range tt.batches {
				moved = p.follow(batch)
			}
			if moved != tt.moved {
				t.Errorf("follow() = %v; want %v", moved, tt.moved)
			}
			if got := describe(t, string(p.appendID(nil)), "a", "b"); got != tt.want {
				t.Errorf("the id says %q; want %q", got, tt.want)
			}
		})
	}
}

// An id is bounded: the positions that do not fit are said to be missing, and those that fit
// are there, however offsets grow.
func TestPositionsBound(t *testing.T) {
	var p positions
	const channels = 500
	names := make([]string, channels)
	for i := range names {
		names[i] = fmt.Sprintf("channel%d", i)
		p.follow([]*protocol.Encoded{moving(protocol.Move{Channel: names[i], Epoch: "abcdefgh", Offset: 1, Kind: protocol.MoveBegin})})
	}
	count := func() (known int) {
		id := string(p.appendID(nil))
		if len(id) > maxEventID {
			t.Fatalf("the id has %d bytes; want at most %d", len(id), maxEventID)
		}
		parsed, err := parseEventID(id)
		if err != nil || !parsed.incomplete {
			t.Fatalf("parseEventID = incomplete %v, %v; want an incomplete id", parsed.incomplete, err)
		}
		plain, _ := base64.RawURLEncoding.DecodeString(id)
		if want := eventIDHead + p.size; len(plain) != want {
			t.Fatalf("the id has %d bytes; want %d", len(plain), want)
		}
		for _, name := range names {
			if since := parsed.since(name); since.Epoch != lostEpoch {
				known++
			}
		}
		return known
	}
	few := count()
	if few < 175 {
		t.Errorf("%d positions fit; want at least 175", few)
	}
	for _, name := range names {
		p.follow([]*protocol.Encoded{moving(protocol.Move{Channel: name, Epoch: "abcdefgh", Offset: 1 << 40})})
	}
	if got := count(); got >= few || got < 100 {
		t.Errorf("with large offsets %d positions fit; want fewer than %d, and 100", got, few)
	}
	for _, name := range names {
		p.follow([]*protocol.Encoded{moving(ended(name))})
	}
	if len(p.known) != 0 || p.size != 0 {
		t.Errorf("without subscriptions %d positions of %d bytes are left; want none", len(p.known), p.size)
	}
}

// A malformed id means that all positions are lost.
func TestMalformedEventID(t *testing.T) {
	var p positions
	p.follow([]*protocol.Encoded{moving(begins("a", 3))})
	good := string(p.appendID(nil))
	plain, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(b ...byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	changed := func(at int, to byte) string {
		b := append([]byte(nil), plain...)
		b[at] = to
		return encode(b...)
	}
	for name, id := range map[string]string{
		"no base64":          "*",
		"of another server":  "42",
		"padding":            good + "=",
		"version":            changed(0, 2),
		"flags":              changed(1, 2),
		"cut":                encode(plain[:len(plain)-1]...),
		"cut in the hash":    encode(plain[:4]...),
		"cut in the offset":  encode(append(append([]byte(nil), plain[:7]...), 0x80)...),
		"rest":               encode(append(plain[:len(plain):len(plain)], 1)...),
		"twice":              encode(append(plain[:len(plain):len(plain)], plain[eventIDHead:]...)...),
		"offset of 11 bytes": encode(append(append([]byte(nil), plain[:7]...), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0)...),
		"length of 2^63":     encode(append(append([]byte(nil), plain[:8]...), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1)...),
		"epoch not in UTF-8": changed(len(plain)-1, 0xff),
		"long":               strings.Repeat("A", maxEventID+1),
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := parseEventID(id)
			if err == nil {
				t.Fatalf("parseEventID(%q) has no error; want an error", id)
			}
			if since := parsed.since("a"); since == nil || *since != (centrifuge.StreamPosition{Epoch: lostEpoch}) {
				t.Errorf("since(a) = %v; want a lost position", since)
			}
		})
	}
}

// FuzzEventID: what is decoded is bounded, and is the same after it was encoded.
func FuzzEventID(f *testing.F) {
	var p positions
	f.Add(string(p.appendID(nil)))
	p.follow([]*protocol.Encoded{moving(begins("a", 3), begins("b", 1<<40))})
	f.Add(string(p.appendID(nil)))
	f.Add("AQ")
	f.Add("*")
	f.Fuzz(func(t *testing.T, id string) {
		parsed, err := parseEventID(id)
		if err != nil {
			if len(parsed.known) != 0 || !parsed.incomplete {
				t.Fatalf("after an error there are %d positions; want none", len(parsed.known))
			}
			return
		}
		again := positions{known: parsed.known, incomplete: parsed.incomplete}
		for i := range parsed.known {
			again.size += parsed.known[i].size()
		}
		encoded := string(again.appendID(nil))
		if len(encoded) > maxEventID {
			t.Fatalf("an id of %d bytes becomes one of %d; want at most %v", len(id), len(encoded), maxEventID)
		}
		second, err := parseEventID(encoded)
		if err != nil || second.incomplete != parsed.incomplete || fmt.Sprint(second.known) != fmt.Sprint(parsed.known) {
			t.Fatalf("%q is decoded to %v, %v after encoding; want %v, as before", id, second, err, parsed)
		}
	})
}

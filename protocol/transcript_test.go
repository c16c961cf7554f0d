package protocol_test

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	. "centrifugo/protocol"
)

// The transcripts of docs/protocol.md, as they were observed: what
// clients send must be understood, what servers send must come out the same.

const transcriptUUID = "5f0b2b2e-9a57-4c39-8f3e-2f1d6a1c7e90"

func TestTranscriptCommands(t *testing.T) {
	tests := []struct {
		line string
		want Command
	}{
		{`{"id":1,"connect":{}}`, Command{ID: 1, Connect: &ConnectRequest{}}},
		{`{"id":2,"subscribe":{"channel":"test","join_leave":true,"flag":1}}`,
			Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "test", JoinLeave: true, Flag: 1}}},
		{`{"id":3,"publish":{"channel":"test","data":{"a":"<b>","n": 1 }}}`,
			Command{ID: 3, Publish: &PublishRequest{Channel: "test", Data: Raw(`{"a":"<b>","n": 1 }`)}}},
		{`{"id":4,"history":{"channel":"test"}}`, Command{ID: 4, History: &HistoryRequest{Channel: "test"}}},
		{`{"id":5,"unsubscribe":{"channel":"nope"}}`, Command{ID: 5, Unsubscribe: &UnsubscribeRequest{Channel: "nope"}}},
		{`{"id":6,"rpc":{"method":"x","data":{}}}`, Command{ID: 6, RPC: &RPCRequest{Method: "x", Data: Raw(`{}`)}}},
		{`{}`, Command{}},
		{`{"id":2,"subscribe":{"channel":"test","recover":true,"epoch":"gnnPInYh","offset":3}}`,
			Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "test", Recover: true, Epoch: "gnnPInYh", Offset: 3}}},
		{`{"id":4,"subscribe":{"channel":"test","recover":true,"epoch":"zz","offset":2,"flag":2}}`,
			Command{ID: 4, Subscribe: &SubscribeRequest{
				Channel: "test", Recover: true, Epoch: "zz", Offset: 2, Flag: SubscribeFlagRejectUnrecoverable,
			}}},
	}
	var lines []string
	for _, test := range tests {
		lines = append(lines, test.line)
	}
	d := NewDecoder(0, []byte(strings.Join(lines, "\n")), Limits{})
	for _, test := range tests {
		var got Command
		if err := d.Next(&got); err != nil {
			t.Fatalf("%s: %v", test.line, err)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: decoded %s; want %s", test.line, dump(got), dump(test.want))
		}
	}
}

func TestTranscriptReplies(t *testing.T) {
	info := &ClientInfo{Client: transcriptUUID}
	tests := []struct {
		f     Format
		reply Reply
		want  string
	}{
		{0, Reply{ID: 1, Connect: &ConnectResult{Client: transcriptUUID, Version: "6.9.1 OSS", Ping: 25, Pong: true}},
			`{"id":1,"connect":{"client":"` + transcriptUUID + `","version":"6.9.1 OSS","ping":25,"pong":true}}`},
		{0, Reply{ID: 2, Subscribe: &SubscribeResult{Recoverable: true, Epoch: "gnnPInYh", Positioned: true}},
			`{"id":2,"subscribe":{"recoverable":true,"epoch":"gnnPInYh","positioned":true}}`},
		{0, Reply{Push: &Push{Channel: "test", Join: &Join{Info: info}}},
			`{"push":{"channel":"test","join":{"info":{"user":"","client":"` + transcriptUUID + `"}}}}`},
		{0, Reply{Push: &Push{Channel: "test", Pub: &Publication{
			Data: Raw("{\"a\":\"<b>\",\n\"n\": 1\n }"), Info: info, Offset: 1, Epoch: "gnnPInYh",
		}}},
			`{"push":{"channel":"test","pub":{"data":{"a":"<b>","n": 1 },"info":{"user":"","client":"` + transcriptUUID +
				`"},"offset":1,"epoch":"gnnPInYh"}}}`},
		{0, Reply{ID: 3, Publish: &PublishResult{}}, `{"id":3,"publish":{}}`},
		{0, Reply{ID: 4, History: &HistoryResult{Epoch: "gnnPInYh", Offset: 1}},
			`{"id":4,"history":{"publications":[],"epoch":"gnnPInYh","offset":1}}`},
		{0, Reply{ID: 5, Unsubscribe: &UnsubscribeResult{}}, `{"id":5,"unsubscribe":{}}`},
		{0, Reply{ID: 6, Error: &Error{Code: 108, Message: "not available"}},
			`{"id":6,"error":{"code":108,"message":"not available"}}`},
		{0, Reply{}, `{}`},
		{0, Reply{ID: 2, Subscribe: &SubscribeResult{
			Recoverable: true, Epoch: "gnnPInYh", Recovered: true, Offset: 3, Positioned: true, WasRecovering: true,
			Publications: []*Publication{
				{Data: Raw(`{"i":3}`), Offset: 4}, {Data: Raw(`{"i":4}`), Offset: 5, Tags: map[string]string{"t": "4"}},
			},
		}},
			`{"id":2,"subscribe":{"recoverable":true,"epoch":"gnnPInYh","publications":[{"data":{"i":3},"offset":4},` +
				`{"data":{"i":4},"offset":5,"tags":{"t":"4"}}],"recovered":true,"offset":3,"positioned":true,"was_recovering":true}}`},
		{0, Reply{ID: 1, Connect: &ConnectResult{
			Client: transcriptUUID, Version: "1", Expires: true, TTL: 3600, Ping: 25, Pong: true,
			Subs: map[string]*SubscribeResult{"news": {Recoverable: true, Epoch: "LNZpoIWR", Positioned: true}},
		}},
			`{"id":1,"connect":{"client":"` + transcriptUUID + `","version":"1","expires":true,"ttl":3600,` +
				`"subs":{"news":{"recoverable":true,"epoch":"LNZpoIWR","positioned":true}},"ping":25,"pong":true}}`},
		{0, Reply{Push: &Push{Channel: "srv", Subscribe: &Subscribe{
			Recoverable: true, Epoch: "UquRWWEX", Positioned: true, Data: Raw(`{"d":1}`),
		}}},
			`{"push":{"channel":"srv","subscribe":{"recoverable":true,"epoch":"UquRWWEX","positioned":true,"data":{"d":1}}}}`},
		{0, Reply{Push: &Push{Channel: "srv", Unsubscribe: &Unsubscribe{Code: 2000, Reason: "server unsubscribe"}}},
			`{"push":{"channel":"srv","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`},
		{0, Reply{Push: &Push{Refresh: &Refresh{Expires: true, TTL: 31536000}}},
			`{"push":{"refresh":{"expires":true,"ttl":31536000}}}`},
		{FormatUni, Reply{Push: &Push{Connect: &Connect{Client: "c", Version: "1", Ping: 25, Session: "s"}}},
			`{"connect":{"client":"c","version":"1","ping":25,"session":"s"}}`},
		{FormatUni, Reply{}, `{}`},
		{FormatUni, Reply{Push: &Push{Disconnect: &Disconnect{Code: 3503, Reason: "force disconnect"}}},
			`{"disconnect":{"code":3503,"reason":"force disconnect"}}`},
		{0, Reply{ID: 2, Presence: &PresenceResult{}}, `{"id":2,"presence":{"presence":{}}}`},
		{0, Reply{ID: 2, PresenceStats: &PresenceStatsResult{}}, `{"id":2,"presence_stats":{"num_clients":0,"num_users":0}}`},
		// V1, protocol.md 8.2.
		{FormatV1, Reply{ID: 1, Connect: &ConnectResult{Client: "c", Version: "2.8.6", Ping: 25, Pong: true}},
			`{"id":1,"result":{"client":"c","version":"2.8.6"}}`},
		{FormatV1, Reply{ID: 2, Subscribe: &SubscribeResult{}}, `{"id":2,"result":{}}`},
		{FormatV1, Reply{Push: &Push{Channel: "news", Pub: &Publication{Data: Raw(`{"x":1}`)}}},
			`{"result":{"channel":"news","data":{"data":{"x":1}}}}`},
		{FormatV1, Reply{Push: &Push{Channel: "news", Join: &Join{Info: &ClientInfo{User: "u", Client: "c"}}}},
			`{"result":{"type":1,"channel":"news","data":{"info":{"user":"u","client":"c"}}}}`},
		{FormatV1, Reply{ID: 3, Ping: &PingResult{}}, `{"id":3}`},
		{FormatV1, Reply{ID: 4, Error: &Error{Code: 102, Message: "unknown channel"}},
			`{"id":4,"error":{"code":102,"message":"unknown channel"}}`},
		{FormatV1, Reply{ID: 4, Error: &Error{}}, `{"id":4,"error":{"code":0,"message":""}}`},
	}
	for _, test := range tests {
		if got := encoded(t, test.f, &test.reply); string(got) != test.want {
			t.Errorf("%s:\n got %s\nwant %s", formatName(test.f), got, test.want)
		}
	}
}

// TestByteVectors is protocol.md 2.2.
func TestByteVectors(t *testing.T) {
	const f, v1 = FormatProtobuf, FormatProtobuf | FormatV1
	commands := []struct {
		f    Format
		hex  string
		want Command
	}{
		{f, "0408012200", Command{ID: 1, Connect: &ConnectRequest{}}},
		{f, "00", Command{}},
		{v1, "020801", Command{ID: 1, Connect: &ConnectRequest{}}},
		{v1, "0408011a00", Command{ID: 1, Connect: &ConnectRequest{}}},
	}
	for _, test := range commands {
		message, err := hex.DecodeString(test.hex)
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(test.f, message, Limits{})
		var got Command
		if err := d.Next(&got); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: decoded %s, %v; want %s", test.hex, dump(got), err, dump(test.want))
		}
	}
	replies := []struct {
		reply Reply
		hex   string
	}{
		{Reply{}, "00"},
		{Reply{ID: 1, Connect: &ConnectResult{Client: transcriptUUID, Version: "6.9.1 OSS", Ping: 3, Pong: true}},
			"390801" + "2a35" + "0a24" + hex.EncodeToString([]byte(transcriptUUID)) + "1209" + hex.EncodeToString([]byte("6.9.1 OSS")) + "3803" + "4001"},
		{Reply{ID: 3, Publish: &PublishResult{}}, "0408034200"},
	}
	for _, test := range replies {
		frame, err := Encode(f, &test.reply)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(AppendBatch(nil, f, []*Encoded{frame})); got != test.hex {
			t.Errorf("got %s, want %s", got, test.hex)
		}
	}
}

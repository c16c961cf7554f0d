package protocol_test

import (
	"errors"
	"io"
	"reflect"
	"testing"

	. "centrifugo/protocol"
)

func TestDecoderV1(t *testing.T) {
	connect := Command{ID: 1, Connect: &ConnectRequest{}}
	one := func(c Command) []Command { return []Command{c} }
	tests := []struct {
		name, message string
		draft         bool
		want          []Command
		err           error
	}{
		{"connect", `{"id":1,"params":{"token":"t"}}`, false, one(Command{ID: 1, Connect: &ConnectRequest{Token: "t"}}), io.EOF},
		{"connect without params", `{"id":1}`, false, one(connect), io.EOF},
		{"connect with null params", `{"id":1,"params":null,"method":null}`, false, one(connect), io.EOF},
		{"subscribe, params first", `{"params":{"channel":"news"},"method":1,"id":2}`, false,
			one(Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "news"}}), io.EOF},
		{"name", `{"id":2,"method":"subscribe","params":{"channel":"news"}}`, false,
			one(Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "news"}}), io.EOF},
		{"name in capitals", `{"id":2,"method":"PRESENCE_Stats","params":{"channel":"c"}}`, false,
			one(Command{ID: 2, PresenceStats: &PresenceStatsRequest{Channel: "c"}}), io.EOF},
		{"name that is none", `{"id":2,"method":"nope","params":{}}`, false, nil, ErrMalformed},
		{"longest name and one", `{"id":2,"method":"presence_statss","params":{}}`, false, nil, ErrMalformed},
		{"method of wrong type", `{"id":2,"method":{},"params":{}}`, false, nil, ErrMalformed},
		{"method with fraction", `{"id":2,"method":1.0,"params":{}}`, false, nil, ErrMalformed},
		{"unknown method", `{"id":2,"method":12,"params":[1]}`, false, one(Command{ID: 2, UnknownMethod: true}), io.EOF},
		{"negative method", `{"id":2,"method":-1}`, false, one(Command{ID: 2, UnknownMethod: true}), io.EOF},
		{"unknown method without id", `{"method":12}`, false, nil, ErrMalformed},
		{"ping", `{"id":3,"method":7}`, false, one(Command{ID: 3, Ping: &PingRequest{}}), io.EOF},
		{"ping with params", `{"id":3,"method":7,"params":{}}`, false, one(Command{ID: 3, Ping: &PingRequest{}}), io.EOF},
		{"rpc without params", `{"id":3,"method":9}`, false, one(Command{ID: 3, RPC: &RPCRequest{}}), io.EOF},
		{"send without id", `{"method":8,"params":{"data":{}}}`, false, one(Command{Send: &SendRequest{Data: Raw(`{}`)}}), io.EOF},
		{"send without params", `{"method":8}`, false, one(Command{Send: &SendRequest{}}), io.EOF},
		{"publish without params", `{"id":3,"method":3}`, false, nil, ErrMalformed},
		{"publish with null params", `{"id":3,"method":3,"params":null}`, false, nil, ErrMalformed},
		{"params of wrong type", `{"id":3,"method":3,"params":"x"}`, false, nil, ErrMalformed},
		{"params malformed inside", `{"id":3,"method":3,"params":{"channel":5}}`, false, nil, ErrMalformed},
		{"no id", `{"params":{}}`, false, nil, ErrMalformed},
		{"empty is not a pong", `{}`, false, nil, ErrMalformed},
		{"null", `null`, false, nil, ErrMalformed},
		{"seq and gen", `{"id":1,"method":1,"params":{"channel":"c","recover":true,"seq":5,"gen":1,"offset":9}}`, false,
			one(Command{ID: 1, Subscribe: &SubscribeRequest{Channel: "c", Recover: true, Offset: 1<<32 + 5}}), io.EOF},
		{"seq in subs of connect", `{"id":1,"params":{"subs":{"c":{"recover":true,"seq":5}}}}`, false,
			one(Command{ID: 1, Connect: &ConnectRequest{Subs: map[string]*SubscribeRequest{"c": {Recover: true, Offset: 5}}}}), io.EOF},
		{"offset", `{"id":1,"method":1,"params":{"seq":0,"gen":0,"offset":9}}`, false, one(Command{ID: 1, Subscribe: &SubscribeRequest{Offset: 9}}), io.EOF},
		{"seq too large", `{"id":1,"method":1,"params":{"seq":4294967296}}`, false, nil, ErrMalformed},
		{"history of everything", `{"id":1,"method":6,"params":{"channel":"c"}}`, false, one(Command{ID: 1, History: &HistoryRequest{Channel: "c", Limit: -1}}), io.EOF},
		{"history with limit", `{"id":1,"method":6,"params":{"limit":5}}`, false, one(Command{ID: 1, History: &HistoryRequest{Limit: 5}}), io.EOF},
		{"history since", `{"id":1,"method":6,"params":{"since":{"offset":3,"epoch":"e"}}}`, false,
			one(Command{ID: 1, History: &HistoryRequest{Since: &StreamPosition{Offset: 3, Epoch: "e"}}}), io.EOF},
		{"draft subscribe", `{"id":1,"method":2,"params":{"channel":"c"}}`, true, one(Command{ID: 1, Subscribe: &SubscribeRequest{Channel: "c"}}), io.EOF},
		{"draft refresh", `{"id":1,"method":1,"params":{"token":"t"}}`, true, one(Command{ID: 1, Refresh: &RefreshRequest{Token: "t"}}), io.EOF},
		{"draft message", `{"method":10,"params":{"data":1}}`, true, one(Command{Send: &SendRequest{Data: Raw("1")}}), io.EOF},
		{"draft message by name", `{"method":"Message","params":{"data":1}}`, true, one(Command{Send: &SendRequest{Data: Raw("1")}}), io.EOF},
		{"draft has no sub refresh", `{"id":1,"method":11,"params":{}}`, true, one(Command{ID: 1, UnknownMethod: true}), io.EOF},
		{"draft has no sub refresh name", `{"id":1,"method":"sub_refresh","params":{}}`, true, nil, ErrMalformed},
		{"message is no name later", `{"method":"message","params":{"data":1}}`, false, nil, ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := decodeAll(FormatV1, []byte(test.message), Limits{}, test.draft)
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %s\nwant %s", dump(got), dump(test.want))
			}
		})
	}
}

func TestDecoderV1Protobuf(t *testing.T) {
	tests := []struct {
		name, message string
		want          []Command
		err           error
	}{
		{"subscribe", "\x09\x08\x02\x10\x01\x1a\x03\x0a\x01c", []Command{{ID: 2, Subscribe: &SubscribeRequest{Channel: "c"}}}, io.EOF},
		{"seq and gen", "\x0a\x08\x02\x10\x01\x1a\x04\x20\x05\x28\x01", []Command{{ID: 2, Subscribe: &SubscribeRequest{Offset: 1<<32 + 5}}}, io.EOF},
		{"unknown method", "\x04\x08\x02\x10\x0c", []Command{{ID: 2, UnknownMethod: true}}, io.EOF},
		{"negative method", "\x0d\x08\x02\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", []Command{{ID: 2, UnknownMethod: true}}, io.EOF},
		{"publish without params", "\x04\x08\x02\x10\x03", nil, ErrMalformed},
		{"publish with empty params", "\x06\x08\x02\x10\x03\x1a\x00", []Command{{ID: 2, Publish: &PublishRequest{}}}, io.EOF},
		{"send", "\x07\x10\x08\x1a\x03\x0a\x01x", []Command{{Send: &SendRequest{Data: Raw("x")}}}, io.EOF},
		{"empty", "\x00", nil, ErrMalformed},
		{"history of everything", "\x06\x08\x02\x10\x06\x1a\x00", []Command{{ID: 2, History: &HistoryRequest{Limit: -1}}}, io.EOF},
		{"params of wrong type", "\x04\x08\x02\x18\x00", nil, ErrMalformed},
	}
	for _, test := range tests {
		got, err := decodeAll(FormatProtobuf|FormatV1, []byte(test.message), Limits{}, false)
		if !errors.Is(err, test.err) || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %s, %v; want %s, %v", test.name, dump(got), err, dump(test.want), test.err)
		}
	}
}

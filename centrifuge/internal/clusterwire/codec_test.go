package clusterwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var target = Target{User: "42", Client: "c1", Session: "s1", Anonymous: true, Except: []string{"c2", "c3"}}

// samples are messages in which every field of the operation is set.
var samples = []*Message{
	{Op: OpInfo, Info: &Info{
		Name: "host_8000", Version: "1.2.3", Clients: 1, Users: 2, Channels: 3, Subscriptions: 4, UptimeMilli: 5,
		Metrics: &Metrics{IntervalSeconds: 60, Items: map[string]float64{"a.b": 1.5, "c": 2}},
	}},
	{Op: OpShutdown},
	{Op: OpSubscribe, Subscribe: &Subscribe{Target: target, Channel: "news", Options: SubscribeOptions{
		ExpireAt: 1, Info: []byte(`{"i":1}`), Data: []byte("\xff"), Presence: true, JoinLeave: true, PushJoinLeave: true,
		Positioning: true, Recovery: true, RecoveryCache: true, AutoRecover: true, RecoverSince: &Position{Offset: 2, Epoch: "e"},
		MetaTTLNano: 3, MaxSubscribers: 4, AllowDelta: true, AllowTagsFilter: true,
		ServerTagsFilter: &FilterNode{Op: "and", Key: "k", Cmp: "in", Val: "v", Vals: []string{"a", "b"}, Nodes: []*FilterNode{{Key: "x"}}},
		Source:           5, AllowCompaction: true, Slow: 2,
	}}},
	{Op: OpUnsubscribe, Unsubscribe: &Unsubscribe{Target: target, Channel: "news", Code: 2000, Reason: "server unsubscribe"}},
	{Op: OpDisconnect, Disconnect: &Disconnect{Target: target, Code: 3503, Reason: "force disconnect"}},
	{Op: OpRefresh, Refresh: &Refresh{Target: target, Expired: true, ExpireAt: 1, Info: []byte("{}")}},
	{Op: OpNotify, Notify: &Notify{Op: "reload"}, Payload: []byte("any\nbytes\x00")},
	{Op: OpSurvey, Call: 7, Survey: &Survey{Op: "stats", TimeoutMilli: 10000}, Payload: []byte("{}")},
	{Op: OpDeliver, Call: 8, Deliver: &Deliver{Session: "s1"}, Payload: []byte("{\"id\":2}\n{}")},
	{Op: OpAnswer, Call: 9, Answer: &Answer{Error: &Error{Code: 108, Message: "not available", Temporary: true}}, Payload: []byte("1")},
}

func golden(m *Message) string { return filepath.Join("testdata", string(m.Op)+".golden") }

// TestGolden compares each message with a file. A difference breaks clusters of
// different releases: see the package comment.
func TestGolden(t *testing.T) {
	for _, m := range samples {
		m.From = "node-1"
		got, err := Append(nil, m)
		if err != nil {
			t.Fatalf("Append(%s): %v", m.Op, err)
		}
		if *update {
			if err := os.WriteFile(golden(m), got, 0o644); err != nil { //nolint:gosec // not secret
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden(m))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("Append(%s) = %s; want %s", m.Op, got, want)
		}
		decoded, err := Decode(want)
		if err != nil || !reflect.DeepEqual(decoded, m) {
			t.Errorf("Decode(%s) = %+v, %v; want %+v", want, decoded, err, m)
		}
	}
	if len(samples) != len(operations) {
		t.Errorf("%d samples; want one for each of %d operations", len(samples), len(operations))
	}
}

// TestSamplesAreComplete checks that the golden files have every field.
func TestSamplesAreComplete(t *testing.T) {
	for _, m := range samples {
		if b, _ := m.body(); b != (nothing{}) {
			wantComplete(t, string(m.Op), reflect.ValueOf(b).Elem())
		}
	}
}

func wantComplete(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		field, path := v.Field(i), name+"."+v.Type().Field(i).Name
		if field.IsZero() {
			t.Errorf("the sample does not set %s; want all fields set", path)
			continue
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		if field.Kind() == reflect.Struct {
			wantComplete(t, path, field)
		}
	}
}

// TestNewerRelease decodes what a node of a later release may send.
func TestNewerRelease(t *testing.T) {
	for _, m := range samples {
		b, err := os.ReadFile(golden(m))
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.ReplaceAll(b, []byte(`":{`), []byte(`":{"added":{"later":[1,"x"]},`)) // in every object
		b = bytes.Replace(b, []byte(`{`), []byte(`{"also":[],`), 1)
		if m.Op == OpInfo { // a map takes any member
			b = bytes.Replace(b, []byte(`"items":{"added":{"later":[1,"x"]},`), []byte(`"items":{`), 1)
		}
		b = bytes.ReplaceAll(b, []byte(`,}`), []byte(`}`))
		if decoded, err := Decode(b); err != nil || !reflect.DeepEqual(decoded, m) {
			t.Errorf("Decode(%s) = %+v, %v; want %+v", b, decoded, err, m)
		}
	}
	for message, want := range map[string]error{
		`{"v":2,"op":["x"],"from":1}`:                            ErrVersion,
		`{"v":1,"op":"dance","from":"n","call":3}`:               ErrUnknownOp,
		`{"v":1,"op":"dance","from":"n","call":3,"subscribe":1}`: ErrUnknownOp,
	} {
		m, err := Decode([]byte(message + "\npayload"))
		if !errors.Is(err, want) {
			t.Errorf("Decode(%s) = %v; want %v", message, err, want)
		}
		if want == ErrUnknownOp && (m.From != "n" || m.Call != 3 || m.Op != "dance") {
			t.Errorf("Decode(%s) = %+v; want sender, call and operation", message, m)
		}
	}
}

// TestMalformed checks that a message which is wrong is an error of its own kind.
func TestMalformed(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	for _, message := range []string{
		``, `{`, `[]`, `null`, `{}`, `{"op":"shutdown","from":"n"}`, `{"v":0,"op":"shutdown","from":"n"}`, `{"v":-1,"op":"shutdown","from":"n"}`,
		`{"v":"1","op":"shutdown","from":"n"}`, `{"v":1,"op":"shutdown"}`, `{"v":1,"op":1,"from":"n"}`, `{"v":1,"from":"n"}`,
		`{"v":1,"op":"shutdown","from":"` + long + `"}`, `{"v":1,"op":"info","from":"n"}`, `{"v":1,"op":"info","from":"n","info":{"clients":-1}}`,
		`{"v":1,"op":"info","from":"n","info":{"uptime_ms":9223372036854775807}}`,
		`{"v":1,"op":"subscribe","from":"n","subscribe":{}}`, `{"v":1,"op":"unsubscribe","from":"n"}`, `{"v":1,"op":"disconnect","from":"n"}`,
		`{"v":1,"op":"refresh","from":"n"}`, `{"v":1,"op":"refresh","from":"n","refresh":{"info":"not base64"}}`, `{"v":1,"op":"notify","from":"n","notify":{}}`,
		`{"v":1,"op":"survey","from":"n","survey":{"op":"x"}}`, `{"v":1,"op":"survey","from":"n","call":1,"survey":{"op":"x","timeout_ms":-1}}`,
		`{"v":1,"op":"survey","from":"n","call":1,"survey":{"op":"` + long + `"}}`, `{"v":1,"op":"deliver","from":"n","call":1,"deliver":{}}`,
		`{"v":1,"op":"answer","from":"n","answer":{}}`, `{"v":1,"op":"answer","from":"n","call":-1,"answer":{}}`,
	} {
		if m, err := Decode([]byte(message)); err == nil || errors.Is(err, ErrVersion) || errors.Is(err, ErrUnknownOp) {
			t.Errorf("Decode(%.200s) = %+v, %v; want a malformed message", message, m, err)
		}
	}
}

// TestBounds checks that a message beyond a bound is neither made nor accepted, and
// that one at the bound is.
func TestBounds(t *testing.T) {
	filter := func(nodes int) *FilterNode {
		f := &FilterNode{}
		for range nodes - 1 {
			f.Nodes = append(f.Nodes, &FilterNode{})
		}
		return f
	}
	metrics := func(n int) map[string]float64 {
		items := make(map[string]float64)
		for i := range n {
			items[fmt.Sprint(i)] = 1
		}
		return items
	}
	for name, build := range map[string]func(over int) *Message{
		"payload": func(over int) *Message {
			return &Message{Op: OpNotify, Notify: &Notify{Op: "x"}, Payload: make([]byte, MaxPayload+over)}
		},
		"operation": func(over int) *Message {
			return &Message{Op: OpNotify, Notify: &Notify{Op: strings.Repeat("x", MaxName+over)}}
		},
		"session": func(over int) *Message {
			return &Message{Op: OpDeliver, Call: 1, Deliver: &Deliver{Session: strings.Repeat("x", MaxName+over)}}
		},
		"channel": func(over int) *Message {
			return &Message{Op: OpUnsubscribe, Unsubscribe: &Unsubscribe{Channel: strings.Repeat("x", MaxChannel+over)}}
		},
		"exceptions": func(over int) *Message {
			return &Message{Op: OpDisconnect, Disconnect: &Disconnect{Target: Target{Except: make([]string, MaxExcept+over)}}}
		},
		"metrics": func(over int) *Message {
			return &Message{Op: OpInfo, Info: &Info{Metrics: &Metrics{Items: metrics(MaxMetrics + over)}}}
		},
		"filter": func(over int) *Message {
			return &Message{Op: OpSubscribe, Subscribe: &Subscribe{Channel: "c", Options: SubscribeOptions{ServerTagsFilter: filter(MaxFilter + over)}}}
		},
	} {
		for over := range 2 {
			m := build(over)
			m.From = "n"
			b, err := Append(nil, m)
			if (err != nil) != (over > 0) {
				t.Errorf("%s, %d beyond the bound: Append = %v; want an error: %v", name, over, err, over > 0)
			}
			if err != nil { // made by a program that does not check
				m.Version = Version
				if b, err = json.Marshal(m); err != nil {
					t.Fatal(err)
				}
				b = append(append(b, '\n'), m.Payload...)
			}
			if _, err := Decode(b); (err != nil) != (over > 0) {
				t.Errorf("%s, %d beyond the bound: Decode = %v; want an error: %v", name, over, err, over > 0)
			}
		}
	}
	large := &Message{Op: OpRefresh, From: "n", Refresh: &Refresh{Info: make([]byte, MaxHeader)}}
	if _, err := Append(nil, large); err == nil {
		t.Error("Append made a header beyond the bound; want an error")
	}
	if _, err := Decode(append(bytes.Repeat([]byte(" "), MaxHeader), `{"v":1,"op":"shutdown","from":"n"}`...)); err == nil {
		t.Error("Decode accepted a header beyond the bound; want an error")
	}
}

// FuzzDecode checks that a message which is accepted can be made again and means
// the same.
func FuzzDecode(f *testing.F) {
	for _, m := range samples {
		b, err := os.ReadFile(golden(m))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"v":1,"op":"dance","from":"n","call":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Append(nil, m)
		if err != nil {
			t.Fatalf("Append(Decode(%q)) = %v", b, err)
		}
		m2, err := Decode(again)
		if err != nil {
			t.Fatalf("Decode(%q) = %v", again, err)
		}
		third, err := Append(nil, m2)
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("encoded again %q, %v; want %q, as before", third, err, again)
		}
	})
}

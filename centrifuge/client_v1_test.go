package centrifuge_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// rawReceived is what came, byte for byte.
func (p *peer) rawReceived() []string {
	synctest.Wait()
	var lines []string
	for p.Pending() > 0 {
		frame, _ := p.Next()
		lines = append(lines, string(frame))
	}
	return lines
}

// TestV1Envelope has the messages of protocol.md 8.2, on a connection that
// does not say its generation.
func TestV1Envelope(t *testing.T) {
	for _, test := range []struct {
		name, send string
		want       []string
		closed     string
	}{
		{name: "method number", send: `{"id":2,"method":1,"params":{"channel":"a"}}`, want: []string{`{"id":2,"result":{}}`}},
		{name: "method name", send: `{"id":2,"method":"Subscribe","params":{"channel":"a"}}`, want: []string{`{"id":2,"result":{}}`}},
		{name: "upper case", send: `{"id":2,"method":"SUBSCRIBE","params":{"channel":"a"}}`, want: []string{`{"id":2,"result":{}}`}},
		{name: "ping", send: `{"id":3,"method":7}`, want: []string{`{"id":3}`}},
		{name: "unsubscribe", send: `{"id":3,"method":2,"params":{"channel":"a"}}`, want: []string{`{"id":3,"result":{}}`}},
		{name: "publish", send: `{"id":3,"method":3,"params":{"channel":"a","data":1}}`, want: []string{`{"id":3,"result":{}}`}},
		{name: "rpc without params", send: `{"id":3,"method":9}`, want: []string{`{"id":3,"result":{}}`}},
		{name: "send without id", send: `{"method":8,"params":{"data":1}}`},
		{name: "unknown method", send: `{"id":3,"method":12,"params":{}}`, want: []string{`{"id":3,"error":{"code":104,"message":"method not found"}}`}},
		{name: "bad method name", send: `{"id":3,"method":"dance","params":{}}`, closed: "bad request"},
		{name: "subscribe without params", send: `{"id":3,"method":1}`, closed: "bad request"},
		{name: "no id", send: `{"method":9}`, closed: "bad request"},
		{name: "empty command is no pong", send: `{}`, closed: "bad request"},
		{name: "connect twice", send: `{"id":2,"params":{}}`, closed: "bad request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
				p := s.dial(jsonV1, centrifuge.TransportInfo{}, "u")
				p.SendRaw([]byte(`{"id":1}`))
				id := p.Client.Client().ID()
				if got := p.rawReceived(); !slices.Equal(got, []string{`{"id":1,"result":{"client":"` + id + `","version":"test"}}`}) {
					t.Fatalf("connecting: %q; want one V1 reply with client %s", got, id)
				}
				p.SendRaw([]byte(test.send))
				if got := p.rawReceived(); !slices.Equal(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
				why, ended := p.Ended()
				if ended != (test.closed != "") || ended && why.Reason != `{"reason":"bad request","reconnect":false}` {
					t.Errorf("ended: %v, %v; want %q", ended, why, test.closed)
				}
			})
		})
	}
}

// TestV1Pushes: pushes are nested in a result.
func TestV1Pushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{JoinLeave: true, PushJoinLeave: true}))
		p := s.connect(jsonV1, "u")
		id := p.Client.Client().ID()
		p.SendRaw([]byte(`{"id":2,"method":1,"params":{"channel":"a"}}`))
		got := p.rawReceived()
		s.publish("a", `{"x":1}`, centrifuge.PublishOptions{})
		if err := p.Client.Client().Send([]byte(`5`)); err != nil {
			t.Error(err)
		}
		got = append(got, p.rawReceived()...)
		p.Client.Client().Unsubscribe("a", centrifuge.UnsubscribeServer)
		got = append(got, p.rawReceived()...)
		slices.Sort(got)
		want := []string{
			`{"id":2,"result":{}}`,
			`{"result":{"channel":"a","data":{"data":{"x":1}}}}`,
			`{"result":{"type":1,"channel":"a","data":{"info":{"user":"u","client":"` + id + `"}}}}`,
			`{"result":{"type":3,"channel":"a","data":{"code":2000,"reason":"server unsubscribe"}}}`,
			`{"result":{"type":4,"data":{"data":5}}}`,
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestV1Positions: seq and gen are accepted for offsets (protocol.md 8.4).
func TestV1Positions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{Recovery: true}))
		s.publishRun("a", 3, 10)
		p := s.connect(jsonV1, "u")
		p.SendRaw([]byte(`{"id":2,"method":1,"params":{"channel":"a","recover":true,"seq":2,"gen":0,"epoch":"` + s.epoch("a") + `"}}`))
		p.SendRaw([]byte(`{"id":3,"method":6,"params":{"channel":"a"}}`)) // the whole history
		got := p.rawReceived()
		epoch := s.epoch("a")
		want := []string{
			`{"id":2,"result":{"recoverable":true,"epoch":"` + epoch + `","publications":[{"data":{"i":3},"offset":3}],"recovered":true,"offset":3,"positioned":true}}`,
			`{"id":3,"result":{"publications":[{"data":{"i":1},"offset":1},{"data":{"i":2},"offset":2},{"data":{"i":3},"offset":3}],"epoch":"` + epoch + `","offset":3}}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestV1Draft: the method numbers of early 2018, on request (protocol.md 8.1).
func TestV1Draft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		p := s.dial(jsonV1, centrifuge.TransportInfo{Generation: centrifuge.GenerationV1Draft}, "u")
		for _, line := range []string{
			`{"id":1,"method":0,"params":{}}`, `{"id":2,"method":2,"params":{"channel":"a"}}`,
			`{"id":3,"method":8}`, `{"id":4,"method":9,"params":{"data":7}}`, `{"id":5,"method":10,"params":{"data":1}}`,
			`{"id":6,"method":3,"params":{"channel":"a"}}`, `{"id":7,"method":11,"params":{}}`,
		} {
			p.SendRaw([]byte(line))
		}
		got := p.rawReceived()
		want := []string{
			`{"id":2,"result":{}}`, `{"id":3}`, `{"id":4,"result":{"data":7}}`, `{"id":6,"result":{}}`,
			`{"id":7,"error":{"code":104,"message":"method not found"}}`,
		}
		if len(got) != 6 || !slices.Equal(got[1:], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestGenerationIsDetected by the first command (protocol.md 8.6).
func TestGenerationIsDetected(t *testing.T) {
	for _, test := range []struct {
		name     string
		protobuf bool
		send     []byte
		v1       bool
		reason   string
	}{
		{"V2", false, []byte(`{"id":1,"connect":{}}`), false, ""},
		{"V1 by id", false, []byte(`{"id":1}`), true, ""},
		{"V1 by params", false, []byte(`{"id":1,"params":{}}`), true, ""},
		{"V1 by method", false, []byte(`{"id":1,"method":0}`), true, ""},
		{"protobuf V2", true, []byte{4, 8, 1, 0x22, 0}, false, ""},
		{"protobuf V1 by id", true, []byte{2, 8, 1}, true, ""},
		{"protobuf V1 by params", true, []byte{4, 8, 1, 0x1a, 0}, true, ""},
		{"malformed is told as V2", false, []byte(`{"id`), false, "bad request"},
		{"V1 error is told as V1", false, []byte(`{"method":1}`), true, `{"reason":"bad request","reconnect":false}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
				format := jsonV2
				if test.protobuf {
					format |= protocol.FormatProtobuf
				}
				if test.v1 {
					format |= protocol.FormatV1
				}
				p := s.dial(format, centrifuge.TransportInfo{Protobuf: test.protobuf}, "u")
				p.SendRaw(test.send)
				synctest.Wait()
				if why, ended := p.Ended(); ended != (test.reason != "") || why.Reason != test.reason {
					t.Errorf("ended: %v, %q; want %v and %v", ended, why.Reason, test.reason != "", test.reason)
				}
				frame := ""
				if test.reason == "" {
					next, _ := p.Next()
					frame = string(next)
				}
				if test.reason == "" && !test.protobuf && (frame[:17] == `{"id":1,"result":`) != test.v1 {
					t.Errorf("answered %s; want V1 %v", frame, test.v1)
				}
				if test.protobuf && (frame[2] == 0x1a) != test.v1 { // result is field 3, connect is field 5
					t.Errorf("answered %x; want V1 %v", frame, test.v1)
				}
			})
		})
	}
}

package app

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/wsframe"
	"centrifugo/server/internal/app/apptest"
)

// fuzzed is a running server that permits everything. It logs only errors, which bad
// input must not cause.
const fuzzed = `"client": {"insecure": true, "stale_close_delay": "1s"}, "log": {"level": "error"}, "http_api": {"key": "k"},
	"websocket": {"compression": true}, "channel": {"without_namespace": {"presence": true, "join_leave": true,
	"force_push_join_leave": true, "history_size": 5, "history_ttl": "10s", "force_recovery": true, "allow_positioning": true,
	"allowed_delta_types": ["fossil"], "allow_tags_filter": true}, "namespaces": [{"name": "bare"}]}`

// quiet fails the test if the server has logged a line that contains text.
func (i *instance) quiet(t *testing.T, text string) {
	t.Helper()
	info, err := os.Stat(i.log)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 0 {
		log, _ := os.ReadFile(i.log)
		_ = os.Truncate(i.log, 0)
		if strings.Contains(string(log), text) {
			t.Fatalf("the server logs %s; want no %q in it", log, text)
		}
	}
}

// closeNow closes a connection so that its port is free at once.
func closeNow(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// fresh opens a connection for one input.
func (i *instance) fresh(t *testing.T, d apptest.Dialer) *apptest.Conn {
	t.Helper()
	c, err := d.Dial(i.external())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Bytes after the handshake: the server answers with whole frames and closes the
// connection when the client has closed its side.
func FuzzWebSocketStream(f *testing.F) {
	hello := []byte(`{"id":1,"connect":{}}`)
	text := func(first byte, payload []byte) []byte { return apptest.AppendFrame(nil, first, payload) }
	whole := text(wsframe.Fin|wsframe.Text, hello)
	for _, seed := range [][]byte{
		nil, whole, whole[:5], append(text(wsframe.Text, hello[:9]), text(wsframe.Fin, hello[9:])...),
		append(whole, text(wsframe.Fin|wsframe.Close, []byte("\x03\xE8"))...),
		append(text(wsframe.Fin|wsframe.Ping, []byte("hi")), whole...),
		append(whole, text(wsframe.Fin|wsframe.Text, []byte(`{"id":2,"subscribe":{"channel":"x"}}`))...),
		text(wsframe.Fin|wsframe.Compressed|wsframe.Text, []byte("\xaaV\xcaLQ\xb22\xd4QJ\xce\xcf\xcbKM.Q\xb2\xaa\xae\xad\x05\x00")),
		text(wsframe.Fin|wsframe.Text, []byte("\xFF\xFE")), text(0x3, nil), []byte("\x81\x02{}"), []byte("GET / HTTP/1.1\r\n\r\n"),
		apptest.AppendFalseFrame(nil, wsframe.Fin|wsframe.Binary, nil, 1<<40),
	} {
		f.Add(seed)
	}
	i := start(f, fuzzed)
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := i.fresh(t, apptest.Dialer{Header: http.Header{
			"Sec-WebSocket-Extensions": {"permessage-deflate; client_no_context_takeover"},
		}})
		defer closeNow(c.Conn)
		_, err := c.Write(stream)
		if err == nil {
			err = c.Conn.(*net.TCPConn).CloseWrite()
		}
		for err == nil {
			_, err = c.ReadFrame()
		}
		if os.IsTimeout(err) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the connection ends with %v; want a whole answer in time", err)
		}
		i.quiet(t, "")
	})
}

// A text message on a connected connection: every answer is whole JSON, and the
// connection either goes on or is closed with a code of the protocol.
func FuzzCommands(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"id":2,"subscribe":{"channel":"x","recover":true,"offset":1,"epoch":"e","delta":"fossil"}}`,
		"{\"id\":2,\"publish\":{\"channel\":\"x\",\"data\":{\"a\":[1,null]}}}\n{\"id\":3,\"history\":{\"channel\":\"x\",\"limit\":-1}}",
		`{"id":2,"subscribe":{"channel":"x","tf":{"op":"and","nodes":[{"key":"a","cmp":"eq","val":"b"}]}}}`,
		"{\"id\":2,\"subscribe\":{\"channel\":\"x\"}}\n{\"id\":3,\"unsubscribe\":{\"channel\":\"x\"}}\n{\"id\":4,\"presence\":{\"channel\":\"x\"}}",
		`{"id":2,"presence_stats":{"channel":"bare:x"}}`, `{"id":2,"rpc":{"method":"m","data":"é\ud83d\ude00"}}`, `{"send":{"data":1}}`,
		`{"id":2,"refresh":{"token":"a.b.c"}}`, `{"id":2,"sub_refresh":{"channel":"x","token":"t"}}`, `{"id":2,"ping":{}}`,
		`{"id":2,"history":{"channel":"x","since":{"offset":18446744073709551615,"epoch":""},"reverse":true}}`,
		`{"id":1,"connect":{"subs":{"x":{"recover":true}}}}`, `{"id":2,"method":1,"params":{"channel":"x"}}`, "\n", "{\"id\":2}}", "\xFF",
	} {
		f.Add(seed)
	}
	i := start(f, fuzzed)
	f.Fuzz(func(t *testing.T, message string) {
		c := i.fresh(t, apptest.Dialer{})
		defer closeNow(c.Conn)
		const last = `{"id":4294967295,"rpc":{}}`
		for _, text := range []string{`{"id":1,"connect":{}}`, message, last} {
			if c.Text(text) != nil {
				break // closed already; what came before the end is read below
			}
		}
		for {
			answer, err := c.Message()
			if err != nil {
				properEnd(t, err)
				break
			}
			for line := range strings.SplitSeq(answer, "\n") {
				if !json.Valid([]byte(line)) {
					t.Errorf("answer %q; want lines of JSON", answer)
				}
			}
			if strings.Contains(answer, `{"id":4294967295,"error":{"code":108,`) {
				break
			}
		}
		i.quiet(t, "")
	})
}

// properEnd accepts a close frame of the protocol, or one about a message that
// is no text or too big. A connection that is only cut is not proper.
func properEnd(t *testing.T, err error) {
	t.Helper()
	var closed *apptest.Closed
	switch {
	case !errors.As(err, &closed):
		t.Errorf("the connection ends with %v; want a close code", err)
	case closed.Code == 1007, closed.Code == 1009, closed.Code >= 3500 && closed.Code < 3510:
	default:
		t.Errorf("closed with %d %q; want 1007, 1009, or 3500 to 3509", closed.Code, closed.Reason)
	}
}

// The same in Protobuf: the answers are whole messages with their lengths.
func FuzzCommandsProtobuf(f *testing.F) {
	for _, seed := range []string{
		"", "\x00", "\x09\x08\x02\x2A\x05\x0A\x01x\x18\x01", "\x0B\x08\x02\x3A\x07\x0A\x01x\x12\x02{}\x09\x08\x03\x52\x05\x0A\x01x\x38\x05",
		"\x07\x08\x02\x32\x03\x0A\x01x", "\x07\x08\x02\x42\x03\x0A\x01x", "\x07\x08\x02\x4A\x03\x0A\x01x", "\x07\x08\x02\x6A\x03\x0A\x01x",
		"\x05\x62\x03\x0A\x01x", "\x07\x08\x02\x72\x03\x0A\x01x", "\x0A\x08\x02\x7A\x06\x0A\x01x\x12\x01t", "\x04\x08\x02\x5A\x00",
		"\x05\x08\x02\x10\x01\x1A", "\xFF\xFF\xFF\xFF\x0F", "\x10\x08\x02\x2A\x0C\x0A\x01x\x6A\x07\x0A\x03and\x32\x00",
	} {
		f.Add([]byte(seed))
	}
	i := start(f, fuzzed)
	connect, last := []byte("\x04\x08\x01\x22\x00"), []byte("\x08\x08\xFF\xFF\xFF\xFF\x0F\x6A\x00")
	f.Fuzz(func(t *testing.T, message []byte) {
		c := i.fresh(t, apptest.Dialer{Path: apptest.Path + "?format=protobuf"})
		defer closeNow(c.Conn)
		for _, frame := range [][]byte{connect, message, last} {
			if c.Binary(frame) != nil {
				break // closed already
			}
		}
		for {
			answer, err := c.Message()
			if err != nil {
				properEnd(t, err)
				break
			}
			for rest := []byte(answer); len(rest) > 0; {
				size, n := binary.Uvarint(rest)
				if n <= 0 || size > uint64(len(rest)-n) {
					t.Fatalf("answer %q; want whole messages with their length", answer)
				}
				rest = rest[n+int(size):]
			}
			if strings.Contains(answer, "\x08\xFF\xFF\xFF\xFF\x0F\x12") {
				break
			}
		}
		i.quiet(t, "")
	})
}

// A body for any method of the server API, the legacy endpoint included.
func FuzzAPIBody(f *testing.F) {
	methods := strings.Fields("publish broadcast subscribe unsubscribe disconnect refresh presence presence_stats history " +
		"history_remove info channels rpc batch map_publish map_read_state shared_poll_publish")
	paths := []string{"/api"}
	for _, method := range methods {
		paths = append(paths, "/api/"+method)
	}
	for n, seed := range []string{
		"{\"id\":1,\"method\":\"info\"}\n{\"method\":2,\"params\":{}}", `{"channel":"x","data":{"a":1},"tags":{"k":"v"},"idempotency_key":"i","delta":true,"version":1}`,
		`{"channels":["x","y"],"b64data":"AAE="}`, `{"channel":"x","user":"","override":{"presence":{"value":true}},"recover_since":{"offset":1}}`,
		`{"channel":"x","user":""}`, `{"user":"","disconnect":{"code":4000,"reason":"r"},"whitelist":["a"]}`, `{"user":"","expire_at":1}`,
		`{"channel":"x"}`, `{"channel":"x"}`, `{"channel":"x","limit":-1,"since":{"offset":1,"epoch":"e"},"reverse":true}`, `{"channel":"x"}`,
		`{}`, `{"pattern":"{a,[b-c]*?"}`, `{"method":"m","params":[]}`, `{"parallel":true,"commands":[{"publish":{"channel":"x","data":1}},null,{"info":{}},{"batch":{}}]}`,
		`{"channel":"x","key":"k","key_mode":"if_new"}`, `{"channel":"x","limit":1}`, `{"channel":"x","key":"k","version":1}`,
	} {
		f.Add(uint8(n), []byte(seed))
	}
	i := start(f, fuzzed)
	transport := &http.Transport{}
	f.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		path := paths[int(which)%len(paths)]
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+i.external()+path, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-API-Key", "k")
		status, answer, err := apptest.Do(client, request)
		if err != nil {
			t.Fatal(err)
		}
		switch status {
		case http.StatusOK:
			for line := range strings.SplitSeq(strings.TrimRight(answer, "\n"), "\n") {
				if !json.Valid([]byte(line)) {
					t.Errorf("%s: answer %q; want valid JSON", path, answer)
				}
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		case http.StatusInternalServerError: // a binary publication in JSON (server.md 1.1)
			if !strings.Contains(path, "history") && path != "/api" && path != "/api/batch" {
				t.Errorf("%s: status 500 for %q; want it for a history only", path, body)
			}
		default:
			t.Errorf("%s: status %d for %q; want 200, 400, 413, or 500 for a history", path, status, body)
		}
		i.quiet(t, "panic") // a call that fails with 100 is logged
	})
}

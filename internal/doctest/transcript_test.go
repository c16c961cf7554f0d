package doctest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// transcript is the replay of one block over a connection of its own.
type transcript struct {
	conn     net.Conn
	reader   io.Reader
	protobuf bool
	pending  []string          // messages of the last frame that are not compared yet
	names    map[string]string // what stands for <name>, in the whole document
}

var placeholder = regexp.MustCompile(`<([a-z_]+)>`)

// replay runs the lines of a transcript, in order:
//
//	→ TEXT            sends TEXT; further messages of the same frame follow, indented
//	← TEXT            is the next message of the server, byte for byte
//	← close CODE TEXT is the close frame of the server
//	POST PATH TEXT    calls the HTTP API
//
// A name in angle brackets stands for the text that came in its place first, and $NAME
// for a variable of an earlier block. With transcript=protobuf messages are in
// hexadecimal, with blanks; a value that begins with "?" is the query of the URL.
func (s *session) replay(b block, text string) error {
	if s.server == nil {
		return errors.New("no server runs")
	}
	kind := b.attrs["transcript"]
	tr := &transcript{protobuf: kind == "protobuf", names: s.names}
	query := ""
	if strings.HasPrefix(kind, "?") {
		query = kind
	}
	if err := tr.dial(s.port, query); err != nil {
		return err
	}
	defer func() { _ = tr.conn.Close() }()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line, err := s.variables(lines[i])
		if err != nil {
			return err
		}
		if sent, ok := strings.CutPrefix(line, "→ "); ok {
			messages := []string{sent}
			for ; i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  "); i++ {
				messages = append(messages, strings.TrimSpace(lines[i+1]))
			}
			err = tr.send(messages)
		} else if want, ok := strings.CutPrefix(line, "← "); ok {
			err = tr.expect(want)
		} else if call, ok := strings.CutPrefix(line, "POST "); ok {
			err = s.call(tr.known(call))
		} else {
			err = errors.New("is no line of a transcript")
		}
		if err != nil {
			return fmt.Errorf("%q: %w", lines[i], err)
		}
	}
	if len(tr.pending) > 0 {
		return fmt.Errorf("the server also sent %q", tr.pending)
	}
	return nil
}

func (t *transcript) dial(port, query string) error {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	dialer := ws.Dialer{}
	if t.protobuf {
		dialer.Protocols = []string{"centrifuge-protobuf"}
	}
	conn, buffered, _, err := dialer.Dial(ctx, "ws://localhost:"+port+"/connection/websocket"+query)
	if err != nil {
		return fmt.Errorf("dialing: %w", err)
	}
	t.conn, t.reader = conn, conn
	if buffered != nil {
		t.reader = buffered
	}
	return conn.SetDeadline(time.Now().Add(waitLimit))
}

// known replaces the names that have a text.
func (t *transcript) known(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(name string) string {
		if value, ok := t.names[name]; ok {
			return value
		}
		return name
	})
}

func (t *transcript) send(messages []string) error {
	for i := range messages {
		messages[i] = t.known(messages[i])
	}
	if !t.protobuf {
		return wsutil.WriteClientText(t.conn, []byte(strings.Join(messages, "\n")))
	}
	frame, err := hex.DecodeString(strings.ReplaceAll(strings.Join(messages, ""), " ", ""))
	if err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	return wsutil.WriteClientBinary(t.conn, frame)
}

func (t *transcript) expect(want string) error {
	if len(t.pending) == 0 {
		if err := t.receive(); err != nil {
			return err
		}
	}
	got := t.pending[0]
	t.pending = t.pending[1:]
	want = t.known(want)
	if t.protobuf {
		want = strings.ReplaceAll(want, " ", "")
	}
	pattern := placeholder.ReplaceAllString(regexp.QuoteMeta(want), `(?P<$1>[^"]+)`)
	expr := regexp.MustCompile("^" + pattern + "$")
	found := expr.FindStringSubmatch(got)
	if found == nil {
		return fmt.Errorf("the server sent %s", got)
	}
	for i, name := range expr.SubexpNames() {
		if name != "" {
			t.names["<"+name+">"] = found[i]
		}
	}
	return nil
}

// receive reads one frame.
func (t *transcript) receive() error {
	header, err := ws.ReadHeader(t.reader)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	payload := make([]byte, header.Length)
	if _, err := io.ReadFull(t.reader, payload); err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	switch {
	case header.OpCode == ws.OpClose:
		code, reason := ws.ParseCloseFrameData(payload)
		t.pending = []string{fmt.Sprintf("close %d %s", code, reason)}
	case t.protobuf:
		t.pending = []string{hex.EncodeToString(payload)}
	default:
		t.pending = strings.Split(string(payload), "\n")
	}
	return nil
}

// call calls the HTTP API, which must accept the call.
func (s *session) call(text string) error {
	path, body, _ := strings.Cut(text, " ")
	request, err := http.NewRequest(http.MethodPost, "http://localhost:"+s.port+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("X-API-Key", "api-secret")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("calling: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"error"`)) {
		return fmt.Errorf("the API answered %s %s, %w", response.Status, answer, err)
	}
	return nil
}

var variable = regexp.MustCompile(`\$[A-Z_]+`)

// variables replaces the variables that earlier blocks have set.
func (s *session) variables(text string) (string, error) {
	var failed error
	out := variable.ReplaceAllStringFunc(text, func(name string) string {
		value, err := exec.Command("sh", "-u", "-c", ". "+s.state()+"; printf %s \""+name+"\"").Output()
		if err != nil {
			failed = fmt.Errorf("reading the variable %s: %w", name, err)
		}
		return string(value)
	})
	return out, failed
}

// TestTranscriptsAreCompared: a transcript that the server does not speak fails.
func TestTranscriptsAreCompared(t *testing.T) {
	const configured = "```sh server\nCENTRIFUGO_CLIENT_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN=true centrifugo\n```\n"
	const connected = "→ {\"id\":1,\"connect\":{}}\n← {\"id\":1,\"connect\":{\"client\":\"<client>\",\"version\":\"<version>\",\"ping\":25,\"pong\":true}}\n"
	for _, tt := range []struct {
		name, text string
		good       bool
	}{
		{"as it is", connected, true},
		{"closed", connected + "→ {\"id\":2}\n← close 3501 bad request\n", true},
		{"another reply", connected + "→ {\"id\":2,\"unsubscribe\":{\"channel\":\"a\"}}\n← {\"id\":3,\"unsubscribe\":{}}\n", false},
		{"another close", connected + "→ {\"id\":2}\n← close 3500 bad request\n", false},
		{"a name for two things", connected + "→ {\"id\":2,\"rpc\":{}}\n← {\"id\":2,\"error\":{\"code\":108,\"message\":\"<client>\"}}\n", false},
		{"no such line", connected + "wait\n", false},
		{"unknown variable", connected + "→ $NONE\n", false},
		{"API call that fails", "POST /api/publish {}\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := blocks("a.md", configured+"```text transcript\n"+tt.text+"```\n")
			if err != nil {
				t.Fatal(err)
			}
			s := newSession(t)
			for _, b := range found {
				err = errors.Join(err, s.run(b))
			}
			if (err == nil) != tt.good {
				t.Errorf("run = %v; want success %v", err, tt.good)
			}
		})
	}
}

package apihttp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/internal/await"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/api/apitest"

	"centrifugo/centrifuge"
)

// streamServer serves a handler over HTTP/1.1, or HTTP/2, with the deadlines of a server.
func streamServer(t testing.TB, h http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ReadTimeout, s.Config.WriteTimeout = time.Second, time.Second
	if s.EnableHTTP2 = http2; http2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// openStream sends a request whose body the caller writes.
func openStream(t testing.TB, client *http.Client, url string) (body *io.PipeWriter, answer chan *http.Response) {
	t.Helper()
	read, write := io.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), await.Limit)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/stream", read)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", "K")
	answer = make(chan *http.Response, 1)
	go func() {
		defer close(answer)
		response, err := client.Do(request)
		if err != nil {
			_ = read.CloseWithError(err)
			return
		}
		answer <- response
	}()
	return write, answer
}

// TestStream: every line is answered on a line, in order, whatever it holds.
func TestStream(t *testing.T) {
	node := &apitest.Node{Published: centrifuge.PublishResult{StreamPosition: centrifuge.StreamPosition{Offset: 7, Epoch: "e"}}}
	long := `{"publish":{"channel":"hist:1","data":"` + strings.Repeat("x", 70<<10) + `"}}`
	tests := []struct{ line, want string }{
		{`{"publish":{"channel":"hist:1","data":{"a":1}}}`, `{"publish":{"offset":7,"epoch":"e"}}`},
		{` { "publish" : {"channel":"hist:1","data":1} }` + "\r", `{"publish":{"offset":7,"epoch":"e"}}`},
		{`{"PUBLISH":{"channel":"hist:1","data":1}}`, `{"publish":{"offset":7,"epoch":"e"}}`}, // left to encoding/json
		{long, `{"publish":{"offset":7,"epoch":"e"}}`},
		{"", ""},
		{"  \t", ""},
		{`{"publish":{"channel":"nowhere:1","data":1}}`, `{"error":{"code":102,"message":"unknown channel"}}`},
		{`{"presence_stats":{"channel":"pres:1"}}`, `{"presence_stats":{"num_clients":0,"num_users":0}}`},
		{`{"nothing":{}}`, `{"error":{"code":104,"message":"not found"}}`},
		{`null`, `{"error":{"code":107,"message":"bad request"}}`},
		{`{"publish":`, `{"error":{"code":107,"message":"bad request: line 11: unexpected EOF"}}`},
		{`{"info":{}} {}`, `{"error":{"code":107,"message":"bad request: line 12: something follows the command"}}`},
		{`{"publish":{"channel":5}}`, ``},
		{strings.Repeat("x", 200<<10), `{"error":{"code":107,"message":"bad request: line 14: the line is too long"}}`},
		{`{"publish":{"channel":"hist:1","data":null}}`, `{"publish":{"offset":7,"epoch":"e"}}`},
	}
	var lines, want []string
	for _, test := range tests {
		lines = append(lines, test.line)
		if test.want != "" {
			want = append(want, test.want)
		}
	}
	for _, http2 := range []bool{false, true} {
		for _, end := range []string{"", "\n"} {
			t.Run(fmt.Sprint(http2, len(end)), func(t *testing.T) {
				s := streamServer(t, newHandler(t, node, func(o *Options) { o.BodyLimit = 100 << 10 }), http2)
				body, answer := openStream(t, s.Client(), s.URL)
				_, _ = io.WriteString(body, strings.Join(lines, "\n")+end)
				_ = body.Close()
				response := await.Receive(t, answer, "a response")
				text, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/x-ndjson" {
					t.Errorf("status %d, type %s, %v; want 200, application/x-ndjson", response.StatusCode, response.Header.Get("Content-Type"), err)
				}
				got := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
				for i, w := range insertTypeError(want, got) {
					if i >= len(got) || got[i] != w {
						t.Fatalf("answer %d of %d is %.200q; want %q", i+1, len(got), got[min(i, len(got)-1)], w)
					}
				}
			})
		}
	}
}

// insertTypeError inserts the error of line 13, whose text is that of encoding/json, if it
// has the right form.
func insertTypeError(want, got []string) []string {
	const at = 10
	if len(got) > at && strings.HasPrefix(got[at], `{"error":{"code":107,"message":"bad request: line 13: json: cannot unmarshal`) {
		return append(append(append([]string{}, want[:at]...), got[at]), want[at:]...)
	}
	return want
}

// TestStreamAnswersAtOnce: a command is answered before the next is sent, as late as it may be.
func TestStreamAnswersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := &apitest.Node{}
		server := &http.Server{ // the deadlines of requests of ordinary length
			Handler: newHandler(t, node, nil), ReadTimeout: 30 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		}
		near, far := net.Pipe()
		listener := &single{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
		listener.conn <- far
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil }}}
		read, body := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://server/api/stream", read)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-API-Key", "K")
		answered := make(chan *http.Response, 1)
		go func() {
			response, err := client.Do(request)
			if err != nil {
				t.Errorf("Do = %v", err)
			}
			answered <- response
		}()
		var answers *bufio.Scanner
		for i := range 4 {
			if _, err := io.WriteString(body, `{"publish":{"channel":"plain","data":1}}`+"\n"); err != nil {
				t.Fatal(err)
			}
			if answers == nil {
				answers = bufio.NewScanner((<-answered).Body)
			}
			if !answers.Scan() || answers.Text() != `{"publish":{}}` {
				t.Fatalf("answer %d is %q, %v; want {\"publish\":{}}", i, answers.Text(), answers.Err())
			}
			time.Sleep(5 * time.Minute) // longer than any deadline
		}
		_ = body.Close()
		if answers.Scan() || answers.Err() != nil {
			t.Errorf("behind the last answer: %q, %v; want the end", answers.Text(), answers.Err())
		}
		client.CloseIdleConnections()
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve = %v; want %v", err, http.ErrServerClosed)
		}
	})
}

// single is a listener with one connection.
type single struct {
	conn   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *single) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *single) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*single) Addr() net.Addr { return &net.TCPAddr{} }

// pressed is a caller that sends without end, and takes answers when it is told to.
type pressed struct {
	header  http.Header
	line    string
	take    chan struct{} // a value for each write that is taken
	writing bool
	sent    int // lines, until limit
	limit   int
	taken   int // bytes of answers
	t       *testing.T
}

// Read implements io.Reader.
func (p *pressed) Read(b []byte) (int, error) {
	if p.writing {
		p.t.Error("the body is read while answers wait to be taken; want it left")
	}
	if p.sent >= p.limit {
		return 0, io.EOF
	}
	n := 0
	for p.sent < p.limit && n+len(p.line) <= len(b) {
		n += copy(b[n:], p.line)
		p.sent++
	}
	return n, nil
}

// Close implements io.Closer.
func (*pressed) Close() error { return nil }

// Header implements http.ResponseWriter.
func (p *pressed) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (*pressed) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (p *pressed) Write(b []byte) (int, error) {
	p.writing = true
	<-p.take
	p.writing = false
	if len(b) > 2*streamFlushSize {
		p.t.Errorf("%d bytes of answers were kept; want at most %d", len(b), 2*streamFlushSize)
	}
	p.taken += len(b)
	return len(b), nil
}

// FlushError, EnableFullDuplex and the deadlines are for http.ResponseController.
func (*pressed) FlushError() error                { return nil }
func (*pressed) EnableFullDuplex() error          { return nil }
func (*pressed) SetReadDeadline(time.Time) error  { return nil }
func (*pressed) SetWriteDeadline(time.Time) error { return nil }

// TestStreamWaitsForTheCaller: nothing is read from a caller that does not take the answers,
// and the answers that are kept are bounded.
func TestStreamWaitsForTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pressed{header: http.Header{}, line: `{"presence_stats":{"channel":"pres:1"}}` + "\n", take: make(chan struct{}), limit: 20000, t: t}
		h := newHandler(t, &apitest.Node{}, nil)
		r := httptest.NewRequest(http.MethodPost, "/api/stream", p)
		r.Header.Set("X-API-Key", "K")
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(p, r)
		}()
		synctest.Wait()
		if want := 2 * streamReadSize / len(p.line); p.sent > want {
			t.Errorf("%d lines were read before the first answer was taken; want at most %d", p.sent, want)
		}
		go func() {
			for {
				select {
				case p.take <- struct{}{}:
				case <-done:
					return
				}
			}
		}()
		<-done
		if want := p.limit * len(`{"presence_stats":{"num_clients":0,"num_users":0}}`+"\n"); p.sent != p.limit || p.taken != want {
			t.Errorf("%d lines were read and %d bytes answered; want %d and %d", p.sent, p.taken, p.limit, want)
		}
	})
}

// TestStreamRefusedAtOnce: a refusal does not wait for the end of the body.
func TestStreamRefusedAtOnce(t *testing.T) {
	server := httptest.NewServer(newHandler(t, &apitest.Node{}, nil))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /api/stream HTTP/1.1\r\nHost: h\r\nX-API-Key: wrong\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(await.Limit)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("reading the answer: %v; want it before the end of the body", err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d; want 401", response.StatusCode)
	}
}

// TestStreamRefused: a stream needs POST and the key, and a server that stops ends it behind
// the answers to what it has executed.
func TestStreamRefused(t *testing.T) {
	h := newHandler(t, &apitest.Node{}, nil)
	if w := post(h, "/api/stream", `{"info":{}}`, "X-API-Key", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("without the key: status %d; want 401", w.Code)
	}
	r := httptest.NewRequest(http.MethodGet, "/api/stream", nil)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d; want 405", w.Code)
	}
	var log await.Output
	h = newHandler(t, &apitest.Node{}, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	s := streamServer(t, h, false)
	body, answer := openStream(t, s.Client(), s.URL)
	_, _ = io.WriteString(body, `{"info":{}}`+"\nnonsense\n")
	response := await.Receive(t, answer, "a response")
	answers := bufio.NewScanner(response.Body)
	for i := range 2 {
		if !answers.Scan() {
			t.Fatalf("answer %d is missing: %v; want one", i, answers.Err())
		}
	}
	h.Stop()
	if answers.Scan() || answers.Err() != nil {
		t.Errorf("after Stop: %q, %v; want the end of the answer", answers.Text(), answers.Err())
	}
	_ = body.Close()
	if text := log.String(); !strings.Contains(text, "api call refused") || !strings.Contains(text, "line 2") {
		t.Errorf("log: got %s; want the refusal of line 2", text)
	}
	if w := post(h, "/api/info", "{}"); w.Code != http.StatusOK {
		t.Errorf("another call after Stop: status %d; want 200", w.Code)
	}
}

// TestStreamOfACallerThatLeaves: a command that arrived whole is executed, the beginning of
// one is not.
func TestStreamOfACallerThatLeaves(t *testing.T) {
	node := &apitest.Node{}
	var log await.Output
	s := streamServer(t, newHandler(t, node, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) }), false)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	line := `{"publish":{"channel":"plain","data":1}}`
	_, err = fmt.Fprintf(conn, "POST /api/stream HTTP/1.1\r\nHost: h\r\nX-API-Key: K\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\n%s\r\n",
		2*len(line)+1, line, line)
	if err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the first command is executed", func() bool { return len(node.Calls()) > 0 })
	_ = conn.Close()
	await.Until(t, "the stream ends", func() bool { return strings.Contains(log.String(), "ended early") })
	if got := node.Calls(); len(got) != 1 {
		t.Errorf("executed %v; want one publication", got)
	}
}

// FuzzStreamLine: a line that decodePublishCommand decodes is a command that encoding/json decodes in
// the same way.
func FuzzStreamLine(f *testing.F) {
	for _, line := range []string{
		`{"publish":{"channel":"a","data":{"x":[1]},"tags":{"k":"v"}}}`, `{"publish":{}}`, `{"publish":{},"publish":{}}`,
		`{"publish":{},"info":{}}`, `{"publish":null}`, `{"publish":[]}`, ` {"publish" : {"data":"\ud800"}} `, `{"info":{}}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got := &api.PublishRequest{Channel: "a", Publication: api.Publication{Delta: true}} // of the line before
		if !decodePublishCommand(bytes.Clone(line), got) {
			return
		}
		command, err := api.DecodeCommand(line)
		if err != nil || command == nil || !reflect.DeepEqual(command.Request, got) {
			t.Errorf("decodePublishCommand(%q) = %+v; want as by DecodeCommand: %+v, %v", line, got, command, err)
		}
	})
}

// FuzzLineReader: lines are those between line breaks, however they arrive.
func FuzzLineReader(f *testing.F) {
	f.Add([]byte("a\nb\n\n c \r\nd"), uint8(3))
	f.Add([]byte("\n"), uint8(1))
	f.Add(bytes.Repeat([]byte("x"), 100), uint8(7))
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		const limit = 20
		l := &lineReader{r: bufio.NewReaderSize(bytes.NewReader(text), 16+int(size)), limit: limit}
		want := bytes.Split(text, []byte("\n"))
		if len(want[len(want)-1]) == 0 {
			want = want[:len(want)-1]
		}
		for i, w := range want {
			got, err := l.next()
			if len(w) > limit {
				last := i == len(want)-1 && len(w) == limit+1 // as long as a line with its break
				if !errors.Is(err, errLineTooLong) && !last {
					t.Fatalf("line %d of %d bytes: got %q, %v; want errLineTooLong", i, len(w), got, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, bytes.TrimSpace(w)) {
				t.Fatalf("line %d: got %q, %v; want %q", i, got, err, w)
			}
		}
		if got, err := l.next(); err != io.EOF {
			t.Fatalf("behind the last line: got %q, %v; want io.EOF", got, err)
		}
	})
}

// TestReplyJSON: a reply alone is encoded as in a batch.
func TestReplyJSON(t *testing.T) {
	for _, reply := range []api.Reply{{Error: api.ErrorNotFound}, {Method: &api.MethodInfo.Method, Result: api.InfoResult{}}} {
		alone, err := json.Marshal(reply)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := json.Marshal(api.BatchResult{Replies: []api.Reply{reply}})
		if want := `{"replies":[` + string(alone) + `]}`; err != nil || string(batch) != want {
			t.Errorf("in a batch it is %s, %v; want %s", batch, err, want)
		}
	}
}

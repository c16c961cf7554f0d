package loadtest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/internal/wsframe"
	"centrifugo/server/internal/loadtest"
)

// faultyServer speaks just enough of the protocol, and spoils what it delivers
// as it is told.
type faultyServer struct {
	spoil func(n int, message []byte) [][]byte // what to send in place of publication n
	sse   bool                                 // in place of WebSocket

	mu    sync.Mutex
	conns []net.Conn
	n     int
}

func (s *faultyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/publish" {
		s.publish(w, r)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if s.sse {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		_, _ = conn.Write(append(event([]byte(`{"id":1,"connect":{"client":"x"}}`)), event([]byte(`{"id":2,"subscribe":{}}`))...))
		s.serve(conn)
		return
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", wsframe.Accept(r.Header.Get("Sec-WebSocket-Key")))
	_, _ = rw.ReadByte() // the first message, whatever it is
	_, _ = conn.Write(textFrame([]byte("{\"id\":1,\"connect\":{\"client\":\"x\"}}\n{\"id\":2,\"subscribe\":{}}")))
	s.serve(conn)
}

func (s *faultyServer) serve(conn net.Conn) {
	s.mu.Lock()
	s.conns = append(s.conns, conn)
	s.mu.Unlock()
	go func() { _, _ = io.Copy(io.Discard, bufio.NewReader(conn)) }() // until the client goes
}

func (s *faultyServer) publish(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Channel string          `json:"channel"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	message := fmt.Appendf(nil, `{"push":{"channel":%q,"pub":{"data":%s}}}`, request.Channel, request.Data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	for _, spoiled := range s.spoil(s.n, message) {
		for _, c := range s.conns {
			_, _ = c.Write(spoiled)
		}
	}
	_, _ = io.WriteString(w, `{"result":{}}`)
}

func (s *faultyServer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func textFrame(message []byte) []byte {
	return wsframe.Append(nil, wsframe.Fin|wsframe.Text, message)
}

// event is a message as a chunk with a server-sent event.
func event(message []byte) []byte {
	return fmt.Appendf(nil, "%x\r\ndata: %s\n\n\r\n", len(message)+len("data: \n\n"), message)
}

// TestFaultsAreFound: the numbers in publications reveal each kind of fault.
func TestFaultsAreFound(t *testing.T) {
	for _, sse := range []bool{false, true} {
		t.Run(map[bool]string{false: "websocket", true: "sse"}[sse], func(t *testing.T) { findFaults(t, sse) })
	}
}

func findFaults(t *testing.T, sse bool) {
	textFrame, slow := textFrame, wsframe.Append(nil, wsframe.Fin|wsframe.Close, []byte("\x0b\xc0slow"))
	if sse {
		textFrame, slow = event, event([]byte(`{"push":{"disconnect":{"code":3008,"reason":"slow"}}}`))
	}
	var held []byte
	for name, tt := range map[string]struct {
		spoil func(n int, message []byte) [][]byte
		want  loadtest.LossFigures // for each of two clients
		fails []string
	}{
		"nothing": {func(_ int, m []byte) [][]byte { return [][]byte{textFrame(m)} }, loadtest.LossFigures{}, nil},
		"gap": {func(n int, m []byte) [][]byte {
			if n == 5 || n == 6 {
				return nil
			}
			return [][]byte{textFrame(m)}
		}, loadtest.LossFigures{Lost: 2, Gaps: 1, Missing: 2}, []string{"4 deliveries lost", "2 gaps"}},
		"duplicate": {func(n int, m []byte) [][]byte {
			if n == 5 {
				return [][]byte{textFrame(m), textFrame(m)}
			}
			return [][]byte{textFrame(m)}
		}, loadtest.LossFigures{Duplicates: 1}, []string{"2 duplicates"}},
		"disorder": {func(n int, m []byte) [][]byte {
			switch n {
			case 5:
				held = textFrame(m)
				return nil
			case 6:
				return [][]byte{textFrame(m), held}
			}
			return [][]byte{textFrame(m)}
		}, loadtest.LossFigures{Gaps: 1, Disorder: 1}, []string{"2 gaps", "2 publications out of order"}},
		"the last ones": {func(n int, m []byte) [][]byte {
			if n > 10 {
				return nil
			}
			return [][]byte{textFrame(m)}
		}, loadtest.LossFigures{Lost: 1}, []string{"deliveries lost"}},
		"disconnect": {func(n int, m []byte) [][]byte {
			if n == 5 {
				return [][]byte{slow}
			}
			return [][]byte{textFrame(m)}
		}, loadtest.LossFigures{Lost: 1}, []string{"deliveries lost", "2 x disconnect 3008: slow"}},
	} {
		t.Run(name, func(t *testing.T) {
			faulty := &faultyServer{spoil: tt.spoil, sse: sse}
			fake := httptest.NewServer(faulty)
			defer fake.Close()
			defer faulty.close()
			o := options(loadtest.Fanout, fake.Listener.Addr().String())
			if sse {
				o.Transport = "sse"
			}
			o.Clients, o.Publishers, o.Rate, o.Duration, o.Warmup = 2, 1, 50, 500*time.Millisecond, 0
			r, err := loadtest.Run(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.OK != (tt.fails == nil) {
				t.Errorf("OK %v: %v; want %v", r.OK, r.Failures, tt.fails == nil)
			}
			l := r.Loss
			if exact := name != "the last ones" && name != "disconnect"; exact && l.Lost != 2*tt.want.Lost || (l.Lost > 0) != (tt.want.Lost > 0) {
				t.Errorf("%d lost; want %d, exactly so: %v", l.Lost, 2*tt.want.Lost, exact)
			}
			if l.Gaps != 2*tt.want.Gaps || l.Missing != 2*tt.want.Missing || l.Duplicates != 2*tt.want.Duplicates || l.Disorder != 2*tt.want.Disorder {
				t.Errorf("loss %+v; want, for each of two clients, %+v", l, tt.want)
			}
			for _, want := range tt.fails {
				if !strings.Contains(strings.Join(r.Failures, "; "), want) {
					t.Errorf("failures %v; want %s", r.Failures, want)
				}
			}
		})
	}
}

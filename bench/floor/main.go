//go:build linux

// Command floor is the physical limit of the machine: a server that writes one
// prebuilt frame to each socket with write(2) in a loop, from as many goroutines
// as the real server has lanes, and keeps nothing correct. What a delivery
// costs here, no server can go below without fewer writes. It answers as much
// of the protocol, in JSON, as "centrifugo bench" asks for in the scenarios
// idle, storm and fanout.
package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"centrifugo/internal/wsframe"
)

type floor struct {
	writers []*writer
	reaper  *reaper
	next    atomic.Uint32
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "address to listen on")
	writers := flag.Int("writers", runtime.GOMAXPROCS(0), "writing goroutines")
	flag.Parse()
	if err := run(*addr, *writers); err != nil {
		log.Fatal(err)
	}
}

func run(addr string, writers int) error {
	r, err := newReaper()
	if err != nil {
		return err
	}
	go r.run()
	f := &floor{reaper: r}
	for range writers {
		w := &writer{work: make(chan []byte, 1024)}
		f.writers = append(f.writers, w)
		go w.run()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/connection/websocket", f.upgrade)
	mux.HandleFunc("/api/publish", f.publish)
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(listener)
}

// upgrade answers the handshake and the first message. The handshake is that of
// net/http: what a connection costs beneath it is not what is looked for.
func (f *floor) upgrade(w http.ResponseWriter, r *http.Request) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	conn, rw, err := hijacker.Hijack()
	if err != nil {
		return
	}
	if err := f.greet(conn, rw.Reader, wsframe.Accept(r.Header.Get("Sec-WebSocket-Key"))); err != nil {
		_ = conn.Close()
	}
}

// maxGreeting bounds the first message of a connection, in bytes.
const maxGreeting = 512

var errNotTCP = errors.New("not a TCP connection")

// greet answers connect and subscribe, which come in one message of the load,
// and gives the connection to a writer.
func (f *floor) greet(conn net.Conn, r io.Reader, accept string) error {
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept+"\r\n\r\n"); err != nil {
		return err
	}
	message, err := wsframe.Read(r, maxGreeting)
	if err != nil {
		return err
	}
	if _, err := conn.Write(textFrame(replies(message.Payload))); err != nil {
		return err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return errNotTCP
	}
	return f.writers[f.next.Add(1)%uint32(len(f.writers))].add(tcp, f.reaper)
}

// replies answers each command with the id that it begins with.
func replies(message []byte) []byte {
	var b []byte
	for line := range bytes.Lines(message) {
		id, _, _ := bytes.Cut(line, []byte(","))
		kind := `,"connect":{"client":"x"}}`
		if bytes.Contains(line, []byte(`"subscribe"`)) {
			kind = `,"subscribe":{}}`
		}
		if len(b) > 0 {
			b = append(b, '\n')
		}
		b = append(append(b, id...), kind...)
	}
	return b
}

// publish takes a request of the HTTP API, {"channel":C,"data":D}, and writes
// it to everybody.
func (f *floor) publish(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	message := textFrame(push(body))
	for _, wr := range f.writers {
		wr.work <- message
	}
	_, _ = io.WriteString(w, `{"result":{}}`)
}

// push makes {"push":{"channel":C,"pub":{"data":D}}} of a request.
func push(body []byte) []byte {
	head, data, _ := bytes.Cut(body, []byte(`,"data":`))
	b := append([]byte(`{"push":`), head...)
	return append(append(append(b, `,"pub":{"data":`...), data...), "}}"...)
}

func textFrame(payload []byte) []byte { return wsframe.Append(nil, wsframe.Fin|wsframe.Text, payload) }

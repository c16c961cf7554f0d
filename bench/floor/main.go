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
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"
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
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	conn, rw, err := hijacker.Hijack()
	if err != nil {
		return
	}
	if err := f.greet(conn, rw.Reader, base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		_ = conn.Close()
	}
}

var errGreeting = errors.New("not the greeting of the load")

// greet answers connect and subscribe, which come in one message of the load,
// and gives the connection to a writer.
func (f *floor) greet(conn net.Conn, r io.Reader, accept string) error {
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept+"\r\n\r\n"); err != nil {
		return err
	}
	message, err := firstMessage(r)
	if err != nil {
		return err
	}
	if _, err := conn.Write(frame(replies(message))); err != nil {
		return err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return errGreeting
	}
	return f.writers[f.next.Add(1)%uint32(len(f.writers))].add(tcp, f.reaper)
}

// firstMessage reads one short frame of a client.
func firstMessage(r io.Reader) ([]byte, error) {
	var b [512]byte
	const head, wide = 6, 8 // bytes, with the mask; the second of messages of more than 125 bytes
	n, err := io.ReadAtLeast(r, b[:], wide)
	if err != nil {
		return nil, err
	}
	at, size := head, int(b[1]&0x7f)
	if size == 126 {
		at, size = wide, int(b[2])<<8|int(b[3])
	}
	if size > len(b)-at {
		return nil, errGreeting
	}
	if n < at+size {
		if _, err := io.ReadFull(r, b[n:at+size]); err != nil {
			return nil, err
		}
	}
	message := b[at : at+size]
	for i := range message {
		message[i] ^= b[at-4+i%4]
	}
	return message, nil
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
	message := frame(push(body))
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

func frame(payload []byte) []byte {
	n := len(payload)
	if n < 126 {
		return append([]byte{0x81, byte(n)}, payload...)
	}
	return append([]byte{0x81, 126, byte(n >> 8), byte(n)}, payload...) //nolint:gosec // payloads of the load are below 64 KiB
}

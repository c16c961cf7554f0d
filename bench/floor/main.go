//go:build linux

// Command floor is the physical limit of the machine: a server that writes one
// prebuilt frame to each socket with write(2) in a loop, from as many goroutines
// as the real server has lanes, and keeps nothing correct. What a delivery
// costs here, no server can go below without fewer writes.
package main

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// writer owns a part of the sockets.
type writer struct {
	mu   sync.Mutex
	fds  []int
	work chan []byte // frames, in order; never closed
}

func (w *writer) run() {
	for frame := range w.work {
		w.mu.Lock()
		for _, fd := range w.fds {
			_, _ = unix.Write(fd, frame) // a full socket loses it
		}
		w.mu.Unlock()
	}
}

type floor struct {
	writers []*writer

	mu   sync.Mutex
	next int
}

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on")
	writers := flag.Int("writers", runtime.GOMAXPROCS(0), "writing goroutines")
	flag.Parse()
	f := &floor{}
	for range *writers {
		w := &writer{work: make(chan []byte, 1024)}
		f.writers = append(f.writers, w)
		go w.run()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/connection/websocket", f.upgrade)
	mux.HandleFunc("/api/publish", f.publish)
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, "listening on", listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}

// upgrade answers the handshake, and the first message with the replies that
// the load expects.
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
	if err := f.greet(conn, rw, base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		_ = conn.Close()
	}
}

func (f *floor) greet(conn net.Conn, rw *bufio.ReadWriter, accept string) error {
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+accept+"\r\n\r\n"); err != nil {
		return err
	}
	if _, err := rw.ReadByte(); err != nil { // the first message, whatever it is
		return err
	}
	if _, err := conn.Write(frame([]byte("{\"id\":1,\"connect\":{\"client\":\"x\"}}\n{\"id\":2,\"subscribe\":{}}"))); err != nil {
		return err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return net.ErrClosed
	}
	file, err := tcp.File() // a descriptor of our own, without the poller of the runtime
	if err != nil {
		return err
	}
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		return err
	}
	_ = unix.SetNonblock(fd, true)
	_ = file.Close()
	_ = tcp.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	wr := f.writers[f.next%len(f.writers)]
	f.next++
	wr.mu.Lock()
	defer wr.mu.Unlock()
	wr.fds = append(wr.fds, fd)
	return nil
}

// publish takes a request of the HTTP API and writes its body to everybody.
func (f *floor) publish(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	message := frame(body)
	for _, wr := range f.writers {
		wr.work <- message
	}
	_, _ = io.WriteString(w, `{"result":{}}`)
}

func frame(payload []byte) []byte {
	n := len(payload)
	if n < 126 {
		return append([]byte{0x81, byte(n)}, payload...)
	}
	return append([]byte{0x81, 126, byte(n >> 8), byte(n)}, payload...) //nolint:gosec // payloads of the load are below 64 KiB
}

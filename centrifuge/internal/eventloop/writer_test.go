package eventloop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"centrifugo/internal/await"
)

// filled returns a Writer whose socket is full, what the peer will receive, and the peer.
func filled(t *testing.T, k kind, immutable bool) (w *Writer, r *recorder, want []byte, client peer) {
	t.Helper()
	r = newRecorder()
	client = connect(t, newLoop(t, Config{}), k, r)
	if r.socket.Blocking() {
		t.Skip("no sockets here that do not block")
	}
	start(t, r, "")
	w = &Writer{Socket: r.socket}
	for i := byte(0); w.Len() == 0; i++ {
		message := bytes.Repeat([]byte{i}, 64<<10)
		if err := w.Write(message, immutable); err != nil {
			t.Fatal(err)
		}
		want = append(want, message...)
		if !immutable {
			clear(message)
		}
	}
	return w, r, want, client
}

// What a full socket has not accepted is sent in order, then the last message, then the
// end of the stream.
func TestWriterKeepsTheOrder(t *testing.T) {
	for _, k := range []kind{plain, secure} {
		for name, immutable := range map[string]bool{"immutable": true, "copied": false} {
			t.Run(k.name+"/"+name, func(t *testing.T) {
				w, r, want, client := filled(t, k, immutable)
				if err := w.Write([]byte("behind"), immutable); err != nil {
					t.Fatal(err)
				}
				if !w.SetLast([]byte("replaced")) || !w.SetLast([]byte("last")) {
					t.Fatal("SetLast = false while bytes wait; want true")
				}
				if err := w.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				received := make(chan []byte, 1)
				go func() {
					b, _ := io.ReadAll(client) // an error is seen by what is missing
					received <- b
				}()
				pending := w.Pending()
				for drained := false; !drained; {
					await.Receive(t, r.writable, "writable socket")
					var progress bool
					var err error
					if drained, progress, err = w.Flush(); err != nil {
						t.Fatal(err)
					}
					if left := w.Len(); progress != (left < pending) || drained != (left == 0) {
						t.Fatalf("Flush = %t, %t with %d bytes before and %d after", drained, progress, pending, left)
					}
					pending = w.Len()
				}
				want = append(want, "behindlast"...)
				if got := await.Receive(t, received, "end of the stream"); !bytes.Equal(got, want) {
					t.Fatalf("the peer received %d bytes that end with %q; want %d that end with %q",
						len(got), got[max(0, len(got)-20):], len(want), want[len(want)-20:])
				}
			})
		}
	}
}

func TestWriterWithNothingWaiting(t *testing.T) {
	allKinds(t, func(t *testing.T, k kind) {
		r := newRecorder()
		client := connect(t, newLoop(t, Config{}), k, r)
		start(t, r, "")
		w := &Writer{Socket: r.socket}
		if err := w.Write([]byte("all"), true); err != nil || w.Pending() != 0 || w.SetLast([]byte("x")) {
			t.Fatalf("a message that is accepted: %v, %d bytes wait; want 0", err, w.Len())
		}
		if drained, progress, err := w.Flush(); drained || progress || err != nil {
			t.Errorf("Flush = %t, %t, %v; want false, false, nil", drained, progress, err)
		}
		if err := w.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(client); string(got) != "all" || err != nil {
			t.Errorf("the peer received %q, %v; want %q", got, err, "all")
		}
	})
}

// A stream that ends in the middle is reset, so that the kernel keeps nothing for a peer that does
// not read.
func TestWriterResetsWhatEndsInTheMiddle(t *testing.T) {
	for _, k := range []kind{plain, secure} {
		t.Run(k.name, func(t *testing.T) {
			w, _, want, client := filled(t, k, true)
			w.Close()
			if n, err := io.Copy(io.Discard, client); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the peer received %d of %d bytes, %v; want %v", n, len(want), err, syscall.ECONNRESET)
			}
		})
	}
}

// Pending asks for reports of progress; without it Flush reports none.
func TestWriterReportsProgressIfAsked(t *testing.T) {
	w, r, _, client := filled(t, plain, true)
	go func() { _, _ = io.Copy(io.Discard, client) }()
	for drained := false; !drained; {
		await.Receive(t, r.writable, "writable socket")
		var progress bool
		var err error
		if drained, progress, err = w.Flush(); progress || err != nil {
			t.Fatalf("Flush = %t, %t, %v; want no progress", drained, progress, err)
		}
	}
}

// After a reset by the peer the Writer drops what waits, reports it as progress, and
// discards messages.
func TestWriterDiscardsAfterAReset(t *testing.T) {
	w, r, _, client := filled(t, plain, true)
	pending := w.Pending()
	_ = client.(*net.TCPConn).SetLinger(0)
	_ = client.Close()
	await.Receive(t, r.closed, "end")
	drained, progress, err := w.Flush()
	if !drained || !progress || err != nil || w.Len() != 0 || !w.Broken() {
		t.Fatalf("Flush = %t, %t, %v, and %d of %d bytes wait; want true, true, nil, 0", drained, progress, err, w.Len(), pending)
	}
	if err := w.Write([]byte("more"), true); err != nil || w.Len() != 0 {
		t.Fatalf("Write after the reset: %v, %d bytes wait; want nil, 0", err, w.Len())
	}
}

// A Write that waits for a peer that does not read ends with its context.
func TestWriterIsInterrupted(t *testing.T) {
	r := newRecorder()
	connect(t, newLoop(t, Config{WriteTimeout: waitLimit}), threaded, r)
	start(t, r, "")
	w := &Writer{Socket: r.socket}
	ctx, cancel := context.WithCancel(context.Background())
	stop := w.InterruptAfter(ctx)
	defer stop()
	r.progress = cancel // the next part does not fit any more, or the one after it
	if err := w.Write(make([]byte, 64<<20), true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an interrupted Write: %v; want %v", err, os.ErrDeadlineExceeded)
	}
}

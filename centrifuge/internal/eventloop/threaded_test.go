package eventloop

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestThreadedWriteTimeout: a peer that takes nothing for the time of a write ends
// it; one that reads slowly gets what is written, whatever its size.
func TestThreadedWriteTimeout(t *testing.T) {
	for _, test := range []struct {
		name  string
		size  int
		read  int           // bytes at a time
		pause time.Duration // after each
		stops int           // the peer reads no more than this; 0 for no end
		err   error
	}{
		{name: "at once", size: 4 << 20, read: 1 << 20},
		{name: "slowly", size: 4 << 20, read: 32 << 10, pause: 400 * time.Millisecond},
		{name: "a small one", size: 10, read: 1, pause: 50 * time.Millisecond},
		{name: "a part and no more", size: 65536, read: 65536},
		{name: "one byte more", size: 65537, read: 65536, pause: 900 * time.Millisecond},
		{name: "too slowly", size: 4 << 20, read: 32 << 10, pause: 1100 * time.Millisecond, err: os.ErrDeadlineExceeded},
		{name: "nothing", size: 10, stops: -1, err: os.ErrDeadlineExceeded},
		{name: "nothing more", size: 4 << 20, read: 32 << 10, stops: 1 << 20, err: os.ErrDeadlineExceeded},
		{name: "empty", size: 0, read: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				handler := &counter{}
				s := &threadedSocket{loop: &Loop{config: Config{WriteTimeout: time.Second}}, conn: ours, handler: handler}
				var reading sync.WaitGroup
				reading.Go(func() {
					for got := 0; test.stops == 0 || got < test.stops; got += test.read {
						if _, err := io.CopyN(io.Discard, theirs, int64(max(test.read, 1))); err != nil {
							return
						}
						time.Sleep(test.pause)
					}
				})
				n, err := s.Write(make([]byte, test.size))
				if !errors.Is(err, test.err) || err == nil && n != test.size || n > test.size {
					t.Errorf("wrote %d, %v; want %d, %v", n, err, test.size, test.err)
				}
				if want := min(n, max(test.size-1, 0)) / writeSize; handler.progress != want {
					t.Errorf("Progress was called %d times for %d of %d bytes; want %d", handler.progress, n, test.size, want)
				}
				_ = ours.Close()
				_ = theirs.Close()
				reading.Wait()
			})
		})
	}
}

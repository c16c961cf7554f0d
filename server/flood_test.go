package server

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/internal/wsframe"
	"centrifugo/server/internal/app/apptest"
)

// each runs f for 0 to n-1 in a number of goroutines and reports the first errors.
func each(t *testing.T, n, goroutines int, f func(i int) error) {
	t.Helper()
	work := make(chan int)
	failed := make(chan error, n)
	var workers sync.WaitGroup
	for range goroutines {
		workers.Go(func() {
			for i := range work {
				if err := f(i); err != nil {
					failed <- fmt.Errorf("%d: %w", i, err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	workers.Wait()
	close(failed)
	count := 0
	for err := range failed {
		if count++; count <= 5 {
			t.Error(err)
		}
	}
	if count > 5 {
		t.Errorf("%d failed in all; want at most 5", count)
	}
}

// Ten thousand connections that never send connect are closed as stale and leave
// nothing behind.
func TestSilentFlood(t *testing.T) {
	t.Parallel()
	const clients = 10_000
	p := serve(t, strings.Replace(open, `"stale_close_delay": "1s"`, `"stale_close_delay": "8s"`, 1))
	before := p.warm()
	conns := make([]*apptest.Conn, clients)
	each(t, clients, 32, func(i int) (err error) {
		conns[i], err = apptest.Dialer{}.Dial(p.address)
		return err
	})
	if t.Failed() {
		return
	}
	// How many there are at once depends on the machine: on a slow one the first are
	// closed before the last come.
	during := p.figures()
	t.Logf("%.0f at once; a silent connection costs %.0f bytes of RSS", during.clients, (during.resident-before.resident)/max(during.clients, 1))
	p.roundTrip(t) // others are served meanwhile
	each(t, clients, 64, func(i int) error {
		defer func() { _ = conns[i].Close() }()
		if err := conns[i].SetDeadline(time.Now().Add(2 * apptest.Timeout)); err != nil {
			return err
		}
		if code, err := conns[i].WaitClosed(); code != 3502 {
			return fmt.Errorf("closed with %d: %w", code, err)
		}
		return nil
	})
	p.roundTrip(t)
	p.back(t, before)
	p.terminate()
}

// An idle server returns the memory of a burst to the operating system by itself.
func TestMemoryComesBack(t *testing.T) {
	t.Parallel()
	p := serve(t, open)
	before := p.warm()
	body := `{"channel":"large","data":"` + strings.Repeat("x", 9<<20) + `"}`
	// Few at a time: the server answers a request within its write timeout of 10 s,
	// which 32 of these exceed on a machine that is busy with other work.
	each(t, 200, 6, func(int) error {
		status, answer, err := apptest.Request(http.MethodPost, p.url("/api/publish"), body, http.Header{"X-Api-Key": {"k"}})
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("status %d, %.100s: %w", status, answer, err)
		}
		return nil
	})
	p.shrinks(t, before)
	p.terminate()
}

// Clients that connect, subscribe and disconnect in every way leave nothing behind.
func TestChurn(t *testing.T) {
	t.Parallel()
	const clients = 2000
	p := serve(t, open)
	before := p.warm()
	each(t, clients, 50, func(i int) error { return visit(p.address, i) })
	p.roundTrip(t)
	p.back(t, before)
	if answer := p.call("channels", `{}`); answer != `{"result":{"channels":{}}}` {
		t.Errorf("channels are left: %s; want %q", answer, `{"result":{"channels":{}}}`)
	}
	if answer := p.call("presence", `{"channel":"full:0"}`); answer != `{"result":{"presence":{}}}` {
		t.Errorf("presence is left: %s; want %q", answer, `{"result":{"presence":{}}}`)
	}
	p.terminate()
}

// visit is the life of one client.
func visit(address string, i int) error {
	c, err := apptest.Dialer{}.Dial(address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	commands := []string{
		`{"id":1,"connect":{}}`,
		fmt.Sprintf(`{"id":2,"subscribe":{"channel":"full:%d","recoverable":true}}`, i%10),
		fmt.Sprintf(`{"id":3,"subscribe":{"channel":"own%d"}}`, i),
		fmt.Sprintf(`{"id":4,"publish":{"channel":"full:%d","data":%d}}`, i%10, i),
	}
	if err := c.Text(strings.Join(commands, "\n")); err != nil {
		return err
	}
	if i%5 == 0 {
		return nil // gone before it was answered
	}
	for published := false; !published; {
		reply, err := next(c)
		if err != nil {
			return err
		}
		if strings.Contains(reply, `"error"`) {
			return errors.New(reply)
		}
		published = strings.Contains(reply, `"publish":{}`)
	}
	switch i % 5 {
	case 1: // an orderly end
		if err := c.Frame(wsframe.Fin|wsframe.Close, []byte("\x03\xE8")); err != nil {
			return err
		}
		_, err := c.WaitClosed()
		return err
	case 2: // a reset
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			return tcp.SetLinger(0)
		}
	case 3: // by breaking the protocol
		if err := c.Text("nonsense"); err != nil {
			return err
		}
		if code, err := c.WaitClosed(); code != 3501 {
			return fmt.Errorf("closed with %d: %w", code, err)
		}
	}
	return nil // the rest just closes the socket
}

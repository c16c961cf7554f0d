package centrifuge_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// TestConnect: a decoded request connects a connection of any kind, once.
func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := allow(centrifuge.SubscribeOptions{})
		var got atomic.Pointer[centrifuge.ConnectingEvent]
		handlers.Connecting = func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			got.Store(&e)
			return centrifuge.ConnectingReply{Subscriptions: map[string]centrifuge.SubscribeOptions{"srv": {}}}, nil
		}
		s := newSite(t, centrifuge.Config{}, handlers)
		for _, test := range []struct {
			name  string
			info  centrifuge.TransportInfo
			reply string
		}{
			{"unidirectional", centrifuge.TransportInfo{Unidirectional: true, Generation: centrifuge.GenerationV2}, `{"connect":{"client":"`},
			{"emulated", centrifuge.TransportInfo{Emulation: true, Generation: centrifuge.GenerationV2}, `{"id":1,"connect":{"client":"`},
			{"any generation", centrifuge.TransportInfo{}, `{"id":1,"connect":{"client":"`},
		} {
			p := s.dial(jsonV2, test.info, "u")
			request := &protocol.ConnectRequest{Token: "t", Name: "n", Subs: map[string]*protocol.SubscribeRequest{"a": {}}}
			if !p.Client.Conn().Connect(request) {
				t.Errorf("%s: Connect = false; want true", test.name)
			}
			synctest.Wait()
			line, _ := p.Next()
			if !strings.HasPrefix(string(line), test.reply) {
				t.Errorf("%s: received %s; want %s", test.name, line, test.reply)
			}
			if e := got.Load(); e == nil || e.Token != "t" || e.Name != "n" || len(e.Channels) != 1 {
				t.Errorf("%s: Connecting got %+v; want what was requested", test.name, e)
			}
			s.publish("srv", `1`, centrifuge.PublishOptions{})
			synctest.Wait()
			if line, _ := p.Next(); !strings.Contains(string(line), `"pub":{"data":1}`) {
				t.Errorf("%s: received %s; want the publication", test.name, line)
			}
			if p.Client.Conn().Connect(request) {
				t.Errorf("%s: second Connect = true; want false", test.name)
			}
			if why := p.Closed(); why != centrifuge.DisconnectBadRequest {
				t.Errorf("%s: closed with %v; want %v", test.name, why, centrifuge.DisconnectBadRequest)
			}
			if p.Client.Conn().Connect(request) {
				t.Errorf("%s: Connect of a closed connection = true; want false", test.name)
			}
		}
		p := s.dial(jsonV2, centrifuge.TransportInfo{Unidirectional: true}, "u")
		p.Client.Conn().Receive(nil) // no request
		p.Cut()
	})
}

// stubborn is a Blocking transport whose calls return when released, whatever happens.
type stubborn struct {
	release chan struct{}
	ctx     atomic.Pointer[context.Context] // of the last Write
	closes  atomic.Int32
	pings   atomic.Int32
	writing atomic.Int32
	overlap atomic.Bool
}

// Info implements centrifuge.Transport.
func (*stubborn) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{Name: "stubborn", Generation: centrifuge.GenerationV2, Blocking: true, NativePing: true}
}

func (s *stubborn) wait() {
	if s.writing.Add(1) > 1 || s.closes.Load() > 0 {
		s.overlap.Store(true)
	}
	defer s.writing.Add(-1)
	<-s.release
}

// Write implements centrifuge.Transport.
func (s *stubborn) Write(ctx context.Context, _ []*protocol.Encoded) (int, error) {
	s.ctx.Store(&ctx)
	s.wait()
	return 0, ctx.Err()
}

// Ping implements centrifuge.Transport.
func (s *stubborn) Ping() error {
	s.pings.Add(1)
	s.wait()
	return nil
}

// Resume implements centrifuge.Transport.
func (*stubborn) Resume() {}

// Close implements centrifuge.Transport.
func (s *stubborn) Close(uint32, string) { s.closes.Add(1) }

// spinning is a Blocking transport whose writes return at the very moment at which their
// context ends.
type spinning struct{ writing chan struct{} }

// Info implements centrifuge.Transport.
func (spinning) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{Name: "spinning", Generation: centrifuge.GenerationV2, Blocking: true}
}

// Write implements centrifuge.Transport.
func (s spinning) Write(ctx context.Context, _ []*protocol.Encoded) (int, error) {
	close(s.writing)
	for ctx.Err() == nil { //nolint:revive // to be no later than the goroutine that ends it
	}
	return 0, ctx.Err()
}

// Ping implements centrifuge.Transport.
func (spinning) Ping() error { return nil }

// Resume implements centrifuge.Transport.
func (spinning) Resume() {}

// Close implements centrifuge.Transport.
func (spinning) Close(uint32, string) {}

// TestPeerLeavesDuringWrite: the connection ends because the peer has left, and not
// because the write then fails.
func TestPeerLeavesDuringWrite(t *testing.T) {
	codes := make(chan uint32, 1)
	handlers := allow(centrifuge.SubscribeOptions{})
	handlers.Disconnected = func(_ context.Context, e centrifuge.DisconnectedEvent) { codes <- e.Disconnect.Code }
	s := newSite(t, centrifuge.Config{}, handlers)
	for i := range 500 {
		tr := spinning{writing: make(chan struct{})}
		c, err := s.Accept(centrifuge.SetCredentials(t.Context(), &centrifuge.Credentials{}), tr)
		must(t, err)
		c.Receive([]byte(`{"id":1,"connect":{}}`))
		<-tr.writing
		c.Closed(nil)
		if got, want := <-codes, centrifuge.DisconnectConnectionClosed.Code; got != want {
			t.Fatalf("connection %d has ended with %d; want %d", i, got, want)
		}
	}
}

// TestStuckWriter: however a connection ends while its write is stuck, Close is called
// in time, the context of the write ends, and Shutdown reports the write until it returns.
func TestStuckWriter(t *testing.T) {
	const writeTimeout = time.Second
	for _, test := range []struct {
		name   string
		ends   func(s *site, c *centrifuge.Conn)
		closed time.Duration // when Close must have been called
		ctx    time.Duration // when the context must have ended
	}{
		{"write timeout", func(*site, *centrifuge.Conn) {}, writeTimeout + 500*time.Millisecond, writeTimeout + 500*time.Millisecond},
		{"without flush", func(s *site, _ *centrifuge.Conn) {
			for range 5 { // more than QueueSize
				s.publish("a", `"`+strings.Repeat("x", 900)+`"`, centrifuge.PublishOptions{})
				synctest.Wait() // otherwise the lane queues them at once, as one message
			}
		}, 0, writeTimeout},
		{"with flush", func(_ *site, c *centrifuge.Conn) { c.Client().Disconnect(centrifuge.DisconnectForceReconnect) }, writeTimeout, writeTimeout},
		{"peer left", func(_ *site, c *centrifuge.Conn) { c.Closed(nil) }, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{QueueSize: 1000, WriteTimeout: writeTimeout}, allow(centrifuge.SubscribeOptions{}))
				tr := &stubborn{release: make(chan struct{})}
				c, err := s.Accept(centrifuge.SetCredentials(t.Context(), &centrifuge.Credentials{}), tr)
				must(t, err)
				go func() { tr.release <- struct{}{} }() // the reply to connect
				c.Receive([]byte(`{"id":1,"connect":{}}`))
				synctest.Wait()
				c.Receive([]byte(subscribeA))
				synctest.Wait()
				test.ends(s, c)
				time.Sleep(test.closed)
				synctest.Wait()
				if n := tr.closes.Load(); n != 1 {
					t.Errorf("Close was called %d times after %v; want once", n, test.closed)
				}
				time.Sleep(test.ctx - test.closed)
				synctest.Wait()
				if (*tr.ctx.Load()).Err() == nil {
					t.Errorf("the context of the write has not ended after %v; want it ended", test.ctx)
				}
				select {
				case <-c.Done():
					t.Error("Done is closed while a write runs; want it open")
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 connections are left") {
					t.Errorf("Shutdown = %v; want %v and the number of connections", err, context.DeadlineExceeded)
				}
				close(tr.release)
				synctest.Wait()
				<-c.Done()
				if n := s.NumClients(); n != 0 || tr.closes.Load() != 1 || tr.overlap.Load() {
					t.Errorf("%d connections, %d calls of Close, calls overlapped or came late: %v; want 0, 1, false", n, tr.closes.Load(), tr.overlap.Load())
				}
				s.logged()
			})
		})
	}
}

// TestPingOfBlockingTransport: pings and writes do not overlap, and a ping that is stuck
// ends the connection.
func TestPingOfBlockingTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{PongTimeout: -1}, allow(centrifuge.SubscribeOptions{}))
		tr := &stubborn{release: make(chan struct{})}
		c, err := s.Accept(centrifuge.SetCredentials(t.Context(), &centrifuge.Credentials{}), tr)
		must(t, err)
		go func() {
			for range 5 { // the reply to connect, two pings, two replies
				tr.release <- struct{}{}
			}
		}()
		c.Receive([]byte(`{"id":1,"connect":{}}`))
		time.Sleep(50 * time.Second)
		synctest.Wait() // the second ping is due at this very moment
		if n := tr.pings.Load(); n != 2 {
			t.Errorf("%d pings after two intervals; want 2", n)
		}
		c.Receive([]byte(`{"id":2,"rpc":{}}`))
		synctest.Wait()
		c.Receive([]byte(`{"id":3,"rpc":{}}`))
		synctest.Wait()
		time.Sleep(30 * time.Second)
		if n, closes := tr.pings.Load(), tr.closes.Load(); n != 3 || closes != 1 || tr.overlap.Load() {
			t.Errorf("%d pings, %d calls of Close, overlap %v; want 3, 1, false: the third ping is stuck", n, closes, tr.overlap.Load())
		}
		close(tr.release)
		<-c.Done()
		s.logged()
	})
}

package websocket

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
)

// BenchmarkBesideErrors measures how long a command of a good client takes while
// ten others send 100,000 commands a second that fail, 50 in a message. The time of
// an operation includes the pause before it; p50 and p99 do not.
//
//	go test -run xxx -bench BesideErrors -benchtime 2000x ./centrifuge/transport/websocket
func BenchmarkBesideErrors(b *testing.B) {
	for _, attackers := range []int{0, 10} {
		b.Run(fmt.Sprintf("attackers=%d", attackers), func(b *testing.B) { benchmarkBesideErrors(b, attackers) })
	}
}

func benchmarkBesideErrors(b *testing.B, attackers int) {
	const perMessage, pause = 50, 2 * time.Millisecond
	const every = time.Second * perMessage * 10 / 100_000 // of each attacker
	s := newFloodedServer(b, centrifuge.Handlers{
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied
		},
		RPC: func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: []byte(`1`)}, nil
		},
	}, centrifuge.Config{})
	good := s.connect(b)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range attackers {
		p := s.connect(b)
		flood := frame(finText, strings.Repeat(`{"id":2,"subscribe":{"channel":"a"}}`+"\n", perMessage))
		all.Go(func() { _, _ = io.Copy(io.Discard, p.r) })
		all.Go(func() {
			defer func() { _ = p.Close() }()
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for {
				select {
				case <-stop:
					return
				case <-ticker.C:
				}
				_ = p.SetWriteDeadline(time.Now().Add(time.Second)) // the server may have stopped reading
				if _, err := p.Write(flood); err != nil {
					<-stop
					return
				}
			}
		})
	}
	var took []time.Duration
	next := time.NewTicker(pause)
	defer next.Stop()
	for b.Loop() {
		<-next.C
		begin := time.Now()
		good.send(frame(finText, `{"id":9,"rpc":{}}`))
		if _, _, err := good.message(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	close(stop)
	all.Wait()
	reportQuantiles(b, took)
}

// floodedServer is a server of a node for benchmarks beside a flood.
type floodedServer struct {
	*server
	node *centrifuge.Node
}

// newFloodedServer starts a server that admits everyone. It ends with the benchmark.
func newFloodedServer(b *testing.B, handlers centrifuge.Handlers, config centrifuge.Config) *floodedServer {
	b.Helper()
	handlers.Connecting = func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
		return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{}}, nil
	}
	config.Handlers, config.LogLevel = handlers, centrifuge.LogNone
	node, err := centrifuge.New(config)
	if err != nil {
		b.Fatal(err)
	}
	if err := node.Run(); err != nil {
		b.Fatal(err)
	}
	s := &floodedServer{&server{handler: NewHandler(node, Config{})}, node}
	s.http = httptest.NewServer(s.handler)
	b.Cleanup(func() {
		_ = node.Shutdown(context.Background())
		s.handler.Close()
		s.http.Close()
	})
	return s
}

// connect opens a connection and sends commands behind the connect, each of which is
// answered with a message of its own.
func (s *floodedServer) connect(b *testing.B, commands ...string) *peer {
	b.Helper()
	p := s.dialRaw(b, handshake("/"))
	for _, command := range append([]string{`{"id":1,"connect":{}}`}, commands...) {
		p.send(frame(finText, command))
		if _, _, err := p.message(); err != nil {
			b.Fatal(err)
		}
	}
	_ = p.SetDeadline(time.Time{}) // send has set one
	return p
}

func reportQuantiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkBesideFlood measures how long a publication takes from Node.Publish to a
// subscriber of its channel, while other connections of the same lane publish into
// channels of their own as fast as they can write, and read what they are sent. The time
// of an operation includes the pause before it; p50 and p99 do not.
//
//	go test -run xxx -bench BesideFlood -benchtime 1000x ./centrifuge/transport/websocket
func BenchmarkBesideFlood(b *testing.B) {
	for _, flooders := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("flooders=%d", flooders), func(b *testing.B) { benchmarkBesideFlood(b, flooders) })
	}
}

func benchmarkBesideFlood(b *testing.B, flooders int) {
	const pause, size, perMessage = 2 * time.Millisecond, 512, 32
	s := newFloodedServer(b, centrifuge.Handlers{
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{}, nil
		},
		Publish: func(context.Context, centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
			return centrifuge.PublishReply{}, nil
		},
	}, centrifuge.Config{Lanes: 1, PingInterval: -1, QueueSize: 64 << 20, QueueTotalSize: 512 << 20})
	quiet := s.connect(b, `{"id":2,"subscribe":{"channel":"quiet"}}`)
	var all sync.WaitGroup
	peers := make([]*peer, flooders)
	for i := range peers {
		p := s.connect(b, fmt.Sprintf(`{"id":2,"subscribe":{"channel":"flood%d"}}`, i))
		command := fmt.Sprintf(`{"id":3,"publish":{"channel":"flood%d","data":"%s"}}`+"\n", i, strings.Repeat("x", size))
		flood := frame(finText, strings.Repeat(command, perMessage))
		peers[i] = p
		all.Go(func() { _, _ = io.Copy(io.Discard, p.r) })
		all.Go(func() {
			for { // until the connection is closed below
				if _, err := p.Write(flood); err != nil {
					return
				}
			}
		})
	}
	var took []time.Duration
	next := time.NewTicker(pause)
	defer next.Stop()
	started, before := time.Now(), s.node.Stats().PublicationsSent
	for b.Loop() {
		<-next.C
		begin := time.Now()
		if _, err := s.node.Publish(b.Context(), "quiet", []byte(`1`), centrifuge.PublishOptions{}); err != nil {
			b.Fatal(err)
		}
		if _, _, err := quiet.message(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	flooded := float64(s.node.Stats().PublicationsSent-before) - float64(len(took))
	lasted := time.Since(started)
	if n := s.node.NumClients(); n != flooders+1 {
		b.Fatalf("%d connections are left, want %d: a flooder was closed", n, flooders+1)
	}
	for _, p := range peers {
		_ = p.Close()
	}
	all.Wait()
	reportQuantiles(b, took)
	b.ReportMetric(flooded/lasted.Seconds(), "flood/s")
}

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
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		b.Fatal(err)
	}
	node.Handle(centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{}}, nil
		},
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied
		},
		RPC: func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: []byte(`1`)}, nil
		},
	})
	if err := node.Run(); err != nil {
		b.Fatal(err)
	}
	s := &server{handler: NewHandler(node, Config{})}
	s.http = httptest.NewServer(s.handler)
	defer func() {
		_ = node.Shutdown(context.Background())
		s.handler.Close()
		s.http.Close()
	}()
	connect := func() *peer {
		p := s.dialRaw(b, handshake("/"))
		_ = p.SetDeadline(time.Time{})
		p.send(frame(finText, `{"id":1,"connect":{}}`))
		if _, _, err := p.message(); err != nil {
			b.Fatal(err)
		}
		return p
	}
	good := connect()
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range attackers {
		p := connect()
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
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

//go:build linux

package main

import (
	"fmt"
	"io"
	"log"
	"time"

	"centrifugo/bench/load"
)

// measurement is one run of the program.
type measurement struct {
	server, floor, dir string
	rounds             int
	length             time.Duration
}

const (
	channel     = "bench"
	subscribers = 1000
	payload     = 128 // bytes
)

// configuration of the server: defaults, with what the load needs to get in.
const configuration = `{"client":{"allow_anonymous_connect_without_token":true},
"channel":{"without_namespace":{"allow_subscribe_for_client":true,"allow_subscribe_for_anonymous":true}%s},
"http_api":{"insecure":true},"health":{"enabled":true}}`

// positioned adds what makes every subscription recoverable.
const positioned = `,"namespaces":[{"name":"hist","allow_subscribe_for_client":true,"allow_subscribe_for_anonymous":true,
"history_size":100,"history_ttl":"60s","force_recovery":true}]`

// idle measures what a connection costs that does nothing.
func (m *measurement) idle(w io.Writer) error {
	const connections = 10_000
	var each []float64
	for range m.rounds {
		p, err := m.startServer("")
		if err != nil {
			return err
		}
		before, err := p.rss()
		if err != nil {
			return err
		}
		fleet, err := load.Connect(p.addr, connections, func(int) string { return channel })
		if err != nil {
			return fmt.Errorf("connecting %d clients: %w", connections, err)
		}
		time.Sleep(3 * time.Second) // the collector has been round
		after, err := p.rss()
		if err != nil {
			return err
		}
		each = append(each, float64(after-before)/connections)
		log.Printf("idle: %.0f bytes each", each[len(each)-1])
		fleet.Close()
		p.stop()
	}
	_, err := fmt.Fprintf(w, "## Idle connections\n\n%d WebSocket connections with one subscription each, default configuration, 3 s after the last has subscribed.\n\n| | bytes |\n|---|---|\n| resident memory per connection (what the process grew by) | %.0f |\n\n", connections, median(each))
	return err
}

// run is what one paced or saturated run cost.
type figures struct{ cpu, user, p50, p99, rate []float64 }

func (f *figures) add(r load.Result, spent cpuTime, d time.Duration) {
	n := float64(r.Deliveries)
	f.cpu = append(f.cpu, float64(spent.total().Microseconds())/n)
	f.user = append(f.user, float64(spent.user.Microseconds())/n)
	f.p50 = append(f.p50, float64(r.P50.Microseconds())/1000)
	f.p99 = append(f.p99, float64(r.P99.Microseconds())/1000)
	f.rate = append(f.rate, n/d.Seconds())
}

func (f *figures) row(w io.Writer, name string, floor *figures) error {
	_, err := fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2fx | %.1f / %.1f | %.0f |\n",
		name, median(f.cpu), median(f.user), median(f.cpu)/median(floor.cpu), median(f.p50), median(f.p99), median(f.rate))
	return err
}

const tableHead = "| | CPU µs per delivery | of it user | to the floor | p50 / p99 ms | deliveries/s |\n|---|---|---|---|---|---|\n"

// fanout compares the server with the floor at an even rate.
func (m *measurement) fanout(w io.Writer) error {
	var floor, plain, recovery figures
	for range m.rounds {
		for _, side := range []struct {
			name    string
			start   func() (*process, error)
			channel string
			into    *figures
		}{
			{"floor", m.startFloor, channel, &floor},
			{"server", func() (*process, error) { return m.startServer("") }, channel, &plain},
			{"positioned", func() (*process, error) { return m.startServer(positioned) }, "hist:bench", &recovery},
		} {
			p, err := side.start()
			if err != nil {
				return err
			}
			if err := m.paced(p, side.channel, side.into); err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
			log.Printf("fanout %s: %.2f µs", side.name, side.into.cpu[len(side.into.cpu)-1])
			p.stop()
		}
	}
	if _, err := fmt.Fprintf(w, "## Fan-out, 100 publications a second to %d subscribers\n\nPayload %d bytes, JSON, published over HTTP, evenly spaced, %v a round. The floor is a bare loop of write(2) over the same sockets (bench/floor).\n\n%s", subscribers, payload, m.length, tableHead); err != nil {
		return err
	}
	for _, row := range []struct {
		name string
		f    *figures
	}{{"floor", &floor}, {"server", &plain}, {"server, with history and recovery", &recovery}} {
		if err := row.f.row(w, row.name, &floor); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

func (m *measurement) paced(p *process, channel string, into *figures) error {
	fleet, err := load.Connect(p.addr, subscribers, func(int) string { return channel })
	if err != nil {
		return err
	}
	defer fleet.Close()
	publisher := load.NewPublisher(p.addr, payload)
	if _, err := publisher.Paced(channel, 100, time.Second); err != nil { // warm
		return err
	}
	settle(fleet)
	fleet.Take()
	before, err := p.cpu()
	if err != nil {
		return err
	}
	published, err := publisher.Paced(channel, 100, m.length)
	if err != nil {
		return err
	}
	settle(fleet)
	after, err := p.cpu()
	if err != nil {
		return err
	}
	r := fleet.Take()
	if r.Gaps+r.Duplicates+r.Closed > 0 || r.Deliveries != published*subscribers {
		return fmt.Errorf("%d published, but %+v", published, r)
	}
	into.add(r, after.minus(before), m.length)
	return nil
}

// saturated shows how publications share writes when there is no pause.
func (m *measurement) saturated(w io.Writer) error {
	const publishers = 32
	var f figures
	for range m.rounds {
		p, err := m.startServer("")
		if err != nil {
			return err
		}
		fleet, err := load.Connect(p.addr, subscribers, func(int) string { return channel })
		if err != nil {
			return err
		}
		publisher := load.NewPublisher(p.addr, payload)
		before, err := p.cpu()
		if err != nil {
			return err
		}
		start := time.Now()
		published, err := publisher.Saturated(channel, publishers, m.length/2)
		if err != nil {
			return err
		}
		settle(fleet)
		took := time.Since(start)
		after, err := p.cpu()
		if err != nil {
			return err
		}
		r := fleet.Take()
		if r.Closed > 0 || r.Deliveries != published*subscribers {
			return fmt.Errorf("saturated: %d published, but %+v", published, r)
		}
		f.add(r, after.minus(before), took)
		log.Printf("saturated: %.2f µs, %.0f deliveries/s", f.cpu[len(f.cpu)-1], f.rate[len(f.rate)-1])
		fleet.Close()
		p.stop()
	}
	_, err := fmt.Fprintf(w, "## Fan-out, saturated\n\n%d publishers without a pause, %d subscribers; nothing lost.\n\n| CPU µs per delivery | of it user | p50 / p99 ms | deliveries/s |\n|---|---|---|---|\n| %.2f | %.2f | %.1f / %.1f | %.0f |\n",
		publishers, subscribers, median(f.cpu), median(f.user), median(f.p50), median(f.p99), median(f.rate))
	return err
}

// settle waits until nothing more arrives.
func settle(f *load.Fleet) {
	for last := uint64(0); ; {
		time.Sleep(300 * time.Millisecond)
		n := f.Deliveries()
		if n == last {
			return
		}
		last = n
	}
}

package redisengine_test

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/await"
	"centrifugo/internal/memtest"
	"centrifugo/internal/redistest"
)

// cpu returns the processor time that a server has used.
func cpu(b *testing.B, s *redistest.Server) (total time.Duration) {
	b.Helper()
	for line := range strings.Lines(s.Text("INFO", "cpu")) {
		for _, field := range []string{"used_cpu_user:", "used_cpu_sys:"} {
			if text, found := strings.CutPrefix(strings.TrimSpace(line), field); found {
				seconds, err := strconv.ParseFloat(text, 64)
				if err != nil {
					b.Fatal(err)
				}
				total += time.Duration(seconds * float64(time.Second))
			}
		}
	}
	return total
}

// benchmarkFloor has the tool of Redis publish as BenchmarkPublish does without history.
func benchmarkFloor(b *testing.B, pipeline int) {
	s := redistest.Start(b)
	payload := strings.Repeat("x", 128)
	before := cpu(b, s)
	b.ResetTimer()
	output, err := exec.CommandContext(b.Context(), "redis-benchmark", "-p", strconv.Itoa(s.Port), "-c", "1", "-P", strconv.Itoa(pipeline), "-n", strconv.Itoa(b.N), //nolint:gosec // of this test
		"-r", "10000", "-q", "PUBLISH", "channel:__rand_int__", payload).CombinedOutput()
	b.StopTimer()
	if err != nil {
		b.Fatalf("redis-benchmark: %v: %s", err, output)
	}
	b.ReportMetric(float64((cpu(b, s)-before).Microseconds())/float64(b.N), "redis-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

// BenchmarkPublish publishes 128 bytes from 256 goroutines into unique channels. It reports
// the processor time of the server and of this process for one publication, beside what
// the tool of Redis makes the server spend.
func BenchmarkPublish(b *testing.B) {
	kept := centrifuge.PublishOptions{HistorySize: 10, HistoryTTL: time.Minute}
	delta, once := kept, kept
	delta.UseDelta = true
	once.IdempotencyKey = "key"
	for _, pipeline := range []int{16, 64} {
		b.Run(fmt.Sprintf("redis-benchmark/%d", pipeline), func(b *testing.B) { benchmarkFloor(b, pipeline) })
	}
	for _, c := range []struct {
		name string
		opts centrifuge.PublishOptions
	}{{"plain", centrifuge.PublishOptions{}}, {"history", kept}, {"delta", delta}, {"idempotency", once}} {
		b.Run(c.name, func(b *testing.B) {
			s := redistest.Start(b)
			r, err := redisengine.New(redisengine.Config{Shards: []redisengine.ShardConfig{{Address: s.Address()}}})
			if err != nil {
				b.Fatal(err)
			}
			broker := redisengine.NewBroker(r, redisengine.BrokerConfig{})
			if err := broker.Start(&receiver{}); err != nil {
				b.Fatal(err)
			}
			defer func() { _ = broker.Close(context.Background()) }()
			await.Until(b, "the broker to be healthy", func() bool { return broker.Health() == nil })
			data := []byte(`"` + strings.Repeat("x", 126) + `"`)
			var number atomic.Int64
			before, own := cpu(b, s), memtest.CPU(b)
			b.SetParallelism(128)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := number.Add(1)
					opts := c.opts
					if opts.IdempotencyKey != "" {
						opts.IdempotencyKey = strconv.FormatInt(n, 10)
					}
					if _, err := broker.Publish(context.Background(), fmt.Sprintf("channel:%d", n%10_000), &centrifuge.Publication{Data: data}, opts); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64((cpu(b, s)-before).Microseconds())/float64(b.N), "redis-µs/op")
			b.ReportMetric(float64((memtest.CPU(b)-own).Microseconds())/float64(b.N), "node-µs/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
		})
	}
}

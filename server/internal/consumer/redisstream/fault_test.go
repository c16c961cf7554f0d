package redisstream_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/redistest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"
)

// Each stream is read by one worker of a node, in order. With a second node entries go to
// either, and what a killed one has read comes again after the visibility timeout.
func TestFaults(t *testing.T) {
	const streams = 2
	consumertest.Faults(t, func(t *testing.T) consumertest.Subject {
		server := redistest.StartDurable(t)
		names := []string{"s0", "s1"}
		return consumertest.Subject{
			Config: func(node string) any {
				o := options(server, func(c *config.RedisStreamConsumer) { c.Streams, c.VisibilityTimeout = names, 5*time.Second })
				o.Node = node
				return o
			},
			Partitions: streams, Batch: 64, UnorderedShared: true,
			Send: func(partition, from, to int) error {
				return send(server.Address(), names[partition], partition, from, to)
			},
			Stop: server.Kill, Start: server.Restart,
			Waiting: func() (int, error) { return waiting(server.Address(), names) },
		}
	})
}

// send adds entries whose ids are their numbers, so that one is not added twice.
func send(address, stream string, partition, from, to int) error {
	for n := from; n < to; n++ {
		_, err := redistest.Call(address, "XADD", stream, strconv.Itoa(n+1)+"-0", "method", "publish", "payload", consumertest.Request(partition, n))
		if err != nil && !strings.Contains(err.Error(), "equal or smaller") {
			return err
		}
	}
	return nil
}

// waiting returns how many entries are not read or not acknowledged.
func waiting(address string, streams []string) (entries int, err error) {
	for _, stream := range streams {
		groups, err := redistest.Call(address, "XINFO", "GROUPS", stream)
		if err != nil {
			return 0, err
		}
		list, _ := groups.([]any)
		if len(list) != 1 {
			return 0, fmt.Errorf("%d groups", len(list))
		}
		facts, _ := list[0].([]any)
		found := 0
		for i := 0; i+1 < len(facts); i += 2 {
			if facts[i] == "pending" || facts[i] == "lag" {
				n, _ := facts[i+1].(int64)
				entries += int(n)
				found++
			}
		}
		if found != 2 {
			return 0, errors.New("the group tells no lag")
		}
	}
	return entries, nil
}

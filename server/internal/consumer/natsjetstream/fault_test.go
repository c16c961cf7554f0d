package natsjetstream_test

import (
	"fmt"
	"testing"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"
)

// With max_ack_pending 1 the order is kept whatever happens, also by two nodes together. With
// more, messages that a killed node had in work come again behind later ones.
func TestFaults(t *testing.T) {
	for _, pending := range []int{1, 100} {
		t.Run(fmt.Sprintf("max_ack_pending %d", pending), func(t *testing.T) {
			consumertest.Faults(t, func(t *testing.T) consumertest.Subject {
				b := startBroker(t, nil)
				return consumertest.Subject{
					Config: func(string) any {
						o := b.config(func(c *config.NATSJetStreamConsumer) { c.MaxAckPending = pending })
						o.AckWait = 2 * time.Second
						return o
					},
					Partitions: 1, Batch: min(pending, 64), Unordered: pending > 1,
					Send: b.publish, Stop: b.stop, Start: b.start, Waiting: b.waiting,
				}
			})
		})
	}
}

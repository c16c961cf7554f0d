package kafka_test

import (
	"testing"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"
)

func TestFaults(t *testing.T) {
	const partitions = 3
	consumertest.Faults(t, func(t *testing.T) consumertest.Subject {
		b := startBroker(t, partitions)
		sent := make(map[[2]int]bool)
		return consumertest.Subject{
			Config:     func(string) any { return b.config(func(c *config.KafkaConsumer) { c.MaxPollRecords = 50 }) },
			Partitions: partitions, Batch: 50,
			// The client of the producer repeats without duplicates by itself.
			Send: func(partition, from, to int) error {
				if sent[[2]int{partition, from}] {
					return nil
				}
				err := b.produce(commands(partition, from, to)...)
				sent[[2]int{partition, from}] = err == nil
				return err
			},
			Stop: b.stop, Start: b.start, Waiting: b.waiting,
		}
	})
}

package azureservicebus_test

import (
	"fmt"
	"testing"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"

	sdk "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Sessions are in order whatever happens. Without them, messages that a killed node had in work come
// again when their locks have expired.
func TestFaults(t *testing.T) {
	for _, sessions := range []bool{true, false} {
		t.Run(fmt.Sprintf("sessions %v", sessions), func(t *testing.T) {
			consumertest.Faults(t, func(t *testing.T) consumertest.Subject {
				// Locks last longer than a loaded machine may stand still. Those of a killed node are waited
				// for without sessions; with them they end with the connection, as a rule.
				lock, queue, partitions := 10*time.Second, "a", 1
				if sessions {
					lock, queue, partitions = 20*time.Second, "sessions", 2
				}
				s := start(t, lock)
				return consumertest.Subject{
					Config: func(string) any {
						return options(s.ConnectionString("secret"), func(c *config.AzureServiceBusConsumer) {
							c.Queues, c.UseSessions, c.MaxConcurrentCalls = []string{queue}, sessions, partitions
						})
					},
					Partitions: partitions, Batch: 10, Unordered: !sessions,
					Send: func(partition, from, to int) error {
						session := fmt.Sprint(partition)
						var messages []*sdk.Message
						for n := from; n < to; n++ {
							id := fmt.Sprintf("%d-%d", partition, n) // the broker keeps one with the same id once
							messages = append(messages, &sdk.Message{Body: []byte(consumertest.Command(partition, n)), MessageID: &id, SessionID: &session})
						}
						return s.trySend(queue, messages...)
					},
					Stop: s.Kill, Start: s.Restart,
					Waiting: func() (int, error) { return s.waiting(queue) },
				}
			})
		})
	}
}

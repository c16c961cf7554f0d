package postgresql_test

import (
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/nettest"
	"centrifugo/internal/pgtest"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"
)

// A database that acknowledges nothing is given up, also while a statement is under way: the
// kernel would wait for a quarter of an hour.
func TestSilentNetwork(t *testing.T) {
	server := pgtest.Start(t)
	d := create(t, server, "silent", table)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port))
	own := len(nettest.UserTimeouts(t, address))
	consumertest.Start(t, d.source(func(c *config.PostgreSQLConsumer) { c.PartitionNotificationChannel = "changed" }), new(apitest.Node))
	var all, limited []time.Duration
	await.Until(t, "connections for rows and for notifications", func() bool {
		all = nettest.UserTimeouts(t, address)
		limited = slices.DeleteFunc(slices.Clone(all), func(d time.Duration) bool { return d != 20*time.Second })
		return len(limited) >= 2
	})
	if len(limited) != len(all)-own {
		t.Errorf("%d of %d connections give up after 20 s; want all of the source", len(limited), len(all)-own)
	}
}

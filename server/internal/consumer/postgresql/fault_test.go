package postgresql_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/pgtest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer/consumertest"

	"github.com/jackc/pgx/v5"
)

func TestFaults(t *testing.T) {
	const partitions = 3
	for _, try := range []bool{false, true} {
		t.Run(fmt.Sprintf("use_try_lock %v", try), func(t *testing.T) {
			consumertest.Faults(t, func(t *testing.T) consumertest.Subject {
				server := pgtest.Start(t)
				d := connect(t, server.DSN())
				d.exec(table)
				d.exec("CREATE UNIQUE INDEX ON outbox (partition, (payload->'data'))")
				_ = d.conn.Close(t.Context())
				return consumertest.Subject{
					Config: func(string) any {
						return d.options(func(c *config.PostgreSQLConsumer) {
							c.NumPartitions, c.PartitionSelectLimit, c.UseTryLock = partitions, 50, try
							c.PartitionPollInterval, c.PartitionNotificationChannel = 100*time.Millisecond, "outbox_changed"
						})
					},
					Partitions: partitions, Batch: 50,
					Send:  func(partition, from, to int) error { return send(server, partition, from, to) },
					Stop:  server.Stop,
					Start: server.Restart,
					Waiting: func() (n int, err error) {
						err = with(server, func(conn *pgx.Conn) error {
							return conn.QueryRow(context.Background(), "SELECT count(*) FROM outbox").Scan(&n)
						})
						return n, err
					},
				}
			})
		})
	}
}

// send inserts rows in one transaction, as an application does. A marker tells whether an
// earlier attempt has succeeded.
func send(server *pgtest.Server, partition, from, to int) error {
	return with(server, func(conn *pgx.Conn) error {
		ctx := context.Background()
		if _, err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS sent (portion TEXT PRIMARY KEY)"); err != nil {
			return err
		}
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, "INSERT INTO sent VALUES ($1) ON CONFLICT DO NOTHING", fmt.Sprint(partition, " ", from))
			if err != nil || tag.RowsAffected() == 0 {
				return err
			}
			var rows []string
			for n := from; n < to; n++ {
				rows = append(rows, fmt.Sprintf("('publish', '%s', %d)", consumertest.Request(partition, n), partition))
			}
			_, err = tx.Exec(ctx, "INSERT INTO outbox (method, payload, partition) VALUES "+strings.Join(rows, ", ")+
				fmt.Sprintf("; SELECT pg_notify('outbox_changed', '%d')", partition), pgx.QueryExecModeSimpleProtocol)
			return err
		})
	})
}

// with connects for one call.
func with(server *pgtest.Server, do func(conn *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.DSN())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return do(conn)
}

package postgresql

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"centrifugo/server/internal/consumer"

	"github.com/jackc/pgx/v5"
)

// listen wakes partitions when the database notifies of new rows. The payload of a
// notification is the number of a partition; an empty one wakes all.
func (s *Source) listen(ctx context.Context, p *consumer.Processor, partitions []*partition) error {
	conn, err := pgx.ConnectConfig(ctx, s.notifications.Copy())
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	channel := pgx.Identifier{s.config.PartitionNotificationChannel}.Sanitize()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("subscribing to %s: %w", channel, err)
	}
	wakeAll(partitions) // for what was missed before
	for {
		n, err := conn.WaitForNotification(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("waiting for a notification: %w", err)
		}
		number, err := strconv.Atoi(n.Payload)
		switch {
		case n.Payload == "":
			wakeAll(partitions)
		case err != nil || number < 0 || number >= len(partitions):
			p.Warn("notification names no partition", "value", fmt.Sprintf("%.32q", n.Payload), "partitions", len(partitions))
		default:
			partitions[number].awake()
		}
	}
}

func wakeAll(partitions []*partition) {
	for _, q := range partitions {
		q.awake()
	}
}

// awake makes run look for rows. It does not block.
func (q *partition) awake() {
	select {
	case q.wake <- struct{}{}:
	default: // it will look anyway
	}
}

package postgresql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Bounds of the configuration.
const (
	maxPartitions  = 1024
	maxSelectLimit = 100_000
)

// connectTimeout bounds an attempt to connect unless the connection string does.
const connectTimeout = 10 * time.Second

// lagInterval is how often the waiting messages are counted, and lagLimit how many at most.
const (
	lagInterval = 10 * time.Second
	lagLimit    = 100_000
)

// Options of a source.
type Options struct {
	// Name of the consumer, part of the names of locks.
	Name string
	// Config is the section postgresql of the consumer.
	Config config.PostgreSQLConsumer
	// TLS is made from Config.TLS; nil leaves TLS to the connection string.
	TLS *tls.Config `json:"-"`
}

// Source implements consumer.Source.
type Source struct {
	// Static after construction.
	name          string
	config        config.PostgreSQLConsumer
	pool          *pgxpool.Config
	notifications *pgx.ConnConfig // nil: the table is only polled
	table         string
}

var _ consumer.Source = (*Source)(nil)

// New checks the configuration and returns a source. It makes no connections.
func New(o Options) (*Source, error) {
	c := o.Config
	switch {
	case c.DSN == "":
		return nil, errors.New("dsn: is needed")
	case c.OutboxTableName == "":
		return nil, errors.New("outbox_table_name: is needed")
	case !tableName.MatchString(c.OutboxTableName):
		return nil, errors.New("outbox_table_name: must be a name in SQL, with a schema or without, quoted where SQL needs it")
	case c.NumPartitions < 1 || c.NumPartitions > maxPartitions:
		return nil, fmt.Errorf("num_partitions: must be from 1 to %d", maxPartitions)
	case c.PartitionSelectLimit < 1 || c.PartitionSelectLimit > maxSelectLimit:
		return nil, fmt.Errorf("partition_select_limit: must be from 1 to %d", maxSelectLimit)
	case c.PartitionPollInterval <= 0:
		return nil, errors.New("partition_poll_interval: must be more than zero")
	}
	s := &Source{name: o.Name, config: c, table: c.OutboxTableName}
	var err error
	if s.pool, err = pgxpool.ParseConfig(c.DSN); err != nil {
		return nil, fmt.Errorf("dsn: %w", err) // without the password
	}
	// Each partition may hold a connection while it waits for the lock of another node.
	s.pool.MaxConns = int32(c.NumPartitions) + 1 //nolint:gosec // bounded above
	adjust(s.pool.ConnConfig, o.TLS)
	if c.PartitionNotificationChannel == "" {
		return s, nil
	}
	s.notifications = s.pool.ConnConfig.Copy()
	if c.PartitionNotificationDSN != "" {
		if s.notifications, err = pgx.ParseConfig(c.PartitionNotificationDSN); err != nil {
			return nil, fmt.Errorf("partition_notification_dsn: %w", err)
		}
		adjust(s.notifications, o.TLS)
	}
	return s, nil
}

// adjust applies TLS, so that no connection is made without it, and finds out dead servers.
func adjust(c *pgx.ConnConfig, t *tls.Config) {
	if t != nil {
		c.TLSConfig = forHost(t, c.Host)
		for _, f := range c.Fallbacks { // other hosts, or the same one without TLS
			f.TLSConfig = forHost(t, f.Host)
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}, Control: limitUnacknowledged}
	c.DialFunc = dialer.DialContext
	// Statements that are cancelled end on the server too, and with them their locks.
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: time.Second}
	}
	if _, set := c.RuntimeParams["application_name"]; !set {
		c.RuntimeParams["application_name"] = "centrifugo"
	}
}

func forHost(t *tls.Config, host string) *tls.Config {
	t = t.Clone()
	if t.ServerName == "" {
		t.ServerName = host
	}
	return t
}

// Format implements consumer.Source. The method is a column.
func (s *Source) Format() consumer.Format { return consumer.Format{} }

// Attempts implements consumer.Source. A partition waits for a message that must be repeated.
func (s *Source) Attempts() int { return 0 }

// Run implements consumer.Source. Each partition is read by a goroutine of its own, and
// a failure of one does not concern the others.
func (s *Source) Run(ctx context.Context, p *consumer.Processor) error {
	// The context of a pool is that of its background work. Close ends it.
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), s.pool.Copy())
	if err != nil {
		return fmt.Errorf("making a pool of connections: %w", err)
	}
	defer pool.Close()
	partitions := make([]*partition, s.config.NumPartitions)
	tasks := []func(context.Context) error{func(ctx context.Context) error {
		p.Every(ctx, lagInterval, "counting waiting messages failed", func(ctx context.Context) error { return s.count(ctx, pool, p) })
		return nil
	}}
	for i := range partitions {
		q := &partition{source: s, pool: pool, processor: p, number: i, wake: make(chan struct{}, 1)}
		q.lock = "centrifugo_partition_lock_" + s.name + strconv.Itoa(i)
		partitions[i] = q
		tasks = append(tasks, func(ctx context.Context) error {
			p.Restart(ctx, "reading the outbox failed", q.run)
			return nil
		})
	}
	if s.notifications != nil {
		tasks = append(tasks, func(ctx context.Context) error {
			p.Restart(ctx, "listening to notifications failed", func(ctx context.Context) error { return s.listen(ctx, p, partitions) })
			return nil
		})
	}
	return p.Together(ctx, tasks...)
}

// count counts the rows that wait, of all partitions.
func (s *Source) count(ctx context.Context, pool *pgxpool.Pool, p *consumer.Processor) error {
	var n int64
	err := pool.QueryRow(ctx, "SELECT count(*) FROM (SELECT 1 FROM "+s.table+" LIMIT "+strconv.Itoa(lagLimit)+") AS waiting").Scan(&n)
	if err != nil {
		return fmt.Errorf("counting rows: %w", err)
	}
	p.Stats().SetLag(n)
	return nil
}

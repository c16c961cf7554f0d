package postgresql_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/pgtest"
	"centrifugo/server/internal/api/apitest"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"
	"centrifugo/server/internal/consumer/consumertest"
	"centrifugo/server/internal/consumer/postgresql"

	"github.com/jackc/pgx/v5"
)

// database is a database with an outbox, and a connection to it.
type database struct {
	t    testing.TB
	dsn  string
	conn *pgx.Conn
}

const table = `CREATE TABLE outbox (
	id BIGSERIAL PRIMARY KEY, method TEXT NOT NULL, payload JSONB NOT NULL,
	partition BIGINT NOT NULL DEFAULT 0, created_at TIMESTAMPTZ NOT NULL DEFAULT now())`

// create makes a database with a table.
func create(t testing.TB, server *pgtest.Server, name, table string) *database {
	t.Helper()
	admin := connect(t, server.DSN())
	admin.exec("CREATE DATABASE " + name)
	d := connect(t, strings.Replace(server.DSN(), "/postgres?", "/"+name+"?", 1))
	d.exec(table)
	return d
}

func connect(t testing.TB, dsn string) *database {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &database{t, dsn, conn}
}

func (d *database) exec(statement string, args ...any) {
	d.t.Helper()
	if _, err := d.conn.Exec(d.t.Context(), statement, args...); err != nil {
		d.t.Fatalf("%s: %v", statement, err)
	}
}

func (d *database) insert(partition int, method, payload string) {
	d.t.Helper()
	d.exec("INSERT INTO outbox (method, payload, partition) VALUES ($1, $2, $3)", method, payload, partition)
}

func (d *database) publish(partition, from, to int) {
	d.t.Helper()
	for n := from; n < to; n++ {
		d.insert(partition, "publish", consumertest.Request(partition, n))
	}
}

// number returns the result of a query.
func (d *database) number(query string, args ...any) (n int) {
	d.t.Helper()
	if err := d.conn.QueryRow(d.t.Context(), query, args...).Scan(&n); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return n
}

func (d *database) waiting() int { return d.number("SELECT count(*) FROM outbox") }

// drained waits until the outbox is empty.
func (d *database) drained() {
	d.t.Helper()
	await.Until(d.t, "the outbox to be empty", func() bool { return d.waiting() == 0 })
}

// options are those of a source that polls often.
func (d *database) options(change func(*config.PostgreSQLConsumer)) postgresql.Options {
	o := postgresql.Options{Name: "test", Config: config.PostgreSQLConsumer{
		DSN: d.dsn, OutboxTableName: "outbox", NumPartitions: 1, PartitionSelectLimit: 100, PartitionPollInterval: 10 * time.Millisecond,
	}}
	if change != nil {
		change(&o.Config)
	}
	return o
}

func (d *database) source(change func(*config.PostgreSQLConsumer)) *postgresql.Source {
	d.t.Helper()
	s, err := postgresql.New(d.options(change))
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func TestSource(t *testing.T) {
	server := pgtest.Start(t)
	for name, test := range map[string]func(*testing.T, *database){
		"rows": testRows, "partitions": testPartitions, "select_limit": testSelectLimit, "notifications": testNotifications,
		"notification_dsn": testNotificationDSN, "lock": testLock, "try_lock": testTryLock, "no_table": testNoTable,
		"retry": testRetry, "large": testLarge,
	} {
		t.Run(name, func(t *testing.T) { test(t, create(t, server, name, table)) })
	}
	for name, columns := range map[string]string{
		"uuids":  "id UUID PRIMARY KEY DEFAULT gen_random_uuid(), method VARCHAR(20), payload JSON, partition INTEGER DEFAULT 0",
		"texts":  "id TEXT PRIMARY KEY DEFAULT gen_random_uuid()::text, method TEXT, payload TEXT, partition SMALLINT DEFAULT 0",
		"schema": "id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, method TEXT, payload JSONB, partition INTEGER DEFAULT 0",
	} {
		t.Run(name, func(t *testing.T) {
			testColumns(t, create(t, server, "columns_"+name, "CREATE TABLE outbox ("+columns+")"), name)
		})
	}
}

// Rows are processed in the order of their ids and deleted; those that cannot succeed are
// deleted too.
func testRows(t *testing.T, d *database) {
	d.publish(0, 0, 50)
	d.insert(0, "nothing", `{}`)
	d.insert(0, "publish", `[]`)
	d.insert(0, "publish", `"{\"channel\":\"p0\",\"data\":50}"`)
	d.publish(0, 51, 60)
	node := &apitest.Node{}
	r := consumertest.Start(t, d.source(nil), node)
	d.drained()
	d.publish(0, 60, 70) // found by polling
	d.drained()
	if got, want := node.Calls(), consumertest.Published(0, 0, 70); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	r.Stop()
	if r.Stats().Processed.Load() != 72 || r.Stats().Refused(consumer.UnknownMethod) != 1 || r.Stats().Refused(consumer.Malformed) != 1 {
		t.Errorf("processed %d; want 72, two of them refused", r.Stats().Processed.Load())
	}
}

// The column id may have any type, the payload any that holds JSON.
func testColumns(t *testing.T, d *database, name string) {
	change := func(*config.PostgreSQLConsumer) {}
	if name == "schema" {
		d.exec(`CREATE SCHEMA "my app"`)
		d.exec(`ALTER TABLE outbox SET SCHEMA "my app"`)
		d.exec(`ALTER TABLE "my app".outbox RENAME TO "Outbox"`)
		d.exec(`CREATE VIEW outbox AS SELECT * FROM "my app"."Outbox"`)
		change = func(c *config.PostgreSQLConsumer) { c.OutboxTableName = `"my app"."Outbox"` }
	}
	for n := range 5 {
		d.exec("INSERT INTO outbox (method, payload) VALUES ('publish', $1)", consumertest.Request(0, n))
	}
	d.exec("INSERT INTO outbox (method, payload) VALUES ('publish', NULL)")
	node := &apitest.Node{}
	consumertest.Start(t, d.source(change), node)
	d.drained()
	got := node.Calls()
	slices.Sort(got)
	if want := consumertest.Published(0, 0, 5); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// A consumer reads the partitions below num_partitions, each in order.
func testPartitions(t *testing.T, d *database) {
	for n := range 30 {
		for p := range 3 {
			d.publish(p, n, n+1)
		}
	}
	node := &apitest.Node{}
	consumertest.Start(t, d.source(func(c *config.PostgreSQLConsumer) { c.NumPartitions = 2 }), node)
	await.Until(t, "two partitions to be empty", func() bool { return d.number("SELECT count(*) FROM outbox WHERE partition < 2") == 0 })
	if n := d.waiting(); n != 30 {
		t.Errorf("%d rows are left; want 30, of partition 2", n)
	}
	for p := range 2 {
		var got []string
		for _, call := range node.Calls() {
			if strings.HasPrefix(call, "publish "+consumertest.Channel(p)) {
				got = append(got, call)
			}
		}
		if want := consumertest.Published(p, 0, 30); !slices.Equal(got, want) {
			t.Errorf("calls of partition %d = %q; want %q", p, got, want)
		}
	}
}

// partition_select_limit is how many rows are deleted together.
func testSelectLimit(t *testing.T, d *database) {
	d.publish(0, 0, 10)
	barrier := consumertest.NewBarrier("4")
	node := &consumertest.Node{Before: barrier.Wait}
	consumertest.Start(t, d.source(func(c *config.PostgreSQLConsumer) { c.PartitionSelectLimit = 3 }), node)
	<-barrier.Reached
	if n := d.waiting(); n != 7 {
		t.Errorf("%d rows are left while the fifth is processed; want 7", n)
	}
	barrier.Open()
	d.drained()
	if got, want := node.Calls(), consumertest.Published(0, 0, 10); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// A notification wakes the partition that it names, or all of them. Without one nothing is
// found before partition_poll_interval has passed.
func testNotifications(t *testing.T, d *database) {
	node := &apitest.Node{}
	r := consumertest.Start(t, d.source(func(c *config.PostgreSQLConsumer) {
		c.NumPartitions, c.PartitionPollInterval, c.PartitionNotificationChannel = 2, time.Hour, "Outbox changed"
	}), node)
	notify := func(payload string) { d.exec("SELECT pg_notify('Outbox changed', $1)", payload) }
	await.Until(t, "the consumer to listen", func() bool {
		return d.number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'") == 1
	})
	d.publish(1, 0, 1) // it may still be found by the first look of the partition
	notify("1")
	d.drained()
	d.publish(1, 1, 2)
	d.publish(0, 0, 1)
	notify("0")
	await.Until(t, "partition 0 to be empty", func() bool { return d.number("SELECT count(*) FROM outbox WHERE partition = 0") == 0 })
	if n := d.waiting(); n != 1 {
		t.Errorf("%d rows are left; want 1, of which there was no notification", n)
	}
	for _, payload := range []string{"2", "-1", "x"} {
		notify(payload)
	}
	notify("")
	d.drained()
	// The connection that listens is replaced, and what was missed is found.
	d.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
	d.publish(1, 2, 3)
	d.drained()
	r.Stop()
	if !strings.Contains(r.Log.String(), "notification names no partition") {
		t.Errorf("log = %s; want a line about the notifications", r.Log)
	}
}

// partition_notification_dsn is where notifications come from.
func testNotificationDSN(t *testing.T, d *database) {
	other := connect(t, strings.Replace(d.dsn, "/notification_dsn?", "/postgres?", 1))
	node := &apitest.Node{}
	consumertest.Start(t, d.source(func(c *config.PostgreSQLConsumer) {
		c.PartitionPollInterval, c.PartitionNotificationChannel, c.PartitionNotificationDSN = time.Hour, "changed", other.dsn
	}), node)
	await.Until(t, "the consumer to listen", func() bool {
		return other.number("SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND query LIKE 'LISTEN%'") == 1
	})
	for n := range 2 { // the first one may be found without a notification
		d.publish(0, n, n+1)
		other.exec("SELECT pg_notify('changed', '0')")
		d.drained()
	}
	if got, want := node.Calls(), consumertest.Published(0, 0, 2); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

const (
	holdLock    = "SELECT pg_advisory_lock(hashtext('centrifugo_partition_lock_test0'))"
	releaseLock = "SELECT pg_advisory_unlock(hashtext('centrifugo_partition_lock_test0'))"
)

// A partition waits while another node has it, and the wait ends when the consumer stops.
func testLock(t *testing.T, d *database) {
	d.exec(holdLock)
	d.publish(0, 0, 3)
	waiters := "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
	stopped := consumertest.Start(t, d.source(nil), &apitest.Node{})
	await.Until(t, "the consumer to wait for the lock", func() bool { return d.number(waiters) == 1 })
	stopped.Stop()
	await.Until(t, "the database to have ended the wait", func() bool { return d.number(waiters) == 0 })

	node := &apitest.Node{}
	consumertest.Start(t, d.source(nil), node)
	await.Until(t, "the consumer to wait for the lock", func() bool { return d.number(waiters) == 1 })
	if calls := node.Calls(); len(calls) != 0 {
		t.Errorf("calls = %q; want none without the lock", calls)
	}
	d.exec(releaseLock)
	d.drained()
	if got, want := node.Calls(), consumertest.Published(0, 0, 3); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
}

// With use_try_lock the consumer does not wait in the database.
func testTryLock(t *testing.T, d *database) {
	d.exec(holdLock)
	d.publish(0, 0, 3)
	node := &apitest.Node{}
	r := consumertest.Start(t, d.source(func(c *config.PostgreSQLConsumer) { c.UseTryLock = true }), node)
	await.Until(t, "the consumer to have given up", func() bool {
		return d.number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' AND query = 'rollback'") > 0
	})
	if n := d.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"); n != 0 || len(node.Calls()) != 0 {
		t.Errorf("%d wait for the lock, calls = %q; want none", n, node.Calls())
	}
	d.exec(releaseLock)
	d.drained()
	r.Stop()
	if n := r.Stats().Errors.Load(); n != 0 {
		t.Errorf("errors = %d; want 0: %s", n, r.Log)
	}
}

// A table that does not exist is an error until it does.
func testNoTable(t *testing.T, d *database) {
	node := &apitest.Node{}
	r := consumertest.Start(t, d.source(func(c *config.PostgreSQLConsumer) { c.OutboxTableName = "later" }), node)
	await.Until(t, "an error", func() bool { return strings.Contains(r.Log.String(), "there is no table later") })
	d.publish(0, 0, 3)
	d.exec("ALTER TABLE outbox RENAME TO later")
	r.Processed(t, 3)
}

// A row that this server cannot process yet keeps those behind it waiting.
func testRetry(t *testing.T, d *database) {
	d.publish(0, 0, 5)
	node := &consumertest.Node{Before: consumertest.Failing(4)}
	r := consumertest.Start(t, d.source(nil), node)
	d.drained()
	if got, want := node.Calls(), consumertest.Published(0, 0, 5); !slices.Equal(got, want) {
		t.Errorf("calls = %q; want %q", got, want)
	}
	r.Stop()
	if n := r.Stats().Retries.Load(); n != 4 {
		t.Errorf("retries = %d; want 4", n)
	}
}

// A payload above the limit is refused without being read.
func testLarge(t *testing.T, d *database) {
	d.exec(`INSERT INTO outbox (method, payload) VALUES ('publish', jsonb_build_object('channel', 'p0', 'data', repeat('x', $1::int)))`, consumer.MaxSize)
	d.publish(0, 1, 2)
	node := &apitest.Node{}
	r := consumertest.Start(t, d.source(nil), node)
	d.drained()
	r.Stop()
	if got := node.Calls(); !slices.Equal(got, consumertest.Published(0, 1, 2)) || r.Stats().Refused(consumer.TooLarge) != 1 {
		t.Errorf("calls = %.100q, too large are %d; want the second row, 1", got, r.Stats().Refused(consumer.TooLarge))
	}
}

func TestConfiguration(t *testing.T) {
	d := &database{t: t, dsn: "postgres://u:s3cret@127.0.0.1/db"}
	for _, tt := range []struct {
		want   string
		change func(*config.PostgreSQLConsumer)
	}{
		{"dsn: is needed", func(c *config.PostgreSQLConsumer) { c.DSN = "" }},
		{"dsn: ", func(c *config.PostgreSQLConsumer) { c.DSN = "postgres://u:s3cret@h:port/db" }},
		{"outbox_table_name: is needed", func(c *config.PostgreSQLConsumer) { c.OutboxTableName = "" }},
		{"outbox_table_name: must", func(c *config.PostgreSQLConsumer) { c.OutboxTableName = "a; DROP TABLE b" }},
		{"outbox_table_name: must", func(c *config.PostgreSQLConsumer) { c.OutboxTableName = `"a"b"` }},
		{"num_partitions: ", func(c *config.PostgreSQLConsumer) { c.NumPartitions = 0 }},
		{"num_partitions: ", func(c *config.PostgreSQLConsumer) { c.NumPartitions = 1025 }},
		{"partition_select_limit: ", func(c *config.PostgreSQLConsumer) { c.PartitionSelectLimit = 0 }},
		{"partition_poll_interval: ", func(c *config.PostgreSQLConsumer) { c.PartitionPollInterval = 0 }},
		{"partition_notification_dsn: ", func(c *config.PostgreSQLConsumer) {
			c.PartitionNotificationChannel, c.PartitionNotificationDSN = "c", "postgres://u:s3cret@h:port/db"
		}},
	} {
		_, err := postgresql.New(d.options(tt.change))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("New = %v; want %s", err, tt.want)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("New = %v; want no password", err)
		}
	}
	for _, name := range []string{"outbox", "my_app.outbox$1", `"my app"."out;box"`} {
		if _, err := postgresql.New(d.options(func(c *config.PostgreSQLConsumer) { c.OutboxTableName = name })); err != nil {
			t.Errorf("New with table %s = %v; want nil", name, err)
		}
	}
}

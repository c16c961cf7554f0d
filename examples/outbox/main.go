// Command outbox is an application that publishes from its own transactions: it stores an order
// and writes what is to be published into the outbox, both or none. A consumer of the server
// (docs/consumers.md) publishes what was committed. The argument is a connection string.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/jackc/pgx/v5"
)

// schema is what the application creates once. The table outbox has the columns that the consumer reads.
const schema = `
CREATE TABLE IF NOT EXISTS orders (id BIGSERIAL PRIMARY KEY, customer TEXT NOT NULL, item TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
	id BIGSERIAL PRIMARY KEY,
	method TEXT NOT NULL,
	payload JSONB NOT NULL,
	partition BIGINT NOT NULL DEFAULT 0,
	created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS outbox_partition ON outbox (partition, id);`

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: outbox CONNECTION_STRING")
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, schema); err != nil {
		return err
	}
	for _, item := range []string{"lamp", "", "chair"} {
		if err := placeOrder(ctx, conn, "42", item); err != nil {
			fmt.Printf("%q: not ordered, nothing is published: %v\n", item, err)
			continue
		}
		fmt.Printf("%q: ordered\n", item)
	}
	return nil
}

// placeOrder stores an order and publishes it to the customer. If the transaction fails,
// neither has happened.
func placeOrder(ctx context.Context, conn *pgx.Conn, customer, item string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var id int64
		err := tx.QueryRow(ctx, "INSERT INTO orders (customer, item) VALUES ($1, $2) RETURNING id", customer, item).Scan(&id)
		if err != nil {
			return err
		}
		err = publish(ctx, tx, "orders:"+customer, fmt.Sprintf("order-%d", id), map[string]any{"order": id, "item": item})
		if err != nil {
			return err
		}
		if item == "" { // what is checked late undoes the publication too
			return errors.New("no item")
		}
		return nil
	})
}

// publish adds a publication to the outbox. The key makes the server drop it if it is delivered
// twice. The notification reaches the server when the transaction is committed; without it
// the server finds the row at its next poll.
func publish(ctx context.Context, tx pgx.Tx, channel, key string, data any) error {
	payload, err := json.Marshal(map[string]any{"channel": channel, "data": data, "idempotency_key": key})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "INSERT INTO outbox (method, payload) VALUES ('publish', $1)", string(payload)); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "SELECT pg_notify('outbox_changed', '0')")
	return err
}

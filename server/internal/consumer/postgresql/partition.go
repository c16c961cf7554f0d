package postgresql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"centrifugo/server/internal/consumer"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// tableName matches names as SQL has them: schema and table, quoted or not. They are put
// into statements as they are, so that letters are folded as in the application's own.
var tableName = regexp.MustCompile(`^(?:[A-Za-z_][A-Za-z0-9_$]*|"[^"\x00]+")(?:\.(?:[A-Za-z_][A-Za-z0-9_$]*|"[^"\x00]+"))?$`)

// partition reads the rows of one partition. Nodes take turns through a lock of the
// database, so that rows are processed in order.
type partition struct {
	// Static after construction.
	source    *Source
	pool      *pgxpool.Pool
	processor *consumer.Processor
	number    int
	lock      string
	wake      chan struct{} // from listen, never closed

	// Owned by run.
	idType string // of the column id, as SQL has it
}

// errTaken is the error of a batch whose partition another node works on.
var errTaken = errors.New("another node has the partition")

// run reads batches until ctx is done.
func (q *partition) run(ctx context.Context) error {
	if err := q.inspect(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-q.wake:
		}
		if err := q.drain(ctx); err != nil {
			return err
		}
		timer.Reset(q.source.config.PartitionPollInterval)
	}
}

// inspect reads the type of the column id, by which rows are deleted.
func (q *partition) inspect(ctx context.Context) error {
	err := q.pool.QueryRow(ctx, `SELECT format_type(atttypid, NULL) FROM pg_attribute
		WHERE attrelid = to_regclass($1) AND attname = 'id' AND NOT attisdropped`, q.source.table).Scan(&q.idType)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("there is no table %s with a column id, or it cannot be seen", q.source.table)
	}
	if err != nil {
		return fmt.Errorf("reading the columns of the outbox: %w", err)
	}
	return nil
}

// drain reads batches until one is not full.
func (q *partition) drain(ctx context.Context) error {
	for ctx.Err() == nil {
		var waits bool
		err := q.pool.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM "+q.source.table+" WHERE partition = $1)", q.number).Scan(&waits)
		if err != nil {
			return fmt.Errorf("looking for rows: %w", err)
		}
		if !waits {
			return nil
		}
		n, err := q.batch(ctx)
		switch {
		case errors.Is(err, errTaken):
			return nil
		case err != nil:
			return err
		case n < q.source.config.PartitionSelectLimit:
			return nil
		}
	}
	return nil
}

// batch processes the first rows of the partition and deletes them, in one transaction
// that holds the lock of the partition. It returns how many rows there were. Rows that
// were processed when ctx ends are deleted; those behind them stay.
func (q *partition) batch(ctx context.Context) (n int, err error) {
	finishing, cancel := consumer.Finishing(ctx)
	defer cancel()
	tx, err := q.pool.Begin(finishing)
	if err != nil {
		return 0, fmt.Errorf("beginning a transaction: %w", err)
	}
	// Without effect after a commit. It must not be skipped because the time is up.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := q.take(ctx, tx); err != nil {
		return 0, err
	}
	done, err := q.process(ctx, finishing, tx)
	if err != nil {
		return 0, err
	}
	if len(done) > 0 {
		statement := "DELETE FROM " + q.source.table + " WHERE id = ANY($1::text[]::" + q.idType + "[])"
		if _, err := tx.Exec(finishing, statement, done); err != nil {
			return 0, fmt.Errorf("deleting processed rows: %w", err)
		}
	}
	if err := tx.Commit(finishing); err != nil {
		return 0, fmt.Errorf("committing the deletion of processed rows: %w", err)
	}
	return len(done), nil
}

// take takes the lock of the partition until the end of the transaction.
func (q *partition) take(ctx context.Context, tx pgx.Tx) error {
	if !q.source.config.UseTryLock {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", q.lock); err != nil {
			return fmt.Errorf("taking the lock of the partition: %w", err)
		}
		return nil
	}
	var taken bool
	if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock(hashtext($1))", q.lock).Scan(&taken); err != nil {
		return fmt.Errorf("taking the lock of the partition: %w", err)
	}
	if !taken {
		return errTaken
	}
	return nil
}

// process reads rows and processes each before it reads the next one, so that memory holds
// one of them. It returns the ids of those that are to be deleted.
func (q *partition) process(ctx, finishing context.Context, tx pgx.Tx) (done []string, err error) {
	limit := strconv.Itoa(q.source.config.PartitionSelectLimit)
	// A payload that is too large does not leave the database; the processor refuses it.
	// ORDER BY id alone would sort by the text of the ids.
	rows, err := tx.Query(finishing, `SELECT o.id::text, o.method::text,
		CASE WHEN octet_length(o.payload::text) <= `+strconv.Itoa(consumer.MaxSize)+` THEN o.payload::text END, octet_length(o.payload::text)
		FROM `+q.source.table+` AS o WHERE o.partition = $1 ORDER BY o.id LIMIT `+limit, q.number)
	if err != nil {
		return nil, fmt.Errorf("reading rows: %w", err)
	}
	defer rows.Close()
	for ctx.Err() == nil && rows.Next() {
		var id string
		var method, payload *string
		var size *int
		if err := rows.Scan(&id, &method, &payload, &size); err != nil {
			return nil, fmt.Errorf("reading a row: %w", err)
		}
		m := consumer.Message{ID: "partition " + strconv.Itoa(q.number) + " id " + id}
		if method != nil {
			m.Method = *method
		}
		if payload != nil {
			m.Body = []byte(*payload)
		}
		if size != nil {
			m.Size = *size
		}
		if err := q.processor.Process(ctx, m); err != nil {
			break // ctx is done: what was processed is deleted
		}
		done = append(done, id)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading rows: %w", err)
	}
	return done, nil
}

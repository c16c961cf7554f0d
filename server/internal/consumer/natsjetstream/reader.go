package natsjetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"centrifugo/server/internal/consumer"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// reader processes the messages of a durable consumer in the order in which they arrive.
type reader struct {
	// Static after construction.
	durable   jetstream.Consumer
	processor *consumer.Processor
	ackWait   time.Duration
	batch     int
	// lost is closed when the connection is interrupted: the answer to a fetch that is under way
	// does not come then.
	lost <-chan struct{}
}

var errLost = errors.New("connection was lost")

// run reads messages until ctx is done: those that are there, or else the next one. Acknowledgements
// survive an interruption of the connection, which ends run before the next fetch.
func (r *reader) run(ctx context.Context) error {
	for ctx.Err() == nil {
		messages, err := r.fetch(func() (jetstream.MessageBatch, error) { return r.durable.FetchNoWait(r.batch) })
		if len(messages) == 0 && err == nil {
			messages, err = r.fetch(func() (jetstream.MessageBatch, error) {
				return r.durable.Fetch(1, jetstream.FetchMaxWait(fetchWait))
			})
		}
		if err != nil {
			return err
		}
		if err := r.process(ctx, messages); err != nil {
			return err
		}
	}
	return nil
}

// fetch waits for the messages that begin asks for. The connection has nothing under way when it
// returns, or is lost.
func (r *reader) fetch(begin func() (jetstream.MessageBatch, error)) (messages []jetstream.Msg, _ error) {
	select {
	case <-r.lost:
		return nil, errLost
	default:
	}
	fetched, err := begin()
	if err != nil {
		return nil, fmt.Errorf("fetching messages: %w", err)
	}
	for {
		m, ok := r.next(fetched.Messages())
		if !ok {
			break
		}
		messages = append(messages, m)
	}
	err = fetched.Error()
	if len(messages) > 0 || errors.Is(err, jetstream.ErrNoMessages) || errors.Is(err, nats.ErrTimeout) {
		return messages, nil // the next fetch tells whether an error lasts
	}
	if err != nil {
		return nil, fmt.Errorf("fetching messages: %w", err)
	}
	return nil, nil
}

// next returns the next message of a fetch; ok is false when there are no more, or when none has
// arrived and the connection is lost.
func (r *reader) next(arriving <-chan jetstream.Msg) (m jetstream.Msg, ok bool) {
	select {
	case m, ok = <-arriving:
		return m, ok
	default:
	}
	select {
	case m, ok = <-arriving:
	case <-r.lost:
	}
	return m, ok
}

// process processes messages and acknowledges them. When ctx is done, it gives those back that
// were not processed.
func (r *reader) process(ctx context.Context, messages []jetstream.Msg) error {
	var last jetstream.Msg // processed, but not acknowledged
	touched := time.Now()
	for i, m := range messages {
		if i > 0 && time.Since(touched) >= r.ackWait {
			break // the rest is delivered again already
		}
		extend := func(context.Context) {
			if time.Since(touched) < r.ackWait/3 {
				return
			}
			touched = time.Now()
			for _, waiting := range messages[i:] {
				if err := waiting.InProgress(); err != nil {
					r.processor.Failed("nats: keeping a message failed, it may be delivered again", "error", err)
					return
				}
			}
		}
		extend(ctx)
		decoded := message(m)
		decoded.Extend, decoded.ExtendEvery = extend, r.ackWait/3
		if ctx.Err() != nil || r.processor.Process(ctx, decoded) != nil {
			giveBack(messages[i:])
			break
		}
		if last != nil {
			if err := last.Ack(); err != nil {
				return fmt.Errorf("acknowledging a message: %w", err)
			}
		}
		last = m
	}
	if last == nil {
		return nil
	}
	// The confirmation of the last one proves that the server has all before it, which were
	// sent over the same connection.
	finishing, cancel := consumer.Finishing(ctx)
	defer cancel()
	finishing, end := context.WithTimeout(finishing, callTimeout)
	defer end()
	if err := last.DoubleAck(finishing); err != nil {
		return fmt.Errorf("acknowledging messages: %w", err)
	}
	return nil
}

// giveBack makes the server deliver messages again at once. It is not an error if that fails:
// they come later then.
func giveBack(messages []jetstream.Msg) {
	for _, m := range messages {
		_ = m.Nak()
	}
}

func message(m jetstream.Msg) consumer.Message {
	decoded := consumer.Message{ID: m.Subject(), Body: m.Data()}
	if facts, err := m.Metadata(); err == nil {
		decoded.ID += " sequence " + strconv.FormatUint(facts.Sequence.Stream, 10)
	}
	for name, values := range m.Headers() {
		if len(values) > 0 {
			decoded.Attributes = append(decoded.Attributes, consumer.Attribute{Name: name, Value: values[0]})
		}
	}
	return decoded
}

// count reads how many messages are not acknowledged.
func (r *reader) count(ctx context.Context) error {
	info, err := r.durable.Info(ctx)
	if err != nil {
		return fmt.Errorf("asking for the state of the consumer: %w", err)
	}
	r.processor.Stats().SetLag(int64(info.NumPending) + int64(info.NumAckPending)) //nolint:gosec // numbers of messages
	return nil
}

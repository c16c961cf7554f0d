package websocket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/protocol"
)

// mergeCount is how many messages one iteration of BenchmarkMerge queues.
const mergeCount = 100

// discarder reads messages of a server and keeps nothing but their number.
type discarder struct {
	*bufio.Reader
	frames int // WebSocket messages
}

// next reads one WebSocket message and returns how many messages are in it.
func (d *discarder) next() (messages int, err error) {
	head, err := d.Peek(4)
	if err != nil {
		return 0, err
	}
	if head[0] != finText {
		return 0, errors.New("not a text message")
	}
	length, skip := int(head[1]), 2
	switch length {
	case 126:
		length, skip = int(binary.BigEndian.Uint16(head[2:])), 4
	case 127:
		if head, err = d.Peek(10); err != nil {
			return 0, err
		}
		length, skip = int(binary.BigEndian.Uint64(head[2:])), 10
	}
	if _, err := d.Discard(skip); err != nil {
		return 0, err
	}
	messages = 1
	for length > 0 {
		if d.Buffered() == 0 {
			if _, err := d.Peek(1); err != nil {
				return 0, err
			}
		}
		part, err := d.Peek(min(length, d.Buffered()))
		if err != nil {
			return 0, err
		}
		messages += bytes.Count(part, []byte{'\n'})
		length -= len(part)
		if _, err := d.Discard(len(part)); err != nil {
			return 0, err
		}
	}
	d.frames++
	return messages, nil
}

// run reads until the connection ends, and tells of every mergeCount messages.
func (d *discarder) run(all chan<- error) {
	came := 0
	for {
		n, err := d.next()
		if came += n; err != nil || came > mergeCount {
			all <- fmt.Errorf("after %d messages: %w", came, err)
			return
		}
		if came == mergeCount {
			came = 0
			all <- nil
		}
	}
}

// payload has 128 bytes.
func payload(b *testing.B, i int) []byte {
	b.Helper()
	data := fmt.Appendf(nil, `{"i":%3d,"text":"%0109d"}`, i, 0)
	if len(data) != 128 {
		b.Fatalf("a payload of %d bytes; want 128", len(data))
	}
	return data
}

// publications are n frames of 128 bytes of payload each.
func publications(b *testing.B, n int) []*protocol.Encoded {
	b.Helper()
	batch := make([]*protocol.Encoded, n)
	for i := range batch {
		pub := &protocol.Publication{Data: payload(b, i)}
		frame, err := protocol.Encode(0, &protocol.Reply{Push: &protocol.Push{Channel: "a", Pub: pub}})
		if err != nil {
			b.Fatal(err)
		}
		batch[i] = frame
	}
	return batch
}

// transportSink writes what an outbox gives it to a transport.
type transportSink struct {
	fanout.Owner // nil: nothing happens to subscriptions
	centrifuge.Transport
}

// WriteFrames implements fanout.Sink.
func (s transportSink) WriteFrames(batch []*protocol.Encoded) (int, error) {
	return s.Write(context.Background(), batch)
}

// Failed implements fanout.Sink.
func (transportSink) Failed(error) {}

// BenchmarkMerge queues 100 publications of 128 bytes to one connection, one by
// one, flushes, and waits until the client has read them all: a node, a
// connection over TCP and a client that reads frames and throws them away. The
// frames are encoded before, as they are for all but the first subscriber of a
// channel. In "single" each is a WebSocket message and a write of its own, in
// "merged" there are at most 64 in one, as by default.
func BenchmarkMerge(b *testing.B) {
	for _, c := range []struct {
		name     string
		maxBatch int
	}{{"merged", 64}, {"single", 1}} {
		b.Run(c.name, func(b *testing.B) {
			s := newServer(b, Config{}, false)
			p := s.dial(b, "/")
			_ = p.SetDeadline(time.Time{})
			all := make(chan error, 1)
			reader := &discarder{Reader: bufio.NewReaderSize(p.Conn, 64<<10)}
			go reader.run(all)
			var out fanout.Outbox
			out.Init(transportSink{Transport: p.session.transport}, 1<<20, c.maxBatch, false)
			batch := publications(b, mergeCount)
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range batch {
					out.Put(f)
				}
				out.Flush()
				if err := <-all; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			_ = p.Close()
			<-all // it has seen the end
			b.ReportMetric(float64(reader.frames)/float64(b.N), "messages/op")
		})
	}
}

// BenchmarkMergePublish is the whole way of 100 publications, encoding
// included, from Node.Publish to a client that has read them: how many leave
// together is a matter of how fast they are published.
func BenchmarkMergePublish(b *testing.B) {
	for _, c := range []struct {
		name   string
		config centrifuge.Config
	}{
		{"merged", centrifuge.Config{}},
		{"single", centrifuge.Config{MaxBatch: 1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, node, clients := mergeNode(b, c.config, false)
			p, _ := dialMerged(b, s, clients)
			_ = p.SetDeadline(time.Time{})
			p.send(frame(finText, `{"id":2,"subscribe":{"channel":"a"}}`))
			p.expect(finText, `{"id":2,"subscribe":{}}`)
			all := make(chan error, 1)
			reader := &discarder{Reader: bufio.NewReaderSize(p.Conn, 64<<10)}
			go reader.run(all)
			data := payload(b, 1)
			b.ReportAllocs()
			for b.Loop() {
				for range mergeCount {
					if _, err := node.Publish(b.Context(), "a", data, centrifuge.PublishOptions{}); err != nil {
						b.Fatal(err)
					}
				}
				if err := <-all; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			_ = p.Close()
			<-all // it has seen the end
			b.ReportMetric(float64(reader.frames)/float64(b.N), "messages/op")
		})
	}
}

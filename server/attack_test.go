package server

import (
	"bytes"
	byteorder "encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/internal/wsframe"
	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"
	"centrifugo/server/internal/app/apptest"
)

// attackTime is the duration of an attack that does not end by itself.
const attackTime = 2 * time.Second

// TestAttacks runs one attack after another against one server. During each, a good
// client must be served: it may wait, which is reported, but must not lose a message or
// its connection. The test does not run in parallel with others, because it measures.
func TestAttacks(t *testing.T) {
	// What the attacks leave in history has expired before the test gives up waiting for it.
	configuration := strings.NewReplacer(`"http_api"`, `"engine": {"memory": {"history_max_size": 2000000}}, "http_api"`,
		`"history_ttl": "60s"`, `"history_ttl": "15s"`).Replace(open)
	p := serve(t, configuration)
	before := p.warm()
	for _, attack := range []struct {
		name string
		run  func(t *testing.T, p *process)
	}{
		{"none", func(*testing.T, *process) { <-time.After(attackTime) }},
		{"declared lengths", declaredLengths},
		{"poison publications", poisonPublications},
		{"undeliverable data by the API", undeliverableData},
		{"failing commands", failingCommands},
		{"pings of a client that reads nothing", unreadPings},
		{"subscribers that read nothing", unreadPublications},
		{"new channels with history", newChannels},
		{"large filters", largeFilters},
	} {
		t.Run(attack.name, func(t *testing.T) { p.beside(t, func() { attack.run(t, p) }) })
	}
	p.shrinks(t, before)
	p.roundTrip(t)
	p.back(t, before)
	p.terminate()
}

// goodChannel is the channel of the good client.
const goodChannel = "full:good"

// beside runs an attack while a good client publishes to itself, and reports how long
// the publications took.
func (p *process) beside(t *testing.T, attack func()) {
	t.Helper()
	good := p.connect(t)
	if reply := ask(t, good, `{"id":2,"subscribe":{"channel":"`+goodChannel+`"}}`); !strings.Contains(reply, `"subscribe":{`) {
		t.Fatalf("subscribing: %s; want %q in it", reply, `"subscribe":{`)
	}
	quit, done := make(chan struct{}), make(chan error, 1)
	var took []time.Duration
	go func() { done <- publishToItself(good, quit, &took) }()
	attack()
	close(quit)
	if err := <-done; err != nil {
		t.Errorf("the good client: %v", err)
	}
	_ = good.Close()
	slices.Sort(took)
	if len(took) > 0 {
		t.Logf("good client: %d publications, p50 %v, p99 %v, longest %v", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	}
}

// publishToItself publishes at a rate until quit is closed, and waits for each
// publication.
func publishToItself(c *apptest.Conn, quit <-chan struct{}, took *[]time.Duration) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for n := 3; ; n++ {
		select {
		case <-quit:
			return nil
		case <-ticker.C:
		}
		if err := c.SetDeadline(time.Now().Add(apptest.Timeout)); err != nil {
			return err
		}
		mine := fmt.Sprintf(`"pub":{"data":"good %d"`, n)
		start := time.Now()
		if err := c.Text(fmt.Sprintf(`{"id":%d,"publish":{"channel":"%s","data":"good %d"}}`, n, goodChannel, n)); err != nil {
			return fmt.Errorf("publication %d: %w", n, err)
		}
		for {
			message, err := next(c)
			if err != nil {
				return fmt.Errorf("waiting for publication %d: %w", n, err)
			}
			if strings.Contains(message, mine) {
				break
			}
		}
		*took = append(*took, time.Since(start))
	}
}

// declaredLengths declares lengths whose sum does not fit into an integer, or is far
// beyond every limit, and sends bytes without end.
func declaredLengths(t *testing.T, p *process) {
	fragment := []byte{0x01, 0x81, 0, 0, 0, 0, '{'}
	var headers [][]byte
	for _, length := range []uint64{1<<63 - 1, 1<<63 - 2, 1 << 62, 1 << 32, 1<<32 - 1, 1 << 31, 1 << 20} {
		header := byteorder.BigEndian.AppendUint64([]byte{0x80, 0xFF}, length)
		headers = append(headers, append(header, 0, 0, 0, 0))
	}
	each(t, 6*len(headers), 6*len(headers), func(i int) error {
		dialer := apptest.Dialer{}
		if i%3 == 1 {
			dialer.Header = deflating
		}
		c, err := dialer.Dial(p.address)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if i%2 == 1 {
			if err := c.Text(hello); err != nil {
				return err
			}
			if _, err := next(c); err != nil {
				return err
			}
		}
		header := headers[i%len(headers)]
		if _, err := c.Write(append(slices.Clone(fragment), header...)); err != nil {
			return err
		}
		var writing sync.WaitGroup
		defer writing.Wait()
		defer func() { _ = c.Close() }() // ends the writing
		writing.Go(func() { writeUntilEnd(c, make([]byte, 64<<10)) })
		if got := describe(next(c)); got != "closed 1009" && got != "ended" { // the end may overtake the close frame
			return fmt.Errorf("declared %x: %s", header, got)
		}
		return nil
	})
}

// writeUntilEnd writes repeatedly until the connection ends, and reports whether it did.
func writeUntilEnd(c *apptest.Conn, chunk []byte) bool {
	for {
		if _, err := c.Write(chunk); err != nil {
			return !os.IsTimeout(err)
		}
	}
}

// inProtobuf opens a connection in Protobuf and connects.
func (p *process) inProtobuf(t *testing.T) *apptest.Conn {
	t.Helper()
	c := p.dial(t, apptest.Dialer{Header: http.Header{"Sec-Websocket-Protocol": {"centrifuge-protobuf"}}})
	if err := c.Binary(binaryCommand(t, &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{}})); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Message(); err != nil {
		t.Fatal(err)
	}
	return c
}

func binaryCommand(t *testing.T, command *protocol.Command) []byte {
	t.Helper()
	encoded, err := protocol.AppendCommand(nil, protocol.FormatProtobuf, command)
	if err != nil {
		t.Fatal(err)
	}
	return append(byteorder.AppendUvarint(nil, uint64(len(encoded))), encoded...)
}

// binaryReply reads the next message that is not a ping.
func binaryReply(t *testing.T, c *apptest.Conn) *protocol.Reply {
	t.Helper()
	for {
		message, err := c.Message()
		if err != nil {
			t.Fatal(err)
		}
		size, n := byteorder.Uvarint([]byte(message))
		if size == 0 {
			continue
		}
		reply, err := clientcodec.DecodeReply(protocol.FormatProtobuf, []byte(message[n:]))
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
}

// poisonPublications publishes data that is not JSON into the channel of the good client
// and makes others recover it.
func poisonPublications(t *testing.T, p *process) {
	attacker := p.inProtobuf(t)
	for _, poison := range []string{"\xff\xfe", "\"\xff\"", "{", "hello", strings.Repeat("[", 5000)} {
		for range 20 {
			publish := &protocol.PublishRequest{Channel: goodChannel, Data: []byte(poison)}
			if err := attacker.Binary(binaryCommand(t, &protocol.Command{ID: 2, Publish: publish})); err != nil {
				t.Fatal(err)
			}
			if reply := binaryReply(t, attacker); reply.Error != nil {
				t.Fatalf("publishing %.10q: %+v; want nil", poison, reply.Error)
			}
		}
		late := p.connect(t)
		reply := ask(t, late, `{"id":2,"subscribe":{"channel":"`+goodChannel+`","recover":true,"offset":1}}`)
		if !strings.HasPrefix(reply, `{"id":2,"subscribe":{`) {
			t.Errorf("recovering behind %q: %s; want prefix %q", poison, reply, `{"id":2,"subscribe":{`)
		}
		_ = late.Close()
	}
}

// undeliverableData publishes data by the API that JSON clients cannot receive.
func undeliverableData(t *testing.T, p *process) {
	deep := strings.Repeat("[", 1025) + strings.Repeat("]", 1025)
	for range 100 {
		for _, data := range []string{"\"\xff\"", deep, "{\"\xc0\x80\":1}"} {
			if answer := p.call("publish", `{"channel":"`+goodChannel+`","data":`+data+`}`); !strings.HasPrefix(answer, `{"error":{"code":107,`) {
				t.Fatalf("%.20q: %s; want prefix %q", data, answer, `{"error":{"code":107,`)
			}
		}
	}
}

// failingCommands sends commands that all fail, many in a message.
func failingCommands(t *testing.T, p *process) {
	var message bytes.Buffer
	for n := range 50 {
		fmt.Fprintf(&message, "{\"id\":%d,\"subscribe\":{\"channel\":\"nowhere:x\"}}\n", n+2)
	}
	stop := time.Now().Add(attackTime)
	each(t, 10, 10, func(int) error {
		c, err := apptest.Dialer{}.Dial(p.address)
		if err != nil {
			return err
		}
		var reading sync.WaitGroup
		defer reading.Wait()
		defer func() { _ = c.Close() }()
		if err := c.Text(hello); err != nil {
			return err
		}
		reading.Go(func() { _, _ = c.WaitClosed() })
		for time.Now().Before(stop) {
			if err := c.Frame(wsframe.Fin|wsframe.Text, message.Bytes()); err != nil {
				return nil //nolint:nilerr // the server may have had enough
			}
		}
		return nil
	})
}

// unreadPings makes the server send answers that no client reads, until it closes the connection.
func unreadPings(t *testing.T, p *process) {
	pings := bytes.Repeat(frame(wsframe.Fin|wsframe.Ping, strings.Repeat("x", 125)), 500)
	each(t, 4, 4, func(i int) error {
		c, err := apptest.Dialer{}.Dial(p.address)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if i%2 == 0 {
			if err := c.Text(hello); err != nil {
				return err
			}
			if _, err := next(c); err != nil {
				return err
			}
		}
		started := time.Now()
		if !writeUntilEnd(c, pings) {
			return errors.New("the server keeps the connection")
		}
		t.Logf("connected %v: ended after %v", i%2 == 0, time.Since(started).Round(time.Millisecond))
		return nil
	})
}

// unreadPublications has many subscribers of large publications read nothing.
func unreadPublications(t *testing.T, p *process) {
	const subscribers = 20
	conns := make([]*apptest.Conn, subscribers)
	for i := range conns {
		conns[i] = p.connect(t)
		ask(t, conns[i], `{"id":2,"subscribe":{"channel":"firehose"}}`)
	}
	body := `{"channel":"firehose","data":"` + strings.Repeat("x", 64<<10) + `"}`
	for range 300 {
		p.call("publish", body)
	}
	// Two at a time: many readers in this process would keep the good client from running.
	each(t, subscribers, 2, func(i int) error {
		defer func() { _ = conns[i].Close() }()
		// Read now, it finds the end behind what the sockets hold.
		if err := conns[i].SetDeadline(time.Now().Add(2 * apptest.Timeout)); err != nil {
			return err
		}
		_, err := conns[i].WaitClosed()
		if got := describe("", err); err != nil && got == "nothing" {
			return errors.New("a subscriber that reads nothing is kept")
		}
		return nil
	})
}

// newChannels fills the memory with channels that have history.
func newChannels(t *testing.T, p *process) {
	const clients, messages, channels = 8, 50, 50
	each(t, clients, clients, func(i int) error {
		c, err := apptest.Dialer{}.Dial(p.address)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if err := c.Text(hello); err != nil {
			return err
		}
		for m := range messages {
			var message strings.Builder
			for n := range channels {
				fmt.Fprintf(&message, "{\"id\":%d,\"publish\":{\"channel\":\"full:new %d %d %d\",\"data\":\"%0100d\"}}\n", n+2, i, m, n, n)
			}
			if err := c.Text(message.String()); err != nil {
				return err
			}
			for last := fmt.Sprintf(`{"id":%d,"publish":{}}`, channels+1); ; {
				reply, err := next(c)
				if err != nil {
					return err
				}
				if strings.Contains(reply, last) {
					break
				}
			}
		}
		return nil
	})
	m, err := apptest.ReadMetrics(p.url("/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	if kept := m["centrifugo_memory_history_bytes"]; kept == 0 || kept > 2_000_000 {
		t.Errorf("%.0f bytes of history are kept; want more than 0 and at most 2,000,000", kept)
	}
	if got := m["centrifugo_memory_history_evicted_count"]; got == 0 {
		t.Errorf("nothing was dropped: m[\"centrifugo_memory_history_evicted_count\"] = %v; want more than 0", got)
	}
}

// largeFilters subscribes many with filters as large as they may be, into the
// channel of the good client.
func largeFilters(t *testing.T, p *process) {
	nodes := strings.TrimSuffix(strings.Repeat(`{"key":"a","cmp":"eq","val":"1"},`, 1000), ",")
	subscribe := `{"id":2,"subscribe":{"channel":"` + goodChannel + `","tf":{"op":"or","nodes":[` + nodes + `]}}}`
	for range 50 {
		c := p.connect(t)
		if reply := ask(t, c, subscribe); !strings.HasPrefix(reply, `{"id":2,"subscribe":{`) {
			t.Fatalf("subscribing with 1000 nodes: %s; want prefix %q", reply, `{"id":2,"subscribe":{`)
		}
	}
	<-time.After(attackTime)
}

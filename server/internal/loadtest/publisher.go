package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"centrifugo/protocol"
)

// publisher publishes over the HTTP API, one publication after the other, over
// one connection that it keeps.
type publisher struct {
	fleet   *fleet
	group   group
	index   int // in the group
	targets []target
	next    int
	server  endpoint
	head    []byte // of each request, up to the length of the body
	conn    net.Conn
	reader  *bufio.Reader
	payload []byte
	body    []byte
	request []byte
}

// target is a channel, and how many publications of this publisher it has had.
type target struct {
	channel  []byte // as JSON
	source   uint32
	count    uint64
	audience uint64 // steady subscribers
}

const (
	apiTimeout = 10 * time.Second
	maxAnswer  = 1 << 20
	// maxRefused is how many publications in a row may be refused before a publisher gives up.
	maxRefused = 20
)

// newPublishers makes those publishers of all groups whose turn it is in this worker.
func newPublishers(f *fleet, worker, workers int) ([]*publisher, error) {
	address := f.opts.API
	if address == "" {
		scheme := "http://"
		if f.server.tls {
			scheme = "https://"
		}
		address = scheme + f.server.host + "/api"
	}
	server, err := parseEndpoint(address, "/api")
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(server.path, "?")
	path = strings.TrimSuffix(path, "/") + "/publish"
	if query != "" {
		path += "?" + query
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: centrifugo-bench\r\nContent-Type: application/json\r\n", path, server.host)
	if f.opts.APIKey != "" {
		fmt.Fprintf(&head, "X-API-Key: %s\r\n", f.opts.APIKey)
	}
	head.WriteString("Content-Length: ")
	audience := f.plan.audience()
	var publishers []*publisher
	turn := 0
	for _, g := range f.plan.groups {
		for i := range g.size {
			if (turn+i)%workers != worker {
				continue
			}
			p := &publisher{fleet: f, group: g, index: i, server: server, head: head.Bytes()}
			for _, channel := range f.plan.targets(g, i) {
				t := target{source: g.source(i, channel), audience: 1}
				if g.own {
					t.channel = protocol.AppendJSONString(nil, f.plan.ownChannel(channel))
				} else {
					t.channel, t.audience = protocol.AppendJSONString(nil, f.plan.sharedChannel(channel)), audience[channel]
				}
				p.targets = append(p.targets, t)
			}
			if len(p.targets) > 0 {
				publishers = append(publishers, p)
			}
		}
		turn += g.size
	}
	return publishers, nil
}

// run publishes from start on until ctx ends, or count publications were made
// if that is not 0.
func (p *publisher) run(ctx context.Context, start int64, count int) {
	defer p.hangUp()
	f := p.fleet
	rate := p.group.rate
	if f.plan.scenario.recovers {
		rate = 0
	}
	pace := newPace(start, rate/float64(p.group.size), f.clock)
	pace.n = float64(p.index) / float64(p.group.size) // the publishers take turns
	refused := 0
	for n := 0; count == 0 || n < count; n++ {
		at, err := pace.wait(ctx)
		if err != nil {
			return
		}
		t := &p.targets[p.next%len(p.targets)]
		p.next++
		cause := p.publish(t, at)
		f.mu.Lock()
		if cause == nil {
			t.count++
			f.tally.Published++
			f.tally.Expected += t.audience
			f.tally.Publishing.Record(time.Duration(f.clock.now() - at))
		} else {
			f.tally.cause(*cause)
		}
		f.mu.Unlock()
		if cause == nil {
			refused = 0
			continue
		}
		if refused++; refused == maxRefused || !pause(ctx, 10*time.Millisecond) {
			return
		}
	}
}

// publish makes one publication. Its number is used again when it was refused.
func (p *publisher) publish(t *target, at int64) *Cause {
	p.payload = p.fleet.payloads.append(p.payload[:0], stamp{t.source, t.count + 1, at})
	p.body = append(append(append(p.body[:0], `{"channel":`...), t.channel...), `,"data":`...)
	p.body = append(append(p.body, p.payload...), '}')
	p.request = strconv.AppendInt(append(p.request[:0], p.head...), int64(len(p.body)), 10)
	p.request = append(append(p.request, "\r\n\r\n"...), p.body...)
	status, answer, err := p.exchange()
	if err != nil {
		p.hangUp()
		t.count++ // it may have been published
		return &Cause{Kind: causePublish, Reason: clip(err.Error())}
	}
	if status != http.StatusOK {
		return &Cause{Kind: causePublish, Code: uint32(status), Reason: "HTTP " + http.StatusText(status)} //nolint:gosec // three digits
	}
	if !bytes.HasPrefix(answer, []byte(`{"result"`)) {
		return refusal(answer)
	}
	return nil
}

// refusal reads an answer that is not the usual one; nil means that it is no error after all.
func refusal(answer []byte) *Cause {
	var body struct {
		Error *struct {
			Code    uint32 `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		return &Cause{Kind: causePublish, Reason: "the API does not answer with JSON"}
	}
	if body.Error == nil {
		return nil
	}
	return &Cause{Kind: causePublish, Code: body.Error.Code, Reason: clip(body.Error.Message)}
}

// exchange sends the request and reads the answer.
func (p *publisher) exchange() (status int, answer []byte, err error) {
	if p.conn == nil {
		if err := p.dial(); err != nil {
			return 0, nil, err
		}
	}
	if err := p.conn.SetDeadline(time.Now().Add(apiTimeout)); err != nil {
		return 0, nil, fmt.Errorf("publishing: %w", err)
	}
	if _, err := p.conn.Write(p.request); err != nil {
		return 0, nil, fmt.Errorf("publishing: %w", err)
	}
	response, err := http.ReadResponse(p.reader, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("reading answer of the API: %w", err)
	}
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading answer of the API: %w", err)
	}
	if response.Close {
		p.hangUp()
	}
	return response.StatusCode, answer, nil
}

func (p *publisher) dial() error {
	d := net.Dialer{Timeout: apiTimeout}
	conn, err := d.DialContext(p.fleet.stop, "tcp", p.server.address)
	if err != nil {
		return fmt.Errorf("connecting to the API: %w", err)
	}
	if p.server.tls {
		conn = tls.Client(conn, tlsConfig(p.server, p.fleet.opts.SkipVerify))
	}
	p.conn, p.reader = conn, bufio.NewReaderSize(conn, 4096)
	return nil
}

func (p *publisher) hangUp() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"centrifugo/protocol"
)

// publisher publishes over the HTTP API, one publication after the other.
type publisher struct {
	caller
	group   group
	index   int // in the group
	targets []target
	next    int
	head    []byte // of each request, up to the length of the body
	// streamHead is that of a request whose body goes on.
	streamHead []byte
	payload    []byte
	body       []byte
	request    []byte
}

// target is a channel with the number of publications that this publisher made to it.
type target struct {
	name        string // of the channel
	channel     []byte // the name as JSON
	source      uint32
	count       uint64
	subscribers uint64 // steady ones
}

// maxRefused is how many publications in a row may be refused before a publisher gives up.
const maxRefused = 20

// newPublishers makes those publishers of all groups whose turn it is in this worker.
func newPublishers(f *fleet, worker, workers int) ([]*publisher, error) {
	address := f.opts.API
	if address == "" {
		address = f.server.scheme() + "://" + f.apiHost() + "/api"
	}
	server, err := parseEndpoint(address, "/api")
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(server.path, "?")
	path = strings.TrimSuffix(path, "/")
	if query != "" {
		query = "?" + query
	}
	var headers []string
	if f.opts.APIKey != "" {
		headers = append(headers, "X-API-Key: "+f.opts.APIKey)
	}
	head := requestHead(server, contentJSON, path+"/publish"+query, headers...)
	streamHead := slices.Concat(bytes.TrimSuffix(requestHead(server, contentJSON, path+"/stream"+query, headers...), []byte("Content-Length: ")), []byte("Transfer-Encoding: chunked\r\n\r\n"))
	if f.opts.APIGRPC != "" {
		if f.api, err = f.dialAPI(); err != nil {
			return nil, err
		}
	}
	subscribers := f.plan.steadySubscribers()
	var publishers []*publisher
	turn := 0
	for _, g := range f.plan.groups {
		for i := range g.size {
			if (turn+i)%workers != worker {
				continue
			}
			p := &publisher{caller: caller{fleet: f, server: server}, group: g, index: i, head: head, streamHead: streamHead}
			for _, channel := range f.plan.targets(g, i) {
				t := target{source: g.source(i, channel), subscribers: 1}
				if g.own {
					t.name = f.plan.ownChannel(channel)
				} else {
					t.name, t.subscribers = f.plan.sharedChannel(channel), subscribers[channel]
				}
				t.channel = protocol.AppendJSONString(nil, t.name)
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

// apiHost returns where the API is unless the options say so: where clients connect, or
// beside the listener of gRPC, on the usual port.
func (f *fleet) apiHost() string {
	if f.transport.carrier != overGRPC {
		return f.server.host
	}
	host, _, _ := net.SplitHostPort(f.server.address) // parseEndpoint has joined it
	return net.JoinHostPort(host, "8000")
}

// pace returns when the publications of this publisher are due.
func (p *publisher) pace(start int64) *pace {
	rate := p.group.rate
	if p.fleet.plan.scenario.recovers {
		rate = 0
	}
	pace := newPace(start, rate/float64(p.group.size), p.fleet.clock)
	pace.n = float64(p.index) / float64(p.group.size) // the publishers take turns
	return pace
}

// run publishes by a way into the API, from start on until ctx ends, or count publications were
// made if that is not 0.
func (p *publisher) run(ctx context.Context, way string, start int64, count int) {
	defer p.hangUp()
	switch way {
	case wayHTTPStream:
		p.stream(ctx, start, p.openHTTPStream)
	case wayGRPCStream:
		p.stream(ctx, start, p.openGRPCStream)
	case wayGRPC:
		p.each(ctx, start, count, p.call)
	default:
		p.each(ctx, start, count, p.publish)
	}
}

// each publishes with one call after the other.
func (p *publisher) each(ctx context.Context, start int64, count int, publish func(t *target, at int64) *Cause) {
	pace := p.pace(start)
	refused := 0
	for n := 0; count == 0 || n < count; n++ {
		at, err := pace.wait(ctx)
		if err != nil {
			return
		}
		t := &p.targets[p.next%len(p.targets)]
		p.next++
		cause := publish(t, at)
		p.count(t, at, cause)
		if cause == nil {
			t.count++
			refused = 0
			continue
		}
		if refused++; refused == maxRefused || !pause(ctx, 10*time.Millisecond) {
			return
		}
	}
}

// count counts the answer to a publication that was due at a time.
func (p *publisher) count(t *target, at int64, cause *Cause) {
	f := p.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if cause != nil {
		f.tally.cause(*cause)
		return
	}
	f.tally.Published++
	f.tally.Expected += t.subscribers
	f.tally.Publishing.Record(time.Duration(f.clock.now() - at))
}

// publish makes one publication. Its number is used again when it was refused.
func (p *publisher) publish(t *target, at int64) *Cause {
	p.payload = p.fleet.payloads.append(p.payload[:0], stamp{t.source, t.count + 1, at})
	p.body = append(append(append(p.body[:0], `{"channel":`...), t.channel...), `,"data":`...)
	p.body = append(append(p.body, p.payload...), '}')
	p.request = appendRequest(p.request[:0], p.head, p.body)
	status, answer, err := p.exchange(p.request)
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

package loadtest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"

	"centrifugo/internal/wsframe"
	"centrifugo/protocol"
)

// clock gives wall time in nanoseconds that never goes back.
type clock struct{ origin time.Time }

func (c clock) now() int64 { return c.origin.UnixNano() + int64(time.Since(c.origin)) }

// connectTimeout is how long a client may take to be connected and subscribed.
const connectTimeout = 30 * time.Second

// fleet is the clients of one worker.
type fleet struct {
	// Static after construction.
	opts      *Options
	plan      plan
	transport Transport
	server    endpoint
	remotes   []netip.AddrPort
	sources   []netip.Addr
	handshake handshake
	format    protocol.Format
	marker    []byte
	pong      []byte // a pong, as transmit takes it
	pongFrame []byte
	streaming []byte                         // head of the request that is a connection, over HTTP
	uplinks   []*uplink                      // nil unless commands travel by requests of their own
	grpc      *multiplexed[*grpc.ClientConn] // nil for other transports
	http2     *multiplexed[*http.ClientConn] // nil for other transports, and over HTTP/1.1
	api       *grpc.ClientConn               // to the API over gRPC; nil unless it is measured
	payloads  payloads
	clock     clock
	poller    *poller // nil where every client has a goroutine
	wg        sync.WaitGroup
	stop      context.Context //nolint:containedctx // ends the goroutines of the fleet
	cancel    context.CancelFunc

	// Guarded by mu.
	mu          sync.Mutex
	clients     []*client
	queue       []*client // that are to be connected
	away        []*client // that were told to come back, and wait
	dialing     bool
	inflight    int // that are being connected for connect
	window      int
	failed      int           // that were not connected, since connect began
	settled     chan struct{} // closed when queue and inflight are empty
	tally       Snapshot
	inflater    inflater
	readAt      int64 // when the current bytes were read; 0 until the time is needed
	sample      int
	sampleEvery int
	echoing     bool // a client that was answered publishes again
	echoCount   int  // publications of clients that are not answered
	buf         []byte
}

// newFleet makes the clients from first on; they are not connected.
func newFleet(share *Share) (*fleet, error) {
	how, _ := transport(share.Options.Transport) // Validate has seen it
	server, err := parseEndpoint(share.Options.Address, how.path)
	if err != nil {
		return nil, err
	}
	f := &fleet{
		opts: &share.Options, plan: newPlan(share.Options), transport: how, server: server, sampleEvery: share.SampleEvery,
		marker: newRun(share.Run).marker(), clock: clock{origin: time.Now()}, payloads: newPayloads(newRun(share.Run), share.Options.Payload, share.Options.Payloads),
	}
	if f.sources, err = parseSources(share.Options.Sources); err != nil {
		return nil, err
	}
	if f.remotes, err = resolve(server.address); err != nil {
		return nil, err
	}
	f.pong, f.pongFrame = []byte("{}"), appendFrame(nil, wsframe.Text, []byte("{}"))
	if f.opts.binary(how) {
		f.format = protocol.FormatProtobuf
		f.pong, f.pongFrame = []byte{0}, appendFrame(nil, wsframe.Binary, []byte{0})
	}
	if how.unidirectional {
		f.format |= protocol.FormatUni
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails, says its package
	f.handshake = newHandshake(server, f.opts, nonce)
	f.stop, f.cancel = context.WithCancel(context.Background())
	for i := share.First; i < share.First+share.Clients; i++ {
		c := &client{index: i, slow: f.plan.isSlow(i), steady: f.plan.steady(i), ledgers: f.plan.ledgers(i)}
		c.channels = f.plan.subscriptions(i)
		if f.plan.scenario.recovers {
			c.positions = make([]position, c.channels)
		}
		if f.plan.scenario.echo && c.steady {
			c.channel = []byte(f.plan.ownChannel(i))
		}
		f.clients = append(f.clients, c)
	}
	switch how.carrier {
	case overGRPC:
		f.grpc = &multiplexed[*grpc.ClientConn]{streams: grpcStreams}
		return f, nil
	case overHTTP:
		f.streaming = requestHead(server, f.contentType(), server.path)
	case overWebTransport:
		if f.opts.Protobuf {
			f.server.path = withQuery(server.path, "cf_protocol=protobuf")
		}
		return f, nil
	case overWebSocket:
	}
	if f.opts.HTTP2Streams > 0 {
		f.http2 = &multiplexed[*http.ClientConn]{streams: f.opts.HTTP2Streams}
	}
	if !server.tls && f.http2 == nil {
		if f.poller, err = newPoller(f); err != nil {
			return nil, err
		}
	}
	if how.carrier == overHTTP && !how.unidirectional {
		f.uplinks = newUplinks(f)
	}
	return f, nil
}

// connect connects all clients that are closed and waits for them, at most
// window of them at a time and, unless it is 0, rate a second. When many have
// failed it does not try the others.
func (f *fleet) connect(ctx context.Context, window int, rate float64) error {
	f.mu.Lock()
	f.window, f.settled, f.failed = max(window, 1), make(chan struct{}), 0
	if rate > 0 {
		f.window = 0 // raised with time
	}
	for _, c := range f.clients {
		if c.state == stateClosed {
			f.queue = append(f.queue, c)
		}
	}
	settled := f.settled
	f.dialMore()
	f.mu.Unlock()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	began, allowed := time.Now(), 0
	for {
		select {
		case <-settled:
			return nil
		case <-f.stop.Done():
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		f.mu.Lock()
		if rate > 0 {
			due := int(rate * time.Since(began).Seconds())
			f.window = f.inflight + due - allowed
			before := len(f.queue)
			f.dialMore()
			allowed += before - len(f.queue)
		}
		f.expire()
		f.comeBack()
		f.mu.Unlock()
	}
}

var errStopped = errors.New("stopped")

// dialMore keeps the window full.
func (f *fleet) dialMore() {
	if f.dialing {
		return // a client failed at once: the loop below goes on with the next
	}
	f.dialing = true
	for len(f.queue) > 0 && f.inflight < f.window {
		c := f.queue[0]
		f.queue = f.queue[1:]
		f.inflight++
		c.counted = true
		f.dial(c)
	}
	f.dialing = false
	if len(f.queue) == 0 && f.inflight == 0 && f.settled != nil {
		close(f.settled)
		f.settled = nil
	}
}

// expire gives up clients that take too long.
func (f *fleet) expire() {
	oldest := f.clock.now() - int64(connectTimeout)
	for _, c := range f.clients {
		if c.state != stateClosed && c.state != stateReady && max(c.began, c.asked) < oldest {
			f.fail(c, Cause{Kind: causeConnect, Reason: "timeout"})
		}
	}
}

// dial begins a connection.
func (f *fleet) dial(c *client) {
	c.state, c.began = stateDialing, f.clock.now()
	if c.attempts == 0 {
		c.first = c.began
	}
	c.rest, c.parts, c.out, c.partial, c.pong, c.waiting, c.chunk = nil, nil, nil, false, false, false, 0
	c.pending, c.subscribed = 0, 0
	if !f.plan.scenario.recovers {
		for i := range c.ledgers {
			if !c.steady {
				c.ledgers[i].forget()
			}
		}
	}
	switch {
	case f.grpc != nil:
		f.call(c)
		return
	case f.http2 != nil:
		f.request(c)
		return
	case f.transport.carrier == overWebTransport:
		f.join(c)
		return
	case f.poller == nil:
		f.thread(c)
		return
	}
	if err := f.poller.dial(c); err != nil {
		f.fail(c, Cause{Kind: causeConnect, Reason: err.Error()})
	}
}

// source returns the address that a client comes from; ok is false when the
// system is to choose.
func (f *fleet) source(c *client) (netip.Addr, bool) {
	if len(f.sources) == 0 {
		return netip.Addr{}, false
	}
	return f.sources[c.index%len(f.sources)], true
}

// opened begins to speak over a new connection.
func (f *fleet) opened(c *client) {
	c.state = stateHandshake
	if f.transport.carrier != overHTTP {
		f.send(c, f.handshake.request)
		return
	}
	if message, ok := f.greeting(c); ok {
		f.send(c, appendRequest(nil, f.streaming, message))
	}
}

// greet sends connect and the subscriptions in one message, as SDKs do.
func (f *fleet) greet(c *client) {
	c.state = stateSubscribing
	if message, ok := f.greeting(c); ok {
		f.transmit(c, message)
	}
}

// greeting returns the first message of a connection; ok is false if it could not be
// encoded, and the client was given up.
func (f *fleet) greeting(c *client) (message []byte, ok bool) {
	request := &protocol.ConnectRequest{Token: f.opts.Token, Name: "bench"}
	if !f.transport.unidirectional {
		c.pending++
		return f.encode(c, f.subscriptions(c, protocol.Command{ID: connectID, Connect: request}))
	}
	c.asked = f.clock.now()
	request.Subs = make(map[string]*protocol.SubscribeRequest, c.channels)
	for ; c.subscribed < c.channels; c.subscribed++ {
		request.Subs[f.plan.subscription(c.index, c.subscribed)] = f.subscription(c, c.subscribed)
	}
	message, err := protocol.AppendConnectRequest(nil, f.format, request)
	if err != nil {
		f.fail(c, Cause{Kind: causeTransport, Reason: err.Error()})
	}
	return message, err == nil
}

// connectedByPush takes the connect push of a unidirectional connection.
func (f *fleet) connectedByPush(c *client, connect *protocol.Connect) {
	if c.state != stateSubscribing {
		f.fail(c, Cause{Kind: causeTransport, Reason: "a connect push that was not asked for"})
		return
	}
	for i := range c.channels {
		result := connect.Subs[f.plan.subscription(c.index, i)]
		if result == nil {
			f.fail(c, Cause{Kind: causeReply, Reason: "a channel of the connect request was not granted"})
			return
		}
		if !f.granted(c, i, result) {
			return
		}
	}
	f.ready(c)
}

// What is sent in one message while a client subscribes to many channels. The
// next waits until this one is answered, so that neither the server's limit of a
// message nor that of what waits to be sent (64 KB and 1 MB by default) is met.
const (
	subscribeBytes = 32 << 10
	subscribeCost  = 64 // bytes of a command without its channel, at most
)

// subscribe sends the next subscriptions.
func (f *fleet) subscribe(c *client) { f.command(c, f.subscriptions(c)...) }

// subscriptions returns the next subscriptions, behind what is given.
func (f *fleet) subscriptions(c *client, commands ...protocol.Command) []protocol.Command {
	c.asked = f.clock.now()
	for size := 0; c.subscribed < c.channels && size < subscribeBytes; c.subscribed++ {
		request := f.subscription(c, c.subscribed)
		request.Channel = f.plan.subscription(c.index, c.subscribed)
		commands = append(commands, protocol.Command{ID: firstSubscribe + uint32(c.subscribed), Subscribe: request}) //nolint:gosec // bounded by Validate
		c.pending++
		size += subscribeCost + len(request.Channel)
	}
	return commands
}

// subscription returns the request for the i-th channel of a client, without the channel.
func (f *fleet) subscription(c *client, i int) *protocol.SubscribeRequest {
	request := new(protocol.SubscribeRequest)
	if f.opts.Delta {
		request.Delta = deltaFossil
	}
	if f.plan.scenario.recovers {
		p := &c.positions[i]
		request.Recoverable = true
		request.Recover, request.Epoch, request.Offset = p.known, p.epoch, p.offset
	}
	return request
}

// answered takes note of the answer to connect or to a subscription.
func (f *fleet) answered(c *client) {
	if c.pending--; c.pending > 0 {
		return
	}
	if c.subscribed < c.channels {
		f.subscribe(c)
		return
	}
	f.ready(c)
}

// command sends commands in one message.
func (f *fleet) command(c *client, commands ...protocol.Command) {
	if message, ok := f.encode(c, commands); ok {
		f.transmit(c, message)
	}
}

// encode returns commands as one message, which is valid until the next call. Ok is false if
// they could not be encoded, and the client was given up.
func (f *fleet) encode(c *client, commands []protocol.Command) (message []byte, ok bool) {
	f.buf = f.buf[:0]
	for i := range commands {
		encoded, err := protocol.AppendCommand(nil, f.format, &commands[i])
		if err != nil {
			f.fail(c, Cause{Kind: causeTransport, Reason: err.Error()})
			return nil, false
		}
		switch {
		case f.format.Protobuf():
			f.buf = binary.AppendUvarint(f.buf, uint64(len(encoded)))
		case i > 0:
			f.buf = append(f.buf, '\n')
		}
		f.buf = append(f.buf, encoded...)
	}
	return f.buf, true
}

// transmit sends a message of the client.
func (f *fleet) transmit(c *client, message []byte) {
	switch f.transport.carrier {
	case overHTTP:
		f.uplinks[c.index%len(f.uplinks)].send(c, message)
	case overGRPC:
		f.writeGRPC(c, message)
	case overWebTransport:
		if !f.format.Protobuf() {
			message = append(message, '\n')
		}
		f.send(c, message)
	case overWebSocket:
		opcode := byte(wsframe.Text)
		if f.format.Protobuf() {
			opcode = wsframe.Binary
		}
		f.send(c, appendFrame(nil, opcode, message))
	}
}

// ready says that a client is connected and subscribed.
func (f *fleet) ready(c *client) {
	c.state = stateReady
	f.tally.Ready++
	f.tally.Connects++
	f.tally.Connecting.Record(time.Duration(f.clock.now() - c.first))
	c.attempts = 0
	f.uncount(c)
}

// uncount ends the waiting of connect for a client.
func (f *fleet) uncount(c *client) {
	if !c.counted {
		return
	}
	c.counted = false
	f.inflight--
	f.dialMore()
}

// fail ends a client and remembers why.
func (f *fleet) fail(c *client, why Cause) {
	if c.state == stateClosed {
		return
	}
	if c.slow && c.state == stateReady {
		why.Kind = causeSlow
	}
	why.Reason = clip(why.Reason)
	f.tally.cause(why)
	f.close(c)
	if c.counted {
		if f.failed++; f.failed == maxFailed {
			f.queue = nil
		}
	}
	f.uncount(c)
}

// maxFailed is how many clients may fail before no more are connected: the run
// has failed, and each may take connectTimeout.
const maxFailed = 100

// clip bounds a text of the server, makes it fit to print, and copies it: it may
// be a part of the read buffer.
func clip(reason string) string {
	const most = 200
	if len(reason) > most {
		reason = reason[:most]
	}
	return strings.Clone(strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r == 0x7f {
			return '?'
		}
		return r
	}, reason))
}

// close ends a client's connection.
func (f *fleet) close(c *client) {
	if c.state == stateReady {
		f.tally.Ready--
	}
	if c.waiting {
		c.waiting = false
		f.echoCount--
	}
	c.state = stateClosed
	if c.link != nil {
		c.link.close()
		c.link = nil
	}
	c.rest, c.parts, c.out = nil, nil, nil
}

// drop cuts all connections, without a word to the server.
func (f *fleet) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = nil
	for _, c := range f.clients {
		f.close(c)
	}
}

// snapshot returns a copy of what was counted.
func (f *fleet) snapshot() Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tally.clone()
}

// shut ends the fleet and waits for its goroutines.
func (f *fleet) shut() {
	f.cancel()
	f.drop()
	f.grpc.close()
	f.http2.close()
	if f.api != nil {
		_ = f.api.Close()
	}
	if f.poller != nil {
		f.poller.close()
	}
	f.wg.Wait()
}

// churn makes the clients that are to leave and come back do so, each once a second.
func (f *fleet) churn(ctx context.Context) {
	var restless []*client
	for _, c := range f.clients {
		if f.plan.churns(c.index) {
			restless = append(restless, c)
		}
	}
	if len(restless) == 0 {
		return
	}
	pace := newPace(0, float64(len(restless)), f.clock)
	for i := 0; ; i++ {
		if _, err := pace.wait(ctx); err != nil {
			return
		}
		f.mu.Lock()
		f.expire()
		switch c := restless[i%len(restless)]; c.state {
		case stateReady:
			f.close(c)
			f.dial(c)
		case stateClosed:
			f.dial(c)
		case stateDialing, stateHandshake, stateSubscribing: // it has not come back yet
		}
		f.mu.Unlock()
	}
}

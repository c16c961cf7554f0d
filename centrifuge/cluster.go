package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"centrifugo/centrifuge/internal/clusterwire"
	"centrifugo/internal/logsample"
)

// Intervals of the messages that nodes announce themselves with (server.md 10.2).
const (
	infoInterval = 3 * time.Second
	nodeMaxAge   = 7 * time.Second
)

// answerTimeout bounds how long a node tries to send an answer.
const answerTimeout = 10 * time.Second

// controlMessage is what one node tells another or asks of it.
type controlMessage = clusterwire.Message

// cluster knows the other nodes and exchanges control messages with them.
type cluster struct {
	// Static after construction.
	node       *Node
	controller Controller    // nil for a node that is alone
	done       chan struct{} // closed by run; nil unless that was started
	queues     *controlQueues
	samples    *logsample.Sampler // of log lines about messages that are not understood
	surveys    [numSurveyKinds]chan struct{}

	// Guarded by mu.
	mu       sync.Mutex
	peers    map[string]peer
	calls    map[uint64]*call
	lastCall uint64
}

// peer is another node.
type peer struct {
	info NodeInfo
	seen time.Time
}

func newCluster(n *Node, c Controller) *cluster {
	if c != nil {
		c = guardedController{c, n.logger}
	}
	cl := &cluster{
		node: n, controller: c, samples: logsample.New(1, time.Minute),
		peers: make(map[string]peer), calls: make(map[uint64]*call),
	}
	cl.queues = newControlQueues(n.processControl)
	for kind := range cl.surveys {
		cl.surveys[kind] = make(chan struct{}, maxSurveys)
	}
	return cl
}

func (cl *cluster) start() error {
	if cl.controller == nil {
		return nil
	}
	if err := cl.controller.Start(cl.node.id, cl.receive); err != nil {
		return err
	}
	cl.announce("")
	cl.done = make(chan struct{})
	go cl.run()
	return nil
}

// run announces this node until it shuts down, and expires peers.
func (cl *cluster) run() {
	defer close(cl.done)
	ticker := time.NewTicker(infoInterval)
	defer ticker.Stop()
	for {
		select {
		case <-cl.node.ctx.Done():
			return
		case now := <-ticker.C:
			cl.announce("")
			cl.expirePeers(now)
		}
	}
}

// announce sends the info of this node to one peer, or to all if to is empty.
func (cl *cluster) announce(to string) {
	if cl.node.closing.Load() {
		return // the shutdown notice was sent
	}
	cl.send(cl.node.ctx, to, &controlMessage{Op: clusterwire.OpInfo, Info: wireInfo(cl.node.localInfo())})
}

// encode returns the wire form of m. Its sender is this node.
func (cl *cluster) encode(m *controlMessage) ([]byte, error) {
	m.From = cl.node.id
	message, err := clusterwire.Append(nil, m)
	if err != nil {
		return nil, fmt.Errorf("encoding control message: %w", err)
	}
	return message, nil
}

// publish sends a message to one node, or to all if to is empty.
func (cl *cluster) publish(ctx context.Context, to string, message []byte) error {
	if cl.controller == nil {
		return nil
	}
	cl.node.stats.ControlSent.Add(1)
	if err := cl.controller.PublishControl(ctx, to, message); err != nil {
		return fmt.Errorf("publishing control message: %w", err)
	}
	return nil
}

// send publishes a message whose loss has no consequence beyond a delay. An error is
// logged.
func (cl *cluster) send(ctx context.Context, to string, m *controlMessage) {
	message, err := cl.encode(m)
	if err == nil {
		err = cl.publish(ctx, to, message)
	}
	if err != nil && ctx.Err() == nil {
		cl.node.logger.log(LogWarn, "control message not sent", "op", m.Op, "error", err)
	}
}

// receive handles a message of another node. It is the controller's handler and does
// not block: what may take time happens on other goroutines.
func (cl *cluster) receive(message []byte) {
	m, err := clusterwire.Decode(message)
	switch {
	case m != nil && m.From == cl.node.id:
		return
	case err != nil:
		cl.reject(m, err)
		return
	}
	cl.node.stats.ControlReceived.Add(1)
	switch m.Op {
	case clusterwire.OpInfo:
		cl.addPeer(m)
	case clusterwire.OpShutdown:
		cl.removePeer(m.From)
	case clusterwire.OpAnswer:
		cl.collect(m)
	case clusterwire.OpDeliver:
		cl.answerDelivery(m)
	case clusterwire.OpSurvey:
		m.Payload = append([]byte(nil), m.Payload...) // the message is the controller's
		go cl.answerSurvey(m)
	default:
		m.Payload = append([]byte(nil), m.Payload...)
		if !cl.queues.add(m) {
			cl.node.stats.controlDropped.Add(1)
			cl.sample("control message dropped: too many wait for a handler", "op", m.Op, "from", m.From)
		}
	}
}

// reject counts and logs a message that this node does not understand. It answers a
// call of an unknown operation, so that the caller does not wait for its timeout.
func (cl *cluster) reject(m *controlMessage, err error) {
	unknown := errors.Is(err, clusterwire.ErrUnknownOp)
	if !unknown && !errors.Is(err, clusterwire.ErrVersion) {
		cl.node.stats.controlMalformed.Add(1)
		cl.sample("malformed control message", "error", err)
		return
	}
	cl.node.stats.controlIgnored.Add(1)
	cl.sample("control message of another release ignored", "error", err)
	if unknown && m.Call != 0 {
		cl.answer(m, &clusterwire.Answer{Error: wireError(ErrorNotAvailable)}, nil)
	}
}

// sample logs one line of a kind per minute.
func (cl *cluster) sample(message string, fields ...any) {
	if ok, suppressed := cl.samples.Take(logsample.Key{Message: message}); ok {
		if suppressed > 0 {
			fields = append(fields, "suppressed", suppressed)
		}
		cl.node.logger.log(LogWarn, message, fields...)
	}
}

// addPeer notes that the sender of an info message is alive. A node that is new gets
// this node's info at once.
func (cl *cluster) addPeer(m *controlMessage) {
	cl.mu.Lock()
	_, known := cl.peers[m.From]
	cl.peers[m.From] = peer{nodeInfo(m.From, m.Info), time.Now()}
	cl.mu.Unlock()
	if !known {
		cl.announce(m.From)
	}
}

// removePeer removes a node that has sent a shutdown notice. No call waits for its
// answer any more.
func (cl *cluster) removePeer(id string) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	delete(cl.peers, id)
	for _, c := range cl.calls {
		c.finish(id)
	}
}

// expirePeers removes the nodes that have sent nothing for nodeMaxAge. Calls that
// wait for one of them report it as missing.
func (cl *cluster) expirePeers(now time.Time) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for id, p := range cl.peers {
		if now.Sub(p.seen) > nodeMaxAge {
			delete(cl.peers, id)
			for _, c := range cl.calls {
				c.expire(id)
			}
		}
	}
}

func (cl *cluster) infos() []NodeInfo {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	infos := make([]NodeInfo, 0, len(cl.peers))
	for _, p := range cl.peers {
		infos = append(infos, p.info)
	}
	return infos
}

// sendShutdownNotice tells the other nodes that this one leaves.
func (cl *cluster) sendShutdownNotice(ctx context.Context) {
	if cl.controller != nil {
		cl.send(ctx, "", &controlMessage{Op: clusterwire.OpShutdown})
	}
}

func (cl *cluster) close(ctx context.Context) {
	if cl.controller == nil {
		return
	}
	if cl.done != nil {
		<-cl.done
		// An announcement may have been sent at the same time as the first notice.
		cl.sendShutdownNotice(ctx)
	}
	if err := cl.controller.Close(ctx); err != nil {
		cl.node.logger.log(LogWarn, "closing controller", "error", err)
	}
}

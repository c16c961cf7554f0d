package centrifuge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Rhythm of the nodes' news about themselves (server-interface 10.4).
const (
	infoInterval  = 3 * time.Second
	nodeMaxAge    = 7 * time.Second
	surveyTimeout = 10 * time.Second
)

var errSurveyIncomplete = errors.New("not every node answered in time")

// order is what one node asks of the others, or tells them.
type order struct {
	Op          orderOp           `json:"op"`
	From        string            `json:"from"`
	Target      Target            `json:"target,omitzero"`
	Channel     string            `json:"channel,omitempty"`
	Subscribe   *SubscribeOptions `json:"subscribe,omitempty"`
	Unsubscribe *Unsubscribe      `json:"unsubscribe,omitempty"`
	Disconnect  *Disconnect       `json:"disconnect,omitempty"`
	Refresh     *RefreshOptions   `json:"refresh,omitempty"`
	Info        *NodeInfo         `json:"info,omitempty"`
	Survey      uint64            `json:"survey,omitempty"`
	Pattern     string            `json:"pattern,omitempty"`
	Channels    map[string]int    `json:"channels,omitempty"`
	Error       string            `json:"error,omitempty"`
}

type orderOp string

const (
	orderSubscribe   orderOp = "subscribe"
	orderUnsubscribe orderOp = "unsubscribe"
	orderDisconnect  orderOp = "disconnect"
	orderRefresh     orderOp = "refresh"
	orderInfo        orderOp = "info"     // I am alive
	orderFarewell    orderOp = "farewell" // I am not any more
	orderAsk         orderOp = "ask"      // which channels have you?
	orderAnswer      orderOp = "answer"
)

// cluster is what a node knows of the others, and how it talks to them.
type cluster struct {
	// Static after construction.
	node       *Node
	controller Controller    // nil for a node that is alone
	done       chan struct{} // closed by run; nil unless that was started

	// Guarded by mu.
	mu      sync.Mutex
	peers   map[string]peer
	surveys map[uint64]*survey
	number  uint64
	queues  map[string][]order // by user, while they are worked on
}

type peer struct {
	info  NodeInfo
	heard time.Time
}

func newCluster(n *Node, c Controller) *cluster {
	if c != nil {
		c = guardedController{c, n.logger}
	}
	return &cluster{
		node: n, controller: c, queues: make(map[string][]order),
		peers: make(map[string]peer), surveys: make(map[uint64]*survey),
	}
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

// run tells the others about this node until it shuts down.
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
			cl.bury(now)
		}
	}
}

func (cl *cluster) announce(to string) {
	if cl.node.closing.Load() {
		return // the farewell was said
	}
	info := cl.node.localInfo()
	cl.send(to, order{Op: orderInfo, Info: &info})
}

// bury forgets the nodes that have not been heard of.
func (cl *cluster) bury(now time.Time) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for id, p := range cl.peers {
		if now.Sub(p.heard) > nodeMaxAge {
			delete(cl.peers, id)
		}
	}
}

func (cl *cluster) broadcast(ctx context.Context, o order) error {
	if cl.controller == nil {
		return nil
	}
	return cl.publish(ctx, "", o)
}

func (cl *cluster) publish(ctx context.Context, to string, o order) error {
	o.From = cl.node.id
	cl.node.stats.ControlSent.Add(1)
	message, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encoding control message: %w", err)
	}
	if err := cl.controller.PublishControl(ctx, to, message); err != nil {
		return fmt.Errorf("publishing control message: %w", err)
	}
	return nil
}

// send is for what may be lost: the next one repairs it.
func (cl *cluster) send(to string, o order) {
	if err := cl.publish(cl.node.ctx, to, o); err != nil {
		cl.node.logger.log(LogWarn, "control message", "op", o.Op, "error", err)
	}
}

// receive carries out what another node sent.
func (cl *cluster) receive(message []byte) {
	var o order
	if err := json.Unmarshal(message, &o); err != nil {
		cl.node.logger.log(LogError, "malformed control message", "error", err)
		return
	}
	if o.From == cl.node.id || !o.complete() {
		return
	}
	cl.node.stats.ControlReceived.Add(1)
	switch o.Op {
	case orderInfo:
		cl.meet(o)
	case orderFarewell:
		cl.part(o.From)
	case orderAsk:
		go cl.answer(o)
	case orderAnswer:
		cl.collect(o)
	default:
		cl.enqueue(o)
	}
}

// enqueue has an order carried out beside the controller, since it may take
// its time; those that concern one user in the order in which they came.
func (cl *cluster) enqueue(o order) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	waiting, working := cl.queues[o.Target.User]
	cl.queues[o.Target.User] = append(waiting, o)
	if !working {
		go cl.work(o.Target.User)
	}
}

// work carries out what is queued for a user.
func (cl *cluster) work(user string) {
	for {
		cl.mu.Lock()
		orders := cl.queues[user]
		if len(orders) == 0 {
			delete(cl.queues, user)
			cl.mu.Unlock()
			return
		}
		cl.queues[user] = nil
		cl.mu.Unlock()
		for _, o := range orders {
			cl.node.obey(cl.node.ctx, o)
		}
	}
}

// part forgets a node that has said farewell; nobody waits for its answers.
func (cl *cluster) part(id string) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	delete(cl.peers, id)
	for _, s := range cl.surveys {
		s.answered(id)
	}
}

// complete reports whether an order has what its op needs.
func (o *order) complete() bool {
	switch o.Op {
	case orderSubscribe:
		return o.Subscribe != nil && o.Channel != ""
	case orderUnsubscribe:
		return o.Unsubscribe != nil
	case orderDisconnect:
		return o.Disconnect != nil
	case orderRefresh:
		return o.Refresh != nil
	case orderInfo:
		return o.Info != nil
	case orderFarewell, orderAsk, orderAnswer:
		return true
	}
	return false
}

func (cl *cluster) meet(o order) {
	cl.mu.Lock()
	_, known := cl.peers[o.From]
	cl.peers[o.From] = peer{*o.Info, time.Now()}
	cl.mu.Unlock()
	if !known {
		cl.announce(o.From)
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

// farewell lets the others know at once that this node leaves.
func (cl *cluster) farewell() {
	if cl.controller != nil {
		cl.send("", order{Op: orderFarewell})
	}
}

func (cl *cluster) close(ctx context.Context) {
	if cl.controller == nil {
		return
	}
	if cl.done != nil {
		<-cl.done
		// An announcement may have been under way at the time of the farewell.
		if err := cl.publish(ctx, "", order{Op: orderFarewell}); err != nil {
			cl.node.logger.log(LogDebug, "repeating the farewell", "error", err)
		}
	}
	if err := cl.controller.Close(ctx); err != nil {
		cl.node.logger.log(LogWarn, "closing controller", "error", err)
	}
}

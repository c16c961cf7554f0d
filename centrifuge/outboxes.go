package centrifuge

import (
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"centrifugo/centrifuge/internal/fanout"
)

const (
	// defaultMaxBatch are joined into one transport message at the most.
	defaultMaxBatch = 64
	// maxBatchLimit is what no limit means: a batch is gathered before it is
	// joined, and a TransportInfo cannot say more.
	maxBatchLimit = math.MaxUint16
	// mostWriteDelay bounds Config.WriteDelay: pings are delayed too.
	mostWriteDelay = time.Second
	// defaultQueueTotalSize is the budget of a node without a memory limit; of
	// one that has a limit it is a share of it.
	defaultQueueTotalSize = 256 << 20
	queueTotalShare       = 4
)

// outboxes is what the outboxes of a node's connections have in common.
type outboxes struct {
	// Static after start.
	maxBatch int
	budget   *fanout.Budget
	delays   []*fanout.Delay // one for each lane, none when writes are not delayed
}

func newOutboxes(c *Config) (outboxes, error) {
	switch {
	case c.WriteDelay > mostWriteDelay:
		return outboxes{}, fmt.Errorf("write delay (%v) must be at most %v", c.WriteDelay, mostWriteDelay)
	case c.WriteDelay > 0 && c.PongTimeout > 0 && c.WriteDelay >= c.PongTimeout:
		return outboxes{}, fmt.Errorf("write delay (%v) must be less than pong timeout (%v)", c.WriteDelay, c.PongTimeout)
	}
	o := outboxes{maxBatch: c.MaxBatch, budget: fanout.NewBudget(c.QueueTotalSize)}
	if o.maxBatch <= 0 || o.maxBatch > maxBatchLimit {
		o.maxBatch = maxBatchLimit
	}
	return o, nil
}

// totalSizeDefault asks the runtime: the limit may come from the environment or
// the container.
func totalSizeDefault() int {
	limit := debug.SetMemoryLimit(-1) // a negative limit only asks
	if limit == math.MaxInt64 {
		return defaultQueueTotalSize
	}
	return int(max(limit/queueTotalShare, 1))
}

func (o *outboxes) start(c *Config) {
	if c.WriteDelay <= 0 {
		return
	}
	o.delays = make([]*fanout.Delay, c.Lanes)
	for i := range o.delays {
		o.delays[i] = fanout.NewDelay(c.WriteDelay)
	}
}

// close lets go what is delayed.
func (o *outboxes) close() {
	for _, d := range o.delays {
		d.Close()
	}
}

// prepare makes the outbox of a new client.
func (o *outboxes) prepare(c *Client) {
	maxBatch := o.maxBatch
	if n := int(c.info.MaxBatch); n > 0 {
		maxBatch = min(maxBatch, n)
	}
	c.outbox.Init((*clientSink)(c), c.node.config.QueueSize, maxBatch, c.info.Blocking)
	var delay *fanout.Delay
	if len(o.delays) > 0 {
		delay = o.delays[c.lane]
	}
	c.outbox.Share(delay, o.budget)
}

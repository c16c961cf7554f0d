package centrifuge

import (
	"context"
	"slices"
	"time"
)

const (
	// defaultReleaseRate is Config.ReleaseRate when it is zero.
	defaultReleaseRate = 5000
	// releaseEvery is the shortest time between two batches of connections that Shutdown
	// closes.
	releaseEvery = 50 * time.Millisecond
)

// release closes the connections that there are with DisconnectShutdown, in batches of
// Config.ReleaseRate, so that the nodes to which the clients go do not get them all at
// once. Two thirds of the time that ctx leaves are used at most: the rest is for the
// connections to end. It returns early when ctx is done, and closes all then.
func (n *Node) release(ctx context.Context) {
	clients := slices.Collect(n.registry.all())
	batch, every := n.releasePace(ctx, len(clients))
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		size := min(batch, len(clients))
		for _, c := range clients[:size] {
			c.Disconnect(DisconnectShutdown)
		}
		clear(clients[:size])
		if clients = clients[size:]; len(clients) == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			batch = len(clients)
		}
	}
}

// releasePace returns how many of count connections are closed at a time, and the time
// between two batches.
func (n *Node) releasePace(ctx context.Context, count int) (batch int, every time.Duration) {
	if n.config.ReleaseRate <= 0 {
		return count, releaseEvery
	}
	span := maxDuration
	if s := float64(count) / float64(n.config.ReleaseRate); s < span.Seconds() {
		span = time.Duration(s * float64(time.Second))
	}
	if deadline, ok := ctx.Deadline(); ok {
		span = min(span, time.Until(deadline)*2/3)
	}
	batches := min(int64(span/releaseEvery), int64(count))
	if batches <= 1 {
		return count, releaseEvery
	}
	return int((int64(count) + batches - 1) / batches), span / time.Duration(batches)
}

package redisengine

import (
	"strings"
	"sync"
	"time"

	"centrifugo/centrifuge"
)

// lossPeriod is the time whose lost streams make one line of the log: a server that has lost
// its data has lost those of all channels.
const lossPeriod = time.Second

// lossLog collects the streams that have begun a new epoch.
type lossLog struct {
	// Guarded by mu.
	mu      sync.Mutex
	count   int
	channel string // one of them
}

// renewed notes that the stream of a channel has another epoch than it had.
func (b *Broker) renewed(channel string) {
	b.stats.EpochsRenewed.Add(1)
	l := &b.losses
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count++; l.count == 1 {
		l.channel = strings.Clone(channel)
		time.AfterFunc(lossPeriod, b.logLosses)
	}
}

func (b *Broker) logLosses() {
	l := &b.losses
	l.mu.Lock()
	count, channel := l.count, l.channel
	l.count, l.channel = 0, ""
	l.mu.Unlock()
	if b.ctx.Err() == nil {
		b.redis.logf(centrifuge.LogWarn, "streams have a new epoch: redis has lost the former ones, or they had expired", "count", count, "channel", channel)
	}
}

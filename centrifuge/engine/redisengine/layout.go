package redisengine

import (
	"strconv"
	"strings"
)

// layout names keys and channels (server.md 10.3).
type layout struct {
	prefix string
	// cluster: all keys of a channel have a hash tag, so that they share a slot.
	cluster bool
	// partitions above zero divide the channels of a cluster; the keys and messages of a
	// partition have its number as their hash tag, and messages travel by sharded PUB/SUB.
	partitions int
	// streams: messages travel through bus streams, one for a shard or partition.
	streams bool
}

// bus returns the key of a bus stream, and busOf that of a channel's, nothing with PUB/SUB.
func (l layout) bus(partition int) string {
	switch {
	case !l.streams:
		return ""
	case l.partitions > 0:
		return l.prefix + ".bus." + l.partitionTag(partition)
	}
	return l.prefix + ".bus"
}

func (l layout) busOf(channel string) string { return l.bus(l.partition(channel)) }

// channelPart returns the part of a key that stands for the channel.
func (l layout) channelPart(channel string) string {
	switch {
	case !l.cluster:
		return channel
	case l.partitions > 0:
		return l.partitionTag(l.partition(channel)) + "." + channel
	case channel == "" || channel[0] == '}':
		// A hash tag that is empty is none. No other channel has a key that ends like this.
		return "{-}" + channel + "."
	}
	return "{" + channel + "}"
}

func (l layout) partitionTag(partition int) string { return "{" + strconv.Itoa(partition) + "}" }

// partition returns the partition of a channel; zero if there are none.
func (l layout) partition(channel string) int {
	if l.partitions <= 1 {
		return 0
	}
	return jump(hash(channel), l.partitions)
}

func (l layout) key(kind, channel string) string {
	return l.prefix + "." + kind + "." + l.channelPart(channel)
}

// messages returns the PUB/SUB channel of a channel's messages.
func (l layout) messages(channel string) string {
	if l.partitions > 0 {
		return l.prefix + ".client." + l.channelPart(channel)
	}
	return l.prefix + ".client." + channel
}

// channel is the inverse of messages.
func (l layout) channel(messages string) (channel string, ok bool) {
	rest, ok := strings.CutPrefix(messages, l.prefix+".client.")
	if ok && l.partitions > 0 {
		_, rest, ok = strings.Cut(rest, ".")
	}
	return rest, ok
}

func (l layout) result(channel, idempotencyKey string) string {
	return l.key("result", channel) + "." + idempotencyKey
}

// hash is FNV-1a with 64 bits. It is written here because hash/fnv allocates.
func hash(channel string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(channel) {
		h = (h ^ uint64(channel[i])) * 1099511628211
	}
	return h
}

// jump is the jump consistent hash of Lamping and Veach: it returns a number below
// buckets, and an increase of buckets moves as few keys as possible.
func jump(key uint64, buckets int) int {
	b, j := int64(-1), int64(0)
	for j < int64(buckets) {
		b = j
		key = key*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(int64(1)<<31) / float64((key>>33)+1)))
	}
	return int(b)
}

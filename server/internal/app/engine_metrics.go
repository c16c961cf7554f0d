package app

import (
	"strconv"

	"centrifugo/centrifuge/engine/redisengine"

	"github.com/prometheus/client_golang/prometheus"
)

// engineMetrics exports what happens to the connections of the engine. It implements
// prometheus.Collector.
type engineMetrics struct{ engine engine }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("centrifugo_"+name, help, labels, nil)
}

var (
	engineHealthy = desc("node_engine_healthy", "1 while the engine can be used and messages arrive, otherwise 0.")
	redisErrors   = desc("broker_redis_pub_sub_errors", "Failures of connections to Redis on which messages arrive: connection ended or not made, probe or audit failed; and malformed messages.",
		"broker_name", "error")
	redisDropped  = desc("broker_redis_pub_sub_dropped_messages", "Messages from Redis dropped because they arrived faster than they were delivered.", "broker_name", "channel_type")
	redisBuffered = desc("broker_redis_pub_sub_buffered_messages", "Messages from Redis that wait for delivery.", "broker_name", "channel_type", "pub_sub_processor")
	redisGaps     = desc("broker_redis_gaps_count", "Reports that messages from Redis may have been lost, after which positions are compared.", "broker_name", "channel_type")
	redisRenewed  = desc("broker_redis_epochs_renewed_count", "Streams that had another epoch than the node has seen before: Redis has lost the former ones, or they had expired.", "broker_name")
)

// Describe implements prometheus.Collector.
func (m engineMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{engineHealthy, redisErrors, redisDropped, redisBuffered, redisGaps, redisRenewed} {
		to <- d
	}
}

// redisPart is a part of the engine that receives messages from Redis.
type redisPart interface {
	Stats() *redisengine.Stats
	Buffered() []int
}

// Collect implements prometheus.Collector.
func (m engineMetrics) Collect(to chan<- prometheus.Metric) {
	healthy := 1.0
	if m.engine.health() != nil {
		healthy = 0
	}
	to <- prometheus.MustNewConstMetric(engineHealthy, prometheus.GaugeValue, healthy)
	counters := make(map[string]uint64)
	var renewed uint64
	used := false
	for kind, part := range map[string]any{"client": m.engine.broker, "control": m.engine.controller} {
		p, ok := part.(redisPart)
		if !ok {
			continue
		}
		used = true
		s := p.Stats()
		counters["connection"] += s.Reconnects.Load()
		counters["probe"] += s.ProbesLost.Load()
		counters["audit"] += s.AuditsFailed.Load()
		counters["malformed"] += s.Malformed.Load()
		renewed += s.EpochsRenewed.Load()
		to <- prometheus.MustNewConstMetric(redisDropped, prometheus.CounterValue, float64(s.Dropped.Load()), "", kind)
		to <- prometheus.MustNewConstMetric(redisGaps, prometheus.CounterValue, float64(s.Gaps.Load()), "", kind)
		for i, n := range p.Buffered() {
			to <- prometheus.MustNewConstMetric(redisBuffered, prometheus.GaugeValue, float64(n), "", kind, strconv.Itoa(i))
		}
	}
	if !used {
		return
	}
	to <- prometheus.MustNewConstMetric(redisRenewed, prometheus.CounterValue, float64(renewed), "")
	for name, n := range counters {
		to <- prometheus.MustNewConstMetric(redisErrors, prometheus.CounterValue, float64(n), "", name)
	}
}

package app

import (
	"centrifugo/server/internal/consumer"

	"github.com/prometheus/client_golang/prometheus"
)

// consumerMetrics exports what consumers do. It implements prometheus.Collector.
type consumerMetrics []*consumer.Consumer

var (
	consumerProcessed = desc("consumers_messages_processed_total", "Messages of consumers that were processed, those without effect included.", "consumer_name")
	consumerErrors    = desc("consumers_errors_total", "Failures of consumers: of the source, of calls, each repetition included, and messages without effect.", "consumer_name")
	consumerRetries   = desc("consumers_retries_total", "Calls of consumers that were repeated because this server could not execute them.", "consumer_name")
	consumerRefused   = desc("consumers_refused_messages_total", "Messages of consumers that had no effect: malformed, too_large, unknown_method, no_channels, api_error or panic.", "consumer_name", "reason")
	consumerLag       = desc("consumers_lag_messages", "Messages that wait in the source of a consumer, as far as the source tells.", "consumer_name")
)

// Describe implements prometheus.Collector.
func (m consumerMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{consumerProcessed, consumerErrors, consumerRetries, consumerRefused, consumerLag} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m consumerMetrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m {
		s := c.Stats()
		count := func(d *prometheus.Desc, n uint64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{c.Name()}, labels...)...)
		}
		count(consumerProcessed, s.Processed.Load())
		count(consumerErrors, s.Errors.Load())
		count(consumerRetries, s.Retries.Load())
		for _, reason := range consumer.Reasons {
			count(consumerRefused, s.Refused(reason), string(reason))
		}
		if lag, known := s.Lag(); known {
			to <- prometheus.MustNewConstMetric(consumerLag, prometheus.GaugeValue, float64(lag), c.Name())
		}
	}
}

package app

import (
	"centrifugo/server/internal/auth"

	"github.com/prometheus/client_golang/prometheus"
)

// countKeySets exports the counters of the key sets of tokens.
func (m *metrics) countKeySets(stats func() auth.KeySetStats) {
	m.registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "centrifugo_client_key_set_fetched_count", Help: "Key sets of tokens fetched.",
		}, func() float64 { return float64(stats().Fetched) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "centrifugo_client_key_set_failed_count", Help: "Key sets of tokens that could not be fetched.",
		}, func() float64 { return float64(stats().Failed) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "centrifugo_client_key_set_ignored_keys_count", Help: "Entries of fetched key sets that cannot verify tokens.",
		}, func() float64 { return float64(stats().Ignored) }),
	)
}

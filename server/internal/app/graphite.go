package app

import (
	"context"
	"sync"

	"centrifugo/server/internal/graphite"

	"github.com/prometheus/client_golang/prometheus"
)

// startGraphite sends the metrics to Graphite until ctx is done, if graphite.enabled is set.
func (a *App) startGraphite(ctx context.Context, background *sync.WaitGroup) {
	c := a.config.Graphite
	if !c.Enabled {
		return
	}
	p := graphite.New(graphite.Options{
		Address: address(c.Host, c.Port), Prefix: c.Prefix, Interval: c.Interval, Tags: c.Tags,
		Gatherer: a.metrics.registry, Log: a.log,
	})
	a.metrics.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "centrifugo_graphite_failed_count", Help: "Transfers of metrics to Graphite that have failed.",
	}, func() float64 { return float64(p.Failed()) }))
	background.Go(func() { p.Run(ctx) })
}

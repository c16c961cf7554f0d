//go:build linux

package main

import (
	"math"
	"strconv"
)

// flat is by how much the largest of the sizes may exceed the smallest.
const flat = 1.15

// growth is a work of several sizes: does a unit of it cost the same however
// much of it there is?
type growth struct {
	work   work
	what   string // of the figure
	metric string
	sizes  []int
	run    func(n int) runner
	floor  func(n int) runner // may be nil
	times  map[int]int        // of a size in each round, where it is not once
}

// growthWorks are those that are plotted.
func growthWorks(m *measurement) []work {
	var all []work
	for _, g := range []growth{subscriberGrowth(m), channelGrowth(m), connectionGrowth(m)} {
		all = append(all, g.complete())
	}
	return all
}

func subscriberGrowth(m *measurement) growth {
	const perSecond = 50_000 // deliveries, whatever the size
	run := func(s subject, n int) runner {
		return against(s, m.paced("fanout", "--clients", strconv.Itoa(n), "--rate", strconv.FormatFloat(perSecond/float64(n), 'f', -1, 64))...)
	}
	return growth{
		work: work{
			name: "growth-subscribers", title: "Growth: subscribers",
			note:    "50,000 deliveries a second whatever the number of subscribers of the one channel: 500 publications a second to 100, 3.125 to 16,000. The cost includes the HTTP request of a publication, shared by as many deliveries as there are subscribers.",
			columns: delivering,
			chart:   &chart{title: "CPU per delivery", unit: "µs", axis: "subscribers"},
		},
		what: "growth: CPU per delivery, 100 to 16,000 subscribers", metric: deliveryCPU, sizes: []int{100, 1000, 4000, 16_000},
		run:   func(n int) runner { return run(subject{}, n) },
		floor: func(n int) runner { return run(subject{floor: true}, n) },
	}
}

func channelGrowth(m *measurement) growth {
	const connections = 10
	return growth{
		work: work{
			name: "growth-channels", title: "Growth: channels",
			note:    "2,000 publications a second over HTTP, spread over channels with one subscriber each; 10 connections hold the channels, or one if there is one channel.",
			columns: []column{{"CPU µs per publication", publicationCPU, 1, 0}, {"p99 ms", latencyP99, 2, 0}, {"publications/s", "publish.per_second", 0, 0}},
			chart:   &chart{title: "CPU per publication", unit: "µs", axis: "channels"},
		},
		what: "growth: CPU per publication, 1 to 100,000 channels", metric: publicationCPU, sizes: []int{1, 100, 10_000, 100_000},
		run: func(n int) runner {
			clients := min(n, connections)
			return against(subject{config: manyChannels}, m.paced("unique", "--rate", "2000", "--clients", strconv.Itoa(clients), "--channels-per-client", strconv.Itoa(n/clients))...)
		},
	}
}

func connectionGrowth(m *measurement) growth {
	const crowd = 1000
	return growth{
		work: work{
			name: "growth-connections", title: "Growth: connections",
			note: "Idle connections with one subscription each, as above. 1,000 other connections exist before and stay, so that what the server needs once is not counted. " +
				"By default the heap is between one and two times the size of the live objects, depending on the phase of the collector, which a thousand connections do not average out. Here the server runs with GOGC=10, which keeps the heap between 1 and 1.1 times that size.",
			columns: []column{{"bytes per connection", clientMemory, 0, 0}, {"connects/s", "connect.per_second", 0, 0}},
			chart:   &chart{title: "Memory per connection", unit: "B", axis: "connections"},
		},
		what: "growth: memory per connection, 1,000 to 18,000", metric: clientMemory, sizes: []int{1000, 4000, 9000, 18_000},
		times: map[int]int{1000: 3},
		run: func(n int) runner {
			return amidst(crowd, subject{environ: []string{"GOGC=10"}}, m.paused(1, "idle", "--clients", strconv.Itoa(n))...)
		},
	}
}

// complete makes the sides, the figures and the plot of a growth.
func (g growth) complete() work {
	w := g.work
	w.rounds = 2
	w.chart.sizes, w.chart.metric = g.sizes, g.metric
	w.chart.floor = g.floor != nil
	for _, n := range g.sizes {
		if g.floor != nil {
			w.sides = append(w.sides, side{name: floorOf(n), run: g.floor(n)})
		}
		w.sides = append(w.sides, side{name: thousands(n), run: g.run(n), times: g.times[n]})
	}
	own := func(at lookup, n int) float64 { return at(thousands(n), g.metric) }
	floor := func(at lookup, n int) float64 { return at(floorOf(n), g.metric) }
	w.figures = []figure{{work: g.what + ", largest to smallest", limit: flat, places: 2, unit: "x", together: true, value: g.spread(own)}}
	if g.floor != nil {
		toFloor := func(at lookup, n int) float64 { return own(at, n) / floor(at, n) }
		w.figures = append(w.figures,
			figure{work: "the same of the floor", limit: shown, places: 2, unit: "x", together: true, value: g.spread(floor)},
			figure{work: "the same to the floor at each size", limit: shown, places: 2, unit: "x", together: true, value: g.spread(toFloor)})
	}
	return w
}

// spread is the largest of the sizes by the smallest; NaN if one is missing.
func (g growth) spread(of func(at lookup, n int) float64) func(lookup) float64 {
	return func(at lookup) float64 {
		low, high := math.Inf(1), math.Inf(-1)
		for _, n := range g.sizes {
			low, high = math.Min(low, of(at, n)), math.Max(high, of(at, n))
		}
		return high / low
	}
}

// floorOf is the name of the side of the floor.
func floorOf(n int) string { return "floor, " + thousands(n) }

// thousands writes a number with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

package costs

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// run is what a cluster with the costs would use, off by a factor.
func (c *Costs) run(factor float64, subscribers ...int) Run {
	nodes, redis := c.Predict(subscribers)
	for i := range nodes {
		nodes[i] *= factor
	}
	return Run{Subscribers: subscribers, Nodes: nodes, Redis: redis * factor}
}

func TestFit(t *testing.T) {
	want := Costs{Publish: 60, Receive: 15, Deliver: 4.5, RedisPublish: 12, RedisReceive: 3}
	runs := []Run{want.run(1, 10), want.run(1, 500), want.run(1, 0, 10), want.run(1, 10, 10)}
	var got Costs
	if err := got.Fit(runs); err != nil {
		t.Fatal(err)
	}
	for _, v := range [][2]float64{
		{got.Publish, want.Publish}, {got.Receive, want.Receive}, {got.Deliver, want.Deliver},
		{got.RedisPublish, want.RedisPublish}, {got.RedisReceive, want.RedisReceive},
	} {
		if math.Abs(v[0]/v[1]-1) > 1e-6 {
			t.Errorf("Fit = %+v; want %+v", got, want)
		}
	}
	if worst := got.Worst([]Run{want.run(1, 100, 0, 300)}); worst > 1e-6 {
		t.Errorf("Worst of what was fitted = %v; want 0", worst)
	}
	if worst := got.Worst([]Run{want.run(1.25, 100, 0, 300)}); math.Abs(worst-0.2) > 1e-6 {
		t.Errorf("Worst of a cluster that uses 1.25 times as much = %v; want 0.2", worst)
	}
}

// TestPredict compares with figures computed by hand. The first node publishes.
func TestPredict(t *testing.T) {
	c := Costs{Publish: 60, Receive: 15, Deliver: 4, RedisPublish: 12, RedisReceive: 3}
	for _, test := range []struct {
		subscribers []int
		nodes       []float64
		redis       float64
	}{
		{[]int{0}, []float64{60}, 12},
		{[]int{10}, []float64{60 + 40}, 12 + 3},
		{[]int{0, 0, 5}, []float64{60, 0, 15 + 20}, 12 + 3},
		{[]int{10, 20}, []float64{60 + 40, 15 + 80}, 12 + 6},
	} {
		if nodes, redis := c.Predict(test.subscribers); !slices.Equal(nodes, test.nodes) || redis != test.redis {
			t.Errorf("Predict(%v) = %v, %v; want %v, %v", test.subscribers, nodes, redis, test.nodes, test.redis)
		}
	}
}

func TestFitNeedsDifferentRuns(t *testing.T) {
	one := Costs{Publish: 60, Receive: 15, Deliver: 4.5, RedisPublish: 12, RedisReceive: 3}
	for _, runs := range [][]Run{nil, {one.run(1, 10)}, {one.run(1, 10), one.run(1, 10)}} {
		var c Costs
		if err := c.Fit(runs); !errors.Is(err, ErrFit) {
			t.Errorf("Fit of %d equal runs = %v; want %v", len(runs), err, ErrFit)
		}
	}
}

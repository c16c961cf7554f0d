package app

import (
	"context"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/server/internal/revocation"

	"github.com/prometheus/client_golang/prometheus"
)

// revocationOp is the notification that makes nodes look for new revocations.
const revocationOp = "revocations"

// newRevocations makes the node's copy of the revocations. The policy, which enforces
// them, is made later.
func (a *App) newRevocations() {
	o := revocation.Options{
		Enforce: func(entries []revocation.Entry) { a.policy.Enforce(entries) },
		Notify:  func(ctx context.Context) error { return a.node.Notify(ctx, revocationOp, nil, "") },
		Log:     a.log,
	}
	if a.engine.revocations != nil {
		o.Table = redisTable{a.engine.revocations}
	}
	a.revocations = revocation.New(o)
}

// notification handles the notifications of nodes.
func (a *App) notification(_ context.Context, e centrifuge.NotificationEvent) {
	if e.Op == revocationOp {
		a.revocations.Poke()
	}
}

// countRevocations exports the figures of the revocations.
func (m *metrics) countRevocations(r *revocation.Registry) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "centrifugo_node_revocations", Help: "Blocked users and revoked tokens that the node knows.",
		}, func() float64 { return float64(r.Stats().Entries) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "centrifugo_node_revocations_failed_count", Help: "Attempts to read changes of the revocations that have failed.",
		}, func() float64 { return float64(r.Stats().Failures) }),
	)
}

// redisTable is a table in Redis with the types of package revocation.
type redisTable struct{ *redisengine.Table }

// Changes implements revocation.Table.
func (t redisTable) Changes(
	ctx context.Context, since revocation.Position,
) (changes []revocation.Change, next revocation.Position, more bool, err error) {
	entries, position, more, err := t.Table.Changes(ctx, redisengine.TablePosition(since))
	if err != nil {
		return nil, next, false, err //nolint:wrapcheck // the caller says what it did
	}
	changes = make([]revocation.Change, len(entries))
	for i, e := range entries {
		changes[i] = revocation.Change(e)
	}
	return changes, revocation.Position(position), more, nil
}

package centrifuge

import "context"

// clientContext is the context of a connection: its end cancels it, and nothing else. The
// values are those of another context, which can be replaced. A context that context.WithCancel
// makes of the other one takes more memory, and keeps all that the other one was made of.
type clientContext struct {
	context.Context // of the connection's end; it has no values
	values          context.Context
}

// newClientContext returns a context with the values of ctx, and what cancels it.
func newClientContext(ctx context.Context) (*clientContext, context.CancelFunc) {
	end, cancel := context.WithCancel(context.Background())
	return &clientContext{end, ctx}, cancel
}

// with returns a context that ends with c and has the values of ctx.
func (c *clientContext) with(ctx context.Context) *clientContext {
	return &clientContext{c.Context, ctx}
}

// Value implements context.Context. What package context looks for, to cancel contexts that
// are derived from c without a goroutine for each, is found in the first.
func (c *clientContext) Value(key any) any {
	if value := c.Context.Value(key); value != nil {
		return value
	}
	return c.values.Value(key)
}

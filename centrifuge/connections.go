package centrifuge

import (
	"iter"
	"slices"
)

// Connections returns the connections of this node that have connected and not ended.
//
// Each iteration takes snapshots of parts of the node's index and holds no lock
// while it yields: the loop may block, and may call any method of the node and of
// the client. It yields each connection that exists during the whole iteration
// exactly once, in no particular order. A connection that connects or ends during
// the iteration may be yielded or not.
func (n *Node) Connections() iter.Seq[*Client] {
	return connected(n.registry.all())
}

// UserConnections returns the connections of a user on this node, those of anonymous
// users if user is empty. It iterates like Connections; the snapshot is taken when
// an iteration begins.
func (n *Node) UserConnections(user string) iter.Seq[*Client] {
	return connected(func(yield func(*Client) bool) {
		slices.Values(n.registry.ofUser(user))(yield)
	})
}

// connected filters clients by their state at the time at which they are yielded.
func connected(clients iter.Seq[*Client]) iter.Seq[*Client] {
	return func(yield func(*Client) bool) {
		for c := range clients {
			if c.Connected() && !yield(c) {
				return
			}
		}
	}
}

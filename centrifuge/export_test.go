package centrifuge

import "time"

// SetWallClock replaces the wall clock of a node that runs and has no clients yet.
func (n *Node) SetWallClock(wall func() time.Time) { n.timeline.wall = wall }

// BrokerEvents is what the node's broker is given.
func (n *Node) BrokerEvents() BrokerHandler { return (*brokerEvents)(n) }

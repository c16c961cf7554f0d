package centrifuge

import (
	"testing"

	"centrifugo/protocol"
)

// TestTransportStatsAddUp checks that the counters of a transport are the sums over all lanes.
func TestTransportStatsAddUp(t *testing.T) {
	n, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Run(); err != nil {
		t.Fatal(err)
	}
	batch := []*protocol.Encoded{
		{Bytes: []byte("12"), Kind: protocol.KindPushPublication},
		{Bytes: []byte("123"), Kind: protocol.KindPushPublication},
		{Bytes: []byte("1"), Kind: protocol.KindPushJoin},
	}
	for lane := range uint16(3) {
		c := n.stats.transport("t", lane)
		c.accepted.Add(1)
		c.sent(batch)
		c.closes.add(3008)
	}
	s := n.Stats()
	got := s.Transports["t"]
	if got.Accepted != 3 || got.Disconnects[3008] != 3 || s.Disconnects[3008] != 3 {
		t.Errorf("%d accepted, disconnects %v, of the node %v; want 3, [3008] 3 and [3008] 3",
			got.Accepted, got.Disconnects, s.Disconnects)
	}
	if pubs := got.Frames["push_publication"]; pubs.Sent != 6 || pubs.SentBytes != 15 {
		t.Errorf("publications %+v; want Sent 6 and SentBytes 15", pubs)
	}
	if joins := got.Frames["push_join"]; joins.Sent != 3 || joins.SentBytes != 3 {
		t.Errorf("joins %+v; want Sent 3 and SentBytes 3", joins)
	}
	if err := n.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

package centrifuge_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
)

// TestConnections checks which connections an iteration yields, and that its loop
// may act on them and end early.
func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, noPings, centrifuge.Handlers{})
		byUser := make(map[string][]*centrifuge.Client)
		for _, user := range []string{"u", "u", "v", "", ""} {
			p := s.connect(jsonV2, user)
			byUser[user] = append(byUser[user], p.Client.Client())
		}
		s.dial(jsonV2, transport(jsonV2), "u") // does not connect

		all := slices.Concat(byUser["u"], byUser["v"], byUser[""])
		if got := slices.Collect(s.Connections()); !sameClients(got, all) {
			t.Errorf("Connections() yields %d connections; want %d", len(got), len(all))
		}
		for user, want := range byUser {
			if got := slices.Collect(s.UserConnections(user)); !sameClients(got, want) {
				t.Errorf("UserConnections(%q) yields %d connections; want %d", user, len(got), len(want))
			}
		}
		if got := slices.Collect(s.UserConnections("x")); len(got) != 0 {
			t.Errorf("UserConnections of an unknown user yields %d connections; want 0", len(got))
		}

		connections := s.UserConnections("u")
		for c := range connections {
			c.Disconnect(centrifuge.DisconnectForceNoReconnect)
			break
		}
		synctest.Wait()
		if got := slices.Collect(connections); len(got) != 1 {
			t.Errorf("after a disconnect an iteration yields %d connections; want 1", len(got))
		}
	})
}

func sameClients(a, b []*centrifuge.Client) bool {
	set := func(clients []*centrifuge.Client) map[*centrifuge.Client]bool {
		m := make(map[*centrifuge.Client]bool)
		for _, c := range clients {
			m[c] = true
		}
		return m
	}
	return len(a) == len(b) && maps.Equal(set(a), set(b))
}

func ExampleNode_Connections() {
	node, stop := exampleNode(centrifuge.Handlers{})
	defer stop()
	admin, user := exampleConnect(node, "1"), exampleConnect(node, "42")
	for client := range node.Connections() {
		if client.UserID() != "1" {
			client.Disconnect(centrifuge.DisconnectForceNoReconnect)
		}
	}
	for client := range node.UserConnections("1") {
		_ = client.Send([]byte(`"alone"`))
	}
	fmt.Println(user.Closed().Reason)
	fmt.Println(string(admin.Push().Message.Data))
	// Output:
	// force disconnect
	// "alone"
}

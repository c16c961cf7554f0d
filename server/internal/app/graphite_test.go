package app

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestGraphite checks graphite.enabled, host, port, prefix, interval and tags with a receiver.
func TestGraphite(t *testing.T) {
	for _, tt := range []struct{ settings, want string }{
		{`"prefix": "site", "tags": false`, "site.centrifugo_node_build.version_0_0_0_OSS 1 "},
		{`"tags": true`, "centrifugo.centrifugo_node_build;version=0.0.0_OSS 1 "},
	} {
		receiver, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Fatal(err)
		}
		host, port, _ := net.SplitHostPort(receiver.Addr().String())
		i := start(t, fmt.Sprintf(`"graphite": {"enabled": true, "host": %q, "port": %s, "interval": "50ms", %s}`, host, port, tt.settings))
		conn, err := receiver.Accept()
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(conn)
		found := false
		for lines.Scan() && !found {
			found = strings.HasPrefix(lines.Text(), tt.want)
		}
		if !found {
			t.Errorf("%s: no line %q came, %v; want one", tt.settings, tt.want, lines.Err())
		}
		_ = conn.Close()
		if err := i.stop(); err != nil {
			t.Error(err)
		}
		_ = receiver.Close()
	}
}

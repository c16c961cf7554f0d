package app

import (
	"fmt"
	"net/http"
	"testing"

	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/app/apptest"
)

// http_server.h2c_external adds HTTP/2 without TLS to the external listener, which still
// serves HTTP/1.
func TestH2CExternal(t *testing.T) {
	port := testprocess.FreePort(t) // the setting needs a port that is named
	settings := fmt.Sprintf(`"health": {"enabled": true}, "init": {"enabled": true}, "client": {"insecure": true},
		"http_server": {"internal_address": "127.0.0.2", "internal_port": %d, "h2c_external": `, port)
	for _, test := range []struct {
		name     string
		settings string
		listener int
		path     string
		status   int // of the answer to a client that speaks HTTP/2 only, zero for none
	}{
		{"external", settings + "true}", 0, "/connection/init", http.StatusOK},
		{"websocket", settings + "true}", 0, "/connection/websocket", http.StatusHTTPVersionNotSupported},
		{"not found", settings + "true}", 0, "/nothing", http.StatusNotFound},
		{"internal", settings + "true}", 1, "/health", 0},
		{"off", settings + "false}", 0, "/connection/init", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, test.settings)
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
			defer client.CloseIdleConnections()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+i.address[test.listener]+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(request)
			if err == nil {
				_ = answer.Body.Close()
			}
			switch {
			case test.status == 0 && err == nil:
				t.Errorf("HTTP/2 is answered with %s; want it refused", answer.Status)
			case test.status != 0 && err != nil:
				t.Error(err)
			case test.status != 0 && (answer.ProtoMajor != 2 || answer.StatusCode != test.status):
				t.Errorf("%s over %s; want %d over HTTP/2", answer.Status, answer.Proto, test.status)
			}
			// HTTP/1 is served as before, WebSockets included.
			if status, _ := i.request(http.MethodGet, i.address[0], "/connection/init", ""); status != http.StatusOK {
				t.Errorf("status %d over HTTP/1; want %v", status, http.StatusOK)
			}
			c, err := apptest.Dialer{}.Dial(i.address[0])
			if err != nil {
				t.Fatal(err)
			}
			_ = c.Close()
		})
	}
}

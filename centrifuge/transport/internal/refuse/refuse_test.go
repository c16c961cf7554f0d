package refuse

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

func TestSameHost(t *testing.T) {
	for origin, want := range map[string]bool{
		"": true, "https://rt.example.com": true, "http://RT.Example.com": true,
		"https://example.com": false, "https://rt.example.com:8000": false, "null": false, "://": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "https://rt.example.com/", nil)
		r.Header.Set("Origin", origin)
		if got := SameHost(r); got != want {
			t.Errorf("SameHost for the origin %q = %v; want %v", origin, got, want)
		}
	}
}

func TestDisconnect(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		err    error
		want   centrifuge.Disconnect
		logged bool
	}{
		{fmt.Errorf("limit: %w", centrifuge.DisconnectConnectionLimit), centrifuge.DisconnectConnectionLimit, false},
		{centrifuge.ErrShutdown, centrifuge.DisconnectShutdown, false},
		{broken, centrifuge.DisconnectServerError, true},
	} {
		var logged error
		if got := Disconnect(test.err, "sse", func(err error) { logged = err }); got != test.want {
			t.Errorf("Disconnect(%v) = %v; want %v", test.err, got, test.want)
		}
		if (logged != nil) != test.logged || test.logged && (!errors.Is(logged, broken) || logged.Error() != "accepting a connection of sse: broken") {
			t.Errorf("Disconnect(%v) has reported %v; want a report: %v", test.err, logged, test.logged)
		}
	}
}

func TestPush(t *testing.T) {
	for format, want := range map[protocol.Format]string{
		0:                  `{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}`,
		protocol.FormatUni: `{"disconnect":{"code":3001,"reason":"shutdown"}}`,
	} {
		got, err := Push(format, centrifuge.DisconnectShutdown)
		if err != nil || string(got.Bytes) != want {
			t.Errorf("Push(%v) = %s, %v; want %s", format, got.Bytes, err, want)
		}
	}
}

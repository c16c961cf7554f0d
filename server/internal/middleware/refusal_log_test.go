package middleware

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRefusalLog bounds the lines of each kind, counts those that are left out, and
// keeps the query out of the log.
func TestRefusalLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := NewRefusalLog(slog.New(slog.NewTextHandler(&out, nil)), "call refused")
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/x?key=secret", nil)
		for range refusalLines + 5 {
			l.Refused(r, Refusal{Level: slog.LevelWarn, Status: 401, Reason: "no key"})
		}
		l.Refused(r, Refusal{Level: slog.LevelInfo, Status: 400, Reason: "bad", More: []slog.Attr{slog.String("origin", "o")}})
		l.Refused(r, Refusal{Status: 401, Reason: "another", Kind: "another"})
		time.Sleep(time.Second)
		l.Refused(r, Refusal{Level: slog.LevelWarn, Status: 401, Reason: "no key"})
		text := out.String()
		if got := strings.Count(text, "status=401 reason=\"no key\""); got != refusalLines+1 {
			t.Errorf("%d lines of one kind; want %d:\n%s", got, refusalLines+1, text)
		}
		for _, want := range []string{
			`level=WARN msg="call refused" remote=192.0.2.1:1234 path=/x status=401 reason="no key"` + "\n",
			`level=INFO msg="call refused" remote=192.0.2.1:1234 path=/x status=400 reason=bad origin=o` + "\n",
			`reason=another` + "\n", `reason="no key" suppressed=5` + "\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("log lacks %q; want it in:\n%s", want, text)
			}
		}
		if strings.Contains(text, "secret") {
			t.Errorf("the query is in the log:\n%s; want no \"secret\" in it", text)
		}
	})
}

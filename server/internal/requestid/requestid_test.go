package requestid

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestSent checks which ids of callers are used and echoed.
func TestSent(t *testing.T) {
	for _, test := range []struct {
		sent string
		used bool
	}{
		{"a", true}, {"4bf92f35-77b3_4da6.A:/=+@Z9", true}, {strings.Repeat("x", 128), true},
		{"", false}, {strings.Repeat("x", 129), false}, {"a b", false}, {"a\n", false}, {"ä", false}, {`"`, false}, {"{}", false},
	} {
		r, w := httptest.NewRequest("POST", "/", nil), httptest.NewRecorder()
		r.Header.Set(Header, test.sent)
		id := Of(For(r))
		if id == "" || (id == test.sent) != test.used {
			t.Errorf("sent %q: the id is %q; want that = %v, and never an empty one", test.sent, id, test.used)
		}
		want := ""
		if test.used {
			want = test.sent
		}
		if Echo(w, r); w.Header().Get(Header) != want {
			t.Errorf("sent %q: echoed %q; want %q", test.sent, w.Header().Get(Header), want)
		}
		ctx := new(Context)
		ctx.Begin(t.Context(), func(context.Context) string { return test.sent })
		if id := Of(ctx); id == "" || (id == test.sent) != test.used {
			t.Errorf("looked up %q: the id is %q; want that = %v, and never an empty one", test.sent, id, test.used)
		}
	}
	if id := Of(t.Context()); id != "" {
		t.Errorf("the id of no request is %q; want none", id)
	}
}

// TestGenerated checks that a request has one id, whoever asks for it first.
func TestGenerated(t *testing.T) {
	ctx := For(httptest.NewRequest("POST", "/", nil))
	var all sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		all.Go(func() { ids[i] = Of(context.WithValue(ctx, "k", i)) }) //nolint:revive,staticcheck // no collision here
	}
	all.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("ids of one request: %q; want one", ids)
		}
	}
	if again := For(httptest.NewRequest("POST", "/", nil).WithContext(ctx)); Of(again) != ids[0] {
		t.Errorf("the same request has the id %q; want %q", Of(again), ids[0])
	}
	if other := Of(For(httptest.NewRequest("POST", "/", nil))); other == ids[0] {
		t.Errorf("two requests have the id %q; want different ones", other)
	}
}

// TestLog checks that lines have the id also of a log with fields.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(Log(slog.NewTextHandler(&out, nil))).With("consumer", "c")
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set(Header, "abc")
	log.InfoContext(For(r), "of a request")
	log.Info("of none")
	lines := strings.Split(out.String(), "\n")
	if !strings.Contains(lines[0], "consumer=c request_id=abc") || strings.Contains(lines[1], "request_id") {
		t.Errorf("lines %q; want request_id=abc in the first only", lines)
	}
}

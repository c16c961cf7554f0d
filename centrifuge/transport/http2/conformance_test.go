package http2

import (
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// h2spec sends each kind of frame that RFC 9113 and RFC 7541 allow or forbid.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("builds h2spec")
	}
	tool := filepath.Join(t.TempDir(), "h2spec")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", tool, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Dir = "../../../tools/h2spec"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building h2spec: %v\n%s", err, out)
	}
	s := serve(t, Config{MaxStreams: 10, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Cases expect an answer when the request has ended, and that requests add up to more
		// than the limit of streams: ten are sent well within this time.
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "answer")
	})}, pollableListener)
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	// The time limit is for each frame: cases that expect one end before.
	out, err := exec.CommandContext(t.Context(), tool, "--host", "127.0.0.1", "--port", port, "--tls", "--insecure", "--strict", "--timeout", "20").CombinedOutput()
	result := string(out)
	if i := strings.Index(result, "Failures:"); i >= 0 {
		t.Errorf("%s", result[i:])
	}
	if !strings.Contains(result, "146 tests, 146 passed, 0 skipped, 0 failed") || err != nil {
		t.Errorf("h2spec: %v\n%s", err, result[max(0, len(result)-300):])
	}
	if failures, _ := s.noted(); len(failures) > 0 {
		t.Errorf("OnError(%v)", failures)
	}
}

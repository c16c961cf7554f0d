package http2

import (
	"io"
	"net"
	"net/http"
	"testing"
)

// BenchmarkRequest is a request of a client of net/http and its answer, served here and by
// net/http.
func BenchmarkRequest(b *testing.B) {
	for name, prepare := range map[string]func(net.Listener) net.Listener{
		"ours": pollableListener, "nethttp": func(l net.Listener) net.Listener { return l },
	} {
		b.Run(name, func(b *testing.B) {
			s := serve(b, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte("an answer"))
			})}, prepare)
			b.ReportAllocs()
			for b.Loop() {
				response, err := s.client.Get(s.url) //nolint:noctx // of a benchmark
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
}

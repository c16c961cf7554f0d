package app

import (
	"bufio"
	"net"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// newRequestCounter counts requests for prometheus.instrument_http_handlers.
func newRequestCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "centrifugo_node_incoming_http_requests_total", Help: "Requests to the HTTP endpoints.",
	}, []string{"path", "method", "status"})
}

// instrumented counts the answers of h. The label path is that of the endpoint, not of
// the request, so that clients cannot create labels.
func instrumented(requests *prometheus.CounterVec, path string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			// middleware.Recover answers after a panic.
			if p := recover(); p != nil {
				requests.WithLabelValues(path, methodLabel(r.Method), strconv.Itoa(http.StatusInternalServerError)).Inc()
				panic(p)
			}
			requests.WithLabelValues(path, methodLabel(r.Method), strconv.Itoa(s.status)).Inc()
		}()
		h.ServeHTTP(s, r)
	})
}

// methodLabel returns one label for all methods that are not standard, so that clients
// cannot create labels.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

// statusWriter records the status. http.ResponseController finds the other methods of
// the writer by Unwrap. A connection that is hijacked before a status was sent counts as
// status 101: an upgrade, or a stream whose status depends on its connect request.
type statusWriter struct {
	http.ResponseWriter
	status  int
	written bool
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *statusWriter) WriteHeader(status int) {
	if !s.written && (status >= 200 || status == http.StatusSwitchingProtocols) {
		s.status, s.written = statusLabel(status), true
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusWriter) Write(b []byte) (int, error) {
	s.written = true
	return s.ResponseWriter.Write(b) //nolint:wrapcheck // it is the writer
}

// Hijack implements http.Hijacker.
func (s *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err == nil && !s.written {
		s.status, s.written = http.StatusSwitchingProtocols, true
	}
	return conn, buffers, err //nolint:wrapcheck // it is the writer
}

func statusLabel(status int) int {
	if status > 599 {
		return 599
	}
	return status
}

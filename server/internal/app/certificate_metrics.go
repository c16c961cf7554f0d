package app

import (
	"time"

	"centrifugo/server/internal/acme"

	"github.com/prometheus/client_golang/prometheus"
)

var certificateEnd = desc("tls_certificate_end_timestamp_seconds", "When the TLS certificate of a listener ends, in Unix time; 0 while there is none.", "listener", "host")

// certificateMetrics are those of the certificates of listeners. It implements prometheus.Collector.
type certificateMetrics struct {
	servers []*server
	acme    *acme.Manager // nil unless a server has its certificates
}

// Describe implements prometheus.Collector.
func (m *certificateMetrics) Describe(to chan<- *prometheus.Desc) { to <- certificateEnd }

// Collect implements prometheus.Collector.
func (m *certificateMetrics) Collect(to chan<- prometheus.Metric) {
	send := func(s *server, host string, end time.Time) {
		to <- prometheus.MustNewConstMetric(certificateEnd, prometheus.GaugeValue, float64(max(end.Unix(), 0)), s.name, host)
	}
	for _, s := range m.servers {
		switch {
		case s.certificates != nil:
			send(s, "", s.certificates.end())
		case s.plan.acme:
			for host, end := range m.acme.Ends() {
				send(s, host, end)
			}
		}
	}
}

// Package otlptest is a receiver of OTLP over gRPC for tests.
package otlptest

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	metricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spanpb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// Receiver keeps what it receives. It is safe for concurrent use.
type Receiver struct {
	mu      sync.Mutex
	spans   []*spanpb.Span
	metrics []string
}

// Listen starts a receiver on a free port of the loopback interface until the test ends. The
// environment of the process says that exporters send to it, without waiting for much. The
// options are those of its server.
func Listen(t *testing.T, options ...grpc.ServerOption) *Receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Receiver{}
	server := grpc.NewServer(options...)
	tracepb.RegisterTraceServiceServer(server, traceService{receiver: r})
	metricpb.RegisterMetricsServiceServer(server, metricService{receiver: r})
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
	return r
}

// Spans returns the spans that were received.
func (r *Receiver) Spans() []*spanpb.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Span returns the first span of a name, nil if there is none yet.
func (r *Receiver) Span(name string) *spanpb.Span {
	for _, s := range r.Spans() {
		if s.GetName() == name {
			return s
		}
	}
	return nil
}

// Metrics returns the names of the metrics that were received.
func (r *Receiver) Metrics() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.metrics)
}

type traceService struct {
	tracepb.UnimplementedTraceServiceServer
	receiver *Receiver
}

// Export implements the service of traces.
func (s traceService) Export(_ context.Context, request *tracepb.ExportTraceServiceRequest) (*tracepb.ExportTraceServiceResponse, error) {
	s.receiver.mu.Lock()
	defer s.receiver.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			s.receiver.spans = append(s.receiver.spans, scope.GetSpans()...)
		}
	}
	return &tracepb.ExportTraceServiceResponse{}, nil
}

type metricService struct {
	metricpb.UnimplementedMetricsServiceServer
	receiver *Receiver
}

// Export implements the service of metrics.
func (s metricService) Export(_ context.Context, request *metricpb.ExportMetricsServiceRequest) (*metricpb.ExportMetricsServiceResponse, error) {
	s.receiver.mu.Lock()
	defer s.receiver.mu.Unlock()
	for _, resource := range request.GetResourceMetrics() {
		for _, scope := range resource.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				s.receiver.metrics = append(s.receiver.metrics, m.GetName())
			}
		}
	}
	return &metricpb.ExportMetricsServiceResponse{}, nil
}

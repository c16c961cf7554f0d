// Package telemetry exports traces and metrics by OpenTelemetry. It is the only package that
// imports its libraries; the others have interfaces of their own.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/oauth2"
)

// scope is the name of the instrumentation.
const scope = "centrifugo"

// logInterval is the shortest time between two lines about an exporter that fails.
const logInterval = 10 * time.Second

// Options of Start.
type Options struct {
	// Node and Version describe the process. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
	// take precedence.
	Node, Version string
	// Gatherer has the metrics that are exported with OTEL_METRICS_EXPORTER=otlp.
	Gatherer prometheus.Gatherer
	// GoogleCredentials authenticates the exporters with the application default credentials
	// of Google.
	GoogleCredentials bool
	Log               *slog.Logger
}

// Telemetry makes spans. It is safe for concurrent use.
type Telemetry struct {
	tracer     trace.Tracer
	propagator propagation.TraceContext
	traces     *sdktrace.TracerProvider
	metrics    *metric.MeterProvider // nil if they are not exported
}

// Start starts the exporters. The environment variables OTEL_* configure them: where they
// send to and by which protocol, the sampler, the size of batches. No connection is waited for.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	logErrors(o.Log)
	described, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "centrifugo"), attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", o.Node)),
		resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("describing the process: %w", err)
	}
	var tokens oauth2.TokenSource
	if o.GoogleCredentials {
		if tokens, err = googleTokens(ctx); err != nil {
			return nil, err
		}
	}
	t := &Telemetry{}
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(described)}
	switch kind := os.Getenv("OTEL_TRACES_EXPORTER"); kind {
	case "", "otlp":
		exporter, err := traceExporter(ctx, tokens)
		if err != nil {
			return nil, err
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	case "none":
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %q is not known, use otlp or none", kind)
	}
	t.traces = sdktrace.NewTracerProvider(options...)
	t.tracer = t.traces.Tracer(scope)
	switch kind := os.Getenv("OTEL_METRICS_EXPORTER"); kind {
	case "", "none":
	case "otlp":
		exporter, err := metricExporter(ctx, tokens)
		if err != nil {
			return nil, errors.Join(err, t.traces.Shutdown(ctx))
		}
		reader := metric.NewPeriodicReader(exporter, metric.WithProducer(bridge.NewMetricProducer(bridge.WithGatherer(o.Gatherer))))
		t.metrics = metric.NewMeterProvider(metric.WithResource(described), metric.WithReader(reader))
	default:
		return nil, errors.Join(fmt.Errorf("OTEL_METRICS_EXPORTER: %q is not known, use otlp or none", kind), t.traces.Shutdown(ctx))
	}
	return t, nil
}

// protocol returns the protocol of a signal, TRACES or METRICS.
func protocol(signal string) (string, error) {
	p := os.Getenv("OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL")
	if p == "" {
		p = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch p {
	case "":
		return "http/protobuf", nil
	case "grpc", "http/protobuf":
		return p, nil
	}
	return "", fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q is not known, use grpc or http/protobuf", p)
}

// traceExporter returns an exporter of traces. Tokens authenticate it; nil means no authentication.
func traceExporter(ctx context.Context, tokens oauth2.TokenSource) (sdktrace.SpanExporter, error) {
	p, err := protocol("TRACES")
	if err != nil {
		return nil, err
	}
	switch {
	case tokens == nil && p == "grpc":
		return otlptracegrpc.New(ctx) //nolint:wrapcheck // says everything
	case tokens == nil:
		return otlptracehttp.New(ctx) //nolint:wrapcheck // says everything
	case p == "grpc":
		return otlptracegrpc.New(ctx, otlptracegrpc.WithDialOption(authenticated(tokens))) //nolint:wrapcheck // says everything
	}
	client, err := googleClient(tokens)
	if err != nil {
		return nil, err
	}
	return otlptracehttp.New(ctx, otlptracehttp.WithHTTPClient(client)) //nolint:wrapcheck // says everything
}

// metricExporter is traceExporter for metrics.
func metricExporter(ctx context.Context, tokens oauth2.TokenSource) (metric.Exporter, error) {
	p, err := protocol("METRICS")
	if err != nil {
		return nil, err
	}
	switch {
	case tokens == nil && p == "grpc":
		return otlpmetricgrpc.New(ctx) //nolint:wrapcheck // says everything
	case tokens == nil:
		return otlpmetrichttp.New(ctx) //nolint:wrapcheck // says everything
	case p == "grpc":
		return otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithDialOption(authenticated(tokens))) //nolint:wrapcheck // says everything
	}
	client, err := googleClient(tokens)
	if err != nil {
		return nil, err
	}
	return otlpmetrichttp.New(ctx, otlpmetrichttp.WithHTTPClient(client)) //nolint:wrapcheck // says everything
}

// logErrors has the errors of exporters logged. The library has one handler for the process.
func logErrors(log *slog.Logger) {
	lines := newLimit(logInterval)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if n, ok := lines.take(); ok {
			log.Warn("telemetry was not exported", "error", err, "suppressed", n)
		}
	}))
}

// Close sends what was not sent yet, for as long as ctx allows.
func (t *Telemetry) Close(ctx context.Context) error {
	err := t.traces.Shutdown(ctx)
	if t.metrics != nil {
		err = errors.Join(err, t.metrics.Shutdown(ctx))
	}
	if err != nil {
		return fmt.Errorf("sending the last telemetry: %w", err)
	}
	return nil
}

package telemetry

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"centrifugo/server/internal/requestid"
)

// Received returns ctx with the trace context of the headers of a request.
func (t *Telemetry) Received(ctx context.Context, headers http.Header) context.Context {
	return t.propagator.Extract(ctx, propagation.HeaderCarrier(headers))
}

// Call begins the span of a call of the server API that arrived by protocol: "http", "grpc",
// or "consuming" for commands of consumers.
func (t *Telemetry) Call(ctx context.Context, protocol, method string) (traced context.Context, ended func(code uint32)) {
	kind, name := trace.SpanKindServer, "api "+method
	if protocol == "consuming" {
		kind, name = trace.SpanKindConsumer, "consume "+method
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(
		attribute.String("rpc.method", method), attribute.String("centrifugo.protocol", protocol)))
	if id := requestid.Of(ctx); id != "" && span.IsRecording() {
		span.SetAttributes(attribute.String("centrifugo.request_id", id))
	}
	return ctx, func(code uint32) {
		if code != 0 {
			span.SetAttributes(attribute.Int64("centrifugo.error_code", int64(code)))
			span.SetStatus(codes.Error, "error "+strconv.FormatUint(uint64(code), 10))
		}
		span.End()
	}
}

// ProxyCall begins the span of a call of a proxy, and adds its trace context to the headers.
func (t *Telemetry) ProxyCall(ctx context.Context, event, proxy string, headers http.Header) (traced context.Context, ended func(error)) {
	ctx, span := t.tracer.Start(ctx, "proxy "+event, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("centrifugo.event", event), attribute.String("centrifugo.proxy", proxy)))
	for _, field := range t.propagator.Fields() {
		headers.Del(field) // that of the client, if it is passed on, is not the one of this call
	}
	t.propagator.Inject(ctx, propagation.HeaderCarrier(headers))
	return ctx, func(err error) { end(span, err) }
}

// Publish implements centrifuge.Spans. The trace context of the tags counts only where the
// caller has none.
func (t *Telemetry) Publish(ctx context.Context, channel string, tags map[string]string) (traced context.Context, ended func(error)) {
	ctx, span := t.tracer.Start(t.parent(ctx, tags), "publish", trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(attribute.String("centrifugo.channel", channel)))
	return ctx, func(err error) { end(span, err) }
}

// FanOut implements centrifuge.Spans. On a node that did not publish, publications without
// trace context make no span: it would belong to nothing.
func (t *Telemetry) FanOut(ctx context.Context, channel string, tags map[string]string) (ended func()) {
	ctx = t.parent(ctx, tags)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return func() {}
	}
	_, span := t.tracer.Start(ctx, "fan-out", trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("centrifugo.channel", channel)))
	return func() { span.End() }
}

// parent returns ctx, with the trace context of tags if it has none itself.
func (t *Telemetry) parent(ctx context.Context, tags map[string]string) context.Context {
	if len(tags) == 0 || trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return t.propagator.Extract(ctx, propagation.MapCarrier(tags))
}

func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
